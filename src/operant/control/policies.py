"""Stochastic policies and the critic, on multilayer perceptrons.

Every policy has the same three verbs: `sample(obs, generator)` draws an action and says its log-probability,
`evaluate(obs, action)` gives log-probability and entropy with gradients, `mode(obs)` is the action of an evaluation.
Noise is drawn from a counter-based NumPy generator, a uniform or a normal number for each decision, so that a policy
draws the same actions on any device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from operant.control.normalizer import ObsNormalizer
from operant.data.trajectory import Obs
from operant.math.logprob import (
    bernoulli_entropy,
    bernoulli_logp,
    categorical_entropy,
    categorical_logp,
    categorical_sample,
    multi_categorical_entropy,
    multi_categorical_logp,
    normal_entropy,
    normal_logp,
)


class Policy(Protocol):
    """What an algorithm asks of a policy."""

    def sample(self, obs: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """[N, D] → action [N, ...], log π(action|obs) [N]; no gradient."""
        ...

    def evaluate(self, obs: Obs, action: Tensor) -> tuple[Tensor, Tensor]:
        """[..., D], [..., A] → log π(action|obs) [...], entropy [...]; differentiable."""
        ...

    def mode(self, obs: Tensor) -> Tensor:
        """[N, D] → the most likely action [N, ...]."""
        ...


class _Head(nn.Module):
    """A network behind an optional normaliser; subclasses say what its output means."""

    def __init__(self, net: nn.Module, normalizer: ObsNormalizer | None) -> None:
        super().__init__()
        self.net = net
        self.normalizer = normalizer

    def output(self, obs: Obs) -> Tensor:
        """[..., D] → the network's output for raw observations.

        Raises:
            TypeError: if the observation is a mapping; a perceptron sees one vector.
        """
        if not isinstance(obs, Tensor):
            raise TypeError(f"a perceptron sees one vector, not named tensors {sorted(obs)}")
        return self.net(obs if self.normalizer is None else self.normalizer(obs))


class CategoricalPolicy(_Head):
    """π(a|s) = softmax(net(s))_a, for `Discrete(K)`; actions are int64 [N]."""

    @torch.no_grad()
    def sample(self, obs: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inverse-CDF draw from one uniform number a row."""
        logits = self.output(obs)
        action = categorical_sample(logits, _uniform(generator, (len(obs),), obs.device))
        return action, categorical_logp(logits, action)

    def evaluate(self, obs: Obs, action: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy, [B] each."""
        logits = self.output(obs)
        return categorical_logp(logits, action), categorical_entropy(logits)

    @torch.no_grad()
    def mode(self, obs: Tensor) -> Tensor:
        """argmax of the logits."""
        return self.output(obs).argmax(-1)


class NormalPolicy(_Head):
    """π(a|s) = N(net(s), exp(log_std)²) with independent components and a state-independent deviation, for `Box`.

    Actions are float32 [N, A], unbounded: the environment clips them to its bounds, the record keeps them unclipped
    (details 23 to 27 of Huang et al. 2022).
    """

    def __init__(self, net: nn.Module, normalizer: ObsNormalizer | None, size: int, log_std_init: float) -> None:
        super().__init__(net, normalizer)
        self.log_std = nn.Parameter(torch.full((size,), log_std_init))

    @torch.no_grad()
    def sample(self, obs: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """mean + deviation · z, z from N(0, 1)."""
        mean = self.output(obs)
        noise = torch.from_numpy(generator.standard_normal(tuple(mean.shape), dtype=np.float32)).to(mean.device)
        action = mean + self.log_std.exp() * noise
        return action, normal_logp(mean, self.log_std, action)

    def evaluate(self, obs: Obs, action: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy, [B] each; both summed over the components."""
        mean = self.output(obs)
        return normal_logp(mean, self.log_std, action), normal_entropy(self.log_std).expand(mean.shape[:-1])

    @torch.no_grad()
    def mode(self, obs: Tensor) -> Tensor:
        """The mean."""
        return self.output(obs)


class MultiCategoricalPolicy(_Head):
    """K independent categoricals side by side, for `MultiDiscrete`; actions are int64 [N, K] (detail 37)."""

    def __init__(self, net: nn.Module, normalizer: ObsNormalizer | None, sizes: Sequence[int]) -> None:
        super().__init__(net, normalizer)
        self.sizes = tuple(sizes)

    @torch.no_grad()
    def sample(self, obs: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One uniform number for each component."""
        logits = self.output(obs)
        uniform = _uniform(generator, (len(obs), len(self.sizes)), obs.device)
        parts = zip(logits.split(self.sizes, -1), uniform.unbind(-1), strict=True)
        action = torch.stack([categorical_sample(part, u) for part, u in parts], -1)
        return action, multi_categorical_logp(logits, self.sizes, action)

    def evaluate(self, obs: Obs, action: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over the components, [B] each."""
        logits = self.output(obs)
        return multi_categorical_logp(logits, self.sizes, action), multi_categorical_entropy(logits, self.sizes)

    @torch.no_grad()
    def mode(self, obs: Tensor) -> Tensor:
        """argmax of each component."""
        return torch.stack([part.argmax(-1) for part in self.output(obs).split(self.sizes, -1)], -1)


class BernoulliPolicy(_Head):
    """K independent coins, π(a_k = 1|s) = sigmoid(net(s)_k), for `MultiBinary(K)`; actions are int64 [N, K]."""

    @torch.no_grad()
    def sample(self, obs: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One uniform number for each coin."""
        logits = self.output(obs)
        action = (_uniform(generator, tuple(logits.shape), obs.device) < logits.sigmoid()).long()
        return action, bernoulli_logp(logits, action.float())

    def evaluate(self, obs: Obs, action: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over the coins, [B] each."""
        logits = self.output(obs)
        return bernoulli_logp(logits, action.float()), bernoulli_entropy(logits)

    @torch.no_grad()
    def mode(self, obs: Tensor) -> Tensor:
        """1 where it is the likelier side."""
        return (self.output(obs) > 0).long()


class Critic(_Head):
    """V(s) = net(s), one number; in units of the scaled reward where rewards are normalised."""

    def forward(self, obs: Obs) -> Tensor:
        """[..., D] → [...]."""
        return self.output(obs).squeeze(-1)


def _uniform(generator: np.random.Generator, shape: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.from_numpy(generator.random(shape, dtype=np.float32)).to(device)
