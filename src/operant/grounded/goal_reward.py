"""A reward that is learnt from states in which an instruction is fulfilled: AGILE's discriminator as a judge.

Source: Bahdanau et al. (2019), Learning to understand goal specifications by modelling reward, algorithm 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from operant.control.learned_reward import layout_of
from operant.control.mlp import MLP
from operant.control.networks.text import Reading
from operant.control.networks.trunk import Trunk
from operant.control.updates import take_step
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Trajectory
from operant.env.spaces import Observations


class GoalNetwork(nn.Module):
    """z(c, s): the logit of "state s fulfils instruction c", FiLM over convolutions; rows [B, D] hold both."""

    def __init__(self, observations: Observations, size: int, generator: torch.Generator) -> None:
        super().__init__()
        layout = layout_of(observations, "grid-cnn")
        self.trunk = Trunk(layout, "grid-cnn", None, None, "", 0, generator, Reading("gru", size, "film"))
        self.head = MLP((self.trunk.features, 1), "relu", out_gain=1.0, generator=generator)

    def forward(self, rows: Tensor) -> Tensor:
        """[B, D] → [B]."""
        return self.head(self.trunk(rows)).squeeze(-1)


class GoalReward:
    """r = 1[σ(z) > ½] of the state that a step led to; learns from each segment before it pays for it.

    A positive example is a state of the data with its instruction. A negative one is a state that the learner visited
    with the instruction that it had. Those in which it did as it was told are no negatives, so of each batch only the
    share `rho` of which the network itself thinks least is learnt from.

    Args:
        network: what is taught.
        goals: rows [M, D] of the data.
        rho: ρ, in (0, 1]; 1 takes every state as a negative one.
        lr: of Adam.
        batch: positive examples of a step, and as many negative ones after the choice.
        steps: of the gradient, for each segment; 0 leaves the network as it is.
        streams: where examples are drawn from.
    """

    def __init__(
        self, network: GoalNetwork, goals: NDArray[np.float32], rho: float, *, lr: float, batch: int, steps: int,
        streams: Streams,
    ) -> None:  # fmt: skip
        self.network, self.goals, self.rho, self.batch, self.steps = network, torch.from_numpy(goals), rho, batch, steps
        self._optimizer, self._rng = torch.optim.Adam(network.parameters(), lr), streams.numpy("goal-reward")
        self._metrics: Metrics = {}

    def begin(self, streams: Streams) -> None:
        """Stand at a seam."""
        streams.rekey(self._rng, "goal-reward")

    def settle(self) -> Metrics:
        """Of the last segment."""
        return self._metrics

    def __call__(self, traj: Trajectory) -> Trajectory:
        """The segment with rewards of the network."""
        assert isinstance(traj.obs, Tensor)
        visited = traj.obs[:, 1:][traj.acted]  # [M, D]
        for _ in range(self.steps):
            self._metrics["goal/loss"] = self.learn(visited)
        reward = torch.zeros_like(traj.reward)
        with torch.no_grad():
            reward[traj.acted] = (self.network(visited) > 0.0).float()
        self._metrics["goal/paid"] = reward[traj.acted].mean()
        return replace(traj, reward=reward)

    def learn(self, visited: Tensor) -> Tensor:
        """A step down the cross-entropy of goals and of visited states [M, D]; returns it."""
        good = self.goals[self._rng.integers(len(self.goals), size=self.batch)]
        bad = visited[self._rng.integers(len(visited), size=round(self.batch / self.rho))]
        bad = bad[likely_negatives(self._said(bad), self.rho)]
        logits = self.network(torch.cat([good, bad]))
        aim = torch.cat([torch.ones(len(good)), torch.zeros(len(bad))])
        loss = functional.binary_cross_entropy_with_logits(logits, aim)
        take_step(self._optimizer, loss, None)
        return loss.detach()

    @torch.no_grad()
    def _said(self, rows: Tensor) -> Tensor:
        return self.network(rows)


def likely_negatives(logits: Tensor, rho: float) -> Tensor:
    """Which of [B] are the share ρ with the smallest logits, at least one: their places."""
    return logits.argsort()[: max(1, round(rho * len(logits)))]
