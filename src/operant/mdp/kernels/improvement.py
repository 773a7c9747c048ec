# pyright: basic
# Numba compiles these for the arrays that they meet; a type would not tell more than the comment at each array.
"""The policy that a penalty on the largest divergence allows. Arrays: policy, gain, out [O, A]."""

from __future__ import annotations

import numpy as np

from operant.mdp.kernels.bellman import serial

ROUNDS = 60
"""Halvings of each interval, which are of logarithms: beyond them a double tells nothing apart."""


@serial
def penalised(policy, gain, penalty, out):
    """π' that maximises Σ gain π' - penalty · max_o KL(π_o || π'_o); returns that largest divergence.

    For a bound κ on every divergence the states part, and each has π'(a) ∝ π(a) / (s + max gain - gain(a)), with s > 0
    such that its divergence is κ; its multiplier is 1 / Σ_a π(a) / (s + …). At the best κ they sum to the penalty.
    """
    low, high = np.log(1e-14), np.log(50.0)
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        total = 0.0
        for o in range(len(policy)):
            total += bounded(policy[o], gain[o], np.exp(middle), out[o])
        if total > penalty:
            low = middle
        else:
            high = middle
    for o in range(len(policy)):
        bounded(policy[o], gain[o], np.exp(low), out[o])
    return np.exp(low)


@serial
def bounded(policy, gain, bound, out):
    """π' [A] that maximises Σ gain π' with KL(π || π') at most `bound`; returns the multiplier of the bound."""
    top, spread = -np.inf, 0.0
    for a in range(len(policy)):
        if policy[a] > 0:
            top = max(top, gain[a])
    for a in range(len(policy)):
        if policy[a] > 0:
            spread = max(spread, top - gain[a])
    if spread <= 0.0:
        out[:] = policy
        return 0.0
    low, high = np.log(spread) - 40.0, np.log(spread) + 40.0
    for _ in range(ROUNDS):
        s = np.exp((low + high) / 2)
        lost, logs = 0.0, 0.0
        for a in range(len(policy)):
            if policy[a] > 0:
                x = (top - gain[a]) / s
                lost += policy[a] * x / (1 + x)
                logs += policy[a] * np.log1p(x)
        if np.log1p(-lost) + logs > bound:
            low = (low + high) / 2
        else:
            high = (low + high) / 2
    s, total = np.exp(high), 0.0
    for a in range(len(policy)):
        out[a] = policy[a] / (s + (top - gain[a])) if policy[a] > 0 else 0.0
        total += out[a]
    for a in range(len(policy)):
        out[a] /= total
    return 1.0 / total
