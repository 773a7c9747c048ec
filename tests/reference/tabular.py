"""The book's boxes as plain Python loops over dictionaries of transitions: slow, and readable beside the page.

Each takes recorded transitions (state, row, reward, following, terminated, chosen), where `chosen` is the row that was
chosen next (-1 at the end), and returns the table after them; so an algorithm is checked apart from what it chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Step(NamedTuple):
    """One transition and what was chosen behind it."""

    state: int
    row: int
    reward: float
    following: int
    terminated: bool
    chosen: int


def rows_of(pointer: Sequence[int], state: int) -> range:
    """Rows of a state."""
    return range(pointer[state], pointer[state + 1])


def soft(q: Floats, pointer: Sequence[int], state: int, epsilon: float) -> dict[int, float]:
    """π(row) of the ε-greedy policy that shares the greedy mass."""
    rows = rows_of(pointer, state)
    best = [row for row in rows if q[row] == max(q[r] for r in rows)]
    return {row: epsilon / len(rows) + (1 - epsilon) / len(best) * (row in best) for row in rows}


def q_learning(steps: Sequence[Step], q: Floats, pointer: Sequence[int], *, alpha: float, gamma: float) -> Floats:
    """Section 6.5."""
    q = q.copy()
    for step in steps:
        best = 0.0 if step.terminated else max(q[row] for row in rows_of(pointer, step.following))
        q[step.row] += alpha * (step.reward + gamma * best - q[step.row])
    return q


def sarsa(steps: Sequence[Step], q: Floats, *, alpha: float, gamma: float) -> Floats:
    """Section 6.4; the choice is there also where the episode was cut."""
    q = q.copy()
    for step in steps:
        value = 0.0 if step.terminated else q[step.chosen]
        q[step.row] += alpha * (step.reward + gamma * value - q[step.row])
    return q


def expected_sarsa(
    steps: Sequence[Step], q: Floats, pointer: Sequence[int], *, alpha: float, gamma: float, epsilon: float
) -> Floats:
    """Section 6.6."""
    q = q.copy()
    for step in steps:
        value = 0.0
        if not step.terminated:
            value = sum(p * q[row] for row, p in soft(q, pointer, step.following, epsilon).items())
        q[step.row] += alpha * (step.reward + gamma * value - q[step.row])
    return q


def q_sigma(
    episode: Sequence[Step], q: Floats, pointer: Sequence[int], *, n: int, sigma: float, alpha: float, gamma: float,
    epsilon: float,
) -> Floats:  # fmt: skip
    """Sections 7.2, 7.5, 7.6 for an episode that terminates: times as in the boxes."""
    q = q.copy()
    end = len(episode)
    for now in range(end + n - 1):
        start = now - n + 1
        if start < 0:
            continue
        horizon = min(start + n, end)
        total = 0.0 if horizon == end else q[episode[horizon].row]
        for k in range(horizon, start, -1):
            if k < end:
                policy = soft(q, pointer, episode[k].state, epsilon)
                others = sum(p * q[row] for row, p in policy.items() if row != episode[k].row)
                tree = others + policy[episode[k].row] * total
                total = sigma * total + (1 - sigma) * tree
            total = episode[k - 1].reward + gamma * total
        q[episode[start].row] += alpha * (total - q[episode[start].row])
    return q


def sarsa_lambda(episode: Sequence[Step], q: Floats, *, lam: float, alpha: float, gamma: float, kind: str) -> Floats:
    """Section 12.7 with a dense vector of traces."""
    q, e = q.copy(), np.zeros(len(q))
    for step in episode:
        delta = step.reward + (0.0 if step.terminated else gamma * q[step.chosen]) - q[step.row]
        e[step.row] = {"accumulating": e[step.row] + 1, "replacing": 1, "dutch": (1 - alpha) * e[step.row] + 1}[kind]
        q += alpha * delta * e
        e *= gamma * lam
    return q


def watkins(
    episode: Sequence[Step], q: Floats, pointer: Sequence[int], *, lam: float, alpha: float, gamma: float
) -> Floats:
    """Section 12.10 with a dense vector of replacing traces."""
    q, e = q.copy(), np.zeros(len(q))
    for step in episode:
        best = 0.0 if step.terminated else max(q[row] for row in rows_of(pointer, step.following))
        greedy = step.terminated or q[step.chosen] == best
        delta = step.reward + gamma * best - q[step.row]
        e[step.row] = 1.0
        q += alpha * delta * e
        e *= gamma * lam if greedy else 0.0
    return q


def td_lambda(episode: Sequence[Step], v: Floats, *, lam: float, alpha: float, gamma: float, kind: str) -> Floats:
    """Section 12.2 with a dense vector of traces; terminal entries of v are their values."""
    v, e = v.copy(), np.zeros(len(v))
    for step in episode:
        delta = step.reward + gamma * v[step.following] - v[step.state]
        at = step.state
        e[at] = {"accumulating": e[at] + 1, "replacing": 1.0, "dutch": (1 - alpha) * e[at] + 1}[kind]
        v += alpha * delta * e
        e *= gamma * lam
    return v


def online_lambda_return(episode: Sequence[Step], v: Floats, *, lam: float, alpha: float, gamma: float) -> Floats:
    """Section 12.4: at each horizon h all updates of the episode are made again, from its beginning, with truncated
    λ-returns whose n-step returns bootstrap from the values of their own horizon's sweep. True online TD(λ) equals it.
    """
    first = v.copy()
    values = [first]  # values[h] = w_h^h
    for h in range(1, len(episode) + 1):
        now = first.copy()
        for t in range(h):
            total, weight = 0.0, 1.0
            rewards = 0.0
            for n in range(1, h - t + 1):
                rewards += gamma ** (n - 1) * episode[t + n - 1].reward
                n_step = rewards + gamma**n * values[t + n - 1][episode[t + n - 1].following]
                share = weight * (1 - lam) if t + n < h else weight
                total += share * n_step
                weight *= lam
            now[episode[t].state] += alpha * (total - now[episode[t].state])
        values.append(now)
    return values[-1]
