"""Spaces of Gymnasium on one side, float32 vectors and plain action arrays on the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from gymnasium.vector.utils import batch_space, iterate
from numpy.typing import NDArray

from operant.config.errors import EnvError

ActionKind = Literal["discrete", "multidiscrete", "multibinary", "box"]

_PLAIN = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


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


def leaves(space: gymnasium.Space[Any], path: str = "") -> Iterator[tuple[str, gymnasium.Space[Any]]]:
    """Yield (path, space) for every space inside Dict and Tuple spaces; the path of the space itself is ""."""
    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            yield from leaves(inner, f"{path}[{key!r}]")
    elif isinstance(space, spaces.Tuple):
        for index, inner in enumerate(space.spaces):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, space


class Observations:
    """Turns observations of `space` into float32 vectors of D numbers.

    Box is ravelled, Discrete and MultiDiscrete become one-hot, MultiBinary is ravelled, Dict and Tuple are their parts
    one after the other (the order of `gymnasium.spaces.utils.flatten`).

    Raises EnvError for a space that holds a Sequence, a Graph, a Text or another space without a fixed length.
    """

    dim: int  # D

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        for path, inner in leaves(space):
            if not isinstance(inner, _PLAIN):
                raise EnvError(
                    f"the observation space{path and ' at ' + path} is a {type(inner).__name__}, which has no fixed "
                    "length: wrap the environment with gymnasium.wrappers.TransformObservation so that it is a Box"
                )
        self.space = space
        self.dim = flatdim(space)
        self._shape = space.shape if isinstance(space, spaces.Box) else None

    def write(self, obs: Any, out: NDArray[np.float32]) -> None:
        """Write one observation into `out` [D]. Raises ValueError in words when it does not fit the space."""
        if self._shape is not None:
            value = obs if isinstance(obs, np.ndarray) else np.asarray(obs)
            if value.shape != self._shape:
                raise ValueError(f"the observation has shape {value.shape}, the observation space says {self._shape}")
            if value.dtype.kind not in "fiub":
                raise ValueError(
                    f"the observation is of type {value.dtype}, the observation space says {self.space.dtype}"
                )
            out[:] = value.reshape(-1)
        elif isinstance(self.space, spaces.Discrete):
            index = int(obs) - int(self.space.start)
            if not 0 <= index < self.space.n:
                raise ValueError(f"the observation is {obs}, the observation space says {self.space}")
            out[:] = 0.0
            out[index] = 1.0
        else:
            out[:] = np.asarray(flatten(self.space, obs))

    def batch(self, obs: Any, num: int) -> NDArray[np.float32]:
        """Return a fresh [N, D] from a batch of N observations, in the form of a Gymnasium vector environment."""
        if self._shape is not None:
            value = np.array(obs, dtype=np.float32, order="C")
            if value.shape != (num, *self._shape):
                raise ValueError(f"the observations have shape {value.shape}, the space says {(num, *self._shape)}")
            return value.reshape(num, self.dim)
        return self.rows(iterate(batch_space(self.space, num), obs), num)

    def rows(self, obs: Any, num: int) -> NDArray[np.float32]:
        """Return a fresh [N, D] from N observations one by one; None leaves its row at 0."""
        out = np.zeros((num, self.dim), dtype=np.float32)
        for row, one in zip(out, obs, strict=True):
            if one is not None:
                self.write(one, row)
        return out


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
    """A space as JSON can hold it.

    Raises:
        EnvError: for a space that has no fixed length.
    """
    match space:
        case spaces.Box():
            bounds = {"low": space.low.ravel().tolist(), "high": space.high.ravel().tolist()}
            return {"is": "box", **bounds, "shape": list(space.shape), "dtype": str(space.dtype)}
        case spaces.Discrete():
            return {"is": "discrete", "n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}
        case spaces.MultiDiscrete():
            start = np.asarray(space.start).tolist()
            return {"is": "multidiscrete", "n": space.nvec.tolist(), "start": start, "dtype": str(space.dtype)}
        case spaces.MultiBinary():
            return {"is": "multibinary", "n": np.asarray(space.n).tolist()}
        case spaces.Dict():
            return {"is": "dict", "parts": [[key, encode_space(inner)] for key, inner in space.spaces.items()]}
        case spaces.Tuple():
            return {"is": "tuple", "parts": [encode_space(inner) for inner in space.spaces]}
        case _:
            raise EnvError(f"a {type(space).__name__} has no fixed length, so no worker process can send it")


def decode_space(code: dict[str, Any]) -> gymnasium.Space[Any]:
    """The space that `encode_space` wrote down."""
    match code["is"]:
        case "box":
            shape, dtype = tuple(code["shape"]), np.dtype(code["dtype"])
            low, high = (np.array(code[name], dtype=dtype).reshape(shape) for name in ("low", "high"))
            return spaces.Box(low, high, shape, dtype.type)
        case "discrete":
            return spaces.Discrete(code["n"], start=code["start"], dtype=np.dtype(code["dtype"]).type)
        case "multidiscrete":
            return spaces.MultiDiscrete(code["n"], np.dtype(code["dtype"]).type, start=code["start"])
        case "multibinary":
            return spaces.MultiBinary(code["n"])
        case "dict":
            return spaces.Dict([(key, decode_space(inner)) for key, inner in code["parts"]])
        case _:
            return spaces.Tuple([decode_space(inner) for inner in code["parts"]])
