"""Connections that nobody may hold for ever, by sending nothing, or too slowly, or by not reading an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 5.0
"""Seconds in which a request must begin, and in which it must have come, for each of them after this many bytes:"""
PACE = 2**16
UNREAD = 30.0
"""Seconds for which a client may leave an answer unread that no longer fits between it and the server."""


class Hurried(H11Protocol):
    """A connection that is closed where no request comes, or one comes too slowly, or an answer is not read.

    Bytes may come at any pace above `PACE` a second: who sends one now and then would hold a connection for ever.
    """

    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._begin(idle=True)

    def data_received(self, data: bytes) -> None:
        """Wait longer by what the bytes are worth, or no longer, where the request is whole."""
        if self._idle:
            self._begin(idle=False)
        self._until += len(data) / PACE
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._begin(idle=True)

    def pause_writing(self) -> None:
        """The client does not read: it may for a while."""
        super().pause_writing()
        self._stuck = self.loop.call_later(UNREAD, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._end(self._stuck)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._end(self._late)
        self._end(self._stuck)
        super().connection_lost(exc)

    def _begin(self, *, idle: bool) -> None:
        self._idle, self._until = idle, self.loop.time() + PATIENCE
        self._wait()

    def _wait(self) -> None:
        """Close the connection in time, unless the request is whole by then."""
        self._end(self._late)
        cycle: Any = self.cycle  # None before the first request
        whole = cycle is not None and not cycle.response_complete and not cycle.more_body
        self._late = None if whole else self.loop.call_at(self._until, self._give_up)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    @staticmethod
    def _end(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
