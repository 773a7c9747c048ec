"""The models on which `bench/mdp.py` compares solvers, made with NumPy alone, the same for every side.

Every state has the same number of actions; the rows of terminal states are empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Case:
    """A model with as many actions in every state that is not terminal, and the accuracy asked for."""

    matrix: Any  # [S*A, S] CSR; rows of terminal states are empty
    reward: Any  # [S, A]
    terminal: Any  # [S] bool
    discount: float
    epsilon: float


def _case(successor: Any, probability: Any, reward: Any, terminal: Any, discount: float, epsilon: float) -> Case:
    """From successor [S, A, K] and probability [S, A, K]."""
    states, actions, fan = successor.shape
    probability = np.where(terminal[:, None, None], 0.0, probability)
    row = np.repeat(np.arange(states * actions), fan)
    matrix = sp.coo_array((probability.ravel(), (row, successor.ravel())), shape=(states * actions, states)).tocsr()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return Case(matrix, np.where(terminal[:, None], 0.0, reward), terminal, discount, epsilon)


def grid(states: int, discount: float) -> Case:
    """A square grid: the move succeeds with .8 and slips to either side with .1; random step costs, one goal."""
    side = round(states**0.5)
    rng = np.random.default_rng(0)
    y, x = np.divmod(np.arange(side * side), side)
    step = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
    reached = []
    for dy, dx in step:
        reached.append(np.clip(y + dy, 0, side - 1) * side + np.clip(x + dx, 0, side - 1))
    moved = np.stack(reached, axis=1)  # [S, A]
    successor = np.stack([moved, np.roll(moved, 1, axis=1), np.roll(moved, -1, axis=1)], axis=2)
    probability = np.broadcast_to(np.array([0.8, 0.1, 0.1]), successor.shape)
    terminal = np.zeros(side * side, dtype=bool)
    terminal[-1] = True
    return _case(successor, probability, -rng.uniform(0.5, 1.5, size=moved.shape), terminal, discount, 1e-3)


def random_sparse(states: int, discount: float, actions: int = 4, fan: int = 8) -> Case:
    """Uniform random successors, Dirichlet probabilities, normal rewards."""
    rng = np.random.default_rng(0)
    successor = rng.integers(0, states, size=(states, actions, fan))
    probability = rng.dirichlet(np.ones(fan), size=(states, actions))
    return _case(
        successor, probability, rng.normal(size=(states, actions)), np.zeros(states, dtype=bool), discount, 1e-3
    )


def queue(states: int, discount: float) -> Case:
    """Two queues, one router and two servers with two speeds each: holding and speed costs, uniformised.

    State (m, n) customers; the action is (which queue an arrival joins, the speed of either server): 8 actions.
    """
    size = round(states**0.5)
    m, n = np.divmod(np.arange(size * size), size)
    arrival, slow, fast = 0.9, (0.4, 0.3), (0.7, 0.6)
    total = arrival + sum(fast)
    successor, probability, reward = [], [], []
    for action in range(8):
        join, speeds = action & 1, (action >> 1 & 1, action >> 2 & 1)
        rate = [(slow, fast)[speeds[i]][i] for i in (0, 1)]
        came = np.minimum(m + (join == 0), size - 1) * size + np.minimum(n + (join == 1), size - 1)
        left = np.maximum(m - 1, 0) * size + n
        right = m * size + np.maximum(n - 1, 0)
        stay = np.full(len(m), total - arrival - sum(rate))
        successor.append(np.stack([came, left, right, np.arange(len(m))], axis=1))
        probability.append(
            np.stack([np.full(len(m), arrival), np.full(len(m), rate[0]), np.full(len(m), rate[1]), stay], axis=1)
        )
        lost = ((m == size - 1) if join == 0 else (n == size - 1)) * 50.0
        reward.append(-(1.0 * m + 1.5 * n + 4.0 * speeds[0] + 3.0 * speeds[1] + arrival / total * lost) / size)
    return _case(
        np.stack(successor, axis=1),
        np.stack(probability, axis=1) / total,
        np.stack(reward, axis=1),
        np.zeros(len(m), dtype=bool),
        discount,
        1e-3,
    )


def chain(states: int, discount: float, component: int = 100) -> Case:
    """A chain of strongly connected components: moves stay inside of one, or fall with .05 into the next; one end."""
    rng = np.random.default_rng(0)
    actions, fan = 3, 4
    first = np.arange(states) // component * component
    successor = first[:, None, None] + rng.integers(0, component, size=(states, actions, fan))
    successor[:, :, -1] = np.minimum(
        first[:, None] + component + rng.integers(0, component, (states, actions)), states - 1
    )
    successor[:-1, :, 0] = np.where(
        (np.arange(states - 1) + 1 < first[:-1] + component)[:, None], np.arange(1, states)[:, None], first[:-1, None]
    )
    probability = np.concatenate(
        [0.95 * rng.dirichlet(np.ones(fan - 1), size=(states, actions)), np.full((states, actions, 1), 0.05)], axis=2
    )
    terminal = np.zeros(states, dtype=bool)
    terminal[-1] = True
    return _case(successor, probability, rng.normal(size=(states, actions)), terminal, discount, 1e-3)


def frozen_lake(discount: float) -> Case:
    """FrozenLake 8×8 (slippery) as in Gymnasium."""
    text = ["SFFFFFFF", "FFFFFFFF", "FFFHFFFF", "FFFFFHFF", "FFFHFFFF", "FHHFFFHF", "FHFFHFHF", "FFFHFFFG"]
    letter = np.array([list(line) for line in text]).ravel()
    y, x = np.divmod(np.arange(64), 8)
    moved = np.stack(
        [np.clip(y + dy, 0, 7) * 8 + np.clip(x + dx, 0, 7) for dy, dx in ((0, -1), (1, 0), (0, 1), (-1, 0))], axis=1
    )
    successor = np.stack([moved, np.roll(moved, 1, axis=1), np.roll(moved, -1, axis=1)], axis=2)
    reward = (letter[successor] == "G").sum(axis=2) / 3
    terminal = np.isin(letter, ["H", "G"])
    return _case(successor, np.full(successor.shape, 1 / 3), reward, terminal, discount, 1e-6)


CASES: dict[str, Callable[[], Case]] = {
    "random-100k-.99": lambda: random_sparse(100_000, 0.99),
    "grid-100k-.99": lambda: grid(100_000, 0.99),
    "grid-100k-.9999": lambda: grid(100_000, 0.9999),
    "grid-1m-.99": lambda: grid(1_000_000, 0.99),
    "grid-1m-.9999": lambda: grid(1_000_000, 0.9999),
    "queue-90k-.999": lambda: queue(90_000, 0.999),
    "chain-200k-.999": lambda: chain(200_000, 0.999),
    "frozen-lake-8x8": lambda: frozen_lake(0.99),
}
