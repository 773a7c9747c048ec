"""The plain spaces inside an observation or an action: where each stands in it, and in a row of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.env.encoded import LARGEST
from operant.env.text import TEXT, Codes

PLAIN = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
FLOAT = np.dtype("<f4")
"""What stands, as four bytes, in a row of bytes for each number that is not of a picture."""
_EXACT = 2**53
"""Whole numbers up to here are exact in float64."""


@dataclass(frozen=True, slots=True)
class Part:
    """One plain space inside a space.

    Attributes:
        keys: its place there, as keys of Dict and indices of Tuple; () where the space itself is plain.
        space: what it is.
        columns: its columns of a row, in numbers of the row's dtype.
        picture: it stands there as bytes, one a number.
    """

    keys: tuple[Any, ...]
    space: gymnasium.Space[Any]
    columns: slice
    picture: bool = False


def leaves(
    space: gymnasium.Space[Any], path: str = "", keys: tuple[Any, ...] = ()
) -> Iterator[tuple[str, tuple[Any, ...], gymnasium.Space[Any]]]:
    """Yield (path, keys, space) for every space inside Dict and Tuple spaces; the path of the space itself is ""."""
    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            yield from leaves(inner, f"{path}[{key!r}]", (*keys, key))
    elif isinstance(space, spaces.Tuple):
        for index, inner in enumerate(space.spaces):
            yield from leaves(inner, f"{path}[{index}]", (*keys, index))
    else:
        yield path, keys, space


def at(value: Any, keys: tuple[Any, ...]) -> Any:
    """What stands at `keys` in nested mappings and sequences."""
    for key in keys:
        value = value[key]
    return value


def drawn(space: gymnasium.Space[Any]) -> bool:
    """Whether a space is of bytes from 0 to 255 over a plane whose two longest sides are 8 or more."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) < 2 or min(space.shape) == 0:
        return False
    return sorted(space.shape)[-2] >= 8 and space.low.min() == 0 and space.high.max() == 255


def is_picture(space: gymnasium.Space[Any]) -> bool:
    """Whether a space is a picture that is kept as bytes: `drawn`, of 2 to 4 axes."""
    return drawn(space) and len(space.shape or ()) <= 4


def width(space: gymnasium.Space[Any]) -> int:
    """How many numbers stand for a plain space or a text: Gymnasium's, and of text its most codes.

    Raises:
        EnvError: for more than `LARGEST`, which no policy could be read with again.
    """
    found = Codes(space).length if isinstance(space, TEXT) else int(flatdim(space))
    if found > LARGEST:
        raise EnvError(f"a {type(space).__name__} of {found:,} numbers is observed, at most {LARGEST:,}: observe fewer")
    return found


class Leaf:
    """A plain space or a text inside the observations: writes what it holds into its columns of a row."""

    def __init__(self, path: str, space: gymnasium.Space[Any], part: Part) -> None:
        self.part, self.space, self.shape = part, space, tuple(space.shape or ())
        self.name = f"the observation{path and ' at ' + path}"
        self._codes = Codes(space) if isinstance(space, TEXT) else None
        self._least = self._count = self._first = np.zeros(0, np.int64)  # of numbered spaces, by component
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            counts: Any = space.n if isinstance(space, spaces.Discrete) else space.nvec
            self._count = np.atleast_1d(np.asarray(counts, np.int64)).ravel()
            self._least = np.broadcast_to(np.asarray(space.start, np.int64).ravel(), self._count.shape)
            self._first = np.cumsum(self._count) - self._count  # the column of each component's first number

    def write(self, values: NDArray[Any], rows: NDArray[Any]) -> None:
        """Write [N, *shape] into `rows` [N, D]. Raises ValueError in words where it lies outside the space."""
        if values.shape[1:] != self.shape:
            said = f"{self.name} has shape {values.shape[1:]}"
            raise ValueError(f"{said}, the observation space says {self.shape}")
        if values.dtype.kind not in ("U" if self._codes else "fiub"):
            raise ValueError(f"{self.name} is of type {values.dtype}, the observation space says {self.space.dtype}")
        flat, out = values.reshape(len(values), math.prod(self.shape)), rows[:, self.part.columns]
        if self.part.picture:
            if flat.dtype != np.uint8:
                self._refuse(flat, (flat >= 0) & (flat <= 255) & (flat == np.floor(flat)))
            out[:] = flat
            return
        if rows.dtype == np.uint8:
            out = out.view(FLOAT)
        if self._codes:
            for row, text in zip(out, values.tolist(), strict=True):
                try:
                    row[:] = self._codes.of(text)
                except ValueError as error:
                    said = f"{self.name} is {text!r:.200}, {error}"
                    raise ValueError(f"{said}, the observation space says {self.space}") from error
            return
        if isinstance(self.space, spaces.Box | spaces.MultiBinary):
            if isinstance(self.space, spaces.MultiBinary):
                self._refuse(flat, (flat == 0) | (flat == 1))
            elif self.space.dtype.kind in "iu":
                self._refuse(flat, (flat >= self.space.low.ravel()) & (flat <= self.space.high.ravel()))
            out[:] = flat
            return
        whole = flat
        if flat.dtype.kind == "f":
            flat = flat.astype(np.float64)
            whole = np.where(np.abs(flat) < _EXACT, flat, -_EXACT)  # what is no number is outside too
        index = whole.astype(np.int64) - self._least
        self._refuse(flat, (index >= 0) & (index < self._count) & (flat == index + self._least))
        out[:] = 0.0
        np.put_along_axis(out, index + self._first, 1.0, axis=1)

    def _refuse(self, flat: NDArray[Any], fits: NDArray[np.bool_]) -> None:
        """Raise ValueError for the first row that does not fit."""
        if not fits.all():
            row = flat[int(np.flatnonzero(~fits.all(axis=1))[0])]
            shown = row[0] if self.shape == () else f"{row.reshape(self.shape).tolist()!s:.200}"
            raise ValueError(f"{self.name} is {shown}, the observation space says {self.space}")


def fits(space: gymnasium.Space[Any], obs: Any, path: str) -> None:
    """Raise ValueError where a Dict or Tuple has other keys or another length than its space."""
    name = f"the observation{path and ' at ' + path}"
    if isinstance(space, spaces.Dict):
        if not isinstance(obs, Mapping):
            raise ValueError(f"{name} is a {type(obs).__name__}, the observation space says a dict")
        have, want = cast(Mapping[Any, Any], obs), space.spaces
        if have.keys() != want.keys():
            raise ValueError(f"{name} has the keys {[*have]}, the observation space says {[*want]}")
        for key, inner in want.items():
            fits(inner, have[key], f"{path}[{key!r}]")
    elif isinstance(space, spaces.Tuple):
        if not isinstance(obs, tuple | list) or len(cast("list[Any]", obs)) != len(space.spaces):
            got = f"{len(cast('list[Any]', obs))} parts" if isinstance(obs, tuple | list) else f"a {type(obs).__name__}"
            raise ValueError(f"{name} is {got}, the observation space says a tuple of {len(space.spaces)}")
        for index, (inner, part) in enumerate(zip(space.spaces, cast("list[Any]", obs), strict=True)):
            fits(inner, part, f"{path}[{index}]")


def array(value: Any, name: str = "the observation") -> NDArray[Any]:
    """A value as an array. Raises ValueError in words where it is none."""
    try:
        return np.asarray(value)
    except Exception as error:  # what is not an array may raise anything, as a tensor with a gradient does
        raise ValueError(f"{name} is no array: {error}") from error
