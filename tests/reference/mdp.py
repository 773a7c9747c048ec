"""Finite Markov decision processes by slow loops, and random models of every shape that the solvers must take."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse as sp

from operant.mdp import MDP


def random_mdp(rng: np.random.Generator, states: int, discount: float, *, terminal: bool = False, leak: bool = False):
    """Ragged action sets, repeated entries, self-loops, rows of one entry, rewards of any sign; some may end."""
    pairs, triples, reward = [], [], []
    ends = (
        {int(s): float(rng.normal() * 3) for s in rng.choice(states, size=max(1, states // 5))}
        if terminal and states > 1
        else {}
    )
    for s in range(states):
        if s in ends:
            continue
        for a in rng.choice(5, size=rng.integers(1, 5), replace=False):
            fan = int(rng.integers(1, 5))
            mass = rng.uniform(0.3, 1.0) if leak and rng.random() < 0.5 else 1.0
            chosen = rng.integers(0, states, size=fan)
            chances = rng.dirichlet(np.ones(fan)) * mass
            if fan > 1:
                chosen[-1] = chosen[0]
            triples += [(len(pairs), int(t), float(p)) for t, p in zip(chosen, chances, strict=True)]
            pairs.append((s, int(a)))
            reward.append(float(np.round(rng.normal() * 2, 2)))
    row, to, p = (np.array(column) for column in zip(*triples, strict=True))
    P = sp.coo_array((p, (row, to)), shape=(len(pairs), states))
    left, right = np.array(pairs).T
    return MDP(P, np.array(reward), discount, pairs=(left, right), terminal=ends or None, leak=leak)


def entries(mdp: MDP, row: int) -> list[tuple[int, float]]:
    """(successor, probability) of a row."""
    first, last = int(mdp.rows.indptr[row]), int(mdp.rows.indptr[row + 1])
    return [(int(mdp.rows.indices[k]), float(mdp.rows.data[k])) for k in range(first, last)]


def rows_of(mdp: MDP, state: int) -> range:
    """The rows of a state."""
    return range(int(mdp.rows.pointer[state]), int(mdp.rows.pointer[state + 1]))


def q_value(mdp: MDP, row: int, v: Any) -> Any:
    """r + γ Σ p v, one addition after the other."""
    total = 0.0
    for t, p in entries(mdp, row):
        total += p * v[t]
    return mdp.rows.reward[row] + mdp.discount * total


def backup(mdp: MDP, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tv and the first greedy row of each state."""
    out, choice = np.array(v, dtype=float), np.full(mdp.num_states, -1)
    for s in range(mdp.num_states):
        for row in rows_of(mdp, s):
            q = q_value(mdp, row, v)
            if choice[s] < 0 or q > out[s]:
                out[s], choice[s] = q, row
    return out, choice


def value_iteration(mdp: MDP, sweeps: int) -> np.ndarray:
    """So many sweeps from zero."""
    v = np.where(mdp.rows.terminal, mdp.rows.terminal_value, 0.0)
    for _ in range(sweeps):
        v, _ = backup(mdp, v)
    return v


def policy_values(mdp: MDP, choice: Any) -> np.ndarray:
    """(I - γP)⁻¹ r by dense elimination."""
    system, right = np.eye(mdp.num_states), mdp.rows.terminal_value.copy()
    for s in range(mdp.num_states):
        if choice[s] >= 0:
            right[s] = mdp.rows.reward[choice[s]]
            for t, p in entries(mdp, int(choice[s])):
                system[s, t] -= mdp.discount * p
    return np.linalg.solve(system, right)


def best_values(mdp: MDP) -> np.ndarray:
    """v* by policy iteration with dense elimination."""
    choice = np.array([rows_of(mdp, s)[0] if len(rows_of(mdp, s)) else -1 for s in range(mdp.num_states)])
    while True:
        v = policy_values(mdp, choice)
        q = mdp.rows.reward + mdp.discount * (mdp.matrix @ v)
        better = choice.copy()
        for s in range(mdp.num_states):
            for row in rows_of(mdp, s):
                if q[row] > q[better[s]] + 1e-11 * (1 + abs(q[row])):
                    better[s] = row
        if np.array_equal(better, choice):
            return v
        choice = better


def _eliminate(system: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    size = len(right)
    for i in range(size):
        pivot = next(k for k in range(i, size) if system[k][i] != 0)
        system[i], system[pivot], right[i], right[pivot] = system[pivot], system[i], right[pivot], right[i]
        for k in range(i + 1, size):
            if system[k][i] != 0:
                scale = system[k][i] / system[i][i]
                system[k] = [a - scale * b for a, b in zip(system[k], system[i], strict=True)]
                right[k] -= scale * right[i]
    out = [Fraction(0)] * size
    for i in reversed(range(size)):
        out[i] = (right[i] - sum(system[i][k] * out[k] for k in range(i + 1, size))) / system[i][i]
    return out


def exact_policy_values(mdp: MDP, choice: Any) -> list[Fraction]:
    """v_π of the model whose numbers are the floats themselves, without any rounding."""
    gamma = Fraction(mdp.discount)
    system = [[Fraction(int(i == k)) for k in range(mdp.num_states)] for i in range(mdp.num_states)]
    right = [Fraction(float(value)) for value in mdp.rows.terminal_value]
    for s in range(mdp.num_states):
        if choice[s] >= 0:
            right[s] = Fraction(float(mdp.rows.reward[choice[s]]))
            for t, p in entries(mdp, int(choice[s])):
                system[s][t] -= gamma * Fraction(p)
    return _eliminate(system, right)


def exact_best_values(mdp: MDP) -> list[Fraction]:
    """v* of the model whose numbers are the floats themselves, without any rounding."""
    gamma = Fraction(mdp.discount)
    choice = [rows_of(mdp, s)[0] if len(rows_of(mdp, s)) else -1 for s in range(mdp.num_states)]
    while True:
        v = exact_policy_values(mdp, choice)
        better = list(choice)
        for s in range(mdp.num_states):
            q = {
                row: Fraction(float(mdp.rows.reward[row]))
                + gamma * sum((Fraction(p) * v[t] for t, p in entries(mdp, row)), Fraction(0))
                for row in rows_of(mdp, s)
            }
            if q and max(q.values()) > q[choice[s]]:
                better[s] = max(q, key=lambda row: q[row])
        if better == choice:
            return v
        choice = better
