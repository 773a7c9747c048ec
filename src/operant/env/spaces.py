"""Spaces of Gymnasium on one side, rows of numbers and plain action arrays on the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.env.leaf import FLOAT, PLAIN, Leaf, Part, array, at, fits, is_picture, leaves, width
from operant.env.masks import INFO, KEY, Masks
from operant.env.text import TEXT

ActionKind = Literal["discrete", "multidiscrete", "multibinary", "box", "composite"]

_LARGEST_EXACT = 2**24
"""Whole numbers up to here are exact in float32."""


def action_kind(space: gymnasium.Space[Any]) -> ActionKind:
    """Name the kind of an action space: "discrete", "multidiscrete", "multibinary", "box", or "composite" of these.

    Raises EnvError for every other space, and for a Dict or Tuple that holds one.
    """
    kinds: tuple[ActionKind, ...] = ("box", "discrete", "multidiscrete", "multibinary")
    for kind, known in zip(kinds, PLAIN, strict=True):
        if isinstance(space, known):
            return kind
    for path, _, inner in leaves(space):
        if not isinstance(inner, PLAIN):
            raise EnvError(
                f"the action space{path and ' at ' + path} is a {type(inner).__name__}; actions may be Discrete, "
                "MultiDiscrete, MultiBinary or Box, or Dict or Tuple of these: wrap the environment so that its action "
                "space is one of these"
            )
        most = int(inner.n) if isinstance(inner, spaces.Discrete) else 0
        most = int(inner.nvec.max(initial=0)) if isinstance(inner, spaces.MultiDiscrete) else most
        if most > _LARGEST_EXACT:
            raise EnvError(
                f"the action space at {path} has {most:,} choices; beside other actions there may be {_LARGEST_EXACT:,}"
                ": wrap the environment so that there are fewer"
            )
    return "composite"


def action_dtype(space: gymnasium.Space[Any]) -> type[np.int64] | type[np.float32]:
    """The type of a policy's actions for a space: float32 for Box, Dict and Tuple, int64 for the others."""
    return np.float32 if isinstance(space, spaces.Box | spaces.Dict | spaces.Tuple) else np.int64


