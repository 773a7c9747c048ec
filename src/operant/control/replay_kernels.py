"""What stands between the products of an update of DDPG, TD3 and SAC, compiled by Numba: arrays in, arrays out.

An update is some thirty products of matrices and, in torch, two hundred small operations between them, which on small
batches take as long. Everything is computed in the type of the arrays, so that float64 checks what float32 does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operant.control.kernels import (
    _adam,  # pyright: ignore[reportPrivateUsage]
    log_slope,
)
from operant.data.compiled import outer

Array = np.ndarray
Real = float | np.floating[Any]


@outer
def drawn(out: Array, noise: Array, known: Array) -> tuple[Array, Array, Array, Array]:
    """Actions of a squashed normal policy: a = tanh u, u = mean + deviation · noise.

    Args:
        out: [B, 2 A], means beside log deviations, as the network gives them.
        noise: [B, A], standard normal.
        known: [5] of the type of `out`: what is added to a log deviation, the bounds of it, log 2 and ½ log 2π.

    Returns:
        a [B, A], log π(a|s) [B], deviation · noise [B, A], and 0 where a log deviation is at a bound [B, A], else 1.
    """
    size, count = noise.shape
    action, spread, free = np.empty((size, count), out.dtype), np.empty((size, count), out.dtype), np.ones_like(noise)
    logp = np.zeros(size, out.dtype)
    half = np.float32(0.5)
    for p in range(size):
        for a in range(count):
            log_std = out[p, count + a] + known[0]
            if log_std < known[1] or log_std > known[2]:
                log_std, free[p, a] = known[1] if log_std < known[1] else known[2], np.float32(0.0)
            spread[p, a] = np.exp(log_std) * noise[p, a]
            u = out[p, a] + spread[p, a]
            action[p, a] = np.tanh(u)
            logp[p] -= half * noise[p, a] * noise[p, a] + log_std + known[4] + log_slope(u, known[3])
    return action, logp, spread, free


@outer
def judged(
    q: Array, next_q: Array, next_cost: Array, reward: Array, discount: Array, terminated: Array, weight: Array,
    delta: Array, error: Array,
) -> tuple[Real, Real]:  # fmt: skip
    """What critics are wrong by: off_k = Q_k − y, y = r + γ (min_k Q'_k − cost), r alone where terminated.

    Args:
        q, next_q: [N, B].
        next_cost: [B], α log π(a'|s'), or without rows where entropy is worth nothing.
        reward, discount, terminated, weight: [B].
        delta: [N, B], filled with w off / B: the slope of Σ_k mean w ½ off².
        error: [B], filled with mean_k |off_k|.

    Returns:
        Σ_k mean w ½ off², and the mean of Q.
    """
    critics, size = q.shape
    loss, total = 0.0, 0.0
    for p in range(size):
        y = reward[p]
        if not terminated[p]:
            least = next_q[0, p]
            for k in range(1, next_q.shape[0]):
                least = next_q[k, p] if next_q[k, p] < least or next_q[k, p] != next_q[k, p] else least
            y += discount[p] * (least - next_cost[p] if next_cost.size > 0 else least)
        far = q[0, p] - q[0, p]
        for k in range(critics):
            off = q[k, p] - y
            far += abs(off)
            delta[k, p] = off * weight[p] / np.float32(size)
            loss += 0.5 * off * off * weight[p]
            total += q[k, p]
        error[p] = far / np.float32(critics)
    return loss / size, total / (critics * size)


@outer
def lowest(q: Array) -> tuple[Array, Array, Real, bool]:
    """The rows [B] in the order of the critic that is the lowest there, where the rows of each end [N], min's mean.

    And whether two are the lowest anywhere, or one is no number.
    """
    critics, size = q.shape
    chosen, ends, total, tied = np.zeros(size, np.int64), np.zeros(critics, np.int64), 0.0, False
    for p in range(size):
        for k in range(1, critics):
            tied |= q[k, p] == q[chosen[p], p] or q[k, p] != q[k, p] or q[0, p] != q[0, p]
            chosen[p] = k if q[k, p] < q[chosen[p], p] else chosen[p]
        total += q[chosen[p], p]
        ends[chosen[p]] += 1
    order, place = np.empty(size, np.int64), 0
    for k in range(critics):
        for p in range(size):
            if chosen[p] == k:
                order[place] = p
                place += 1
        ends[k] = place
    return order, ends, total / size, tied


@outer
def climbed(slope: Array, action: Array, spread: Array, free: Array, price: Real, delta: Array) -> None:
    """Fill dLoss/d(output) [B, 2 A] of the policy; `slope` [B, A] is dLoss/d(action), `price` α / B.

    log π = log N − Σ log(1 − tanh² u), u = mean + spread: by u it is 2 tanh u, by a log deviation −1 besides.
    """
    size, count = action.shape
    one, two = np.float32(1.0), np.float32(2.0)
    for p in range(size):
        for a in range(count):
            by_u = two * price * action[p, a] + slope[p, a] * (one - action[p, a] * action[p, a])
            delta[p, a] = by_u
            delta[p, count + a] = (by_u * spread[p, a] - price) * free[p, a]


@outer
def adam(theta: Array, grad: Array, first: Array, second: Array, rates: Array, step: int) -> None:
    """One step of `torch.optim.Adam` on flat arrays [P], the `step`-th from 1 on; rates = (lr, β1, β2, ε)."""
    _adam(theta, grad, first, second, theta.dtype.type(1.0), rates, step)
