"""An agent that plans: at each step it draws plans, asks a learnt model what they bring, and begins the best one.

Model predictive control (Chua et al. 2018, arXiv:1805.12114, algorithm 1). What is left of a plan is where the next
one begins, until the episode ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import isfinite
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operant.control.acting import Acted, Sampler
from operant.control.agent import Agent
from operant.control.distributions import Normal
from operant.control.dynamics import Dynamics
from operant.control.settings.model_based import MOST
from operant.control.spec import AgentSpec
from operant.search.trajectory import cross_entropy, path_integral


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerSpec(AgentSpec):
    """The shape of such an agent; `hidden`, of a policy and a critic that nobody asks, is as small as can be."""

    models: int = 5  # B, networks of the model
    wide: tuple[int, ...] = (200, 200, 200)  # their hidden layers
    method: Literal["cross-entropy", "path-integral"] = "cross-entropy"
    horizon: int = 15  # H, steps of a plan
    population: int = 100  # K, plans of an iteration
    elites: int = 10  # of them, to which the cross-entropy method refits
    iterations: int = 3
    particles: int = 5  # P, on which a plan is tried
    mix: bool = False  # whether they change networks at each step
    temperature: float = 0.1  # λ of path integrals

    def as_json(self) -> dict[str, Any]:
        """What `policy.json` holds."""
        return {"kind": "planner"} | AgentSpec.as_json(self)


class Planner(Agent):
    """An agent that acts by a `Dynamics` that it learns. Its policy is a plan, and no network has a part in it.

    Attributes:
        model: how the environment goes on.
    """

    kind: ClassVar[str] = "planner"
    made_of: ClassVar[type[AgentSpec]] = PlannerSpec

    def __init__(self, spec: PlannerSpec, generator: torch.Generator | None = None) -> None:
        super().__init__(spec, generator)
        gen = generator or torch.Generator().manual_seed(0)
        its = self.policy.distribution
        if not isinstance(its, Normal):
            raise ValueError("policy.json: a planner needs actions that are numbers within bounds")
        self.shape, self.unit = spec, its
        self.model = Dynamics(spec.obs_dim, its.columns, spec.wide, spec.models, gen)
        self._before: Tensor | None = None

    @torch.no_grad()
    def planned(self, obs: Tensor, before: Tensor | None, generator: np.random.Generator) -> Tensor:
        """Plans [N, H, A] in [-1, 1] from observations [N, D], begun at what was planned `before` one step earlier."""
        its = self.shape
        start = obs.new_zeros(len(obs), its.horizon, self.unit.columns, dtype=torch.float32)
        if before is not None:
            start[:, :-1] = before[:, 1:]
        returns = partial(self._returns, obs, generator)
        if its.method == "path-integral":
            return path_integral(
                returns, start, generator, population=its.population, iterations=its.iterations,
                temperature=its.temperature,
            )  # fmt: skip
        return cross_entropy(
            returns, start, generator, population=its.population, elites=its.elites, iterations=its.iterations
        )

    @torch.no_grad()
    def decide(self, obs: Any, *, generator: np.random.Generator | None = None) -> np.ndarray:
        """The first action of a plan; without a generator it is drawn with numbers that are always the same."""
        x = self._input(obs)
        flat = x.reshape(-1, self.spec.obs_dim)
        before = None if self._before is None or len(self._before) != len(flat) else self._before
        self._before = self.planned(flat, before, _always() if generator is None else generator)
        action = self.unit.scaled(self._before[:, 0])
        return action.reshape((*x.shape[:-1], *action.shape[1:])).cpu().numpy()

    def forget(self, rows: np.ndarray | None = None) -> None:
        """Begin new episodes, without a plan, in the rows where `rows` [N] is True; in all of them without."""
        if rows is None or self._before is None or len(rows) != len(self._before):
            self._before = None
        else:
            self._before[torch.from_numpy(rows).to(self._before.device)] = 0.0

    @torch.no_grad()
    def estimate(self, obs: Any) -> np.ndarray:
        """What a new plan brings in its H steps, of each row [N]."""
        x = self._input(obs)
        flat, draws = x.reshape(-1, self.spec.obs_dim), _always()
        plan = self.planned(flat, None, draws)
        return self._returns(flat, draws, plan.unsqueeze(1)).reshape(x.shape[:-1]).cpu().numpy()

    def _returns(self, obs: Tensor, generator: np.random.Generator, plans: Tensor) -> Tensor:
        its = self.shape
        return self.model.returns(obs, plans, particles=its.particles, generator=generator, mix=its.mix)

    @classmethod
    def refuse(cls, spec: AgentSpec, numbers: int) -> None:
        """Raises ValueError if a spec is none of such an agent with so many numbers."""
        assert isinstance(spec, PlannerSpec)
        counts = (spec.models, *spec.wide, spec.horizon, spec.population, spec.elites, spec.iterations, spec.particles)
        if any(type(n) is not int or not 1 <= n <= MOST for n in counts) or spec.elites > spec.population:
            raise ValueError("policy.json: models, wide or what it plans with is no count that it can have")
        if spec.particles % spec.models or spec.method not in ("cross-entropy", "path-integral"):
            raise ValueError("policy.json: particles is no multiple of models, or method is none that it knows")
        if type(spec.temperature) not in (int, float) or not isfinite(spec.temperature) or spec.temperature <= 0:
            raise ValueError("policy.json: temperature is no number that it can have")
        sizes = (spec.obs_dim, *spec.wide, spec.obs_dim)
        if spec.models * sum(i * o for i, o in pairwise(sizes)) > numbers:
            raise ValueError("model.safetensors does not fit policy.json: it is smaller")


class Planning(Sampler):
    """Draws an agent's actions as a replay keeps them, in [-1, 1].

    Attributes:
        evenly: whether they are drawn evenly, and nothing is planned.
    """

    evenly = True

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent.policy)
        assert isinstance(agent, Planner)
        self._agent, self._before = agent, None

    def __call__(self, obs: NDArray[Any], generator: np.random.Generator) -> Acted:
        n, columns = len(obs), self._agent.unit.columns
        if self.evenly:
            unit = generator.uniform(-1.0, 1.0, (n, columns)).astype(np.float32)
            return unit, np.full(n, -columns * np.log(2.0), np.float32)
        self._before = self._agent.planned(torch.from_numpy(obs).to(self.device), self._before, generator)
        return self._before[:, 0].cpu().numpy(), np.zeros(n, np.float32)

    def finish(self, action: NDArray[Any]) -> NDArray[Any]:
        return self._agent.unit.scaled(torch.from_numpy(action)).numpy()

    def begin(self, n: int) -> None:
        self._before: Tensor | None = None

    def forget(self, rows: NDArray[np.bool_]) -> None:
        if self._before is not None:
            self._before[torch.from_numpy(rows).to(self._before.device)] = 0.0


def _always() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=0))
