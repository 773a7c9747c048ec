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

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operant.mdp.bounds.interval_iteration import ShortestPath, bound
from operant.mdp.graph.graph import EndComponents, Graph
from operant.mdp.kernels import interval as kernels
from operant.mdp.rows import Floats, Mask, Rows


class Sweep(NamedTuple):
    """What one sweep proves: low(c) - slack ≤ g*(c) ≤ high(c) + slack for each component c that is still open."""

    states: NDArray[np.int64]  # those of the open components
    of: NDArray[np.int64]  # the component of each
    low: Floats  # [count]  the least d = Tv - v of a component; inf where it is no longer open
    high: Floats  # [count]  the greatest; -inf
    slack: float  # what rounding may add
    choice: NDArray[np.int64]  # [S]  rows that attain Tv


def relative_sweeps(rows: Rows, ends: EndComponents, values: Floats, is_open: Mask) -> Iterator[Sweep]:
    """Relative value iteration inside of the end components in `is_open` [count], all at once, from `values`.

    The caller strikes components out of `is_open`; the sweeps end with the last. The aperiodicity transform is the
    damped step, P ← 0.9 P + 0.1 I.
    """
    v, d, choice = values.copy(), np.zeros(len(values)), np.full(len(values), -1)
    arrays = (rows.pointer, rows.indptr, rows.indices, rows.data, rows.reward)
    states = np.flatnonzero(ends.label >= 0)
    states = states[is_open[ends.label[states]]]
    while len(states):
        of = ends.label[states]
        slack = kernels.drift(states, *arrays, ends.inside, v, d, choice)
        low, high = np.full(ends.count, np.inf), np.full(ends.count, -np.inf)
        np.minimum.at(low, of, d[states])
        np.maximum.at(high, of, d[states])
        yield Sweep(states, of, low, high, slack, choice)
        states = states[is_open[of]]
        v[states] += 0.9 * (d[states] - low[ends.label[states]])


def component_gains(
    rows: Rows, ends: EndComponents, values: Floats, epsilon: float, most_sweeps: int
) -> tuple[Floats, Floats]:
    """(lower, upper) [count] of the optimal gain of each end component.

    Relative value iteration from `values`, until each is within ε, rounding stops it, or `most_sweeps`.
    """
    lower, upper = np.full(ends.count, -np.inf), np.full(ends.count, np.inf)
    is_open = np.ones(ends.count, dtype=bool)
    for _, _, low, high, slack, _ in islice(relative_sweeps(rows, ends, values, is_open), most_sweeps):
        present = np.isfinite(low)
        lower[present] = np.maximum(lower, low - slack)[present]
        upper[present] = np.minimum(upper, high + slack)[present]
        is_open[:] = present & (upper - lower > epsilon) & (high - low > 4.0 * slack)
    return lower, upper


def gain_bounds(
    graph: Graph, live: Mask, values: Floats, *, epsilon: float, most_sweeps: int = 200_000
) -> tuple[Floats, Floats]:
    """lower ≤ g*(s) ≤ upper [S], where g* is the best average reward with the rows in `live` alone.

    Args:
        graph: the model.
        live: the rows that may be used [L]; those of one policy, to bound its own gain.
        values: relative values to start from; good ones leave nothing to iterate.
        epsilon: how far apart the bounds may be where floating point allows.
        most_sweeps: after which the bounds reached so far are used.
    """
    states = graph.num_states
    every = graph.normalised(live)
    plain = Graph(every.rows, every.leaks)
    ends = plain.end_components(plain.every_row())
    name = np.where(ends.label >= 0, states + ends.label, np.arange(states))
    block = np.unique(name, return_inverse=True)[1].astype(np.int64)
    of = np.full(ends.count, -1)
    of[ends.label[ends.label >= 0]] = block[ends.label >= 0]
    result: list[Floats] = []
    for side, gains in enumerate(component_gains(every.rows, ends, values, epsilon / 4, most_sweeps)):
        merged = plain.quotient(np.zeros(plain.num_rows), block, ~ends.inside, of, gains)
        merged.rows.terminal_value[:] = 0.0
        bounds = bound(ShortestPath(merged, epsilon=epsilon / 4))
        result.append((bounds.upper if side else bounds.lower)[block])
    return result[0], result[1]
