"""One distribution layer for every action space: what a network's outputs mean, and what may not be chosen.

Each distribution has the same five verbs on `Parameters`: `sample`, `logp`, `entropy`, `mode`, `kl`. Noise is drawn
from a counter-based NumPy generator, a uniform or a normal number for each decision, so that a policy draws the same
actions on any device. Where `allowed` is given, what it rules out has probability exactly 0, whatever the logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from operant.math.divergence import kl_bernoulli, kl_categorical, kl_normal
from operant.math.logprob import (
    bernoulli_entropy,
    bernoulli_logp,
    categorical_entropy,
    categorical_logp,
    categorical_sample,
    composite_logp,
    masked_logits,
    multi_categorical_entropy,
    multi_categorical_logp,
    normal_entropy,
    normal_logp,
    ruled_out,
    squashed_normal_logp,
)

LOG_STD = (-20.0, 2.0)
"""Bounds of a log deviation that a network gives (Haarnoja et al. 2018)."""


class Parameters(NamedTuple):
    """What a distribution is made of at each decision."""

    output: Tensor  # [..., K], of the network
    log_std: Tensor | None = None  # [A], deviations that do not depend on the state
    allowed: Tensor | None = None  # [..., C] bool

    def detach(self) -> Parameters:
        """The same without a gradient, copied: the parameters may move on."""
        log_std = None if self.log_std is None else self.log_std.detach().clone()
        return Parameters(self.output.detach().clone(), log_std, self.allowed)


class Distribution(Protocol):
    """Of the actions of one space, [..., *width] each."""

    @property
    def outputs(self) -> int:
        """K, numbers that the network gives."""
        ...

    @property
    def deviations(self) -> int:
        """A, log deviations that are parameters of their own."""
        ...

    @property
    def choices(self) -> int:
        """C, what a mask may rule out."""
        ...

    @property
    def columns(self) -> int:
        """Numbers of an action."""
        ...

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        """An action for each of [N] decisions; no gradient."""
        ...

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        """log π(action) [...]."""
        ...

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        """Entropy [...] in nats; where it has no closed form, −log π(action), its estimate from one sample."""
        ...

    def mode(self, p: Parameters) -> Tensor:
        """The most likely action, of every part."""
        ...

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        """KL(p || q) [...] in nats."""
        ...

    def finish(self, action: Tensor) -> Tensor:
        """What the environment takes for a sampled action: the same, but where it is squashed into bounds."""
        ...


@dataclass(frozen=True, slots=True)
class Categorical:
    """π(a) = softmax(output)_a, for `Discrete(n)`; actions are int64 [...]."""

    n: int
    deviations = 0
    columns = 1

    @property
    def outputs(self) -> int:
        return self.n

    @property
    def choices(self) -> int:
        return self.n

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        """Inverse-CDF draw from one uniform number a row."""
        logits = _logits(p)
        return categorical_sample(logits, uniform(generator, tuple(logits.shape[:-1]), logits.device))

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        return categorical_logp(_logits(p), action)

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        return categorical_entropy(_logits(p))

    def mode(self, p: Parameters) -> Tensor:
        """argmax of the logits."""
        return _logits(p).argmax(-1)

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        return kl_categorical(_logits(p), _logits(q))

    def finish(self, action: Tensor) -> Tensor:
        return action


@dataclass(frozen=True, slots=True)
class MultiCategorical:
    """Independent categoricals side by side, for `MultiDiscrete`; actions are int64 [..., M]."""

    sizes: tuple[int, ...]
    deviations = 0

    @property
    def outputs(self) -> int:
        return sum(self.sizes)

    @property
    def choices(self) -> int:
        return sum(self.sizes)

    @property
    def columns(self) -> int:
        return len(self.sizes)

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        """One uniform number for each component."""
        parts = self._split(p)
        drawn = uniform(generator, (*parts[0].shape[:-1], len(parts)), parts[0].device)
        return torch.stack([categorical_sample(part, u) for part, u in zip(parts, drawn.unbind(-1), strict=True)], -1)

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        return multi_categorical_logp(self._logits(p), self.sizes, action)

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        return multi_categorical_entropy(self._logits(p), self.sizes)

    def mode(self, p: Parameters) -> Tensor:
        """argmax of each component."""
        return torch.stack([part.argmax(-1) for part in self._split(p)], -1)

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        pairs = zip(self._split(p), self._split(q), strict=True)
        return composite_logp([kl_categorical(one, other) for one, other in pairs])

    def finish(self, action: Tensor) -> Tensor:
        return action

    def _split(self, p: Parameters) -> tuple[Tensor, ...]:
        return self._logits(p).split(self.sizes, -1)

    def _logits(self, p: Parameters) -> Tensor:
        if p.allowed is None:
            return p.output
        pairs = zip(p.output.split(self.sizes, -1), p.allowed.split(self.sizes, -1), strict=True)
        return torch.cat([masked_logits(part, allowed) for part, allowed in pairs], -1)


@dataclass(frozen=True, slots=True)
class Bernoulli:
    """Independent coins, π(a_k = 1) = sigmoid(output_k), for `MultiBinary(n)`; actions are int64 [..., n].

    A bit that is not allowed is 0.
    """

    n: int
    deviations = 0

    @property
    def outputs(self) -> int:
        return self.n

    @property
    def choices(self) -> int:
        return self.n

    @property
    def columns(self) -> int:
        return self.n

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        """One uniform number for each coin."""
        logits = self._logits(p)
        return (uniform(generator, tuple(logits.shape), logits.device) < logits.sigmoid()).long()

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        return bernoulli_logp(self._logits(p), action.float())

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        return bernoulli_entropy(self._logits(p))

    def mode(self, p: Parameters) -> Tensor:
        """1 where it is the likelier side."""
        return (self._logits(p) > 0).long()

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        return kl_bernoulli(self._logits(p), self._logits(q))

    def finish(self, action: Tensor) -> Tensor:
        return action

    def _logits(self, p: Parameters) -> Tensor:
        return p.output if p.allowed is None else ruled_out(p.output, p.allowed)


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """π(u) = N(mean, deviation²) with independent components, for `Box`; actions are float32 [..., A].

    The deviation is a parameter for each component (`std` "parameter"), or the network gives its logarithm beside the
    mean ("network"). Actions are unbounded: the environment clips them to its bounds, the record keeps them unclipped
    (details 23 to 27 of Huang et al. 2022). With bounds `low`, `high` [A] they are squashed instead,
    low + (high − low)(tanh u + 1)/2: the record keeps u, and the density is that of tanh u.
    """

    size: int
    std: Literal["parameter", "network", "none"] = "parameter"
    log_std_init: float = 0.0
    low: Tensor | None = None
    high: Tensor | None = None
    choices = 0

    @property
    def outputs(self) -> int:
        return self.size if self.std == "parameter" else 2 * self.size

    @property
    def deviations(self) -> int:
        return self.size if self.std == "parameter" else 0

    @property
    def columns(self) -> int:
        return self.size

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        """mean + deviation · z, z from N(0, 1)."""
        mean = self.mode(p)
        return self.drawn(p, standard_normal(generator, tuple(mean.shape), mean.device))

    def drawn(self, p: Parameters, noise: Tensor) -> Tensor:
        """mean + deviation · noise, for noise [..., A] from N(0, 1); with gradients to both."""
        mean, log_std = self._moments(p)
        return mean + log_std.exp() * noise

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        return (normal_logp if self.low is None else squashed_normal_logp)(*self._moments(p), action)

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        if self.low is not None:
            return -self.logp(p, action)
        mean, log_std = self._moments(p)
        return normal_entropy(log_std).expand(mean.shape[:-1])

    def mode(self, p: Parameters) -> Tensor:
        """The mean."""
        return self._moments(p)[0]

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        """Squashing both alike changes nothing."""
        (mean_p, log_p), (mean_q, log_q) = self._moments(p), self._moments(q)
        return kl_normal(mean_p, log_p.exp(), mean_q, log_q.exp())

    def finish(self, action: Tensor) -> Tensor:
        return action if self.low is None else self.scaled(action.tanh())

    def scaled(self, unit: Tensor) -> Tensor:
        """What the environment takes for actions [..., A] in [-1, 1], where there are bounds."""
        if self.low is None or self.high is None:
            return unit
        low, high = self.low.to(unit.device), self.high.to(unit.device)
        return low + (high - low) * (0.5 * (unit + 1.0))

    def unit(self, action: Tensor) -> Tensor:
        """Actions [..., A] in [-1, 1] for those that the environment takes: the inverse of `scaled`."""
        if self.low is None or self.high is None:
            return action
        low, high = self.low.to(action.device), self.high.to(action.device)
        return (2.0 * (action - low) / (high - low) - 1.0).clamp(-1.0, 1.0)

    def _moments(self, p: Parameters) -> tuple[Tensor, Tensor]:
        """Mean [..., A] and log deviation [A] or [..., A]."""
        if p.log_std is not None and self.std == "parameter":
            return p.output, p.log_std
        mean, log_std = p.output.split(self.size, -1)
        return mean, (log_std + self.log_std_init).clamp(*LOG_STD)


def standard_normal(generator: np.random.Generator, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Numbers from N(0, 1), float32, the same on every device."""
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32)).to(device)


def _logits(p: Parameters) -> Tensor:
    return p.output if p.allowed is None else masked_logits(p.output, p.allowed)


def uniform(generator: np.random.Generator, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Numbers from [0, 1), float32, the same on every device."""
    return torch.from_numpy(generator.random(shape, dtype=np.float32)).to(device)
