"""Supervised worker processes: each answers one request at a time, in time, or is ended with all that it started.

A time limit inside a process is no limit: a signal does not interrupt a regular expression, and threads get none. So a
request that takes too long ends its process, and what runs there may raise, hang, fork or die without harm to this one.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

from operant.workers.kept import end_kept, start_kept
from operant.workers.wire import BEHIND, DONE, RAISED, START, Connection, Disconnected, TimedOut, UnexpectedAnswer

W = TypeVar("W", bound="Worker")

STARTUP = 60.0
"""Seconds that a worker always has to start, which may load large packages."""

CLOSE = 2.0
"""Seconds in which a process must have ended whose connection was closed, at either end."""


class RequestFailed(Exception):
    """The service did not do what it was asked: it says why itself, or `raised` an exception."""

    def __init__(self, reason: str, raised: bool) -> None:
        super().__init__(reason)
        self.raised = raised


class RemoteTraceback(Exception):
    """What the other process says of its exception; it stands in the traceback of ours as its cause."""

    def __str__(self) -> str:
        return f"in the worker process:\n{self.args[0]}"


class WorkerLost(Exception):
    """The worker is gone. Says what its process did: "was killed by signal 9"."""


class WorkerTimeout(WorkerLost):
    """The worker was ended because it did not answer within so many `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("did not answer in time; it was ended")
        self.seconds = seconds


class Worker:
    """One process that runs a service, and the connection to it, on which at most one request is open.

    Args:
        module: run with `python -m`; it calls `operant.workers.worker.serve`.
        settings: what the service is started with; JSON must be able to hold them. `path` is where it imports from,
            this process's if missing.
        timeout: seconds for a request that says no other.
        share: descriptors that the process gets, as further arguments.

    Raises:
        OSError: if no process can be started.
    """

    def __init__(self, module: str, settings: Mapping[str, Any], timeout: float, share: Sequence[int] = ()) -> None:
        self.timeout = timeout
        self._number = 0
        self._lost: WorkerLost | None = None
        self._owner = os.getpid()
        ours, theirs = socket.socketpair()
        self.connection = Connection(ours)
        with theirs:
            descriptors = (theirs.fileno(), *share)
            self.process = start_kept(
                [sys.executable, "-P", "-m", module, *map(str, descriptors)],
                stdout=_errors(),  # what a user's code prints is not our output
                pass_fds=descriptors,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        self.send(START, json.dumps({"path": sys.path, **settings}).encode(), seconds=max(timeout, STARTUP))

    def send(self, kind: bytes, *parts: bytes, seconds: float | None = None) -> None:
        """Send a request; that the worker is gone is said when its answer is read."""
        self._number += 1
        self.seconds = self.timeout if seconds is None else seconds
        self.deadline = time.monotonic() + self.seconds
        with suppress(Disconnected):
            self.connection.send(kind, self._number, *parts, seconds=self.seconds)

    def receive(self) -> memoryview:
        """The answer to the last request.

        Raises:
            RequestFailed: if there is none; the worker can be asked again.
            WorkerLost: if the worker is gone, or had to be ended: because it is late, or answered another request.
        """
        if self._lost is not None:
            raise self._lost
        try:
            kind, body = self.connection.receive_answer(self._number, self.deadline)
        except TimedOut as error:
            raise self._lose(WorkerTimeout(self.seconds)) from error
        except UnexpectedAnswer as error:
            raise self._lose(WorkerLost(f"{error}; it was ended")) from error
        except Disconnected as error:
            raise self._lose(WorkerLost(self._ending())) from error
        if kind != DONE:
            reason, _, trace = bytes(body).decode("utf-8", "replace").partition(BEHIND)
            raise RequestFailed(reason, raised=kind == RAISED) from RemoteTraceback(trace)
        return body

    def close(self, seconds: float = 0.0) -> None:
        """Close the connection, give the process so long to clean up, then end it and all that it started."""
        self.connection.close()
        if self._lost is None and self._owner == os.getpid():  # a fork of this process ends nothing
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(max(seconds, 0.0))
            self._lose(WorkerLost("was ended"))

    def _lose(self, why: WorkerLost) -> WorkerLost:
        self._lost = why
        end_kept(self.process)  # before it can see that the connection is closed, and end by itself
        self.connection.close()
        return why

    def _ending(self) -> str:
        try:
            code = self.process.wait(CLOSE)
        except subprocess.TimeoutExpired:
            return "closed its connection to this one"
        return f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"


class Budget:
    """Restarts as a rate: at most `most` of them while `window` things are done.

    Attributes:
        done: how many things (steps, calls) were done so far; whoever does them counts.
        spent: restarts so far.
        lately: of these, within the window.
    """

    def __init__(self, most: int, window: int) -> None:
        self.most, self.window, self.done, self.spent = most, window, 0, 0
        self._at: deque[int] = deque()

    @property
    def lately(self) -> int:
        while self._at and self._at[0] <= self.done - self.window:
            self._at.popleft()
        return len(self._at)

    def spend(self) -> bool:
        """Count one restart; False, and nothing is counted, where there may be no further one."""
        if self.lately >= self.most:
            return False
        self._at.append(self.done)
        self.spent += 1
        return True


class WorkerPool(Generic[W]):
    """Workers that are replaced within a budget, and end with the pool.

    Args:
        grace: seconds that all workers together have to clean up when the pool is closed.
    """

    def __init__(self, grace: float = 0.0) -> None:
        self.workers: list[W] = []
        self._grace = grace
        weakref.finalize(self, _close_all, self.workers, grace)

    def start(self, index: int) -> W:
        """Start the worker with a number."""
        raise NotImplementedError

    def spend(self, cause: str) -> None:
        """Count one restart. Raises an OperantError that names the cause if no more is allowed."""
        raise NotImplementedError

    def grow(self, size: int) -> None:
        """Start workers until there are so many."""
        while len(self.workers) < size:
            self.workers.append(self.start(len(self.workers)))

    def replace(self, index: int, cause: str) -> W:
        """End a worker and start another in its place. Raises as `spend` does."""
        self.workers[index].close()
        self.spend(cause)
        worker = self.workers[index] = self.start(index)
        return worker

    def close(self) -> None:
        """End every worker."""
        _close_all(self.workers, self._grace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ready(workers: Sequence[W]) -> list[W]:
    """Wait until one of these has answered at least, or is late; returns those that have, or are."""
    poll = select.poll()
    for worker in workers:
        poll.register(worker.connection, select.POLLIN)
    wait = min(worker.deadline for worker in workers) - time.monotonic()
    answered = {descriptor for descriptor, _ in poll.poll(1000.0 * max(wait, 0.0))}
    now = time.monotonic()
    return [worker for worker in workers if worker.connection.fileno() in answered or now >= worker.deadline]


def _errors() -> int:
    """The descriptor of standard error; that of nothing where it is closed."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _close_all(workers: list[W], grace: float) -> None:
    deadline = time.monotonic() + grace
    for worker in workers:
        worker.connection.close()  # all of them first, so that they clean up side by side
    for worker in workers:
        worker.close(deadline - time.monotonic())
    workers.clear()
