"""Frames of JSON between the sandbox and its processes: four bytes of length, then an object.

The other end is not trusted: what is too long, too deep or no object is no message, and nothing is waited for.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, cast

LENGTH = struct.Struct("<I")
FRAME = 1 << 20
"""Bytes of the longest frame that is read."""


class NoMessage(Exception):
    """What came is not what an honest process writes; says what it is."""


def encode(frame: object) -> bytes:
    """A frame. Raises TypeError or ValueError for what JSON cannot hold."""
    body = json.dumps(frame, allow_nan=False).encode()
    return LENGTH.pack(len(body)) + body


class Frames:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The frames that are whole with these bytes.

        Raises:
            NoMessage: at the first that is none.
        """
        self._rest += data
        while len(self._rest) >= LENGTH.size:
            size = LENGTH.unpack_from(self._rest)[0]
            if size > FRAME:
                raise NoMessage("wrote to its pipe what is no message, or one that is too long")
            if len(self._rest) < LENGTH.size + size:
                return
            body, self._rest = self._rest[LENGTH.size : LENGTH.size + size], self._rest[LENGTH.size + size :]
            yield _object(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise NoMessage("wrote to its pipe what is no message") from error
    if not isinstance(found, dict):
        raise NoMessage("wrote to its pipe what is no message")
    return cast("dict[str, Any]", found)
