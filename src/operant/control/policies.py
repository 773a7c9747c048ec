"""Stochastic policies and the critic: a network, and a distribution that says what its outputs mean.

A policy has the same verbs for every space: `sample(obs, generator)` draws an action and says its log-probability,
`evaluate(obs, action)` gives log-probability and entropy with gradients, `mode(obs)` is the action of an evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from operant.control.distributions import Distribution, Parameters
from operant.control.networks.layout import Layout
from operant.control.networks.trunk import Headed, Trunk, plain
from operant.control.normalizer import ObsNormalizer
from operant.data.trajectory import Obs


class _Headed(nn.Module):
    """A network behind an optional normaliser; subclasses say what its output means."""

    def __init__(self, net: nn.Module, normalizer: ObsNormalizer | None, layout: Layout) -> None:
        super().__init__()
        self.net, self.layout = net, layout
        self.normalizer = normalizer

    @property
    def trunk(self) -> Trunk | None:
        """What lies below its own last layers, where there is more than a perceptron."""
        return self.net.trunk if isinstance(self.net, Headed) else None

    def output(self, obs: Obs) -> Tensor:
        """The network's output [..., K] for raw observations [..., D], or whole rows where it remembers."""
        if isinstance(self.net, Headed):
            return self.net(obs)
        vector = self.layout.vector(plain(obs))
        return self.net(vector if self.normalizer is None else self.normalizer(vector))

    def output_of(self, features: Tensor) -> Tensor:
        """The same [..., K] for features that its trunk gave."""
        assert isinstance(self.net, Headed)
        return self.net.head(features)


class Policy(_Headed):
    """π(a|s), a distribution whose parameters a network gives.

    Args:
        net: from observations to `distribution.outputs` numbers.
        normalizer: of the observations, or None.
        layout: what the numbers of an observation are.
        distribution: of the actions.
        log_std_init: log deviation of a normal distribution at the beginning.
    """

    def __init__(
        self, net: nn.Module, normalizer: ObsNormalizer | None, layout: Layout, distribution: Distribution,
        log_std_init: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(net, normalizer, layout)
        self.distribution = distribution
        deviations = distribution.deviations
        self.log_std = nn.Parameter(torch.full((deviations,), log_std_init)) if deviations else None

    def parameters_of(self, obs: Obs) -> Parameters:
        """What the distribution is made of at each observation."""
        return self.parameters_from(self.output(obs), obs)

    def parameters_from(self, output: Tensor, obs: Obs) -> Parameters:
        """The same, where the network's output [..., K] is known."""
        return Parameters(output, self.log_std, self.layout.allowed(plain(obs)))

    @torch.no_grad()
    def sample(self, obs: Obs, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """[N, D] → action [N, ...], log π(action|obs) [N]; no gradient."""
        p = self.parameters_of(obs)
        action = self.distribution.sample(p, generator)
        return action, self.distribution.logp(p, action)

    def evaluate(self, obs: Obs, action: Tensor) -> tuple[Tensor, Tensor]:
        """[..., D], [..., A] → log π(action|obs) [...], entropy [...] in nats; differentiable."""
        p = self.parameters_of(obs)
        return self.distribution.logp(p, action), self.distribution.entropy(p, action)

    def kl(self, old: Parameters, obs: Obs) -> Tensor:
        """KL(old || π) [...] at each observation, in nats; differentiable."""
        return self.distribution.kl(old, self.parameters_of(obs))

    @torch.no_grad()
    def mode(self, obs: Obs) -> Tensor:
        """[N, D] → the most likely action [N, ...]."""
        return self.distribution.mode(self.parameters_of(obs))


class Critic(_Headed):
    """V(s) = net(s), one number; in units of the scaled reward where rewards are normalised."""

    def forward(self, obs: Obs) -> Tensor:
        """[..., D] → [...]."""
        return self.output(obs).squeeze(-1)

    def value_of(self, features: Tensor, obs: Obs) -> Tensor:
        """The same [...] for features that its trunk gave of these observations."""
        return self.output_of(features).squeeze(-1)


class ActionValues(Critic):
    """Q_k(s, a), k = 1 … N, by a network each, above one trunk where there is one.

    Continuous actions stand beside the features as numbers in [-1, 1]; of K choices each network gives all values.

    Args:
        nets: from features, and numbers of the action, to 1 or K values.
        trunk: from observations to features; None where these are the vector.
        normalizer: of the vector, or None.
        layout: what the numbers of an observation are.
    """

    def __init__(
        self, nets: Sequence[nn.Module], trunk: Trunk | None, normalizer: ObsNormalizer | None, layout: Layout
    ) -> None:
        super().__init__(nn.ModuleList(nets), normalizer, layout)
        self.below = trunk

    @property
    def trunk(self) -> Trunk | None:
        return self.below

    def forward(self, obs: Obs, action: Tensor | None = None) -> Tensor:
        """[..., D], [..., A] → [N, ...]; without an action, of choices, → [N, ..., K]."""
        return self.of(self.features(obs), action)

    def taken(self, obs: Obs, action: Tensor) -> Tensor:
        """Q_k(s, a) [N, ...] of what was done: numbers, [..., A], or choices, [...] int64."""
        if action.is_floating_point():
            return self(obs, action)
        values = self(obs)
        return values.gather(-1, action.unsqueeze(-1).expand(len(values), *action.shape, 1)).squeeze(-1)

    def features(self, obs: Obs) -> Tensor:
        """[..., D] → [..., F], what all networks read."""
        if self.below is not None:
            return self.below(obs)
        vector = self.layout.vector(plain(obs))
        return vector if self.normalizer is None else self.normalizer(vector)

    def of(self, features: Tensor, action: Tensor | None = None) -> Tensor:
        """[..., F], [..., A] → [N, ...], or [N, ..., K]."""
        nets = cast("nn.ModuleList", self.net)
        if action is None:
            return torch.stack([net(features) for net in nets])
        x = torch.cat([features, action], -1)
        return torch.stack([net(x).squeeze(-1) for net in nets])
