"""Noise on a policy's weights (Plappert et al. 2018, Parameter space noise for exploration, arXiv:1706.01905)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from operant.control.agent import Agent
from operant.data.trajectory import Metrics, Trajectory


class ParamNoise:
    """θ̃ = θ + σ ε with ε from N(0, I), drawn anew for each segment, held while it is collected and learnt from.

    The gradient of E_ε[J(θ + σ ε)] in θ is that of J at θ̃: so an algorithm collects with θ̃, takes its steps from θ̃,
    and `settle` takes the noise off again, θ ← θ + (θ̃' − θ̃). What samples is then what is learnt from, and a method
    on policy stays on policy. The deviation σ follows the distance of the policies that it makes: after each segment

        σ ← σ r if d ≤ δ else σ / r,   d = mean over acted of log π̃(a|s) − log π(a|s), an estimate of KL(π̃ || π).

    Left alone are layer normalisation (which the paper puts between layers so that the same σ suits all), deviations
    of actions, and the critic.

    Args:
        agent: its policy is perturbed in place.
        target: δ, in nats.
        std: σ at the start.
        rate: r, above 1.
        generator: where ε comes from.
    """

    def __init__(self, agent: Agent, *, target: float, std: float, rate: float, generator: np.random.Generator) -> None:
        norms = [m for m in agent.policy.modules() if isinstance(m, nn.LayerNorm | nn.GroupNorm)]
        kept = {id(p) for m in norms for p in m.parameters()}
        named = agent.policy.named_parameters()
        self.parameters = [p for name, p in named if id(p) not in kept and not name.endswith("log_std")]
        self.std = torch.tensor(std, dtype=torch.float64)
        self._agent, self._target, self._rate, self._generator = agent, target, rate, generator
        self._clean: list[Tensor] = []
        self._noisy: list[Tensor] = []

    @torch.no_grad()
    def perturb(self) -> None:
        """Put noise on the weights, in place of what noise there is."""
        self.settle()
        self._clean = [p.clone() for p in self.parameters]
        for p in self.parameters:
            noise = self._generator.standard_normal(tuple(p.shape), dtype=np.float32)
            p += float(self.std) * torch.from_numpy(noise).to(p.device, p.dtype)
        self._noisy = [p.clone() for p in self.parameters]

    @torch.no_grad()
    def settle(self) -> None:
        """Take the noise off, and keep what was learnt since; without noise nothing happens."""
        for p, clean, noisy in zip(self.parameters, self._clean, self._noisy, strict=False):
            p.copy_(clean + (p - noisy))
        self._clean, self._noisy = [], []

    @torch.no_grad()
    def adapt(self, traj: Trajectory) -> Metrics:
        """Measure how far the segment's policy was from the one without noise, and move σ after it."""
        self._put(self._clean)
        logp, _ = self._agent.policy.evaluate(traj.seen, traj.action)
        self._put(self._noisy)
        distance = (traj.logp - logp)[traj.acted].mean()
        metrics = {"explore/noise_std": self.std.clone(), "explore/noise_kl": distance}
        self.std *= self._rate if float(distance) <= self._target else 1 / self._rate
        return metrics

    def _put(self, values: list[Tensor]) -> None:
        for p, x in zip(self.parameters, values, strict=True):
            p.copy_(x)
