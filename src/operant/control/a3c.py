"""Asynchronous advantage actor–critic (A3C; Mnih et al. 2016, arXiv:1602.01783): A2C by processes on shared parameters.

Every worker, for ever: copy the shared θ; play a segment; dθ ← the gradient of A2C's loss; step the shared θ along dθ.

`mode` asynchronous: each worker steps θ and the optimiser's shared state when it is ready, without a lock (Hogwild, the
paper's shared RMSProp). What a gradient was taken at depends on who was faster, so no run is like another: a resumed
run goes on honestly, not bit for bit, and its position is not exact. All workers stand still for a row of metrics, so a
checkpoint is never torn. `mode` lockstep: all take their gradients at the same θ, then θ is stepped along them in the
order of the workers: the staleness of A3C, and bit for bit the same run every time. With one worker it is A2C,
with the readable update.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import IO, Any

import numpy as np
import torch

from operant.config.errors import ConfigError, EnvError
from operant.control import a3c_shared
from operant.control.a3c_worker import BEGIN, GRADIENT, ROW, RUN, STEP
from operant.control.settings.gradients import A3CConfig, A3CRun
from operant.control.setup import on_policy
from operant.control.train_state import Networks
from operant.control.updates import optimizer_over
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.env.process import importable
from operant.run.job import Job, Position, Say, silent
from operant.workers.pool import CLOSE, RequestFailed, Worker, WorkerLost, WorkerPool, WorkerTimeout


def a3c(cfg: A3CConfig, crew: Crew) -> Iterator[Metrics]:
    """Let every worker make `cfg.updates` gradient steps, yield metrics; for ever.

    Raises:
        EnvError: if a worker fails, is late or dies; says which, and why.
    """
    while True:
        if cfg.mode == "asynchronous":
            crew.ask(RUN, {"steps": crew.steps})
        else:
            for _ in range(cfg.updates):
                before = crew.steps
                crew.ask(GRADIENT)
                for number in range(cfg.workers):
                    crew.ask(STEP, {"steps": before}, only=[number])
        yield crew.row()


class Crew(WorkerPool[Worker]):
    """The workers, and what they have done together.

    Args:
        cfg: the run.
        env: a name by which a worker can import the environment.
        file: the shared memory.

    Attributes:
        steps, episodes, seconds: of all workers; the seconds are those of the one that collected longest.
    """

    def __init__(self, cfg: A3CRun, env: str, file: IO[bytes]) -> None:
        super().__init__(grace=CLOSE)
        self.steps, self.episodes, self.seconds = 0, 0, 0.0
        self._cfg, self._env, self._file = cfg, env, file
        self._counts = np.zeros((cfg.algo.workers, 3))

    def start(self, index: int) -> Worker:
        """Start a worker."""
        order = {"config": self._cfg.model_dump(mode="json"), "env": self._env, "number": index}
        try:
            return Worker("operant.control.a3c_worker", order, self._cfg.algo.timeout, share=[self._file.fileno()])
        except OSError as error:
            raise EnvError(f"a3c: no worker process can be started: {error.strerror}") from error

    def begin(self, at: Position) -> None:
        """Stand at a seam; the first time, start the workers."""
        self._ready()
        self.ask(BEGIN, asdict(at) | {"step": 0, "episodes": 0})  # each counts what it does itself
        self._counts[:, :2] = 0.0
        self.steps, self.episodes = at.step, at.episodes

    def ask(self, kind: bytes, what: Mapping[str, Any] | None = None, only: Sequence[int] | None = None) -> list[Any]:
        """Ask workers, all if not `only` some, side by side; returns what they answer."""
        self._ready()
        asked = range(len(self.workers)) if only is None else only
        for number in asked:
            self.workers[number].send(kind, json.dumps(what or {}).encode())
        answers = [self._receive(number) for number in asked]
        if kind in (RUN, GRADIENT):
            more, self._counts = np.array(answers) - self._counts, np.array(answers)
            self.steps += int(more[:, 0].sum())
            self.episodes += int(more[:, 1].sum())
            self.seconds += float(more[:, 2].max())
        return answers

    def row(self) -> Metrics:
        """The metrics since the last row: means over the workers, episodes counted together."""
        rows = self.ask(ROW)
        names = dict.fromkeys(name for row in rows for name in row)
        row = {name: float(np.mean([r[name] for r in rows if name in r])) for name in names}
        row["train/episodes"] = float(self.episodes)
        return {name: torch.tensor(x, dtype=torch.float64) for name, x in row.items()}

    def _ready(self) -> None:
        if not self.workers:
            self.grow(self._cfg.algo.workers)
            for number in range(len(self.workers)):
                self._receive(number)

    def _receive(self, number: int) -> Any:
        who = f"worker {number} of a3c"
        try:
            body = bytes(self.workers[number].receive())
        except RequestFailed as error:
            raise EnvError(f"{who}: {error}") from error
        except WorkerTimeout as error:
            raise EnvError(f"{who} did not answer within {error.seconds:g} s; raise algo.timeout") from error
        except WorkerLost as error:
            raise EnvError(f"{who} {error}. `operant resume` goes on from the last checkpoint") from error
        return json.loads(body) if body else None


def build(cfg: A3CRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything A3C needs, made from a config and one seed."""
    if cfg.device != "cpu":
        raise ConfigError(f"a3c shares the memory of the CPU between processes: device is {cfg.device!r}, give cpu")
    if cfg.policy.normalize_obs or cfg.policy.normalize_reward:
        raise ConfigError(
            "a3c keeps no running statistics across its processes: leave policy.normalize_obs and "
            "policy.normalize_reward off, or train a2c"
        )
    if cfg.explore.bonus != "none" or cfg.explore.param_noise is not None:
        raise ConfigError("a3c's processes do not share what exploration learns: leave explore off, or train a2c")
    name, parts = importable(env), on_policy(cfg, env)
    parts.collect.close()
    agent = parts.agent
    parameters = [*agent.parameters()]
    optimizer = optimizer_over(cfg.algo, parameters, len([*agent.policy.parameters()]))
    file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the workers
    size = a3c_shared.numbers(parameters, type(optimizer))
    a3c_shared.move(parameters, optimizer, np.memmap(file, np.float32, "w+", shape=(size,)), fill=True)
    crew = Crew(cfg, name, file)

    def begin(at: Position) -> None:
        parts.evaluate.close()
        crew.begin(at)

    return Job(
        algorithm=a3c(cfg.algo, crew),
        learned=Networks(agent, optimizer),
        counter=crew,
        begin=begin,
        evaluate=parts.evaluate,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
        at=Position(exact=cfg.algo.mode == "lockstep"),
    )
