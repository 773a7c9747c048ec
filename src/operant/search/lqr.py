"""The linear-quadratic regulator in closed form: finite and infinite horizon, discrete and continuous time.

Dynamics x' = A x + B u (or dx/dt = A x + B u), cost Σ (or ∫) xᵀQx + uᵀRu + 2xᵀNu. The optimal control is linear,
u = −K x, and its cost from x is xᵀP x, where P solves a Riccati equation. Shapes: A [n, n], B [n, m], Q [n, n],
R [m, m], N [n, m], P [n, n], K [m, n].

Source: Anderson and Moore (1990), Optimal control: linear quadratic methods; the doubling algorithm Chu, Fan, Lin and
Wang (2004); the matrix sign function Roberts (1980); the Hamiltonian's exponential Vaughan (1969).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm

Matrix = NDArray[np.float64]
CLOSE = 1e-13
"""Where an iteration has stopped to move, as a share of the largest entry."""
MOST = 100
UNSTABLE = "no control stabilises the system: its cost is infinite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regulator:
    """The optimal linear control.

    Attributes:
        gain: K [m, n]; of a finite horizon [T, m, n], by step.
        cost: P [n, n]; of a finite horizon [T+1, n, n], the cost to go from each step.
    """

    gain: Matrix
    cost: Matrix

    def control(self, state: ArrayLike, step: int = 0) -> Matrix:
        """u = −K x of states [..., n], at a step of a finite horizon."""
        gain = self.gain[step] if self.gain.ndim == 3 else self.gain
        return -np.asarray(state, np.float64) @ gain.T

    def expected_cost(self, state: ArrayLike) -> Matrix:
        """xᵀP x [...] of states [..., n] in which it begins."""
        x, cost = np.asarray(state, np.float64), self.cost[0] if self.cost.ndim == 3 else self.cost
        return np.einsum("...i,ij,...j->...", x, cost, x)


def lqr(
    a: ArrayLike, b: ArrayLike, q: ArrayLike, r: ArrayLike, n: ArrayLike | None = None, *, discount: float = 1.0
) -> Regulator:
    """The regulator of an infinite horizon in discrete time, by doubling: P = Q + AᵀPA − (AᵀPB + N)(R + BᵀPB)⁻¹(…)ᵀ.

    Each step of the algorithm doubles the horizon that it has solved. With a discount γ the dynamics are √γ A, √γ B.

    Raises:
        ValueError: if shapes do not fit, Q or R is not symmetric, R is not positive definite, or no control stabilises
            the system.
    """
    ma, mb, mq, mr, mn = _checked(a, b, q, r, n, discount)
    inner = np.linalg.solve(mr, mn.T)  # without the cross term: u = v − R⁻¹Nᵀx
    moved, weight, eye = ma - mb @ inner, mq - mn @ inner, np.eye(len(ma))
    f, g, h = moved, mb @ np.linalg.solve(mr, mb.T), weight
    for _ in range(MOST):
        with np.errstate(over="ignore", invalid="ignore"):  # so does a cost that has no bound
            solved = np.linalg.solve(eye + g @ h, np.concatenate([f, g], 1))
            behind, over = solved[:, : len(ma)], solved[:, len(ma) :]
            step = f.T @ h @ behind
            f, g, h = f @ behind, g + f @ over @ f.T, h + step
        if not all(np.isfinite(x).all() for x in (f, g, h)):
            break
        h = 0.5 * (h + h.T)
        if np.abs(step).max() <= CLOSE * max(1.0, np.abs(h).max()):
            gain: Any = np.linalg.solve(mr + mb.T @ h @ mb, mb.T @ h @ ma + mn.T)
            return Regulator(gain=gain, cost=_stable(h, np.abs(np.linalg.eigvals(ma - mb @ gain)).max() < 1.0))
    raise ValueError(UNSTABLE)


def finite_lqr(
    a: ArrayLike, b: ArrayLike, q: ArrayLike, r: ArrayLike, n: ArrayLike | None = None, *, horizon: int,
    last: ArrayLike | None = None, discount: float = 1.0,
) -> Regulator:  # fmt: skip
    """The regulator of so many steps in discrete time, backwards from the last state's cost xᵀ`last` x (0 if None).

    Raises:
        ValueError: as `lqr`, but for stability.
    """
    ma, mb, mq, mr, mn = _checked(a, b, q, r, n, discount)
    cost = np.zeros((horizon + 1, *mq.shape))
    gain = np.zeros((horizon, *mb.T.shape))
    cost[-1] = 0.0 if last is None else np.asarray(last, np.float64)
    for t in range(horizon - 1, -1, -1):
        p = cost[t + 1]
        gain[t] = np.linalg.solve(mr + mb.T @ p @ mb, mb.T @ p @ ma + mn.T)
        p = mq + ma.T @ p @ ma - (ma.T @ p @ mb + mn) @ gain[t]
        cost[t] = 0.5 * (p + p.T)
    return Regulator(gain=gain, cost=cost)


def continuous_lqr(a: ArrayLike, b: ArrayLike, q: ArrayLike, r: ArrayLike, n: ArrayLike | None = None) -> Regulator:
    """The regulator of an infinite horizon in continuous time: AᵀP + PA − (PB + N)R⁻¹(PB + N)ᵀ + Q = 0.

    P spans, with the identity, the stable subspace of the Hamiltonian matrix, which its matrix sign function projects
    on; the sign is found by Newton's iteration.

    Raises:
        ValueError: as `lqr`.
    """
    ma, mb, mq, mr, mn = _checked(a, b, q, r, n)
    sign, size = hamiltonian(ma, mb, mq, mr, mn), len(ma)
    for _ in range(MOST):
        scale = float(np.exp(-np.linalg.slogdet(sign)[1] / len(sign)))  # Byers (1987): brings it close to its sign
        if not 0.0 < scale < np.inf:
            break
        new = 0.5 * (scale * sign + np.linalg.inv(sign) / scale)
        moved, sign = np.abs(new - sign).max(), new
        if moved <= 1e3 * CLOSE * max(1.0, np.abs(sign).max()):
            w = sign + np.eye(2 * size)  # (W + I) [I; P] = 0 on the stable subspace
            p = -np.linalg.lstsq(w[:, size:], w[:, :size], rcond=None)[0]
            p = 0.5 * (p + p.T)
            gain: Any = np.linalg.solve(mr, mb.T @ p + mn.T)
            return Regulator(gain=gain, cost=_stable(p, np.linalg.eigvals(ma - mb @ gain).real.max() < 0.0))
    raise ValueError(UNSTABLE)


def continuous_cost(
    a: ArrayLike, b: ArrayLike, q: ArrayLike, r: ArrayLike, n: ArrayLike | None = None, *, time: float,
    last: ArrayLike | None = None,
) -> Matrix:  # fmt: skip
    """P [n, n] of a horizon of so many seconds in continuous time, by the exponential of the Hamiltonian.

    Raises:
        ValueError: as `lqr`, but for stability.
    """
    ma, mb, mq, mr, mn = _checked(a, b, q, r, n)
    size = len(ma)
    flow = expm(-hamiltonian(ma, mb, mq, mr, mn) * time)  # from the end back to the beginning
    end = np.zeros_like(mq) if last is None else np.asarray(last, np.float64)
    top, bottom = flow[:size, :size] + flow[:size, size:] @ end, flow[size:, :size] + flow[size:, size:] @ end
    p = np.linalg.solve(top.T, bottom.T).T
    return 0.5 * (p + p.T)


def hamiltonian(a: Matrix, b: Matrix, q: Matrix, r: Matrix, n: Matrix) -> Matrix:
    """The matrix [2n, 2n] that moves state and costate: [[A − BR⁻¹Nᵀ, −BR⁻¹Bᵀ], [−Q + NR⁻¹Nᵀ, −(A − BR⁻¹Nᵀ)ᵀ]]."""
    inner = np.linalg.solve(r, n.T)
    moved = a - b @ inner
    return np.block([[moved, -b @ np.linalg.solve(r, b.T)], [-(q - n @ inner), -moved.T]])


def _checked(
    a: ArrayLike, b: ArrayLike, q: ArrayLike, r: ArrayLike, n: ArrayLike | None, discount: float = 1.0
) -> tuple[Matrix, Matrix, Matrix, Matrix, Matrix]:
    """The matrices as such, their shapes held against each other; A and B times √γ."""
    ma, mb, mq, mr = (np.atleast_2d(np.asarray(x, np.float64)) for x in (a, b, q, r))
    size, controls = len(ma), mb.shape[1]
    mn = np.zeros((size, controls)) if n is None else np.atleast_2d(np.asarray(n, np.float64))
    square, wide = (size, size), (size, controls)
    named = (("A", ma, square), ("B", mb, wide), ("Q", mq, square), ("R", mr, (controls, controls)), ("N", mn, wide))
    for name, x, wanted in named:
        if x.shape != wanted or not np.isfinite(x).all():
            raise ValueError(f"{name} is {x.shape} or not finite: give finite numbers of shape {wanted}")
    for name, x in (("Q", mq), ("R", mr)):
        if not np.allclose(x, x.T):
            raise ValueError(f"{name} is not symmetric: give ({name} + {name}ᵀ)/2, which costs the same")
    if np.linalg.eigvalsh(mr).min() <= 0.0:
        raise ValueError("R is not positive definite: a control must cost something")
    return np.sqrt(discount) * ma, np.sqrt(discount) * mb, mq, mr, mn


def _stable(cost: Matrix, stable: Any) -> Matrix:
    if not stable:
        raise ValueError(UNSTABLE)
    return cost
