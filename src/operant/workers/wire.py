"""What passes between this process and its workers: frames of fixed layout over a socket, and spaces as JSON."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from operant.config.errors import EnvError

MAKE, RESET, STEP, PICTURE = b"m", b"r", b"s", b"p"
"""Requests. The body is JSON for MAKE, a seed for RESET, the actions for STEP, nothing for PICTURE."""

DONE, FAILED = b"d", b"f"
"""Answers. The body of FAILED is the reason as text; that of DONE belongs to the request."""

_HEAD = struct.Struct("<cqQ")  # kind, step of the environments, bytes of the body


class Gone(Exception):
    """The other side closed the socket, or its process ended."""


class Late(Exception):
    """No answer came in time."""


def send(to: socket.socket, kind: bytes, step: int = 0, *parts: bytes | memoryview) -> None:
    """Send one frame.

    Raises:
        Gone: if nobody is there.
    """
    size = sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in parts)
    try:
        to.sendall(b"".join((_HEAD.pack(kind, step, size), *parts)))
    except OSError as error:
        raise Gone from error


def receive(source: socket.socket, deadline: float | None = None) -> tuple[bytes, int, bytearray]:
    """The next frame: kind, step and body. `deadline` is a time of `time.monotonic`.

    Raises:
        Gone: if the other side is no longer there.
        Late: if the deadline passes first.
    """
    kind, step, size = _HEAD.unpack(_exactly(source, _HEAD.size, deadline))
    return kind, step, _exactly(source, size, deadline)


def _exactly(source: socket.socket, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        try:
            if deadline is not None:
                source.settimeout(max(deadline - time.monotonic(), 1e-6))
            count = source.recv_into(view[got:])
        except TimeoutError as error:
            raise Late from error
        except OSError as error:
            raise Gone from error
        if count == 0:
            raise Gone
        got += count
    return data


def encode_space(space: Space[Any]) -> dict[str, Any]:
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


def decode_space(code: dict[str, Any]) -> Space[Any]:
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
