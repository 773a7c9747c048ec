"""Distributions and one-step targets, one number at a time, in plain Python."""

from __future__ import annotations

import math


def softmax(logits):
    top = max(logits)
    weights = [math.exp(l - top) for l in logits]
    return [w / sum(weights) for w in weights]


def categorical_logp(logits, action):
    return math.log(softmax(logits)[action])


def categorical_entropy(logits):
    return -sum(p * math.log(p) for p in softmax(logits) if p > 0)


def categorical_sample(logits, uniform):
    total = 0.0
    chosen = None
    for k, p in enumerate(softmax(logits)):
        if p > 0:
            chosen, total = k, total + p
            if total > uniform:
                return k
    return chosen


def normal_logp(mean, log_std, action):
    return sum(
        -0.5 * ((a - m) / math.exp(s)) ** 2 - s - 0.5 * math.log(2 * math.pi)
        for m, s, a in zip(mean, log_std, action, strict=True)
    )


def normal_entropy(log_std):
    return sum(0.5 * math.log(2 * math.pi * math.e * math.exp(s) ** 2) for s in log_std)


def bernoulli_logp(logits, action):
    return sum(
        math.log(1 / (1 + math.exp(-l)) if a else 1 / (1 + math.exp(l))) for l, a in zip(logits, action, strict=True)
    )


def bernoulli_entropy(logits):
    probabilities = [1 / (1 + math.exp(-l)) for l in logits]
    return -sum(p * math.log(p) + (1 - p) * math.log(1 - p) for p in probabilities)


def kl_categorical(p, q):
    return sum(a * math.log(a / b) for a, b in zip(softmax(p), softmax(q), strict=True))


def kl_normal(mean_p, std_p, mean_q, std_q):
    return sum(
        math.log(b / a) + (a * a + (m - n) ** 2) / (2 * b * b) - 0.5
        for m, a, n, b in zip(mean_p, std_p, mean_q, std_q, strict=True)
    )


def projection(reward, probability, terminated, discount, support):
    """C51's projection with its floor and ceiling, as in the paper's algorithm 1."""
    K, low, high = len(support), support[0], support[-1]
    gap = (high - low) / (K - 1)
    out = [0.0] * K
    for z, p in zip(support, probability, strict=True):
        moved = min(max(reward + (0.0 if terminated else discount * z), low), high)
        place = (moved - low) / gap
        lower, upper = math.floor(place), math.ceil(place)
        if lower == upper:
            out[lower] += p
        else:
            out[lower] += p * (upper - place)
            out[upper] += p * (place - lower)
    return out


def quantile_huber(quantile, target, threshold):
    """QR-DQN's loss pair by pair: summed over the prediction's quantiles, averaged over the target's."""
    total = 0.0
    for i, theta in enumerate(quantile):
        tau = (2 * i + 1) / (2 * len(quantile))
        for other in target:
            u = other - theta
            if threshold == 0:
                size = abs(u)
            elif abs(u) <= threshold:
                size = 0.5 * u * u / threshold
            else:
                size = abs(u) - 0.5 * threshold
            total += abs(tau - (1.0 if u < 0 else 0.0)) * size / len(target)
    return total
