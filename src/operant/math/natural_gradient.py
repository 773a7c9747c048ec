"""Steps that are short in what a policy does, not in its parameters: F⁻¹g, and the search along it.

F is the Fisher information, the Hessian of the mean KL(π_old || π) at π = π_old. It is never formed: only products with
vectors are needed, and a product is two backward passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from operant.math import _check

Operator = Callable[[Tensor], Tensor]
"""A linear map of vectors [P] to vectors [P]."""


def conjugate_gradient(operator: Operator, b: Tensor, *, iterations: int, tolerance: float = 1e-10) -> Tensor:
    """x with A x ≈ b, for a symmetric A that is positive definite; after P iterations exact but for rounding.

    Args:
        operator: x ↦ A x.
        b: [P].
        iterations: at most so many products with A.
        tolerance: ends where |b − A x|² falls below this.

    Returns:
        [P]; where A shows itself not positive definite along a direction, what was reached before it.

    Raises:
        ValueError: `b` is no vector, or `iterations` is not above 0.

    Source: Hestenes and Stiefel (1952), Methods of conjugate gradients for solving linear systems; Schulman et al.
    (2015), Trust region policy optimization, appendix C.
    """
    _check.positive(iterations=iterations)
    if b.ndim != 1:
        raise ValueError(f"b must be a vector [P], got shape {list(b.shape)}")
    x, residual, direction = torch.zeros_like(b), b.clone(), b.clone()
    square = residual @ residual
    for _ in range(iterations):
        if not square > tolerance:
            break
        product = operator(direction)
        curvature = direction @ product
        if not curvature > 0:
            break
        length = square / curvature
        x = x + length * direction
        residual = residual - length * product
        before, square = square, residual @ residual
        direction = residual + square / before * direction
    return x


def fisher_product(divergence: Tensor, parameters: Iterable[Tensor], *, damping: float = 0.0) -> Operator:
    """v ↦ F v + damping · v, with F the Hessian of a divergence by the parameters.

    F v = ∂/∂θ (∂D/∂θ · v): the first backward pass is kept, each product is one more.

    Args:
        divergence: [], the mean KL(π_old || π_θ) at θ = θ_old, with its graph.
        parameters: θ, P numbers together; those that the divergence does not depend on count as zero.
        damping: what is added to F's diagonal, at least 0. It bounds the step where F is nearly singular.

    Raises:
        ValueError: the divergence is not one number, or `damping` is negative.

    Source: Pearlmutter (1994), Fast exact multiplication by the Hessian; Schulman et al. (2015), appendix C.1.
    """
    _check.not_negative(damping=damping)
    if divergence.numel() != 1:
        raise ValueError(f"the divergence must be one number, got shape {list(divergence.shape)}")
    theta = list(parameters)
    slope = flat(torch.autograd.grad(divergence.sum(), theta, create_graph=True, materialize_grads=True))

    def product(v: Tensor) -> Tensor:
        parts = torch.autograd.grad(slope @ v, theta, retain_graph=True, materialize_grads=True)
        return flat(parts) + damping * v

    return product


def natural_direction(
    surrogate: Tensor, divergence: Tensor, parameters: Iterable[Tensor], *, damping: float, iterations: int
) -> tuple[Tensor, Tensor]:
    """x ≈ (F + damping)⁻¹ g and (F + damping) x, with g = ∂/∂θ surrogate and F the Hessian of the divergence.

    Args:
        surrogate: [], what is to grow, with its graph.
        divergence: [], the mean KL(π_old || π_θ) at θ = θ_old, with its graph.
        parameters: θ, P numbers together.
        damping, iterations: as `fisher_product` and `conjugate_gradient` have them.

    Returns:
        [P] each.

    Source: Kakade (2001), A natural policy gradient; Schulman et al. (2015), appendix C.
    """
    theta = list(parameters)
    gradient = flat(torch.autograd.grad(surrogate, theta, materialize_grads=True))
    operator = fisher_product(divergence, theta, damping=damping)
    direction = conjugate_gradient(operator, gradient, iterations=iterations)
    return direction, operator(direction)


def step_length(direction: Tensor, product: Tensor, radius: float) -> float:
    """√(2δ / xᵀFx): how far to go along x until the quadratic model of the divergence, ½ βxᵀFβx, is δ.

    Args:
        direction: x [P].
        product: F x [P].
        radius: δ, above 0.

    Returns:
        β; 0 where xᵀFx is not above 0, as of a gradient that is zero.

    Source: Schulman et al. (2015), Trust region policy optimization, appendix C.
    """
    _check.positive(radius=radius)
    curvature = float(direction @ product)
    return sqrt(2.0 * radius / curvature) if curvature > 0.0 else 0.0


class Search(NamedTuple):
    """What a line search found: whether it moved, by which share of the full step, and what it came to there."""

    accepted: bool
    share: float  # shrink^k; 0 where nothing was accepted
    tries: int
    gain: float  # of the surrogate; of the last try where nothing was accepted
    divergence: float  # likewise


def line_search(
    parameters: Sequence[Tensor],
    step: Tensor,
    measure: Callable[[], tuple[Tensor, Tensor]],
    *,
    radius: float,
    shrink: float = 0.8,
    tries: int = 10,
) -> Search:
    """Move θ to θ + shrink^k step, for the first k at which the surrogate has grown and the divergence is at most δ.

    Where there is none θ is put back, bit for bit. A gain or a divergence that is not a number is never accepted.

    Args:
        parameters: θ, changed in place.
        step: the full step [P].
        measure: the surrogate [] to maximise and the mean divergence [] from where the search began.
        radius: δ.
        shrink: by what the step is multiplied after a try that failed, between 0 and 1.
        tries: k is at most this less one.

    Raises:
        ValueError: `radius` or `tries` is not above 0, or `shrink` lies outside of (0, 1).

    Source: Schulman et al. (2015), Trust region policy optimization, appendix C.
    """
    _check.positive(radius=radius, tries=tries)
    if not 0.0 < shrink < 1.0:
        raise ValueError(f"shrink must lie between 0 and 1, got {shrink}")
    with torch.no_grad():
        began, surrogate = [p.clone() for p in parameters], measure()[0]
        moves = [
            part.view_as(p) for part, p in zip(step.split([p.numel() for p in parameters]), parameters, strict=True)
        ]
        gain = divergence = 0.0
        for k in range(tries):
            for p, start, move in zip(parameters, began, moves, strict=True):
                p.copy_(start + shrink**k * move)
            after, apart = measure()
            gain, divergence = float(after - surrogate), float(apart)
            if gain > 0.0 and divergence <= radius:
                return Search(True, shrink**k, k + 1, gain, divergence)
        for p, start in zip(parameters, began, strict=True):
            p.copy_(start)
    return Search(False, 0.0, tries, gain, divergence)


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """All numbers of some tensors in one vector [P], in their order."""
    return torch.cat([x.reshape(-1) for x in tensors])
