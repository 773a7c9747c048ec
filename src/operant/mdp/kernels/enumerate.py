# pyright: basic
# Numba compiles these for one transition function; a type would not tell more than the comment at each argument.
"""Rows from a compiled transition function: a pass that counts and a pass that fills, each on a range of states.

Arguments: per_state [2, S] rows and entries of each state; pointer [S+1] and first [S+1] where its rows and entries
begin; action, reward [L], indptr [L+1], indices, data [nnz] and outcome ([nnz], or empty where rewards do not vary) are
filled; successor [K] int64, probability and reward [K] float64 are the transition's buffers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher

from operant.mdp.kernels.bellman import OPTIONS

FINE, COUNT, SUCCESSOR, IMPURE = range(4)
"""What a pass may find."""
ROOM = 64
"""Entries of the buffers beyond the greatest number of outcomes."""


@lru_cache(maxsize=16)
def compiled(transition: Any) -> tuple[Any, Any]:
    """(count, fill) of one transition function; compiled once in each process, as Numba cannot cache a closure."""
    serial = cast("Any", numba.njit)(**OPTIONS)
    step = transition if isinstance(transition, Dispatcher) else cast("Any", numba.njit)(transition)

    @serial
    def count(begin, end, actions, states, per_state, successor, probability, reward):
        """(fault, state, action, number, whether some outcome ends the episode, whether rewards vary within a row)."""
        leaves, varies = False, False
        for s in range(begin, end):
            for a in range(actions):
                n = step(s, a, successor, probability, reward)
                if n < 0 or n > len(successor) - ROOM:
                    return COUNT, s, a, float(n), leaves, varies
                for k in range(n):
                    if successor[k] < -1 or successor[k] >= states:
                        return SUCCESSOR, s, a, float(successor[k]), leaves, varies
                    leaves |= successor[k] == -1
                    varies |= reward[k] != reward[0]
                per_state[0, s] += n > 0
                per_state[1, s] += n
        return FINE, begin, 0, 0.0, leaves, varies

    @serial
    def fill(
        begin, end, actions, states, pointer, first, action, indptr, indices, data, mean, outcome,
        successor, probability, reward,
    ):  # fmt: skip
        """(fault, state, action, number)."""
        for s in range(begin, end):
            row, entry = np.int64(pointer[s]), first[s]
            for a in range(actions):
                n = step(s, a, successor, probability, reward)
                if n == 0:
                    continue
                if n < 0 or entry + n > first[s + 1] or row >= np.int64(pointer[s + 1]):
                    return IMPURE, s, a, float(n)
                total, mass, same = 0.0, 0.0, True
                for k in range(n):
                    to = states if successor[k] == -1 else successor[k]
                    indices[entry + k], data[entry + k] = to, probability[k]
                    if len(outcome) > 0:
                        outcome[entry + k] = reward[k]
                    total += probability[k] * reward[k]
                    mass += probability[k]
                    same &= reward[k] == reward[0]
                mean[row] = reward[0] if same and abs(mass - 1.0) <= 1e-8 * n else total
                action[row] = a
                entry += n
                indptr[row + 1] = entry
                row += 1
            if entry != first[s + 1] or row != np.int64(pointer[s + 1]):
                return IMPURE, s, -1, 0.0
        return FINE, begin, 0, 0.0

    return count, fill
