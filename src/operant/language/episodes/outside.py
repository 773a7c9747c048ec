"""Coroutines of worlds that wait: an event loop in a thread of its own, and what has ended there."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Coroutine
from typing import Any

Ended = tuple[int, Any, BaseException | None]
"""A coroutine's key, what it returned, and what it raised."""


class Outside:
    """Runs coroutines beside the sampler.

    Args:
        timeout: seconds of each, at which it is cancelled and raises TimeoutError.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="worlds", daemon=True)
        self._thread.start()

    def submit(self, key: int, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Begin one; it ends under its key."""
        asyncio.run_coroutine_threadsafe(self._run(key, coroutine), self._loop)

    def ended(self, *, wait: bool) -> list[Ended]:
        """Those that have ended since; where `wait`, one at least."""
        found = [self._ended.get()] if wait else []
        while not self._ended.empty():
            found.append(self._ended.get())
        return found

    def finish(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run one to its end, or its time, whatever it raises."""
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, self.timeout), self._loop)
        future.exception(self.timeout + 1.0)

    def close(self) -> None:
        """End the loop, and cancel what is under way."""
        asyncio.run_coroutine_threadsafe(_cancelled(), self._loop).exception(self.timeout)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self.timeout)
        if not self._thread.is_alive():
            self._loop.close()

    async def _run(self, key: int, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            value = await asyncio.wait_for(coroutine, self.timeout)
        except BaseException as error:  # told to whoever waits for it
            self._ended.put((key, None, error))
        else:
            self._ended.put((key, value, None))


async def _cancelled() -> None:
    """Cancel every other task of this loop, and wait for them."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
