"""Returns and advantages as they are defined: forward sums, one decision at a time, in plain Python."""

from __future__ import annotations

import math

import numpy as np


def reverse_scan(b, a):
    """x_t = b_t + a_t x_{t+1}."""
    b, a = np.asarray(b), np.asarray(a)
    x = np.zeros_like(b)
    for index in np.ndindex(b.shape[:-1]):
        carry = 0.0
        for t in reversed(range(b.shape[-1])):
            carry = b[index][t] + a[index][t] * carry
            x[index][t] = carry
    return x


def successor(value, terminated, truncated, acted, t):
    """What follows the decision at t in one row: (the next value, the step of the next decision or None)."""
    T = len(acted)
    for k in range(t, T):
        if k > t and acted[k]:
            return value[k], k
        if terminated[k]:
            return 0.0, None
        if truncated[k]:
            return value[k + 1], None
    return value[T], None


def _each_decision(acted, one):
    """[N, T]: one(n, t) at each decision, 0 elsewhere."""
    out = np.zeros(acted.shape)
    for n, t in np.ndindex(acted.shape):
        if acted[n, t]:
            out[n, t] = one(n, t)
    return out


def _numpy(*arrays):
    return [np.asarray(x) for x in arrays]


def n_step(reward, value, terminated, truncated, acted, n, discount):
    reward, value, terminated, truncated, acted = _numpy(reward, value, terminated, truncated, acted)
    discount = np.broadcast_to(np.asarray(discount, float), reward.shape)

    def one(i, t):
        total, weight = 0.0, 1.0
        for _ in range(n):
            total, weight = total + weight * reward[i, t], weight * discount[i, t]
            following, t = successor(value[i], terminated[i], truncated[i], acted[i], t)
            if t is None:
                break
        return total + weight * following

    return _each_decision(acted, one)


def reward_to_go(reward, terminated, truncated, acted, discount, value=None):
    T = np.asarray(reward).shape[1]
    value = np.zeros((len(reward), T + 1)) if value is None else value
    return n_step(reward, value, terminated, truncated, acted, T + 1, discount)


def gae(reward, value, terminated, truncated, acted, discount, lam):
    reward, value, terminated, truncated, acted = _numpy(reward, value, terminated, truncated, acted)
    discount = np.broadcast_to(np.asarray(discount, float), reward.shape)

    def one(i, t):
        total, weight = 0.0, 1.0
        while t is not None:
            following, k = successor(value[i], terminated[i], truncated[i], acted[i], t)
            total += weight * (reward[i, t] + discount[i, t] * following - value[i, t])
            weight *= discount[i, t] * lam
            t = k
        return total

    return _each_decision(acted, one)


def vtrace(
    logp, behaviour_logp, reward, value, terminated, truncated, acted, discount, clip_rho=1.0, clip_c=1.0, lam=1.0
):
    logp, behaviour_logp, reward, value, terminated, truncated, acted = _numpy(
        logp, behaviour_logp, reward, value, terminated, truncated, acted
    )
    discount = np.broadcast_to(np.asarray(discount, float), reward.shape)

    def ratio(i, t):
        return math.exp(logp[i, t] - behaviour_logp[i, t])

    def error(i, t):  # v_t - V(s_t)
        total, weight = 0.0, 1.0
        while t is not None:
            following, k = successor(value[i], terminated[i], truncated[i], acted[i], t)
            delta = reward[i, t] + discount[i, t] * following - value[i, t]
            total += weight * min(clip_rho, ratio(i, t)) * delta
            weight *= discount[i, t] * lam * min(clip_c, ratio(i, t))
            t = k
        return total

    def advantage(i, t):
        following, k = successor(value[i], terminated[i], truncated[i], acted[i], t)
        target = following + (0.0 if k is None else error(i, k))  # v at the next decision
        mixed = (1.0 - lam) * following + lam * target
        return min(clip_rho, ratio(i, t)) * (reward[i, t] + discount[i, t] * mixed - value[i, t])

    return value[:, :-1] + _each_decision(acted, error), _each_decision(acted, advantage)


def retrace(logp, behaviour_logp, reward, q, value, terminated, truncated, acted, discount, lam=1.0):
    logp, behaviour_logp, reward, q, value, terminated, truncated, acted = _numpy(
        logp, behaviour_logp, reward, q, value, terminated, truncated, acted
    )
    discount = np.broadcast_to(np.asarray(discount, float), reward.shape)

    def error(i, t):
        total, weight = 0.0, 1.0
        while t is not None:
            following, k = successor(value[i], terminated[i], truncated[i], acted[i], t)
            total += weight * (reward[i, t] + discount[i, t] * following - q[i, t])
            if k is not None:
                weight *= discount[i, t] * lam * min(1.0, math.exp(logp[i, k] - behaviour_logp[i, k]))
            t = k
        return total

    return q + _each_decision(acted, error)
