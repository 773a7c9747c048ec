"""Plans of continuous actions by drawing them: the cross-entropy method and path integrals, for N starts at once.

    returns(plans [N, K, H, A]) → [N, K]      what K plans of H actions in [-1, 1] bring from each start

Both refit a normal distribution over plans to those that bring more. What a plan brings is asked of a model, learnt or
known; nothing here knows which.

Sources: the cross-entropy method as in Chua et al. (2018, arXiv:1805.12114, appendix A.3); model predictive path
integrals Williams et al. (2017, arXiv:1707.02342).
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import torch
from torch import Tensor

Returns = Callable[[Tensor], Tensor]
"""From plans [N, K, H, A] in [-1, 1] to what each brings, [N, K]; what is not finite counts as the worst."""
WITHIN = 2.0
"""Deviations from the mean beyond which nothing is drawn."""


def truncated_normal(shape: tuple[int, ...], generator: np.random.Generator, device: torch.device) -> Tensor:
    """Standard normal numbers within ±2: Φ⁻¹(u), u even between Φ(−2) and Φ(2)."""
    outside = 0.5 * (1.0 - float(torch.special.erf(torch.tensor(WITHIN / sqrt(2.0)))))
    u = outside + (1.0 - 2.0 * outside) * generator.random(shape)
    return torch.special.ndtri(torch.from_numpy(u)).to(device, torch.float32)


def cross_entropy(
    returns: Returns, mean: Tensor, generator: np.random.Generator, *, population: int, elites: int, iterations: int,
    deviation: float = 0.5, smoothing: float = 0.1,
) -> Tensor:  # fmt: skip
    """The mean of the best plans, refitted again and again.

    Draw K plans from N(μ, σ²) within ±2 σ, μ ← smoothing · μ + (1 − smoothing) · mean of the elites, σ² alike. σ is
    no more than half of the way to the nearer bound, so that what is drawn lies within the bounds.

    Args:
        returns: what plans bring.
        mean: [N, H, A], where it begins.
        generator: draws.
        population: K, plans of an iteration.
        elites: how many of them the distribution is refitted to.
        iterations: of drawing and refitting.
        deviation: σ of the first iteration.
        smoothing: share of the former mean and variance that is kept.

    Returns:
        [N, H, A], μ of the last iteration, in [-1, 1].
    """
    mean, var = mean.clone(), torch.full_like(mean, deviation**2)
    for _ in range(iterations):
        room = 0.5 * torch.minimum(mean + 1.0, 1.0 - mean)
        sigma = torch.minimum(var.sqrt(), room).unsqueeze(1)
        noise = truncated_normal((len(mean), population, *mean.shape[1:]), generator, mean.device)
        plans = (mean.unsqueeze(1) + sigma * noise).clamp(-1.0, 1.0)
        best = _counted(returns(plans)).topk(elites, dim=1).indices  # [N, elites]
        chosen = plans.gather(1, best[:, :, None, None].expand(-1, -1, *mean.shape[1:]))
        new_var, new_mean = torch.var_mean(chosen, dim=1, correction=0)
        mean, var = (smoothing * old + (1.0 - smoothing) * new for old, new in ((mean, new_mean), (var, new_var)))
    return mean


def path_integral(
    returns: Returns, mean: Tensor, generator: np.random.Generator, *, population: int, iterations: int,
    deviation: float = 0.5, temperature: float = 0.1,
) -> Tensor:  # fmt: skip
    """The mean of all plans, each weighed by exp(return / λ): model predictive path integrals.

    μ ← Σ_k w_k plan_k with w = softmax(z / λ), z being the returns less their mean, over their deviation, so that λ
    has no unit.

    Args:
        returns, mean, generator, population, iterations: as in `cross_entropy`.
        deviation: σ of what is drawn around the mean; it stays.
        temperature: λ; the smaller, the more the best plan counts alone.

    Returns:
        [N, H, A], in [-1, 1].
    """
    mean = mean.clone()
    for _ in range(iterations):
        noise = torch.from_numpy(generator.standard_normal((len(mean), population, *mean.shape[1:]), np.float32))
        plans = (mean.unsqueeze(1) + deviation * noise.to(mean.device)).clamp(-1.0, 1.0)
        scores = _counted(returns(plans))
        known = torch.isfinite(scores)
        level = torch.where(known, scores, 0.0).sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)
        apart = torch.where(known, scores - level, 0.0)
        spread = (apart.square().sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)).sqrt()
        z = torch.where(known, apart / (spread + 1e-8), -torch.inf)
        weight = torch.nan_to_num(torch.softmax(z / temperature, 1), nan=1.0 / population)  # where none is known
        mean = (weight[:, :, None, None] * plans).sum(1)
    return mean


def _counted(scores: Tensor) -> Tensor:
    """What is not finite is the worst."""
    return torch.where(torch.isfinite(scores), scores, -torch.inf)
