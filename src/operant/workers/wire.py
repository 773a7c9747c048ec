"""Frames over a socket: a head of fixed layout, then bytes. Every answer carries the number of its request.

A connection holds at most one open request. Nothing that arrives is unpickled, and nothing is taken for the answer to a
request that it does not belong to: the code behind it is a user's own, and may fork, raise or write where it likes.
"""

from __future__ import annotations

import socket
import struct
import time

START = b"!"
"""The first request: what a service is started with, as JSON, with the `path` to import from."""

DONE, FAILED, RAISED = b"d", b"f", b"r"
"""Answers: the body belongs to the request; or is the reason as text, in the service's words, or of an exception."""

BEHIND = "\0"
"""Stands between a reason and the traceback of the process that gives it."""

_HEAD = struct.Struct("<c7xqQ")  # kind, number of the request, bytes of the body; 24 bytes, so that a body is aligned
_ANSWERS = (DONE, FAILED, RAISED)
_LONGEST = 1 << 31  # bytes of a body; a head that says more is no head


class Disconnected(Exception):
    """The other end closed the socket, or its process ended."""


class TimedOut(Exception):
    """Nothing came before the deadline."""


class UnexpectedAnswer(Exception):
    """What came is not the answer to the open request; says what it is instead."""


class Connection:
    """One end of the socket between a process and its worker."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._last = 256  # bytes of the last frame: the next is expected to be as long, and read at once

    def fileno(self) -> int:
        """For `select`."""
        return self._end.fileno()

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def send(self, kind: bytes, number: int, *parts: bytes, seconds: float | None = None) -> None:
        """Send one frame within so many seconds.

        Raises:
            Disconnected: if nobody is there, or reads.
        """
        try:
            if seconds is not None:
                self._end.settimeout(seconds)
            self._end.sendall(b"".join((_HEAD.pack(kind, number, sum(map(len, parts))), *parts)))
        except OSError as error:
            raise Disconnected from error

    def receive_request(self) -> tuple[bytes, int, memoryview]:
        """Wait for a request; returns its kind, number and body.

        Raises:
            Disconnected: if the other end is no longer there.
        """
        frame, got = self._head(None)
        kind, number, size = _HEAD.unpack_from(frame)
        return kind, number, self._body(frame, got, size, None)

    def receive_answer(self, number: int, deadline: float) -> tuple[bytes, memoryview]:
        """Wait for the answer to request `number` until a time of `time.monotonic`; returns its kind and body.

        Raises:
            Disconnected: if the other end is no longer there.
            TimedOut: if the deadline passes first.
            UnexpectedAnswer: if what comes is anything else, or more.
        """
        frame, got = self._head(deadline)
        kind, its, size = _HEAD.unpack_from(frame)
        if kind not in _ANSWERS or size > _LONGEST:
            raise UnexpectedAnswer("wrote to its socket what is no answer")
        if its != number:
            raise UnexpectedAnswer(f"answered request {its} when request {number} was open")
        return kind, self._body(frame, got, size, deadline)

    def _head(self, deadline: float | None) -> tuple[memoryview, int]:
        """Room for a frame like the last one, and how much of it one read has filled: the head at least."""
        frame = memoryview(bytearray(self._last + 1))  # one more, so that what follows a frame is seen
        got = self._read(frame, deadline)
        while got < _HEAD.size:
            got += self._read(frame[got:], deadline)
        return frame, got

    def _body(self, frame: memoryview, got: int, size: int, deadline: float | None) -> memoryview:
        """The body of a frame of which so many bytes were read."""
        self._last = end = _HEAD.size + size
        if end > len(frame):
            start, frame = frame, memoryview(bytearray(end))
            frame[:got] = start[:got]
        while got < end:
            got += self._read(frame[got:], deadline)
        if got > end:
            raise UnexpectedAnswer("wrote more to its socket than one answer")
        return frame[_HEAD.size : end]

    def _read(self, into: memoryview, deadline: float | None) -> int:
        try:
            if deadline is not None:
                self._end.settimeout(max(deadline - time.monotonic(), 1e-6))
            count = self._end.recv_into(into)
        except TimeoutError as error:
            raise TimedOut from error
        except OSError as error:
            raise Disconnected from error
        if count == 0:
            raise Disconnected
        return count
