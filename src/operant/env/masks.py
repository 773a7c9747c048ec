"""Action masks: which actions are legal in a state, as an environment tells it, and as columns of a row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.env.leaf import leaves

INFO = "info"
"""The source of masks that stand in `info["action_mask"]`; any other names a key of the observations."""
KEY = "action_mask"


class MaskError(ValueError):
    """What is wrong with a mask, in words; `row` is that of a batch."""

    row: int | None = None


class Masks:
    """Reads the action masks of an action space: K booleans, True where an action is legal.

    K is n for Discrete, the sum of the components' numbers for MultiDiscrete (one component after the other), n for
    MultiBinary (False: this bit must be 0), and for Dict and Tuple that of their parts one after the other; a Box has
    none. A mask is what `space.sample(mask=...)` of Gymnasium takes, or the K booleans (or zeros and ones) in a row.

    Args:
        space: the action space.
        source: "info", or the key of the observations that holds the masks.
        observed: the observation space.

    Raises:
        EnvError: if nothing of the action space can be masked, or there is no such key.
    """

    def __init__(self, space: gymnasium.Space[Any], source: str, observed: gymnasium.Space[Any]) -> None:
        self.space, self.source = space, source
        self._choices: list[tuple[slice, str]] = []  # of which one must be legal
        self._bits = False
        start = 0
        for path, _, inner in leaves(space):
            if isinstance(inner, spaces.MultiBinary):
                self._bits = True
                start += math.prod(inner.shape)
            for index, n in enumerate(_counts(inner)):
                several = f" component {index}" if isinstance(inner, spaces.MultiDiscrete) else ""
                where = several + (f" of the action at {path}" if path else " of the action" if several else "")
                self._choices.append((slice(start, start + n), where))
                start += n
        self.size = start
        if not start:
            raise EnvError(
                f"env.action_mask is {source!r}, and the action space {space} has nothing to mask: leave it empty"
            )
        if source != INFO:
            self._find_key(observed)

    def _find_key(self, observed: gymnasium.Space[Any]) -> None:
        if not isinstance(observed, spaces.Dict) or self.source not in observed.spaces:
            have = f"the keys {[*observed.spaces]}" if isinstance(observed, spaces.Dict) else "no keys"
            raise EnvError(
                f"env.action_mask is {self.source!r}, and the observation has {have}: name the one that holds the "
                'mask, or "info" where info["action_mask"] does'
            )
        held = observed.spaces[self.source]
        if isinstance(held, spaces.Box | spaces.MultiBinary) and math.prod(held.shape) != self.size:
            raise EnvError(
                f"env.action_mask is {self.source!r}, which has shape {held.shape}; the action space {self.space} "
                f"needs {self.size} numbers"
            )

    def find(self, obs: Any, info: Any) -> Any:
        """The mask of one state as the environment gives it, or None."""
        where, key = (info, KEY) if self.source == INFO else (obs, self.source)
        return cast("Mapping[Any, Any]", where).get(key) if isinstance(where, Mapping) else None

    def write(self, mask: Any, last: bool, out: NDArray[Any]) -> None:
        """Write one mask into `out` [K]; of a `last` state, in which nothing is chosen, it may be missing or all 0.

        Raises:
            MaskError: if it is no mask of the space, is missing, or no action is legal.
        """
        if mask is None or (isinstance(mask, np.ndarray | list | tuple | Mapping) and _empty(mask)):
            if not last:
                raise MaskError(f"there is no action mask: {self._place()} every state, or leave env.action_mask empty")
            out[:] = 1
            return
        flat = self._flat(mask)
        for columns, where in self._choices:
            if not flat[columns].any():
                if not last:
                    raise MaskError(f"no action is legal{where and ' in' + where}: the action mask is 0 for all of it")
                flat[:] = True
        out[:] = flat

    def write_batch(self, masks: Any, given: NDArray[np.bool_], last: NDArray[np.bool_], out: NDArray[Any]) -> None:
        """Write N masks, in the form of a vector environment's infos or observations, into `out` [N, K].

        Args:
            masks: an array [N, ...], a dict or tuple of them, or N masks as objects; None where there are none.
            given: [N], where there is one.
            last: [N], where the state is the last of an episode.
            out: where they go.

        Raises:
            MaskError: as `write`; with the row.
        """
        num = len(out)
        if isinstance(masks, np.ndarray) and masks.shape[:1] != (num,):
            raise MaskError(f"the action masks have shape {masks.shape}, for {num} states")
        if isinstance(masks, np.ndarray) and masks.shape == (num, self.size) and given.all():
            plain = masks.dtype == np.bool_ or (masks.dtype.kind in "iuf" and not (self._bits and self.source == INFO))
            if (
                plain
                and ((masks == 0) | (masks == 1)).all()
                and all(masks[:, columns].any(axis=1).all() for columns, _ in self._choices)
            ):
                out[:] = masks
                return
        for row in range(num):
            try:
                self.write(_pick(masks, row) if given[row] else None, bool(last[row]), out[row])
            except MaskError as error:
                error.row = row
                raise

    def _place(self) -> str:
        return 'put info["action_mask"] beside' if self.source == INFO else f"give the key {self.source!r} of"

    def _flat(self, mask: Any) -> NDArray[np.bool_]:
        """The K booleans of a mask."""
        if self.source != INFO or not isinstance(mask, Mapping | tuple | list):
            array = _numbers(mask)
            bits = self._bits and self.source == INFO and array.dtype != np.bool_
            if not bits and array.size == self.size and (array.ndim == 1 or self.source != INFO):
                return self._binary(array)
        return np.concatenate([*self._parts(self.space, mask, ""), np.zeros(0, np.bool_)])

    def _parts(self, space: gymnasium.Space[Any], mask: Any, path: str) -> Iterator[NDArray[np.bool_]]:
        """The booleans of each part of a space, in the form of Gymnasium."""
        name = f"the action mask{path and ' at ' + path}"
        if isinstance(space, spaces.Dict | spaces.Tuple):
            inside = [*space.spaces.items()] if isinstance(space, spaces.Dict) else [*enumerate(space.spaces)]
            keyed = isinstance(mask, Mapping) if isinstance(space, spaces.Dict) else isinstance(mask, tuple | list)
            if mask is not None and (not keyed or (isinstance(mask, tuple | list) and len(mask) != len(inside))):  # pyright: ignore[reportUnknownArgumentType]
                raise MaskError(f"{name} is {_told(mask)}, which is no mask of {space}")
            for key, inner in inside:
                try:
                    one = None if mask is None else cast("Any", mask)[key]
                except KeyError as error:
                    raise MaskError(f"{name} lacks the key {key!r}") from error
                yield from self._parts(inner, one, f"{path}[{key!r}]")
        elif isinstance(space, spaces.MultiDiscrete) and isinstance(mask, tuple | list) and _nested(mask):
            yield from (self._one(part, (n,), name) for part, n in zip(_level(mask), _counts(space), strict=False))
            if (count := sum(1 for _ in _level(mask))) != len(_counts(space)):
                raise MaskError(f"{name} has {count} parts; the action space {space} has {len(_counts(space))}")
        elif isinstance(space, spaces.MultiBinary):
            yield self._one(mask, space.shape, name, bits=True)
        elif sizes := _counts(space):
            yield self._one(mask, (sum(sizes),), name)

    def _one(self, mask: Any, shape: tuple[int, ...], name: str, bits: bool = False) -> NDArray[np.bool_]:
        """The booleans of a plain space; None is all of them."""
        if mask is None:
            return np.ones(math.prod(shape), np.bool_)
        array = _numbers(mask)
        if array.shape != shape:
            raise MaskError(f"{name} has shape {array.shape}; the action space {self.space} needs {shape}")
        if not bits or array.dtype == np.bool_ or self.source != INFO:
            return self._binary(array, name)
        if not ((array == 0) | (array == 2)).all():  # 1 says in Gymnasium's form that a bit must be 1
            raise MaskError(
                f"{name} is {_told(mask)}: of bits, give booleans (False: it must be 0), or as Gymnasium has it 0 and 2"
            )
        return array.ravel() == 2

    def _binary(self, array: NDArray[Any], name: str = "the action mask") -> NDArray[np.bool_]:
        if not ((array == 0) | (array == 1)).all():
            raise MaskError(f"{name} is {_told(array)}: give 1 for what is legal and 0 for what is not")
        return array.ravel() == 1


def _counts(space: gymnasium.Space[Any]) -> list[int]:
    """The numbers of each component of which one is chosen."""
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    return [int(n) for n in space.nvec.ravel()] if isinstance(space, spaces.MultiDiscrete) else []


def _numbers(mask: Any) -> NDArray[Any]:
    try:
        array = np.asarray(mask)
    except Exception as error:
        raise MaskError(f"the action mask is {_told(mask)}, which is no array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise MaskError(f"the action mask is {_told(mask)}, which are no numbers: give 1 and 0")
    return array


def _told(mask: Any) -> str:
    shown = mask.tolist() if isinstance(mask, np.ndarray) else mask  # pyright: ignore[reportUnknownVariableType]
    return f"{shown!r:.120}"


def _empty(mask: Any) -> bool:
    return (mask.size if isinstance(mask, np.ndarray) else len(mask)) == 0


def _nested(mask: Any) -> bool:
    return any(isinstance(part, tuple | list) or getattr(part, "ndim", 0) > 0 for part in mask)


def _level(mask: Any) -> Iterator[Any]:
    """The masks of the components, out of nested tuples."""
    for part in mask:
        if isinstance(part, tuple | list) and _nested(part):
            yield from _level(part)
        else:
            yield part


def one(masks: Any, row: int, key: str) -> Any:
    """The mask under `key` of one row of a vector environment's infos, or None."""
    has = masks.get("_" + key)
    return _pick(masks[key], row) if key in masks and (has is None or has[row]) else None


def _pick(masks: Any, row: int) -> Any:
    """The mask of one row of a batch; beside a key of infos, "_key" says who has one."""
    if isinstance(masks, Mapping):
        inside = cast("Mapping[Any, Any]", masks)
        markers = {f"_{key}" for key in inside}
        return {key: _pick(part, row) for key, part in inside.items() if key not in markers}
    if isinstance(masks, tuple):
        return tuple(_pick(part, row) for part in cast("tuple[Any, ...]", masks))
    return masks[row]
