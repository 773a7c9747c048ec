"""Copies of an environment in worker processes: one that raises, hangs or dies is restarted, within a budget.

A worker steps a slice of the copies. When it fails, every copy of its slice gives a step of `acted` False and
`truncated` True whose `final_obs` is the last state that was seen: the action it did not answer is not recorded as a
decision, no reward is invented, and the decisions before it bootstrap from V of that last state. The copies then begin
anew with seeds that were not used before. Which copies share a slice, and so what a failure breaks off, depends on the
number of workers: as long as none fails the record does not, and it is that of the in-process backend bit for bit.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.config.streams import say
from operant.env.encoded import decode_space
from operant.env.spaces import Actions, Observations, action_dtype
from operant.env.vector import Step
from operant.workers.pool import CLOSE, Budget, RequestFailed, Worker, WorkerLost, WorkerPool, WorkerTimeout, cores

RESET, STEP, RENDER = b"r", b"s", b"p"
"""Requests. The body is the step of the environments (int64), then for RESET a seed (int64), for STEP the actions."""


@dataclass
class Supervisor:
    """What the worker processes of one run may cost, and what they have cost so far.

    Attributes:
        workers: how many processes share the copies; as many as there are cores if None, at most one a copy.
        timeout: seconds in which a worker must step or reset its copies.
        restarts: how many restarts there may be while so many steps of a copy are taken.
        window: those steps, of all copies together, training and evaluation.
    """

    workers: int | None = None
    timeout: float = 60.0
    restarts: int = 10
    window: int = 10_000

    def __post_init__(self) -> None:
        self.budget = Budget(self.restarts, self.window)

    @property
    def restarted(self) -> int:
        """How many restarts there have been."""
        return self.budget.spent

    def spend(self, cause: str) -> None:
        """Count one restart and say so on standard error.

        Raises:
            EnvError: if the budget is used up; names the cause.
        """
        if not self.budget.spend():
            raise EnvError(
                f"{cause}. All {self.restarts} restarts that {self.window:,} steps may take are used up (env.restarts, "
                "env.restart_window): mend the environment, or allow more"
            )
        say(f"restarting an environment ({self.budget.lately} of {self.restarts}): {cause}")


class Processes(WorkerPool[Worker]):
    """A `VectorEnv` whose copies live in worker processes; copy i is seeded with `seed + i`.

    Args:
        env: a Gymnasium id, "module:callable", "path/to/file.py:callable", or a callable that can be imported.
        num: N, how many copies.
        kwargs: for every copy; JSON must be able to hold them.
        supervisor: the limits, and the count of restarts; share one among all the environments of a run.
        render_mode: for copy 0.
        action_mask: where action masks come from, as `make` has it.
        wrappers: put around each copy, as `make` has it.
        measured: whether a policy is measured on them, likewise.

    Raises:
        EnvError: if the environment cannot be made or named, or fails more often than the supervisor allows.
    """

    backend = "process"

    def __init__(
        self,
        env: str | Callable[..., Any],
        num: int,
        kwargs: Mapping[str, Any],
        supervisor: Supervisor | None = None,
        render_mode: str | None = None,
        action_mask: str = "",
        *,
        wrappers: Sequence[str] = (),
        measured: bool = False,
    ) -> None:
        super().__init__(grace=CLOSE)
        self.num, self.name = num, importable(env)
        self.supervisor = supervisor or Supervisor()
        workers = min(num, self.supervisor.workers or cores())
        edges = [num * w // workers for w in range(workers + 1)]
        self._rows = [slice(a, b) for a, b in itertools.pairwise(edges)]  # the copies that each worker steps
        self._file = _memory()  # shared with the workers, as long as some may be started
        self._called = np.memmap(self._file, np.int64, "w+", shape=(workers,))  # the copy that each called last
        self._common = {"env": self.name, "kwargs": dict(kwargs), "path": [*sys.path], "render_mode": render_mode}
        self._common |= {"action_mask": action_mask, "wrappers": [*wrappers], "measured": measured}
        self._action_mask = action_mask
        try:
            json.dumps(self._common)
        except (TypeError, ValueError) as error:
            raise EnvError(f"{self.name}: env.kwargs cannot be sent to a worker process: {error}") from error
        self._steps = self._seed = self._fresh = 0
        try:
            self.grow(workers)
            self._take_spaces([json.loads(bytes(self._receive(w))) for w in range(workers)])
        except EnvError:
            self.close()
            raise
        # the states after even and odd steps, and the last of episodes, which the workers write
        self._shared = np.memmap(
            self._file, self.observations.dtype, "r+", offset=8 * workers, shape=(3, num, self.obs_dim)
        )

    def start(self, index: int) -> Worker:
        """Start a worker, which makes its copies."""
        rows = self._rows[index]
        self._called[index] = rows.start
        order = self._common | {"worker": index, "first": rows.start, "count": rows.stop - rows.start}
        order |= {"num": self.num, "workers": len(self._rows)}
        try:
            return Worker("operant.env.worker", order, self.supervisor.timeout, share=[self._file.fileno()])
        except OSError as error:
            raise EnvError(f"{self.name}: no worker process can be started: {error.strerror}") from error

    def spend(self, cause: str) -> None:
        """Count one restart. Raises EnvError if all that the supervisor allows are used up."""
        self.supervisor.spend(cause)

    def _take_spaces(self, descriptions: Sequence[Mapping[str, Any]]) -> None:
        """Take over the spaces that the workers tell of."""
        first = descriptions[0]
        for rows, description in zip(self._rows, descriptions, strict=True):
            if any(description[space] != first[space] for space in ("observation_space", "action_space")):
                copy = f"copy {rows.start} has other spaces than copy 0"
                raise EnvError(f"{self.name}: {copy}: all copies must have the same")
        self.observation_space: gymnasium.Space[Any] = decode_space(first["observation_space"])
        self.action_space: gymnasium.Space[Any] = decode_space(first["action_space"])
        self.fps: int = first["fps"]
        self.observations = Observations(self.observation_space, self.action_space, self._action_mask)
        self._actions = Actions(self.action_space)
        self.obs_dim = self.observations.dim
        self._dtype = action_dtype(self.action_space)

    def reset(self, seed: int) -> NDArray[Any]:
        """Start every copy anew, copy i with `seed + i`; returns [N, D]."""
        self._steps, self._seed, self._fresh = 0, int(seed), 0
        _, broken = self._request(RESET, lambda rows: struct.pack("<q", self._seed + rows.start))
        for index, cause in broken.items():
            self._restart(index, cause)
        return np.array(self._shared[0])

    def step(self, action: NDArray[Any]) -> Step:
        """Step every copy; one that ends is reset at once and its last state stands in `final_obs`."""
        self._actions.decode(action)  # refuses what does not fit before any copy has moved
        action = np.ascontiguousarray(action, self._dtype)
        self._steps += 1
        self.supervisor.budget.done += self.num
        reward, cost = np.zeros(self.num, np.float32), np.full(self.num, np.nan, np.float32)
        terminated, truncated = np.zeros((2, self.num), np.bool_)
        acted = np.ones(self.num, np.bool_)
        bodies, broken = self._request(STEP, lambda rows: action[rows].tobytes())
        for rows, body in bodies:
            n = rows.stop - rows.start
            reward[rows] = np.frombuffer(body, np.float32, n)
            terminated[rows] = np.frombuffer(body, np.bool_, n, 4 * n)
            truncated[rows] = np.frombuffer(body, np.bool_, n, 5 * n)
            cost[rows] = np.frombuffer(body, np.float32, n, 6 * n)
        now, before, last = self._shared[self._steps % 2], self._shared[1 - self._steps % 2], self._shared[2]
        for index, cause in broken.items():
            rows = self._rows[index]
            truncated[rows], acted[rows], last[rows] = True, False, before[rows]
            self._restart(index, cause)
        ended = terminated | truncated
        final = np.where(ended[:, None], last, self.observations.dtype(0)) if ended.any() else None
        costs = None if np.isnan(cost).all() else cost
        return Step(np.array(now), reward, terminated, truncated, acted, final, costs)

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture of copy 0, [H, W, 3] uint8, or None when it was made without `render_mode="rgb_array"`.

        A worker that fails here is restarted by the next step, if it is gone.
        """
        self._open()[0].send(RENDER, struct.pack("<q", self._steps))
        body = self._receive(0)
        return np.frombuffer(body, np.uint8, offset=24).reshape(struct.unpack_from("<3q", body)) if body else None

    def close(self) -> None:
        """Close every copy and end every worker."""
        super().close()
        self._file.close()

    def _request(
        self, kind: bytes, body: Callable[[slice], bytes]
    ) -> tuple[list[tuple[slice, memoryview]], dict[int, EnvError]]:
        """Send each worker a request; the answers that came, by copies, and why the others did not, by worker."""
        step = struct.pack("<q", self._steps)
        for worker, rows in zip(self._open(), self._rows, strict=True):
            worker.send(kind, step, body(rows))
        bodies: list[tuple[slice, memoryview]] = []
        broken: dict[int, EnvError] = {}
        for index, rows in enumerate(self._rows):
            try:
                bodies.append((rows, self._receive(index)))
            except EnvError as error:
                self.workers[index].close()
                broken[index] = error
        return bodies, broken

    def _open(self) -> list[Worker]:
        if not self.workers:
            raise EnvError(f"{self.name} was closed: make it anew")
        return self.workers

    def _receive(self, index: int) -> memoryview:
        """The answer of a worker to its last request.

        Raises:
            EnvError: if the environment raised or answered wrongly, or none came in time, or the process is gone.
        """
        try:
            return self.workers[index].receive()
        except RequestFailed as error:
            raise EnvError(f"{self._where(index)}: the environment {error}" if error.raised else str(error)) from error
        except WorkerTimeout as error:
            where = self._where(index)
            raise EnvError(f"{where}: no answer within {error.seconds:g} s; its process was ended") from error
        except WorkerLost as error:
            raise EnvError(f"{self._where(index)}: its process {error}") from error

    def _where(self, index: int) -> str:
        return f"{self.name}, copy {self._called[index]}, step {self._steps}"

    def _restart(self, index: int, cause: EnvError) -> None:
        """Put a new worker in the place of a broken one, whose copies begin anew."""
        while True:
            try:
                worker = self.replace(index, str(cause))
            except EnvError as error:
                raise error from cause
            self._fresh += 1
            try:
                self._receive(index)
                seed = self._seed + self._fresh * self.num + self._rows[index].start
                worker.send(RESET, struct.pack("<qq", self._steps, seed))
                self._receive(index)
                return
            except EnvError as error:
                cause = error


def _memory() -> IO[bytes]:
    """A file in memory, or where there is none (macOS) one on disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("operant"), "w+b")
    return tempfile.TemporaryFile()


def importable(env: str | Callable[..., Any]) -> str:
    """The name by which a worker process can import what makes an environment.

    Raises:
        EnvError: for a callable that no other process can import.
    """
    if isinstance(env, str):
        return env
    module, name = getattr(env, "__module__", "__main__"), getattr(env, "__qualname__", "")
    if module == "__main__" or getattr(sys.modules.get(module), name, None) is not env:
        raise EnvError(
            f"{name or type(env).__name__} cannot be imported by a worker process: move it to the top of a module and "
            'give its name, "module:callable" or "path/to/file.py:callable"'
        )
    return f"{module}:{name}"
