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
import mmap
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.env.spaces import Actions, Observations, action_dtype
from operant.env.vector import Step
from operant.workers.wire import DONE, MAKE, PICTURE, RESET, STEP, Gone, Late, decode_space, receive, send

START = 60.0
"""Seconds that a worker always has to start and to make its copies, which may load large packages."""

CLOSE = 2.0
"""Seconds that a worker has to close its copies before it is ended."""


@dataclass
class Supervisor:
    """What the worker processes of one run may cost, and what they have cost so far.

    Attributes:
        workers: how many processes share the copies; as many as there are cores if None, at most one a copy.
        timeout: seconds in which a worker must step or reset its copies.
        restarts: how many restarts there may be, training and evaluation together.
        restarted: how many there have been.
    """

    workers: int | None = None
    timeout: float = 60.0
    restarts: int = 10
    restarted: int = 0

    def spend(self, cause: str) -> None:
        """Count one restart and say so on standard error.

        Raises:
            EnvError: if the budget is used up; names the cause.
        """
        if self.restarted >= self.restarts:
            raise EnvError(
                f"{cause}. All {self.restarts} restarts of this run are used up (env.restarts): mend the environment, "
                "or allow more"
            )
        self.restarted += 1
        print(f"restarting an environment ({self.restarted} of {self.restarts}): {cause}", file=sys.stderr, flush=True)


class _Worker:
    """One process and the socket to it; it is told at once to make its copies."""

    def __init__(self, order: Mapping[str, Any], timeout: float) -> None:
        self.first, self.count = int(order["first"]), int(order["count"])
        self.name = str(order["env"])
        self.rows = slice(self.first, self.first + self.count)  # the copies it steps
        self._timeout = timeout
        self.line, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as place:
            place.truncate(8)
            self.place = mmap.mmap(place.fileno(), 8)
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "operant.env.worker", str(theirs.fileno()), str(place.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=(theirs.fileno(), place.fileno()),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        self.ask(MAKE, 0, json.dumps(order).encode(), allowed=max(timeout, START))

    def ask(self, kind: bytes, step: int, *parts: bytes, allowed: float | None = None) -> None:
        """Send a request; that a worker is gone is noticed when its answer is read."""
        self.step = step
        self._allowed = allowed or self._timeout
        self._deadline = time.monotonic() + self._allowed
        self.line.settimeout(self._allowed)
        with suppress(Gone):
            send(self.line, kind, step, *parts)

    def answer(self) -> bytearray:
        """The answer to the last request.

        Raises:
            EnvError: if the environment raised or answered wrongly, or none came in time, or the process is gone.
        """
        try:
            kind, _, body = receive(self.line, self._deadline)
        except Late as error:
            raise EnvError(f"{self._where()}: no answer within {self._allowed:g} s; its process was ended") from error
        except Gone as error:
            raise EnvError(f"{self._where()}: {self._end()}") from error
        if kind != DONE:
            raise EnvError(body.decode())
        return body

    def close(self, seconds: float) -> None:
        """Give it so long to close its copies, then end it however it stands."""
        self.line.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(seconds, 0.0))
        self.end()

    def end(self) -> None:
        """End it now."""
        self.line.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()

    def _where(self) -> str:
        return f"{self.name}, copy {struct.unpack('<q', self.place[:8])[0]}, step {self.step}"

    def _end(self) -> str:
        try:
            code = self.process.wait(CLOSE)
        except subprocess.TimeoutExpired:
            return "its process closed the line to this one"
        return f"its process was killed by signal {-code}" if code < 0 else f"its process exited with code {code}"


