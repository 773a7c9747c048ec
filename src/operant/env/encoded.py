"""Spaces as JSON holds them, in policy files and on the wire of worker processes."""

from __future__ import annotations

import math
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.env.text import Words

LARGEST = 10_000_000
"""Numbers of a space that is read from a file."""


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
        case Words():
            return {"is": "words", "words": [*space.words], "length": space.length}
        case spaces.Text():
            least, most = int(space.min_length), int(space.max_length)
            return {"is": "text", "least": least, "most": most, "characters": "".join(sorted(space.character_set))}
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
        case "words":
            return Words(code["words"], _length(code["length"]))
        case "text":
            return spaces.Text(_length(code["most"]), min_length=code["least"], charset=str(code["characters"]))
        case "dict":
            return spaces.Dict([(_unkey(key), decode_space(inner)) for key, inner in code["parts"]])
        case "tuple":
            return spaces.Tuple([decode_space(inner) for inner in code["parts"]])
        case other:
            raise ValueError(f"there is no space {other!r}")


def _length(length: Any) -> int:
    if type(length) is not int or length > LARGEST:
        raise ValueError(f"a text of {length} is none, or too long")
    return length


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
