"""Reductions, baselines and losses, one number at a time, in plain Python. Arrays in, floats or arrays out."""

from __future__ import annotations

import math

import numpy as np


# ------------------------------------------------------------------ reductions
def token_mean(x, mask):
    picked = [float(v) for v, m in zip(np.ravel(x), np.ravel(mask), strict=True) if m]
    return sum(picked) / max(len(picked), 1)


def sequence_mean(x, mask):
    means = [token_mean(row, keep) for row, keep in zip(np.asarray(x), np.asarray(mask), strict=True) if any(keep)]
    return sum(means) / max(len(means), 1)


def fixed(x, mask, length):
    return sum(float(v) for v, m in zip(np.ravel(x), np.ravel(mask), strict=True) if m) / (len(x) * length)


# ------------------------------------------------------------------ baselines
def _members(ret, group, i):
    return [float(r) for r, g in zip(ret, group, strict=True) if g == group[i]]


def group_mean(ret, group):
    return np.array([np.mean(_members(ret, group, i)) for i in range(len(ret))])


def leave_one_out(ret, group):
    others = [[float(ret[j]) for j in range(len(ret)) if group[j] == group[i] and j != i] for i in range(len(ret))]
    return np.array([sum(o) / len(o) for o in others])


def normalised_sum(reward, group, weight, eps):
    total = np.zeros(len(reward))
    for i, row in enumerate(reward):
        for k, w in enumerate(weight):
            given = [x for x in _members(reward[:, k], group, i) if not math.isnan(x)]
            if not math.isnan(row[k]):
                std = math.sqrt(sum((x - np.mean(given)) ** 2 for x in given) / max(len(given) - 1, 1))
                total[i] += w * (row[k] - np.mean(given)) / (std + eps)
    return total


def group_scale(ret, group, eps):
    def std(values):
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    return np.array([std(_members(ret, group, i)) + eps for i in range(len(ret))])


def whiten(x, mask, eps):
    x, mask = np.asarray(x), np.asarray(mask)
    picked = x[mask]
    out = np.zeros_like(x)
    if len(picked):
        std = float(np.std(picked, ddof=1)) if len(picked) > 1 else 0.0
        out[mask] = [(v - picked.mean()) / (std + eps) for v in picked]
    return out


# ------------------------------------------------------------------ objectives: the loss at each step
def each(function, *arrays):
    return np.vectorize(function, otypes=[float])(*[np.asarray(a) for a in arrays])


def clipped_surrogate(logp, old_logp, adv, clip, clip_high):
    def one(new, old, a):
        ratio = math.exp(new - old)
        if a > 0:  # nothing to gain above 1 + clip_high
            return -a * min(ratio, 1.0 + clip_high)
        return -a * max(ratio, 1.0 - clip)

    return each(one, logp, old_logp, adv)


def cispo(logp, old_logp, adv, max_ratio):
    return each(lambda new, old, a: -min(math.exp(new - old), max_ratio) * a * new, logp, old_logp, adv)


def huber(error):
    return each(lambda e: 0.5 * e * e if abs(e) <= 1.0 else abs(e) - 0.5, error)


def clipped_value_loss(value, old_value, target, clip):
    def one(v, old, goal):
        clipped = min(max(v, old - clip), old + clip)
        return 0.5 * max((v - goal) ** 2, (clipped - goal) ** 2)

    return each(one, value, old_value, target)


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def cdpo(chosen, rejected, ref_chosen, ref_rejected, beta, flipped):
    def one(w, l, rw, rl):
        margin = beta * ((w - rw) - (l - rl))
        return -(1.0 - flipped) * math.log(sigmoid(margin)) - flipped * math.log(sigmoid(-margin))

    return each(one, chosen, rejected, ref_chosen, ref_rejected)


def ipo(chosen, rejected, ref_chosen, ref_rejected, beta):
    return each(
        lambda w, l, rw, rl: ((w - rw) - (l - rl) - 1.0 / (2.0 * beta)) ** 2, chosen, rejected, ref_chosen, ref_rejected
    )


def kto(logp, ref_logp, desirable, point, beta, weight_d, weight_u):
    def one(new, ref, good):
        reward = new - ref
        if good:
            return weight_d - weight_d * sigmoid(beta * (reward - max(point, 0.0)))
        return weight_u - weight_u * sigmoid(beta * (max(point, 0.0) - reward))

    return each(one, logp, ref_logp, desirable)


# ------------------------------------------------------------------ comparisons
def bradley_terry(chosen, rejected, margin):
    return each(lambda w, l, m: -math.log(sigmoid(w - l - m)), chosen, rejected, np.broadcast_to(margin, chosen.shape))


def soft_label(first, second, probability):
    return each(
        lambda a, b, p: -p * math.log(sigmoid(a - b)) - (1 - p) * math.log(sigmoid(b - a)), first, second, probability
    )


def ranking(score, rank, present):
    """Each prompt's mean over its pairs, and which prompts have one."""
    found, some = [], []
    for s, r, there in zip(score, rank, present, strict=True):
        k = range(len(s))
        pairs = [(i, j) for i in k for j in k if there[i] and there[j] and r[i] < r[j]]
        some.append(bool(pairs))
        found.append(sum(-math.log(sigmoid(s[i] - s[j])) for i, j in pairs) / max(len(pairs), 1))
    return np.array(found), np.array(some)


def step_correctness(logit, correct):
    return each(lambda z, y: -y * math.log(sigmoid(z)) - (1 - y) * math.log(sigmoid(-z)), logit, correct)


def rdpo(chosen, rejected, ref_chosen, ref_rejected, beta, flipped):
    def one(w, l, rw, rl):
        margin = beta * ((w - rw) - (l - rl))
        return (-(1 - flipped) * math.log(sigmoid(margin)) + flipped * math.log(sigmoid(-margin))) / (1 - 2 * flipped)

    return each(one, chosen, rejected, ref_chosen, ref_rejected)


def hinge(chosen, rejected, ref_chosen, ref_rejected, beta):
    return each(
        lambda w, l, rw, rl: max(0.0, 1 - beta * ((w - rw) - (l - rl))), chosen, rejected, ref_chosen, ref_rejected
    )


def group_weights(weight, loss, count, step, adjustment):
    new = [a * math.exp(step * (l + adjustment / math.sqrt(n))) for a, l, n in zip(weight, loss, count, strict=True)]
    return np.array(new) / sum(new)