class Processes:
    """A `VectorEnv` whose copies live in worker processes; copy i is seeded with `seed + i`.

    Args:
        env: a Gymnasium id, "module:callable", "path/to/file.py:callable", or a callable that can be imported.
        num: N, how many copies.
        kwargs: for every copy; JSON must be able to hold them.
        supervisor: the limits, and the count of restarts; share one among all the environments of a run.
        render_mode: for copy 0.

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
    ) -> None:
        self.num, self.name = num, importable(env)
        self.supervisor = supervisor or Supervisor()
        workers = min(num, self.supervisor.workers or cores())
        edges = [num * w // workers for w in range(workers + 1)]
        common = {"env": self.name, "kwargs": dict(kwargs), "path": [*sys.path], "render_mode": render_mode}
        self._orders = [common | {"first": a, "count": b - a} for a, b in itertools.pairwise(edges)]
        try:
            json.dumps(self._orders)
        except (TypeError, ValueError) as error:
            raise EnvError(f"{self.name}: env.kwargs cannot be sent to a worker process: {error}") from error
        self._workers: list[_Worker] = []
        self._close = weakref.finalize(self, _end_all, self._workers)
        try:
            for order in self._orders:
                self._workers.append(self._start(order))
            abouts = [json.loads(worker.answer()) for worker in self._workers]
        except EnvError:
            self.close()
            raise
        self._about(abouts)
        self._steps = self._seed = self._fresh = 0
        self._obs = np.zeros((num, self.obs_dim), np.float32)

    def _about(self, abouts: list[dict[str, Any]]) -> None:
        """Take over the spaces that the workers tell of."""
        for worker, about in zip(self._workers, abouts, strict=True):
            if any(about[space] != abouts[0][space] for space in ("observation_space", "action_space")):
                self.close()
                copy = f"copy {worker.first} has other spaces than copy 0"
                raise EnvError(f"{self.name}: {copy}: all copies must have the same")
        self.observation_space: gymnasium.Space[Any] = decode_space(abouts[0]["observation_space"])
        self.action_space: gymnasium.Space[Any] = decode_space(abouts[0]["action_space"])
        self.fps: int = abouts[0]["fps"]
        self.obs_dim = Observations(self.observation_space).dim
        self._actions = Actions(self.action_space)
        self._dtype = action_dtype(self.action_space)

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Start every copy anew, copy i with `seed + i`; returns [N, D]."""
        self._steps, self._seed, self._fresh = 0, int(seed), 0
        obs = np.empty((self.num, self.obs_dim), np.float32)
        bodies, broken = self._ask(RESET, lambda rows: struct.pack("<q", self._seed + rows.start))
        for worker, body in bodies:
            obs[worker.rows] = self._states(body)
        for index, cause in broken.items():
            obs[self._workers[index].rows] = self._restart(index, cause)
        self._obs = obs
        return obs.copy()

    def step(self, action: NDArray[Any]) -> Step:
        """Step every copy; one that ends is reset at once and its last state stands in `final_obs`."""
        self._actions.decode(action)  # refuses what does not fit before any copy has moved
        action = np.ascontiguousarray(action, self._dtype)
        self._steps += 1
        obs, final = np.zeros((2, self.num, self.obs_dim), np.float32)
        reward = np.zeros(self.num, np.float32)
        terminated, truncated = np.zeros((2, self.num), np.bool_)
        acted = np.ones(self.num, np.bool_)
        bodies, broken = self._ask(STEP, lambda rows: action[rows].tobytes())
        for worker, body in bodies:
            here, n = worker.rows, worker.count
            reward[here] = np.frombuffer(body, np.float32, n)
            terminated[here] = np.frombuffer(body, np.bool_, n, 4 * n)
            truncated[here] = np.frombuffer(body, np.bool_, n, 5 * n)
            states = self._states(body, 6 * n)
            obs[here] = states[:n]
            if len(states) > n:
                final[here] = states[n:]
        for index, cause in broken.items():
            here = self._workers[index].rows
            truncated[here], acted[here], final[here] = True, False, self._obs[here]
            obs[here] = self._restart(index, cause)
        self._obs = obs
        ended = bool((terminated | truncated).any())
        return Step(obs.copy(), reward, terminated, truncated, acted, final if ended else None)

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture of copy 0, [H, W, 3] uint8, or None when it was made without `render_mode="rgb_array"`.

        A worker that fails here is not restarted.
        """
        worker = self._workers[0]
        worker.ask(PICTURE, self._steps)
        body = worker.answer()
        return np.frombuffer(body, np.uint8, offset=24).reshape(struct.unpack_from("<3q", body)) if body else None

    def close(self) -> None:
        """Close every copy and end every worker."""
        self._close()

    def _ask(
        self, kind: bytes, body: Callable[[slice], bytes]
    ) -> tuple[list[tuple[_Worker, bytearray]], dict[int, str]]:
        """Send every worker a request; the answers that came, and why the others did not, by worker."""
        for worker in self._workers:
            worker.ask(kind, self._steps, body(worker.rows))
        bodies: list[tuple[_Worker, bytearray]] = []
        broken: dict[int, str] = {}
        for index, worker in enumerate(self._workers):
            try:
                bodies.append((worker, worker.answer()))
            except EnvError as error:
                worker.end()
                broken[index] = str(error)
        return bodies, broken

    def _start(self, order: Mapping[str, Any]) -> _Worker:
        try:
            return _Worker(order, self.supervisor.timeout)
        except OSError as error:
            raise EnvError(f"{self.name}: no worker process can be started: {error.strerror}") from error

    def _restart(self, index: int, cause: str) -> NDArray[np.float32]:
        """Put a new worker in the place of a broken one; returns the first states of its copies."""
        while True:
            self.supervisor.spend(cause)
            self._fresh += 1
            worker = self._workers[index] = self._start(self._orders[index])
            try:
                worker.answer()
                seed = self._seed + self._fresh * self.num + worker.first
                worker.ask(RESET, self._steps, struct.pack("<q", seed))
                return self._states(worker.answer())
            except EnvError as error:
                worker.end()
                cause = str(error)

    def _states(self, body: bytearray, offset: int = 0) -> NDArray[np.float32]:
        return np.frombuffer(body, np.float32, offset=offset).reshape(-1, self.obs_dim)


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


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_all(workers: list[_Worker]) -> None:
    deadline = time.monotonic() + CLOSE
    for worker in workers:
        worker.line.close()  # all of them first, so that they close their copies side by side
    for worker in workers:
        worker.close(deadline - time.monotonic())
