"""Trajectory optimisation where the dynamics are known: iterative LQR, and predictive sampling.

Source: Li and Todorov (2004), Iterative linear quadratic regulator design; Tassa, Erez and Todorov (2012) for the
regularisation and the line search; predictive sampling Howell et al. (2022), arXiv:2212.00541.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import hessian, jacrev, vmap  # pyright: ignore[reportPrivateImportUsage]

Dynamics = Callable[[Tensor, Tensor], Tensor]
"""From a state [n] and a control [m] to the next state [n]; differentiable, and one that `torch.func.vmap` takes."""
Cost = Callable[[Tensor, Tensor], Tensor]
"""Of a state [n] and a control [m], a number []."""
LastCost = Callable[[Tensor], Tensor]
"""Of the last state [n], a number []."""
STEPS = tuple(0.5**k for k in range(11))
"""Shares of a step that the line search tries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Controls, where they lead, and what that costs.

    Attributes:
        controls: [T, m].
        states: [T+1, n].
        cost: [].
        gains: [T, m, n], u + K (x − x̂) follows the plan where the state is another; of sampling 0.
        iterations: that it took.
    """

    controls: Tensor
    states: Tensor
    cost: Tensor
    gains: Tensor
    iterations: int = 0


def rolled(dynamics: Dynamics, cost: Cost, last: LastCost, start: Tensor, controls: Tensor) -> tuple[Tensor, Tensor]:
    """States [T+1, n] under controls [T, m], and what they cost []."""
    states = [start]
    for u in controls:
        states.append(dynamics(states[-1], u))
    total = torch.stack([cost(x, u) for x, u in zip(states[:-1], controls, strict=True)]).sum()
    return torch.stack(states), total + last(states[-1])


def ilqr(
    dynamics: Dynamics, cost: Cost, last: LastCost, start: Tensor, controls: Tensor, *, iterations: int = 100,
    tolerance: float = 1e-8,
) -> Plan:  # fmt: skip
    """Controls of least cost near those that are given, by LQR about the trajectory, again and again.

    A step that costs more is shortened; where none is better the problem is made stiffer (Levenberg and Marquardt), and
    where it cannot be made stiffer that was the end. On a linear-quadratic problem the first step is the last.

    Args:
        dynamics, cost, last: the problem.
        start: [n].
        controls: [T, m], to begin with.
        iterations: at most.
        tolerance: it ends where the cost falls by less than this share.
    """
    states, total = rolled(dynamics, cost, last, start, controls)
    stiff, done, gains = 1e-6, 0, controls.new_zeros(*controls.shape, len(start))
    while done < iterations:
        done += 1
        better = None
        while better is None and stiff < 1e10:
            passed = _backward(dynamics, cost, last, states, controls, stiff)
            if passed is not None:
                gains = passed[1]
                better = _forward(dynamics, cost, last, states, controls, passed, total)
            stiff = max(1e-6, stiff / 4) if better is not None else stiff * 4
        if better is None:
            break
        before, (states, controls, total) = total, better
        if float(before - total) <= tolerance * max(1.0, abs(float(before))):
            break
    return Plan(controls=controls, states=states, cost=total, gains=gains, iterations=done)


def _backward(
    dynamics: Dynamics, cost: Cost, last: LastCost, states: Tensor, controls: Tensor, stiff: float
) -> tuple[Tensor, Tensor] | None:
    """Open-loop steps [T, m] and gains [T, m, n] of the problem about a trajectory; None if it has no minimum."""
    x, u = states[:-1], controls
    fx, fu = vmap(jacrev(dynamics, argnums=(0, 1)))(x, u)
    lx, lu = vmap(jacrev(cost, argnums=(0, 1)))(x, u)
    (lxx, lxu), (_, luu) = vmap(hessian(cost, argnums=(0, 1)))(x, u)
    vx, vxx = jacrev(last)(states[-1]), hessian(last)(states[-1])
    open_loop, gains = torch.zeros_like(u), u.new_zeros(len(u), u.shape[1], x.shape[1])
    eye = torch.eye(u.shape[1], dtype=u.dtype)
    for t in range(len(u) - 1, -1, -1):
        qx, qu = lx[t] + fx[t].T @ vx, lu[t] + fu[t].T @ vx
        qxx, qux = lxx[t] + fx[t].T @ vxx @ fx[t], lxu[t].T + fu[t].T @ vxx @ fx[t]
        quu = luu[t] + fu[t].T @ vxx @ fu[t] + stiff * eye
        factor, info = torch.linalg.cholesky_ex(quu)
        if int(info) != 0:
            return None
        open_loop[t] = -torch.cholesky_solve(qu[:, None], factor)[:, 0]
        gains[t] = -torch.cholesky_solve(qux, factor)
        vx = qx + gains[t].T @ (quu - stiff * eye) @ open_loop[t] + gains[t].T @ qu + qux.T @ open_loop[t]
        vxx = qxx + gains[t].T @ (quu - stiff * eye) @ gains[t] + gains[t].T @ qux + qux.T @ gains[t]
        vxx = 0.5 * (vxx + vxx.T)
    return open_loop, gains


def _forward(
    dynamics: Dynamics, cost: Cost, last: LastCost, states: Tensor, controls: Tensor, passed: tuple[Tensor, Tensor],
    total: Tensor,
) -> tuple[Tensor, Tensor, Tensor] | None:  # fmt: skip
    """The longest step that costs less: states, controls, cost; None where none does."""
    open_loop, gains = passed
    for share in STEPS:
        x, new = states[0], torch.zeros_like(controls)
        for t in range(len(controls)):
            new[t] = controls[t] + share * open_loop[t] + gains[t] @ (x - states[t])
            x = dynamics(x, new[t])
        there, price = rolled(dynamics, cost, last, states[0], new)
        if bool(torch.isfinite(price)) and price < total:
            return there, new, price
    return None


def predictive_sampling(
    dynamics: Dynamics, cost: Cost, last: LastCost, start: Tensor, controls: Tensor, generator: torch.Generator, *,
    samples: int = 64, knots: int = 8, noise: float = 1.0,
) -> Plan:  # fmt: skip
    """The best of so many controls about those that are given, themselves among them: a step of Howell et al.'s.

    Noise of deviation `noise` is drawn at `knots` times and interpolated between.

    Args:
        dynamics, cost, last, start, controls: as `ilqr` has them.
        generator: draws the noise.
        samples: plans that are tried, of which the first is the one that is given.
        knots: times at which noise is drawn.
        noise: its deviation.
    """
    steps, width = controls.shape
    drawn = noise * torch.randn(samples - 1, width, knots, generator=generator, dtype=controls.dtype)
    spread = torch.nn.functional.interpolate(drawn, size=steps, mode="linear", align_corners=True).mT
    tried = torch.cat([controls[None], controls + spread])  # [samples, T, m]
    x, price = start.expand(samples, -1), tried.new_zeros(samples)
    seen = [x]
    for t in range(steps):
        price = price + vmap(cost)(x, tried[:, t])
        x = vmap(dynamics)(x, tried[:, t])
        seen.append(x)
    price = price + vmap(last)(x)
    best = int(price.nan_to_num(nan=torch.inf).argmin())
    none = controls.new_zeros(steps, width, len(start))
    states = torch.stack(seen, 1)[best]
    return Plan(controls=tried[best], states=states, cost=price[best], gains=none, iterations=1)