class Observations:
    """Turns observations of `space` into rows of D numbers, and refuses what lies outside it.

    Box is ravelled, Discrete and MultiDiscrete become one-hot, MultiBinary is ravelled, a text its codes, Dict and
    Tuple their parts one after the other (in the order of `gymnasium.spaces.utils.flatten`). Every part is held against
    its space: keys and lengths, shapes, types, whole numbers within their range. The bounds of a Box of fractions are
    not looked at, as sound environments overstep them by rounding (`check_env` tells of it), nor are those of a Box
    that stands alone.

    Rows are float32. Where the space holds a picture (`is_picture`: bytes from 0 to 255 over a plane) they are uint8:
    a picture takes its bytes, every other part those of its float32 numbers, four each, little-endian.

    With `action_mask` the last K columns say which actions are legal, 1 or 0 (`Masks`): "info" reads them from
    `info["action_mask"]`, any other name from that key of the observations, which is then no part of the features.

    Args:
        space: of one observation.
        action_space: of one action; masks need it.
        action_mask: where the masks come from; none if empty.

    Attributes:
        dtype: np.float32 or np.uint8.
        dim: D, the columns of a row.
        features: the columns before the mask.
        mask: K, the columns of the mask; 0 without.
        numbers: F, how many numbers `floats` gives.
        parts: what stands in the features, in order, so that a row can be cut up without knowing more.

    Raises EnvError for a space that holds one without a fixed length (Sequence, Graph), or if there is no mask.
    """

    def __init__(
        self, space: gymnasium.Space[Any], action_space: gymnasium.Space[Any] | None = None, action_mask: str = ""
    ) -> None:
        self.space, self.action_mask = space, action_mask
        self._masks = Masks(action_space, action_mask, space) if action_mask and action_space is not None else None
        self.mask = 0 if self._masks is None else self._masks.size
        self._key = action_mask if self._masks is not None and action_mask != INFO else None
        self._seen = space  # what the features are of
        if self._key is not None:
            self._seen = spaces.Dict({k: s for k, s in cast("spaces.Dict", space).items() if k != self._key})
        found = [*leaves(self._seen)]
        for path, _, inner in found:
            if not isinstance(inner, (*PLAIN, *TEXT)):
                raise EnvError(
                    f"the observation space{path and ' at ' + path} is a {type(inner).__name__}, which has no fixed "
                    f"length: {_instead(space)}"
                )
        packed = any(is_picture(inner) for _, _, inner in found)
        self.dtype: type[np.float32] | type[np.uint8] = np.uint8 if packed else np.float32
        self._leaves: list[Leaf] = []
        self.features = self.numbers = 0
        for path, keys, inner in found:
            picture = is_picture(inner)
            numbers = width(inner)
            size = numbers * (FLOAT.itemsize if packed and not picture else 1)
            part = Part(keys, inner, slice(self.features, self.features + size), picture)
            self._leaves.append(Leaf(path, inner, part))
            self.features, self.numbers = self.features + size, self.numbers + numbers
        self.parts = tuple(leaf.part for leaf in self._leaves)
        self.dim = self.features + self.mask
        self._alone = self._key is None and isinstance(space, spaces.Box)
        self._start = int(space.start) if isinstance(space, spaces.Discrete) else 0

    def write(self, obs: Any, out: NDArray[Any]) -> None:
        """Write the features of one observation into `out` [D]. Raises ValueError in words when it does not fit."""
        if self._alone:
            value = obs if isinstance(obs, np.ndarray) else array(obs)
            sound = value.dtype == np.uint8 if self.dtype is np.uint8 else value.dtype.kind in "fiub"
            if sound and value.shape == self.space.shape:
                out[: self.features] = value.reshape(-1)
                return
        elif isinstance(obs, int | np.integer) and isinstance(self.space, spaces.Discrete):
            index = int(obs) - self._start
            if 0 <= index < self.features:
                out[: self.features] = 0.0
                out[index] = 1.0
                return
        for leaf, value in self._values(obs):
            leaf.write(value[None], out[None])

    def write_mask(self, obs: Any, info: Any, last: bool, out: NDArray[Any]) -> None:
        """Write the mask of one state into `out` [D]; of the `last` of an episode it may be missing, and is then all 1.

        Raises:
            ValueError: in words, if it is missing, is no mask of the action space, or leaves no action.
        """
        if self._masks is not None:
            self._masks.write(self._masks.find(obs, info), last, out[self.features :])

    def write_masks(self, obs: Any, infos: Any, last: NDArray[np.bool_], out: NDArray[Any]) -> None:
        """Write the masks of N states into `out` [N, D], from the observations and infos of a vector environment."""
        if self._masks is None:
            return
        masks, given = self._masks.find(obs, infos), np.ones(len(out), np.bool_)
        if self._key is None:
            given = np.asarray(infos.get("_" + KEY, given) if isinstance(infos, Mapping) else given, np.bool_)
        self._masks.write_batch(masks, given & (masks is not None), last, out[:, self.features :])

    def batch(self, obs: Any, num: int) -> NDArray[Any]:
        """Return a fresh [N, D] of features from a batch of N observations, in the form of a Gymnasium vector
        environment; the columns of a mask are 1.
        """
        if self._alone and (self.dtype is np.float32 or getattr(obs, "dtype", None) == np.uint8):
            value = np.array(obs, dtype=self.dtype, order="C")
            if value.shape != (shape := (num, *cast("spaces.Box", self.space).shape)):
                raise ValueError(f"the observations have shape {value.shape}, the space says {shape}")
            flat = value.reshape(num, self.features)
            return np.hstack([flat, np.ones((num, self.mask), self.dtype)]) if self.mask else flat
        out = np.ones((num, self.dim), self.dtype)
        for leaf, values in self._values(obs):
            if values.shape[:1] != (num,):
                raise ValueError(f"{leaf.name} has shape {values.shape}, the space says {(num, *leaf.shape)}")
            leaf.write(values, out)
        return out

    def rows(self, obs: Any, num: int) -> NDArray[Any]:
        """As `batch` from N observations one by one; None leaves its row at 0."""
        out = np.zeros((num, self.dim), self.dtype)
        out[:, self.features :] = 1
        for row, one in zip(out, obs, strict=True):
            if one is not None:
                self.write(one, row)
        return out

    def read(self, obs: Any, mask: Any = None, *, masked: bool = True) -> tuple[NDArray[Any], bool]:
        """A fresh [N, D] from one raw observation (N = 1) or a batch of them, and whether it was one.

        A batch is what a Gymnasium vector environment gives: arrays with N before their shape, inside the dict or tuple
        where the space is one; there a list of observations will do as well. A state may also be its one-hot vector.
        `mask` is `info["action_mask"]`, of one or of the batch, where masks come from there; not `masked`, it is 1.

        Raises:
            ValueError: in words, where it is neither, or lies outside the space, or the mask is missing or is none.
        """
        if masked and mask is None and self._masks is not None and self._key is None:
            raise ValueError('the policy needs to know which actions are legal: give mask=info["action_mask"] too')
        if mask is not None and (self._masks is None or self._key is not None):
            why = "was not trained with masks" if self._masks is None else f"reads its mask from obs[{self._key!r}]"
            raise ValueError(f"the policy {why}: leave mask out")
        rows, one = self._read(obs)
        if not masked:
            rows[:, self.features :] = 1
        elif one:
            self.write_mask(obs, {KEY: mask}, False, rows[0])
        elif isinstance(obs, list) and self._key is not None:
            for state, row in zip(cast("list[Any]", obs), rows, strict=True):
                self.write_mask(state, None, False, row)
        else:
            self.write_masks(obs, {KEY: mask}, np.zeros(len(rows), np.bool_), rows)
        return rows, one

    def _read(self, obs: Any) -> tuple[NDArray[Any], bool]:
        if isinstance(obs, list) and isinstance(self.space, spaces.Dict | spaces.Tuple):
            many = cast("list[Any]", obs)
            return self.rows(many, len(many)), False
        leaf, value = next(self._values(obs), (None, np.zeros(0)))
        if isinstance(self.space, spaces.Discrete) and value.dtype.kind == "f":  # no state, so a vector or a mistake
            hot = _one_hot(value, self.space)
            return np.hstack([hot, np.ones((len(hot), self.mask), np.float32)]), value.ndim == 1
        if leaf is None or value.shape == leaf.shape:
            out = np.zeros((1, self.dim), self.dtype)
            self.write(obs, out[0])
            return out, True
        if value.shape[1:] != leaf.shape or value.ndim != len(leaf.shape) + 1:
            said = f"{leaf.name} has shape {value.shape}"
            raise ValueError(f"{said}; one is of shape {leaf.shape}, a batch of shape {('N', *leaf.shape)}")
        return self.batch(obs, len(value)), False

    def finite(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether every number of a row is finite, [..., D] → [...]; bytes of pictures always are."""
        if self.dtype is np.float32:
            return np.asarray(np.isfinite(rows).all(axis=-1))
        sound = np.ones(rows.shape[:-1], np.bool_)
        for part in self.parts:
            if not part.picture:
                sound &= np.isfinite(rows[..., part.columns].view(FLOAT)).all(axis=-1)
        return sound

    def floats(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """The features as float32 numbers, [..., D] → [..., F]: of bytes the numbers 0 to 255, of a mask nothing."""
        if self.dtype is np.float32:
            return rows[..., : self.features]
        cut = [rows[..., part.columns] for part in self.parts]
        each = [x if part.picture else x.view(FLOAT) for part, x in zip(self.parts, cut, strict=True)]
        return np.concatenate(each, axis=-1, dtype=np.float32)

    def _values(self, obs: Any) -> Iterator[tuple[Leaf, NDArray[Any]]]:
        """Every leaf with its value in `obs`."""
        if self._key is not None and isinstance(obs, Mapping):
            obs = {key: value for key, value in cast("Mapping[Any, Any]", obs).items() if key != self._key}
        fits(self._seen, obs, "")
        for leaf in self._leaves:
            yield leaf, array(at(obs, leaf.part.keys), leaf.name)


def _instead(space: gymnasium.Space[Any]) -> str:
    wrap = "wrap the environment with gymnasium.wrappers.TransformObservation so that it is a Box"
    alone = """take another key of the observation alone, --env.wrappers '["key NAME"]', of a text "words NAME", or """
    return (alone if isinstance(space, spaces.Dict) else "") + wrap


def _one_hot(value: NDArray[Any], space: spaces.Discrete) -> NDArray[np.float32]:
    """One-hot vectors [D] or [N, D] of states as a fresh [N, D]. Raises ValueError for anything else."""
    if value.ndim in (1, 2) and value.shape[-1] == space.n:
        rows = value.reshape(-1, int(space.n))
        if ((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all():
            return rows.astype(np.float32)
    raise ValueError(f"the observation is of type {value.dtype}, the observation space says {space}")


class Actions:
    """Turns the actions of a policy into those of `space`.

    Discrete: int64 [N] in 0..n-1, to which `start` is added. MultiDiscrete: int64 [N, K], likewise. MultiBinary: int64
    [N, K] of 0 and 1. Box: float32 [N, A], unbounded: clipped to the bounds here, and stored unclipped by the
    collector, because the log-probability belongs to what was sampled. Dict and Tuple: float32 [N, W], the columns of
    their parts one after the other, as above; a Discrete has one.

    `width` is (), (K,), (A,) or (W,); `parts` are the plain spaces and their columns. Raises EnvError for other spaces.
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.kind: ActionKind = action_kind(space)
        self.space = space
        shape = space.shape or ()
        self._shape = shape
        parts: list[Part] = []
        self._inner: list[Actions] = []
        for _, keys, inner in leaves(space):
            start, size = parts[-1].columns.stop if parts else 0, int(np.prod(inner.shape or ()))
            parts.append(Part(keys, inner, slice(start, start + size)))
            self._inner += [Actions(inner)] if keys else []
        self.parts = tuple(parts)
        total = parts[-1].columns.stop if parts else 0
        if self.kind == "composite" and not total:
            raise EnvError(f"the action space {space} holds no action: give it one")
        self.width: tuple[int, ...] = () if self.kind == "discrete" else (total,)

    def decode(self, action: NDArray[Any]) -> Any:
        """The environment's actions: a fresh [N, *shape] in the dtype of the space, of Dict and Tuple a list of N."""
        self._refuse(action)
        if self.kind != "composite":
            return self._plain(action)
        arrays = self._arrays(action)
        return [_built(self.space, iter(arrays), row) for row in range(len(action))]

    def decode_batch(self, action: NDArray[Any]) -> Any:
        """As `decode`, in the form of `gymnasium.vector.utils.batch_space`: of Dict and Tuple one, of arrays."""
        self._refuse(action)
        return _built(self.space, iter(self._arrays(action)), None) if self.kind == "composite" else self._plain(action)

    def _refuse(self, action: NDArray[Any]) -> None:
        if action.shape[1:] != self.width or action.ndim == 0:
            raise ValueError(f"actions of shape {action.shape} where [N, {', '.join(map(str, self.width))}] belongs")
        if action.dtype.kind not in ("fiu" if self.kind in ("box", "composite") else "iu"):
            raise ValueError(f"actions of type {action.dtype} where int64 belongs")

    def _plain(self, action: NDArray[Any]) -> NDArray[Any]:
        space = self.space
        if isinstance(space, spaces.Box):
            shaped = action.reshape(-1, *self._shape)
            if space.dtype.kind in "iu":
                return np.clip(np.rint(shaped), space.low, space.high).astype(space.dtype)
            return np.clip(shaped.astype(space.dtype, copy=False), space.low, space.high)
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            return (action.reshape(-1, *self._shape) + space.start).astype(space.dtype, copy=False)
        return action.reshape(-1, *self._shape).astype(np.int8)

    def _arrays(self, action: NDArray[Any]) -> list[NDArray[Any]]:
        """The actions of each part, [N, *shape] in its dtype.

        Raises:
            EnvError: where a number is none of the choices.
        """
        arrays: list[NDArray[Any]] = []
        for part, inner in zip(self.parts, self._inner, strict=True):
            columns = action[:, part.columns]
            if inner.kind != "box":
                most = np.asarray(getattr(part.space, "n", 2) if inner.kind == "discrete" else 2)
                most = part.space.nvec.ravel() if isinstance(part.space, spaces.MultiDiscrete) else most
                sound = (columns >= 0) & (columns < most) & (columns == np.floor(columns))
                if not sound.all():
                    raise EnvError(f"an action holds {columns[~sound][0]} where a choice of {part.space} belongs")
                columns = columns.astype(np.int64)
            arrays.append(inner.decode(columns.reshape(len(action), *inner.width)))
        return arrays


def _built(space: gymnasium.Space[Any], arrays: Iterator[NDArray[Any]], row: int | None) -> Any:
    """One action, or the batch of them, from the arrays of its parts."""
    if isinstance(space, spaces.Dict):
        return {key: _built(inner, arrays, row) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_built(inner, arrays, row) for inner in space.spaces)
    return next(arrays) if row is None else next(arrays)[row]
