"""A bound on costs: their critic, and the multiplier that weighs them against rewards."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from operant.config.errors import EnvError
from operant.control.agent import Agent
from operant.control.bonus import Trained
from operant.control.settings.trust_region import LagrangianConfig
from operant.data.trajectory import Metrics, Trajectory
from operant.math.advantage import gae
from operant.math.objective import value_loss

NAME = "constraint"


class Constraint(Trained):
    """E[Σ cost of an episode] ≤ d, by λ ← max(0, λ + α (mean cost of the episodes that ended − d)).

    Kept in checkpoints beside the agent, and no part of the policy.

    Args:
        cfg: the bound and the learning rates.
        second: an agent of the same shape as the one that acts, for its critic and what normalises its observations.
        order: the order of the critic's minibatches.

    Source: Altman (1999), Constrained Markov decision processes; Ray, Achiam and Amodei (2019), Benchmarking safe
    exploration in deep reinforcement learning, section 5.
    """

    def __init__(self, cfg: LagrangianConfig, second: Agent, order: np.random.Generator) -> None:
        self.cfg, self.second = cfg, second
        module = nn.ModuleDict({"critic": second.critic})
        module.register_buffer("multiplier", torch.tensor(float(cfg.multiplier), dtype=torch.float64))
        self.cut, size = second.cut(cfg.batch, cfg.horizon)
        super().__init__(module, order, lr=cfg.cost_lr, batch=size)
        self._open: Tensor | None = None

    @property
    def multiplier(self) -> float:
        """λ, at least 0."""
        return float(self.module.get_buffer("multiplier"))

    def forget(self) -> None:
        """Let the costs of the open episodes go, as when environments begin anew."""
        self._open = None

    def advantage(self, traj: Trajectory) -> Tensor:
        """The advantage [N, T] of the costs to come, 0 where not acted; the critic then learns from them."""
        cost, cfg = given(traj), self.cfg
        with torch.no_grad():
            value = self.second.critic(traj.obs)
        adv = gae(cost, value, traj.terminated, traj.truncated, traj.acted, discount=cfg.discount, lam=cfg.lam)
        steps = self.cut(traj, adv=adv, target=adv + value[:, :-1], value=value[:, :-1])

        def loss(index: Tensor) -> Tensor:
            b = steps[index]
            return value_loss(self.second.critic(b.obs), b.target, b.acted)[0]

        for _ in range(cfg.epochs):
            self.fit(loss, len(steps), cost.device)
        self.second.observe(steps.obs, steps.acted)
        return adv

    def adapt(self, traj: Trajectory) -> Metrics:
        """Move the multiplier by what the episodes cost that ended in the segment; where none did it stays."""
        totals = self._ended(given(traj), traj.terminated | traj.truncated, traj.acted)
        metrics: Metrics = {}
        if totals:
            mean = sum(totals) / len(totals)
            moved = self.multiplier + self.cfg.multiplier_lr * (mean - self.cfg.cost_limit)
            self.module.get_buffer("multiplier").fill_(max(0.0, moved))
            metrics["train/cost"] = torch.tensor(mean, dtype=torch.float64)
        return metrics | {"constraint/multiplier": torch.tensor(self.multiplier, dtype=torch.float64)}

    def _ended(self, cost: Tensor, ended: Tensor, acted: Tensor) -> list[float]:
        """What the episodes cost that ended, each counted once."""
        sums = cost.double().cumsum(1)
        open_costs = torch.zeros(len(cost), dtype=torch.float64) if self._open is None else self._open
        before, totals = -open_costs, list[float]()
        for t, n in (ended & acted).T.nonzero().tolist():
            totals.append(float(sums[n, t] - before[n]))
            before[n] = sums[n, t]
        self._open = sums[:, -1].cpu() - before
        return totals


def given(traj: Trajectory) -> Tensor:
    """The costs [N, T] of a segment.

    Raises:
        EnvError: if the environment gives none at some step, or no finite number.
    """
    what = "this algorithm bounds costs and reads them from info['cost']: give one number at every step, 0 for none"
    if traj.cost is None:
        raise EnvError(f"the environment's step() gave no cost: {what}")
    if not bool(torch.isfinite(traj.cost).all()):
        copy, column = (~torch.isfinite(traj.cost)).nonzero()[0].tolist()
        raise EnvError(f"copy {copy}, column {column} of the segment: info['cost'] is missing or no number: {what}")
    return traj.cost
