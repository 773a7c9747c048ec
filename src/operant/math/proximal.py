"""Proximal operators, their algorithm, and the trust-region problem: short steps towards a minimum.

    prox_λf(v) = argmin_x f(x) + ‖x − v‖² / (2λ)

Source of all of it: Parikh and Boyd (2014), Proximal algorithms.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from operant.math import _check


def soft_threshold(v: Tensor, lam: float) -> Tensor:
    """prox of λ‖x‖₁, component by component: towards 0 by λ, and 0 where that is nearer. [...] to [...].

    Raises:
        ValueError: λ is negative.

    Source: Parikh and Boyd (2014), section 6.5.2.
    """
    _check.not_negative(lam=lam)
    return v.sign() * (v.abs() - lam).clamp(min=0.0)


def box(v: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """prox of the indicator of low ≤ x ≤ high, for any λ: the projection onto the box. [...] to [...].

    Source: Parikh and Boyd (2014), sections 1.2 and 6.2.4.
    """
    return torch.minimum(torch.maximum(v, torch.as_tensor(low, dtype=v.dtype)), torch.as_tensor(high, dtype=v.dtype))


def ball(v: Tensor, radius: float) -> Tensor:
    """prox of the indicator of ‖x‖ ≤ radius: the projection onto the ball. [n] to [n].

    Raises:
        ValueError: the radius is not above 0.
    """
    _check.positive(radius=radius)
    return v * min(1.0, radius / max(float(v.norm()), 1e-300))


def quadratic(v: Tensor, A: Tensor, b: Tensor, lam: float) -> Tensor:
    """prox of λ(½ xᵀA x + bᵀx): (I + λA)⁻¹ (v − λb).

    Args:
        v, b: [n].
        A: [n, n], symmetric and positive semidefinite.
        lam: λ, above 0.

    Raises:
        ValueError: λ is not above 0.

    Source: Parikh and Boyd (2014), section 6.1.1.
    """
    _check.positive(lam=lam)
    return torch.linalg.solve(torch.eye(len(v), dtype=v.dtype) + lam * A, v - lam * b)


def proximal_point(prox: Callable[[Tensor], Tensor], v: Tensor, *, iterations: int) -> Tensor:
    """x ← prox(x), so many times from v; its fixed points are the minimisers of f. All points, [iterations + 1, n].

    Source: Parikh and Boyd (2014), section 4.1.
    """
    points = [v]
    for _ in range(iterations):
        points.append(prox(points[-1]))
    return torch.stack(points)


def trust_region(gradient: Tensor, hessian: Tensor, radius: float) -> Tensor:
    """argmin_d gᵀd + ½ dᵀH d with ‖d‖ ≤ ρ.

    d = −(H + μI)⁻¹ g, with the least μ ≥ 0 at which H + μI is positive semidefinite and d within ρ. So the step of a
    trust region is that of a proximal operator with λ = 1/μ, and none is needed where Newton's is short enough.

    Args:
        gradient: g [n].
        hessian: H [n, n], symmetric; it may be indefinite.
        radius: ρ, above 0.

    Returns:
        d [n].

    Raises:
        ValueError: the radius is not above 0.

    Source: Moré and Sorensen (1983), Computing a trust region step; Nocedal and Wright (2006), theorem 4.1.
    """
    _check.positive(radius=radius)
    values, vectors = torch.linalg.eigh(hessian)
    g = vectors.T @ gradient
    least = float(values[0])
    if least > 0.0 and float((g / values).norm()) <= radius:
        return vectors @ (-g / values)
    low = max(0.0, -least)
    high = low + float(g.norm()) / radius + 1e-300
    for _ in range(200):
        mu = (low + high) / 2
        shift = values + mu
        long = bool((shift <= 0).any()) or float((g / shift).norm()) > radius
        low, high = (mu, high) if long else (low, mu)
    d = -g / (values + high)
    missing = radius**2 - float(d @ d)
    if least <= 0.0 and missing > 1e-9 * radius**2:  # g has nothing along the lowest direction: any sign of it will do
        d[0] += missing**0.5
    return vectors @ d
