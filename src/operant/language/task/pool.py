"""Rewards in worker processes: one that hangs, raises or dies costs its own call, and nothing else."""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Sequence

from operant.config.errors import ConfigError, OperantError
from operant.language.reward.trace import Reward, Trace
from operant.language.settings.runs import TaskConfig
from operant.language.task.remote import encode_reward, encode_trace
from operant.workers.pool import (
    STARTUP,
    Budget,
    RequestFailed,
    Worker,
    WorkerLost,
    WorkerPool,
    WorkerTimeout,
    cores,
    ready,
)

LOAD, CALL = b"l", b"c"
"""Requests. The body is a reward as JSON; for CALL the number of a loaded reward (int64), then a trace as JSON."""


class _Worker(Worker):
    """A worker, what it has loaded, and which call it is busy with."""

    def __init__(self, timeout: float) -> None:
        super().__init__("operant.language.task.worker", {}, timeout)
        self.started = False
        self.loaded: list[str] = []
        self.call: int | None = None

    def load(self, reward: str) -> int:
        """Have it load a reward unless it has; returns its number there.

        Raises:
            ConfigError: if it cannot.
        """
        name = json.loads(reward)["name"]
        try:
            if not self.started:
                self.receive()
                self.started = True
            if reward not in self.loaded:
                self.send(LOAD, reward.encode(), seconds=STARTUP)
                self.receive()
                self.loaded.append(reward)
        except RequestFailed as error:
            raise ConfigError(f"the reward {name} {error}" if error.raised else str(error)) from error
        except WorkerLost as error:
            raise ConfigError(f"the reward {name}: a worker process that imports it {error}") from error
        return self.loaded.index(reward)


def pool_of(task: TaskConfig, workers: int | None = None) -> Pool:
    """The worker processes that the settings of a run allow."""
    return Pool(workers, timeout=task.timeout, restarts=task.restarts, window=task.restart_window)


class Pool(WorkerPool[_Worker]):
    """Worker processes that run rewards; started with the first call, and ended with the pool.

    Args:
        workers: how many; as many as there are cores if None.
        timeout: seconds for one call of one reward.
        restarts: how many processes may have to be replaced within `window` calls before `run` gives up.
        window: calls of rewards, one after the other.

    """

    def __init__(
        self, workers: int | None = None, *, timeout: float = 10.0, restarts: int = 100, window: int = 1_000
    ) -> None:
        if (workers is not None and workers < 1) or not 0 < timeout < float("inf") or restarts < 0 or window < 1:
            raise ConfigError("a pool needs workers ≥ 1, a timeout in seconds > 0, restarts ≥ 0 and a window ≥ 1")
        super().__init__()
        self.size, self.timeout, self.budget = workers or cores(), timeout, Budget(restarts, window)

    @property
    def restarted(self) -> int:
        """How many had to be replaced."""
        return self.budget.spent

    def start(self, index: int) -> _Worker:
        """Start a worker that has loaded nothing."""
        return _Worker(self.timeout)

    def spend(self, cause: str) -> None:
        """Count one restart.

        Raises:
            OperantError: if there are more than `restarts` within the window.
        """
        if not self.budget.spend():
            raise OperantError(
                f"a reward {cause}, and so did {self.budget.lately} of the {self.budget.window:,} calls before: mend "
                "it, or allow more restarts (task.restarts)"
            )

    def run(self, calls: Sequence[tuple[Reward, Trace]]) -> list[float | str]:
        """For every call the number, or why there is none, in the order of the calls.

        Raises:
            ConfigError: if a reward cannot be imported by another process.
            OperantError: if more processes had to be ended than `restarts` allows within the window.
        """
        names = {id(of): of for of, _ in calls}
        rewards = {key: encode_reward(of) for key, of in names.items()}
        waiting = deque((i, rewards[id(of)], encode_trace(trace).encode()) for i, (of, trace) in enumerate(calls))
        answers: dict[int, float | str] = {}
        try:
            self.grow(min(self.size, len(calls)))
            while len(answers) < len(calls):
                for worker in self.workers:
                    if worker.call is None and waiting:
                        number, reward, trace = waiting.popleft()
                        worker.send(CALL, struct.pack("<q", worker.load(reward)), trace)
                        worker.call = number
                for worker in ready([worker for worker in self.workers if worker.call is not None]):
                    self._collect(worker, answers)
        except BaseException:
            self.close()
            raise
        return [answers[i] for i in range(len(calls))]

    def _collect(self, worker: _Worker, answers: dict[int, float | str]) -> None:
        """Take the answer of a worker; another takes its place if it is gone."""
        assert worker.call is not None
        try:
            answers[worker.call] = struct.unpack("<d", worker.receive())[0]
        except RequestFailed as error:
            answers[worker.call] = str(error)
        except WorkerLost as error:
            late = f"took longer than {self.timeout:g} s; its process was ended"
            why = late if isinstance(error, WorkerTimeout) else f"lost its process, which {error}"
            answers[worker.call] = why
            self.replace(self.workers.index(worker), why)
        worker.call = None
        self.budget.done += 1
