"""Spaces of Gymnasium on one side, float32 vectors and plain action arrays on the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim
from numpy.typing import NDArray

from operant.config.errors import EnvError

ActionKind = Literal["discrete", "multidiscrete", "multibinary", "box"]

_PLAIN = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_EXACT = 2**53
"""Whole numbers up to here are exact in float64."""
LARGEST = 10_000_000
"""Numbers of a space that is read from a file."""


def action_kind(space: gymnasium.Space[Any]) -> ActionKind:
    """Name the kind of an action space: "discrete", "multidiscrete", "multibinary" or "box".

    Raises EnvError for every other space.
    """
    kinds: tuple[ActionKind, ...] = ("box", "discrete", "multidiscrete", "multibinary")
    for kind, known in zip(kinds, _PLAIN, strict=True):
        if isinstance(space, known):
            return kind
    raise EnvError(
        f"the action space is a {type(space).__name__}; actions may be Discrete, MultiDiscrete, MultiBinary or Box: "
        "wrap the environment so that its action space is one of these"
    )


def action_dtype(space: gymnasium.Space[Any]) -> type[np.int64] | type[np.float32]:
    """The type of a policy's actions for a space: float32 for Box, int64 for the others."""
    return np.float32 if isinstance(space, spaces.Box) else np.int64


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


