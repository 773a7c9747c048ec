"""Distributions of continuous actions that can have several humps, where a normal one stands between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.distributions import Parameters, standard_normal, uniform
from operant.math.density import histogram_logp, mixture_logp
from operant.math.divergence import kl_categorical
from operant.math.logprob import categorical_entropy, categorical_sample, row_at

NARROW, GOLDEN = -1.0, 1.618033988749895
"""Log deviation of a component at first, and the golden ratio."""
LOG_STD = (-5.0, 2.0)
"""Bounds of a component's log deviation: without the lower one it may shrink to a point, of endless density."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """π(a) = Σ_k w_k N(a; mean_k, diag(std_k²)), for `Box`; actions are float32 [..., A] (Bishop 1994).

    The network gives K logits of the weights w, then all means, then all log deviations, in units of the space: half
    its range from its middle, or 1 from 0 where it has no bounds. At first the means lie spread over [−1, 1]^A:
    components that are alike stay alike, and one that is wide takes all.
    """

    size: int
    components: int
    low: Tensor | None = None
    high: Tensor | None = None
    deviations = 0
    choices = 0

    @property
    def outputs(self) -> int:
        return self.components * (1 + 2 * self.size)

    @property
    def columns(self) -> int:
        return self.size

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        """A component by one uniform number a row, then a number from N(0, 1) for each of the action."""
        logits, mean, log_std = self._parts(p)
        shape, device = tuple(logits.shape[:-1]), logits.device
        k = categorical_sample(logits, uniform(generator, shape, device))
        noise = standard_normal(generator, (*shape, self.size), device)
        return row_at(mean, k) + row_at(log_std, k).exp() * noise

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        return mixture_logp(*self._parts(p), action)

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        """It has no closed form: −log π(action)."""
        return -self.logp(p, action)

    def mode(self, p: Parameters) -> Tensor:
        """The mean of the heaviest component: a light one may have a higher peak, and is rarely what is drawn."""
        logits, mean, _ = self._parts(p)
        return row_at(mean, logits.argmax(-1))

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        """Raises ConfigError: it has no closed form."""
        raise ConfigError("the KL divergence of mixtures has no closed form: use a method that does not ask for it")

    def finish(self, action: Tensor) -> Tensor:
        return action

    def _parts(self, p: Parameters) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [..., K], means and log deviations [..., K, A], in the units of the environment."""
        each = self.components * self.size
        logits, mean, log_std = p.output.split([self.components, each, each], -1)
        shape, device = (*logits.shape, self.size), logits.device
        middle, half = torch.zeros(self.size, device=device), torch.ones(self.size, device=device)
        if self.low is not None and self.high is not None:
            low, high = self.low.to(device), self.high.to(device)
            middle, half = 0.5 * (low + high), 0.5 * (high - low)
        mean = middle + half * (mean.reshape(shape) + self._spread(device))
        return logits, mean, (log_std.reshape(shape) + NARROW).clamp(*LOG_STD) + half.log()

    def _spread(self, device: torch.device) -> Tensor:
        """[K, A], points in [−1, 1]^A that lie far from one another: a Kronecker sequence of golden ratios."""
        k = torch.arange(self.components, device=device, dtype=torch.float64)[:, None] + 0.5
        step = GOLDEN ** -torch.arange(1, self.size + 1, device=device, dtype=torch.float64)
        return (2.0 * (k * step % 1.0) - 1.0).float()


@dataclass(frozen=True, slots=True, eq=False)
class Discretised:
    """Each number of an action lies in one of K equal bins of [low, high], independently, and anywhere in it alike.

    For `Box` with finite bounds; actions are float32 [..., A] in the units of the environment.
    """

    size: int
    bins: int
    low: Tensor
    high: Tensor
    deviations = 0
    choices = 0

    @property
    def outputs(self) -> int:
        return self.bins * self.size

    @property
    def columns(self) -> int:
        return self.size

    def sample(self, p: Parameters, generator: np.random.Generator) -> Tensor:
        """Two uniform numbers for each of the action: its bin, and where it lies in it."""
        logits = self._logits(p)
        shape, device = tuple(logits.shape[:-1]), logits.device
        k = categorical_sample(logits, uniform(generator, shape, device))
        return self._at(k + uniform(generator, shape, device))

    def logp(self, p: Parameters, action: Tensor) -> Tensor:
        return histogram_logp(self._logits(p), action, *self._bounds(action.device))

    def entropy(self, p: Parameters, action: Tensor) -> Tensor:
        low, high = self._bounds(p.output.device)
        return (categorical_entropy(self._logits(p)) + ((high - low) / self.bins).log()).sum(-1)

    def mode(self, p: Parameters) -> Tensor:
        """The middle of the likeliest bin of each number."""
        return self._at(self._logits(p).argmax(-1) + 0.5)

    def kl(self, p: Parameters, q: Parameters) -> Tensor:
        return kl_categorical(self._logits(p), self._logits(q)).sum(-1)

    def finish(self, action: Tensor) -> Tensor:
        return action

    def _logits(self, p: Parameters) -> Tensor:
        return p.output.reshape(*p.output.shape[:-1], self.size, self.bins)

    def _at(self, place: Tensor) -> Tensor:
        """What lies so many bins [..., A] from the lower bound."""
        low, high = self._bounds(place.device)
        return low + (high - low) * (place / self.bins)

    def _bounds(self, device: torch.device) -> tuple[Tensor, Tensor]:
        return self.low.to(device), self.high.to(device)
