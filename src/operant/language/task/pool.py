"""Rewards in worker processes: one that hangs, raises or dies costs its own call, and nothing else.

A time limit inside a process is no limit: a signal does not interrupt a regular expression, and threads get none. So a
call that takes too long ends with its process, and a new one takes its place.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from operant.config.errors import ConfigError, OperantError
from operant.env.process import CLOSE, START, cores
from operant.language.reward.trace import Reward, Trace
from operant.language.task.remote import encode_reward, encode_trace
from operant.language.task.worker import CALL, LOAD, PATH
from operant.workers.wire import DONE, Gone, Late, receive, send


class _Worker:
    """One process and the socket to it; it does one thing at a time."""

    def __init__(self) -> None:
        self.line, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "operant.language.task.worker", str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=2,  # what a reward prints is not our output
                pass_fds=(theirs.fileno(),),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        self.loaded: list[str] = []
        self.call: int | None = None  # which call it is busy with
        self.deadline = 0.0
        self.ask(PATH, START, json.dumps([*sys.path]).encode())
        self.ready = False

    def ask(self, kind: bytes, seconds: float, *parts: bytes) -> None:
        """Send a request; that the worker is gone is noticed when its answer is read."""
        self.deadline = time.monotonic() + seconds
        self.line.settimeout(seconds)
        with suppress(Gone):
            send(self.line, kind, 0, *parts)

    def answer(self) -> float | str:
        """The answer to the last request. Raises Late, or Gone."""
        kind, _, body = receive(self.line, self.deadline)
        return struct.unpack("<d", body)[0] if kind == DONE else body.decode()

    def prepare(self, reward: str) -> int:
        """Have it load a reward unless it has; returns its number there.

        Raises:
            ConfigError: if it cannot.
        """
        try:
            if not self.ready:
                self.answer()
                self.ready = True
            if reward not in self.loaded:
                self.ask(LOAD, START, reward.encode())
                if isinstance(said := self.answer(), str):
                    raise ConfigError(said)
                self.loaded.append(reward)
        except (Gone, Late) as error:
            name = json.loads(reward)["name"]
            raise ConfigError(f"the reward {name}: a worker process that imports it {self.end(error)}") from error
        return self.loaded.index(reward)

    def end(self, why: Gone | Late | None = None) -> str:
        """End it now; returns how it stood."""
        self.line.close()
        code = None
        if isinstance(why, Gone):
            with suppress(subprocess.TimeoutExpired):
                code = self.process.wait(CLOSE)
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        if isinstance(why, Late):
            return "did not answer in time; it was ended"
        if code is None:
            return "closed its line"
        return f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"


class Pool:
    """Worker processes that run rewards; started with the first call, and ended with the pool.

    Args:
        workers: how many; as many as there are cores if None.
        timeout: seconds for one call of one reward.
        restarts: how many processes may have to be replaced before `run` gives up.

    Attributes:
        restarted: how many had to be replaced.
    """

    def __init__(self, workers: int | None = None, *, timeout: float = 10.0, restarts: int = 100) -> None:
        if (workers is not None and workers < 1) or not 0 < timeout < float("inf") or restarts < 0:
            raise ConfigError("a pool needs workers ≥ 1, a timeout in seconds > 0 and restarts ≥ 0")
        self.size, self.timeout, self.restarts = workers or cores(), timeout, restarts
        self.restarted = 0
        self._workers: list[_Worker] = []
        self._close = weakref.finalize(self, _end_all, self._workers)

    def run(self, calls: Sequence[tuple[Reward, Trace]]) -> list[float | str]:
        """For every call the number, or why there is none, in the order of the calls.

        Raises:
            ConfigError: if a reward cannot be imported by another process.
            OperantError: if more processes had to be ended than `restarts` allows.
        """
        names = {id(of): of for of, _ in calls}
        rewards = {key: encode_reward(of) for key, of in names.items()}
        waiting = deque((i, rewards[id(of)], encode_trace(trace).encode()) for i, (of, trace) in enumerate(calls))
        answers: dict[int, float | str] = {}
        try:
            while len(self._workers) < min(self.size, len(calls)):
                self._workers.append(_Worker())
            while len(answers) < len(calls):
                for worker in self._workers:
                    if worker.call is None and waiting:
                        number, reward, trace = waiting.popleft()
                        index = worker.prepare(reward)
                        worker.call = number
                        worker.ask(CALL, self.timeout, struct.pack("<q", index), trace)
                self._collect(answers)
        except BaseException:
            self.close()
            raise
        return [answers[i] for i in range(len(calls))]

    def close(self) -> None:
        """End every worker."""
        _end_all(self._workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _collect(self, answers: dict[int, float | str]) -> None:
        """Wait for one answer at least, or for one to be late."""
        busy = [worker for worker in self._workers if worker.call is not None]
        wait = max(min(worker.deadline for worker in busy) - time.monotonic(), 0.0)
        said = select.select([worker.line for worker in busy], [], [], wait)[0]
        for worker in busy:
            if worker.line not in said and time.monotonic() < worker.deadline:
                continue
            assert worker.call is not None
            try:
                answers[worker.call] = worker.answer()
            except (Gone, Late) as error:
                how = worker.end(error)
                gave_up = f"took longer than {self.timeout:g} s; its process was ended"
                answers[worker.call] = gave_up if isinstance(error, Late) else f"ended its process, which {how}"
                self._replace(worker, str(answers[worker.call]))
            worker.call = None

    def _replace(self, worker: _Worker, why: str) -> None:
        self.restarted += 1
        if self.restarted > self.restarts:
            raise OperantError(f"a reward {why}, and so did {self.restarts} before: mend it, or allow more restarts")
        self._workers[self._workers.index(worker)] = _Worker()


def _end_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.end()
    workers.clear()
