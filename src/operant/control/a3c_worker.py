"""One worker of A3C: it plays, takes gradients, and steps the parameters that all of them share.

Requests: GRADIENT reads the shared parameters, collects a segment and keeps the gradient of its loss; STEP steps the
shared parameters along it; RUN does both so many times, whatever the others do meanwhile; ROW tells the metrics since
the last one; BEGIN stands at a seam.
"""

from __future__ import annotations

import json
import mmap
import sys
from typing import Any

import numpy as np
import torch

from operant.control import a2c, a3c_shared
from operant.control.settings.gradients import A3CRun
from operant.control.setup import on_policy
from operant.control.updates import optimizer_over, row_of, scaled_reward, set_rates, stepped
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.run.job import Position
from operant.workers.worker import Parts, serve

GRADIENT, STEP, RUN, ROW, BEGIN = b"g", b"s", b"r", b"m", b"b"


class A3CWorker:
    """The service. The first worker has the run's own seed, so that it does alone what A2C does."""

    def start(self, settings: dict[str, Any]) -> Parts:
        """Make environments and a copy of the agent; find the shared memory."""
        number, cfg = int(settings["number"]), A3CRun.model_validate(settings["config"])
        if number:
            cfg = cfg.model_copy(update={"seed": Streams(cfg.seed).integer("worker", number)})
        self.cfg, self.total_steps = cfg, cfg.total_steps
        self.parts = on_policy(cfg, settings["env"])
        agent = self.parts.agent
        self.local = [*agent.parameters()]
        self.shared = [torch.nn.Parameter(p.detach().clone()) for p in self.local]
        self.optimizer = optimizer_over(cfg.algo, self.shared, len([*agent.policy.parameters()]))
        memory = np.frombuffer(mmap.mmap(int(sys.argv[2]), 0), np.float32)
        a3c_shared.move(self.shared, self.optimizer, memory, fill=False)
        self.seen: list[Metrics] = []
        return []

    def handle(self, kind: bytes, body: memoryview) -> Parts:
        """Answer one request; its body is a JSON object."""
        asked = json.loads(bytes(body)) if len(body) else {}
        match kind:
            case _ if kind == GRADIENT:
                self._gradient()
            case _ if kind == STEP:
                self._step(asked["steps"])
            case _ if kind == RUN:
                collect = self.parts.collect
                began = collect.steps
                for _ in range(self.cfg.algo.updates):
                    self._step_after(asked["steps"] + (collect.steps - began) * self.cfg.algo.workers)
            case _ if kind == BEGIN:
                self.parts.begin(Position(**asked))
                return []
            case _:
                return [json.dumps(self._row()).encode()]
        collect = self.parts.collect
        return [json.dumps([collect.steps, collect.episodes, collect.seconds]).encode()]

    def close(self) -> None:
        """Free the environments."""
        self.parts.collect.close()

    def _gradient(self) -> None:
        with torch.no_grad():
            for own, p in zip(self.local, self.shared, strict=True):
                own.copy_(p)
        cfg, collect, agent = self.cfg.algo, self.parts.collect, self.parts.agent
        elapsed = collect.elapsed
        traj = collect(cfg.horizon)
        reward = scaled_reward(traj, agent, cfg.discount)
        self.seen.append(a2c.gradient(cfg, agent, traj, reward, elapsed))

    def _step(self, steps: int) -> None:
        """Step along the gradient; `steps` of all workers so far set the learning rate."""
        set_rates(self.optimizer, self.cfg.algo, steps / self.total_steps)
        for own, p in zip(self.local, self.shared, strict=True):
            p.grad = own.grad
        self.seen[-1]["grad/norm"] = stepped(self.optimizer, self.cfg.algo.max_grad_norm)

    def _step_after(self, steps: int) -> None:
        self._gradient()
        self._step(steps)

    def _row(self) -> dict[str, float]:
        parts, seen = self.parts, self.seen
        self.seen = []
        row = row_of(seen, self.optimizer) | parts.agent.stats() | parts.collect.stats()
        return {name: float(x) for name, x in row.items()}


if __name__ == "__main__":
    serve(A3CWorker())
