"""The policy that draws nothing: one action for each state."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from operant.control.distributions import Normal, Parameters


class Deterministic(Normal):
    """One action for each state, u = output, as a normal distribution of deviation 0; actions are float32 [..., A].

    Squashed as there. It has no density: its log-probability and its entropy are taken to be 0.
    """

    __slots__ = ()

    @property
    def outputs(self) -> int:
        return self.size

    @property
    def deviations(self) -> int:
        return 0

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        return p.output

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        return torch.zeros_like(action[..., 0])

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        return torch.zeros_like(action[..., 0])

    def mode(self, p: Parameters) -> Tensor:
        return p.output

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        """½ ‖tanh u − tanh u'‖²: that of two normal distributions of deviation 1 around the squashed actions."""
        squashed = (p.output, q.output) if self.low is None else (p.output.tanh(), q.output.tanh())
        return 0.5 * (squashed[0] - squashed[1]).square().sum(-1)