class _Leaf:
    """A plain space inside the observations: where it stands in them, and in the vector."""

    def __init__(self, path: str, keys: tuple[Any, ...], space: gymnasium.Space[Any], start: int) -> None:
        self.keys, self.space, self.shape = keys, space, tuple(space.shape or ())
        self.name = f"the observation{path and ' at ' + path}"
        self.columns = slice(start, start + flatdim(space))
        self._least = self._count = self._first = np.zeros(0, np.int64)  # of numbered spaces, by component
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            counts: Any = space.n if isinstance(space, spaces.Discrete) else space.nvec
            self._count = np.atleast_1d(np.asarray(counts, np.int64)).ravel()
            self._least = np.broadcast_to(np.asarray(space.start, np.int64).ravel(), self._count.shape)
            self._first = np.cumsum(self._count) - self._count  # the column of each component's first number

    def write(self, values: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write [N, *shape] into `out` [N, width]. Raises ValueError in words where it lies outside the space."""
        if values.shape[1:] != self.shape:
            said = f"{self.name} has shape {values.shape[1:]}"
            raise ValueError(f"{said}, the observation space says {self.shape}")
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{self.name} is of type {values.dtype}, the observation space says {self.space.dtype}")
        flat = values.reshape(len(values), math.prod(self.shape))
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
            shown = row[0] if self.shape == () else row.reshape(self.shape).tolist()
            raise ValueError(f"{self.name} is {shown}, the observation space says {self.space}")


class Observations:
    """Turns observations of `space` into float32 vectors of D numbers, and refuses what lies outside it.

    Box is ravelled, Discrete and MultiDiscrete become one-hot, MultiBinary is ravelled, Dict and Tuple are their parts
    one after the other (the order of `gymnasium.spaces.utils.flatten`). Every part is held against its own space: keys
    and lengths, shapes, types, whole numbers within their range. The bounds of a Box of fractions are not looked at, as
    sound environments overstep them by rounding (`check_env` tells of it), nor are those of a Box that stands alone.

    Raises EnvError for a space that holds a Sequence, a Graph, a Text or another space without a fixed length.
    """

    dim: int  # D

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.space = space
        self._leaves: list[_Leaf] = []
        for path, keys, inner in leaves(space):
            if not isinstance(inner, _PLAIN):
                raise EnvError(
                    f"the observation space{path and ' at ' + path} is a {type(inner).__name__}, which has no fixed "
                    "length: wrap the environment with gymnasium.wrappers.TransformObservation so that it is a Box"
                )
            start = self._leaves[-1].columns.stop if self._leaves else 0
            self._leaves.append(_Leaf(path, keys, inner, start))
        self.dim = flatdim(space)
        self._shape = space.shape if isinstance(space, spaces.Box) else None
        self._start = int(space.start) if isinstance(space, spaces.Discrete) else 0

    def write(self, obs: Any, out: NDArray[np.float32]) -> None:
        """Write one observation into `out` [D]. Raises ValueError in words when it does not fit the space."""
        if self._shape is not None:
            value = obs if isinstance(obs, np.ndarray) else _array(obs)
            if value.shape == self._shape and value.dtype.kind in "fiub":
                out[:] = value.reshape(-1)
                return
        elif isinstance(obs, int | np.integer) and isinstance(self.space, spaces.Discrete):
            index = int(obs) - self._start
            if 0 <= index < self.dim:
                out[:] = 0.0
                out[index] = 1.0
                return
        for leaf, value in self._parts(obs):
            leaf.write(value[None], out[None, leaf.columns])

    def batch(self, obs: Any, num: int) -> NDArray[np.float32]:
        """Return a fresh [N, D] from a batch of N observations, in the form of a Gymnasium vector environment."""
        if self._shape is not None:
            value = np.array(obs, dtype=np.float32, order="C")
            if value.shape != (num, *self._shape):
                raise ValueError(f"the observations have shape {value.shape}, the space says {(num, *self._shape)}")
            return value.reshape(num, self.dim)
        out = np.zeros((num, self.dim), dtype=np.float32)
        for leaf, values in self._parts(obs):
            if values.shape[:1] != (num,):
                raise ValueError(f"{leaf.name} has shape {values.shape}, the space says {(num, *leaf.shape)}")
            leaf.write(values, out[:, leaf.columns])
        return out

    def rows(self, obs: Any, num: int) -> NDArray[np.float32]:
        """Return a fresh [N, D] from N observations one by one; None leaves its row at 0."""
        out = np.zeros((num, self.dim), dtype=np.float32)
        for row, one in zip(out, obs, strict=True):
            if one is not None:
                self.write(one, row)
        return out

    def read(self, obs: Any) -> tuple[NDArray[np.float32], bool]:
        """A fresh [N, D] from one raw observation (N = 1) or a batch of them, and whether it was one.

        A batch is what a Gymnasium vector environment gives: arrays with N before their shape, inside the dict or tuple
        where the space is one; there a list of observations will do as well. A state may also be its one-hot vector.

        Raises:
            ValueError: in words, where it is neither, or lies outside the space.
        """
        if isinstance(obs, list) and isinstance(self.space, spaces.Dict | spaces.Tuple):
            many = cast("list[Any]", obs)
            return self.rows(many, len(many)), False
        leaf, value = next(self._parts(obs), (None, np.zeros(0)))
        if isinstance(self.space, spaces.Discrete) and value.dtype.kind == "f":  # no state, so a vector or a mistake
            return _one_hot(value, self.space), value.ndim == 1
        if leaf is None or value.shape == leaf.shape:
            out = np.zeros((1, self.dim), np.float32)
            self.write(obs, out[0])
            return out, True
        if value.shape[1:] != leaf.shape or value.ndim != len(leaf.shape) + 1:
            said = f"{leaf.name} has shape {value.shape}"
            raise ValueError(f"{said}; one is of shape {leaf.shape}, a batch of shape {('N', *leaf.shape)}")
        return self.batch(obs, len(value)), False

    def _parts(self, obs: Any) -> Iterator[tuple[_Leaf, NDArray[Any]]]:
        """Every leaf with its value in `obs`."""
        _fits(self.space, obs, "")
        for leaf in self._leaves:
            value = obs
            for key in leaf.keys:
                value = value[key]
            yield leaf, _array(value, leaf.name)


def _fits(space: gymnasium.Space[Any], obs: Any, path: str) -> None:
    """Raise ValueError where a Dict or Tuple has other keys or another length than its space."""
    name = f"the observation{path and ' at ' + path}"
    if isinstance(space, spaces.Dict):
        if not isinstance(obs, Mapping):
            raise ValueError(f"{name} is a {type(obs).__name__}, the observation space says a dict")
        have, want = cast(Mapping[Any, Any], obs), space.spaces
        if have.keys() != want.keys():
            raise ValueError(f"{name} has the keys {[*have]}, the observation space says {[*want]}")
        for key, inner in want.items():
            _fits(inner, have[key], f"{path}[{key!r}]")
    elif isinstance(space, spaces.Tuple):
        if not isinstance(obs, tuple | list) or len(cast("list[Any]", obs)) != len(space.spaces):
            got = f"{len(cast('list[Any]', obs))} parts" if isinstance(obs, tuple | list) else f"a {type(obs).__name__}"
            raise ValueError(f"{name} is {got}, the observation space says a tuple of {len(space.spaces)}")
        for index, (inner, part) in enumerate(zip(space.spaces, cast("list[Any]", obs), strict=True)):
            _fits(inner, part, f"{path}[{index}]")


def _one_hot(value: NDArray[Any], space: spaces.Discrete) -> NDArray[np.float32]:
    """One-hot vectors [D] or [N, D] of states as a fresh [N, D]. Raises ValueError for anything else."""
    if value.ndim in (1, 2) and value.shape[-1] == space.n:
        rows = value.reshape(-1, int(space.n))
        if ((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all():
            return rows.astype(np.float32)
    raise ValueError(f"the observation is of type {value.dtype}, the observation space says {space}")


def _array(value: Any, name: str = "the observation") -> NDArray[Any]:
    try:
        return np.asarray(value)
    except Exception as error:  # what is not an array may raise anything, as a tensor with a gradient does
        raise ValueError(f"{name} is no array: {error}") from error


class Actions:
    """Turns the actions of a policy into those of `space`.

    Discrete: int64 [N] in 0..n-1, to which `start` is added. MultiDiscrete: int64 [N, K], likewise. MultiBinary: int64
    [N, K] of 0 and 1. Box: float32 [N, A], unbounded: clipped to the bounds here, and stored unclipped by the
    collector, because the log-probability belongs to what was sampled.

    `width` is (), (K,) or (A,). Raises EnvError for other spaces.
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.kind: ActionKind = action_kind(space)
        self.space = space
        shape = space.shape or ()
        self._shape = shape
        self.width: tuple[int, ...] = () if self.kind == "discrete" else (int(np.prod(shape)),)

    def decode(self, action: NDArray[Any]) -> NDArray[Any]:
        """Return the environment's actions, a fresh [N, *shape] in the dtype of the space."""
        if action.shape[1:] != self.width or action.ndim == 0:
            raise ValueError(f"actions of shape {action.shape} where [N, {', '.join(map(str, self.width))}] belongs")
        space = self.space
        if isinstance(space, spaces.Box):
            shaped = action.reshape(-1, *self._shape)
            if space.dtype.kind in "iu":
                return np.clip(np.rint(shaped), space.low, space.high).astype(space.dtype)
            return np.clip(shaped.astype(space.dtype, copy=False), space.low, space.high)
        if action.dtype.kind not in "iu":
            raise ValueError(f"actions of type {action.dtype} where int64 belongs")
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            return (action.reshape(-1, *self._shape) + space.start).astype(space.dtype, copy=False)
        return action.reshape(-1, *self._shape).astype(np.int8)


def encode_space(space: gymnasium.Space[Any]) -> dict[str, Any]:
    """A space as JSON can hold it. A bound that all numbers of a Box share is written once.

    Raises:
        EnvError: for a space that has no fixed length, or a Dict with keys that JSON cannot hold.
    """
    match space:
        case spaces.Box():
            bounds = {"low": _bounds(space.low), "high": _bounds(space.high)}
            return {"is": "box", **bounds, "shape": list(space.shape), "dtype": str(space.dtype)}
        case spaces.Discrete():
            return {"is": "discrete", "n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}
        case spaces.MultiDiscrete():
            start = np.asarray(space.start).tolist()
            return {"is": "multidiscrete", "n": space.nvec.tolist(), "start": start, "dtype": str(space.dtype)}
        case spaces.MultiBinary():
            return {"is": "multibinary", "n": np.asarray(space.n).tolist()}
        case spaces.Dict():
            return {"is": "dict", "parts": [[_key(key), encode_space(inner)] for key, inner in space.spaces.items()]}
        case spaces.Tuple():
            return {"is": "tuple", "parts": [encode_space(inner) for inner in space.spaces]}
        case _:
            raise EnvError(f"a {type(space).__name__} has no fixed length, so no worker process can send it")


def decode_space(code: dict[str, Any]) -> gymnasium.Space[Any]:
    """The space that `encode_space` wrote down. Raises ValueError, TypeError or KeyError for anything else."""
    match code["is"]:
        case "box":
            shape, dtype = tuple(code["shape"]), np.dtype(code["dtype"])
            if not 0 <= (size := math.prod(shape)) <= LARGEST or dtype.kind not in "fiub":
                raise ValueError(f"a Box of {size:,} numbers of type {dtype} is none, or too large")
            low, high = (_unbounds(code[name], size, dtype).reshape(shape) for name in ("low", "high"))
            return spaces.Box(low, high, shape, dtype.type)
        case "discrete":
            return spaces.Discrete(code["n"], start=code["start"], dtype=np.dtype(code["dtype"]).type)
        case "multidiscrete":
            return spaces.MultiDiscrete(code["n"], np.dtype(code["dtype"]).type, start=code["start"])
        case "multibinary":
            return spaces.MultiBinary(code["n"])
        case "dict":
            return spaces.Dict([(_unkey(key), decode_space(inner)) for key, inner in code["parts"]])
        case "tuple":
            return spaces.Tuple([decode_space(inner) for inner in code["parts"]])
        case other:
            raise ValueError(f"there is no space {other!r}")


def _bounds(bound: NDArray[Any]) -> list[Any]:
    """The numbers of a bound, as text where they are not finite; one alone where all are equal."""
    flat = bound.ravel()
    few = flat[:1] if len(flat) and (flat == flat[0]).all() else flat
    return [x if isinstance(x, int) or math.isfinite(x) else str(x) for x in few.tolist()]


def _unbounds(numbers: list[Any], size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    values = np.array([float(x) if isinstance(x, str) else x for x in numbers], dtype)
    return np.broadcast_to(values, (size,)) if len(values) == 1 else values


def _key(key: Any) -> Any:
    """A key of a Dict as JSON holds it; a tuple becomes a list."""
    if isinstance(key, tuple):
        return [_key(part) for part in cast("tuple[Any, ...]", key)]
    if isinstance(key, np.integer):
        return int(key)
    if not isinstance(key, str | int):
        raise EnvError(
            f"a Dict space has the key {key!r}, a {type(key).__name__}, which cannot be written down: "
            "let its keys be text or whole numbers"
        )
    return key


def _unkey(key: Any) -> Any:
    return tuple(_unkey(part) for part in cast("list[Any]", key)) if isinstance(key, list) else key
