"""One gradient step of DQN or QR-DQN compiled by Numba, for small perceptrons. Plain arrays in, plain arrays out.

Matrices and flat memory are those of `operant.control.kernels`: one row per unit, one column ("lane") per sample.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from operant.control.kernels import (
    _adam,  # pyright: ignore[reportPrivateUsage]
    _gather,  # pyright: ignore[reportPrivateUsage]
    _lanes,  # pyright: ignore[reportPrivateUsage]
    _square,  # pyright: ignore[reportPrivateUsage]
    _units,  # pyright: ignore[reportPrivateUsage]
    backward,
    forward,
)
from operant.data.compiled import inner, inner_counted, outer

Array = np.ndarray
Real = float | np.floating[Any]


@inner
def _expected(z: Array, actions: int, atoms: int, a: int, p: int) -> Real:
    """The value of action `a` in lane `p` of outputs z [actions · atoms, n]: the mean of its quantiles, or the one."""
    total = np.float32(0.0)
    for k in range(atoms):
        total += z[a * atoms + k, p]
    return total / np.float32(atoms)


@inner
def _best(z: Array, actions: int, atoms: int, allowed: Array, p: int, s: int) -> int:
    """The first action of the largest value in lane `p`, of those that row `s` of `allowed` has; of all if none is."""
    count = 0
    if allowed.shape[0] > 0:
        for a in range(actions):
            count += allowed[s, a] != np.float32(0.0)
    found, top = -1, np.float32(0.0)
    for a in range(actions):
        if count == 0 or allowed[s, a] != np.float32(0.0):
            value = _expected(z, actions, atoms, a, p)
            if found < 0 or value > top:
                found, top = a, value
    return found


@inner_counted
def _follow(
    theta: Array, judge: Array, sizes: Array, relu: bool, atoms: int, double: bool, next_obs: Array, allowed: Array,
    reward: Array, discount: Array, terminated: Array, index: Array, y: Array,
) -> None:  # fmt: skip
    """Fill y [B, atoms] = r + γ^m Z'(s', a*), r alone where terminated; a* is best by `theta` where `double`."""
    width, k = _lanes(sizes), sizes[-1]
    acts = np.empty(_units(sizes) * width, np.float32)
    chosen = np.empty(width, np.int64)
    for start in range(0, index.size, width):
        n = min(width, index.size - start)
        at = n * (_units(sizes) - k)
        if double:
            _gather(next_obs, index[start : start + n], acts)
            forward(theta, sizes, relu, acts, n)
            z = acts[at : at + k * n].reshape((k, n))
            for p in range(n):
                chosen[p] = _best(z, k // atoms, atoms, allowed, p, start + p)
        _gather(next_obs, index[start : start + n], acts)
        forward(judge, sizes, relu, acts, n)
        z = acts[at : at + k * n].reshape((k, n))
        for p in range(n):
            s = start + p
            a = chosen[p] if double else _best(z, k // atoms, atoms, allowed, p, s)
            for j in range(atoms):
                y[s, j] = reward[s] + (np.float32(0.0) if terminated[s] else discount[s] * z[a * atoms + j, p])


@inner
def _quantile_slopes(mine: Array, target: Array, slope: Array) -> Real:
    """Σ_i mean_j |τ_i − 1{u_ij < 0}| L(u_ij), u_ij = target_j − mine_i, and in `slope` [K] its derivative by mine_i."""
    count = mine.size
    loss, one = np.float32(0.0), np.float32(1.0)
    for i in range(count):
        tau = np.float32((i + 0.5) / count)
        value, pull, x = np.float32(0.0), np.float32(0.0), mine[i]
        for j in range(count):
            u = target[j] - x
            weight = one - tau if u < np.float32(0.0) else tau
            held = -one if u < -one else (one if u > one else u)
            value += weight * held * (u - np.float32(0.5) * held)
            pull += weight * held
        loss += value / np.float32(count)
        slope[i] = -pull / np.float32(count)
    return loss


@outer
def value_step(
    theta: Array, grad: Array, first: Array, second: Array, step: int, judge: Array, sizes: Array, relu: bool,
    quantiles: int, double: bool, squared: bool, obs: Array, action: Array, reward: Array, discount: Array,
    terminated: Array, next_obs: Array, allowed: Array, weight: Array, max_norm: Real, adam: Array, error: Array,
    metrics: Array,
) -> None:  # fmt: skip
    """One step of Adam down mean w L(Q(s, a) − y), or down the quantile-Huber loss of Z(s, a).

    Args:
        theta, grad, first, second: [P] float32, flat: parameters, scratch, Adam's moments; `step` counts its steps.
        judge: [P] float32, the network that judges what follows; may be `theta`.
        sizes: [L+1] int64 widths; `relu`, else tanh.
        quantiles: K, numbers for each action of QR-DQN; 0 for values.
        double: whether `theta` chooses the action behind.
        squared: whether L is ½ δ², else Huber's with threshold 1; of values.
        obs, next_obs: [B, D] float32, normalised; `action` [B] int64; `reward`, `discount` [B] float32; `terminated`
            [B] bool; `weight` [B] float32.
        allowed: [B, A] float32, 0 where an action is masked at `next_obs`; without rows where none is.
        max_norm: bound on the norm of the gradient.
        adam: [4] float64: lr, β1, β2, ε.
        error: [B] float32, filled with |δ|, or of QR-DQN with the loss.
        metrics: [4] float64, filled with loss, mean error, mean Q(s, a) and the norm of the gradient.
    """
    count, k, width, atoms = obs.shape[0], sizes[-1], _lanes(sizes), max(quantiles, 1)
    index = np.arange(count)
    y = np.empty((count, atoms), np.float32)
    _follow(theta, judge, sizes, relu, atoms, double, next_obs, allowed, reward, discount, terminated, index, y)
    acts, deltas = np.empty(_units(sizes) * width, np.float32), np.empty(_units(sizes) * width, np.float32)
    mine, slope, one = np.empty(atoms, np.float32), np.empty(atoms, np.float32), np.float32(1.0)
    for i in range(grad.size):
        grad[i] = np.float32(0.0)
    for i in range(4):
        metrics[i] = 0.0
    for start in range(0, count, width):
        n = min(width, count - start)
        _gather(obs, index[start : start + n], acts)
        forward(theta, sizes, relu, acts, n)
        at = n * (_units(sizes) - k)
        z, delta = acts[at : at + k * n].reshape((k, n)), deltas[at : at + k * n].reshape((k, n))
        delta[:] = np.float32(0.0)
        for p in range(n):
            s = start + p
            own, share = action[s] * atoms, weight[s] / np.float32(count)
            if quantiles > 0:
                for i in range(atoms):
                    mine[i] = z[own + i, p]
                loss = _quantile_slopes(mine, y[s], slope)
                for i in range(atoms):
                    delta[own + i, p] = share * slope[i]
                error[s] = loss
            else:
                off = z[own, p] - y[s, 0]
                held = off if squared else (-one if off < -one else (one if off > one else off))
                loss = held * (off - np.float32(0.5) * held)
                delta[own, p] = share * held
                error[s] = abs(off)
            metrics[0] += weight[s] * loss
            metrics[1] += error[s]
            metrics[2] += _expected(z, k // atoms, atoms, action[s], p)
        backward(theta, grad, sizes, relu, acts, deltas, n)
    for i in range(3):
        metrics[i] /= count
    metrics[3] = math.sqrt(_square(grad))
    scale = max_norm / (metrics[3] + 1e-6)
    _adam(theta, grad, first, second, np.float32(1.0 if scale > 1.0 else scale), adam, step + 1)
