"""Losses of offline methods and estimates off policy, one number at a time."""

from __future__ import annotations

import math


def expectile_loss(error, expectile):
    return [(expectile if u >= 0 else 1 - expectile) * u * u for u in error]


def expectile(values, tau):
    """The root of Σ |τ − 1{x < m}| (x − m), by bisection."""
    low, high = min(values), max(values)
    for _ in range(200):
        middle = (low + high) / 2
        slope = sum((tau if x >= middle else 1 - tau) * (x - middle) for x in values)
        low, high = (middle, high) if slope > 0 else (low, middle)
    return middle


def conservative_penalty(q, taken):
    """Of all the values of one state, and which action was taken."""
    return math.log(sum(math.exp(x) for x in q)) - q[taken]


def ordinary(episodes, discount):
    """Episodes of (log π, log μ, r) triples."""
    return _mean([w * _return(e, discount) for e in episodes for w in [_ratio(e)]])


def weighted(episodes, discount):
    weights = [_ratio(e) for e in episodes]
    return sum(w * _return(e, discount) for w, e in zip(weights, episodes, strict=True)) / sum(weights)


def per_decision(episodes, discount, weigh=False):
    total = 0.0
    for t in range(max(map(len, episodes))):
        weights = [_ratio(e[: t + 1]) for e in episodes]
        paid = [w * e[t][2] if t < len(e) else 0.0 for w, e in zip(weights, episodes, strict=True)]
        total += discount**t * sum(paid) / (sum(weights) if weigh else len(episodes))
    return total


def doubly_robust(episodes, q, value, discount):
    """Jiang and Li's recursion from the end; q[i][t], value[i][t] with one more where an episode was cut, else 0."""
    found = []
    for e, qs, vs in zip(episodes, q, value, strict=True):
        carry = vs[len(e)]
        for t in reversed(range(len(e))):
            logp, behaviour, reward = e[t]
            carry = vs[t] + math.exp(logp - behaviour) * (reward + discount * carry - qs[t])
        found.append(carry)
    return _mean(found)


def _ratio(episode):
    return math.exp(sum(p - b for p, b, _ in episode))


def _return(episode, discount):
    return sum(discount**t * r for t, (_, _, r) in enumerate(episode))


def _mean(x):
    return sum(x) / len(x)
