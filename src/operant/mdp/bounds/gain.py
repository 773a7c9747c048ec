"""Sound bounds on the average reward of any model, by its end components.

All states of a maximal end component have one optimal gain, and for any v it lies between the least and the greatest of
d = Tv - v over its states, T being restricted to the rows that stay inside. A policy ends up in such components or
terminates (gain 0), so with the components merged, and a row that ends the episode with reward [gain], the optimal gain
of every state is an optimal total reward: no end component is left, and `operant.mdp.bounds.interval_iteration` bounds
it.

Source: Ashok, Chatterjee, Daca, Křetínský & Meggendorfer (2017), Value iteration for long-run average reward in Markov
decision processes; Puterman (1994), sections 8.5 and 9.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operant.mdp.bounds.interval_iteration import Problem
from operant.mdp.graph.end_components import EndComponents, end_components, quotient
from operant.mdp.graph.reachability import Graph, Mask
from operant.mdp.kernels import interval as kernels
from operant.mdp.rows import Floats, Rows
from operant.mdp.solvers.total import bound


def component_gains(
    rows: Rows, ends: EndComponents, values: Floats, epsilon: float, most_sweeps: int
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """(lower, upper) [count] of the optimal gain of each end component, and rows [S] that attain `lower` inside.

    Relative value iteration on all of them at once from `values`, until each is within ε, rounding stops it, or
    `most_sweeps`. The aperiodicity transform is the damped step, P ← 0.9 P + 0.1 I.
    """
    v, d = values.copy(), np.zeros(len(values))
    choice, best = np.full(len(v), -1), np.full(len(v), -1)
    lower, upper = np.full(ends.count, -np.inf), np.full(ends.count, np.inf)
    arrays = (rows.pointer, rows.indptr, rows.indices, rows.data, rows.reward)
    states = np.flatnonzero(ends.label >= 0)
    for _ in range(most_sweeps):
        of = ends.label[states]
        slack = kernels.drift(states, *arrays, ends.inside, v, d, choice)
        low, high = np.full(ends.count, np.inf), np.full(ends.count, -np.inf)
        np.minimum.at(low, of, d[states])
        np.maximum.at(high, of, d[states])
        closer = (low - slack > lower)[of]
        best[states[closer]] = choice[states[closer]]
        present = np.isfinite(low)
        lower[present] = np.maximum(lower, low - slack)[present]
        upper[present] = np.minimum(upper, high + slack)[present]
        open_ = present & (upper - lower > epsilon) & (high - low > 4.0 * slack)
        if not open_.any():
            break
        states = states[open_[of]]
        v[states] += 0.9 * (d[states] - low[ends.label[states]])
    return lower, upper, best


def gain_bounds(
    graph: Graph, reward: Floats, live: Mask, values: Floats, *, epsilon: float, most_sweeps: int = 200_000
) -> tuple[Floats, Floats]:
    """lower ≤ g*(s) ≤ upper [S], where g* is the best average reward with the rows in `live` alone.

    Args:
        graph, reward: the model, and the reward of each row.
        live: the rows that may be used [L]; those of one policy, to bound its own gain.
        values: relative values to start from; good ones leave nothing to iterate.
        epsilon: how far apart the bounds may be where floating point allows.
        most_sweeps: after which the bounds reached so far are used.
    """
    states, none = graph.num_states, np.zeros(0, dtype=np.int64)
    every = quotient(graph, reward, np.arange(states), live, none, np.zeros(0))
    plain = Graph(every.rows, every.leaks)
    ends = end_components(plain, plain.every_row())
    low, high, _ = component_gains(every.rows, ends, values, epsilon / 4, most_sweeps)
    name = np.where(ends.label >= 0, states + ends.label, np.arange(states))
    block = np.unique(name, return_inverse=True)[1].astype(np.int64)
    of = np.full(ends.count, -1)
    of[ends.label[ends.label >= 0]] = block[ends.label >= 0]
    found: list[Floats] = []
    for side, gains in enumerate((low, high)):
        merged = quotient(plain, np.zeros(plain.num_rows), block, ~ends.inside, of, gains)
        merged.rows.terminal_value[:] = 0.0
        bounds = bound(Problem(merged, epsilon=epsilon / 4))
        found.append((bounds.upper if side else bounds.lower)[block])
    return found[0], found[1]
