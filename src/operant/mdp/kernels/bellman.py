# pyright: basic
# Numba compiles these for the arrays that they meet; a type would not tell more than the comment at each array.
"""The sweeps: Numba kernels over the rows of a model, threads over chunks of states, nothing allocated inside.

The Bellman sum is `row_value`. The two sweeps that carry the load, `backup_range` and `evaluate_padded_range`, write it
out: a call in a loop that ends in more than one way makes Numba count references at every row (2× to 8× slower).
Indices are unsigned (a signed index makes Numba test for negative ones at every load) and sums are not reassociated
(LLVM would gather in vectors, which is slower here). Every result is the same for any number of threads: a state is
computed by one thread in a fixed order, and minima and maxima do not depend on order.

Arrays: pointer [S+1], indptr [L+1], indices and data [nnz], reward [L] as in `operant.mdp.model.Rows`; v, out [S]
values; choice [S] the row taken in each state, -1 where there is none; starts [chunks+1] the states at which chunks
begin; bounds [chunks, 2] the least and the greatest change of each chunk.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numba
import numpy as np

from operant.data.compiled import compiled

OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
parallel = partial(compiled, parallel=True, **OPTIONS)
serial = partial(compiled, **OPTIONS)
ONE = np.uint64(1)


@serial
def row_value(row, indptr, indices, data, reward, discount, v):
    """q(s, a) of one row: r + γ Σ p v."""
    total = 0.0
    for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + ONE])):
        total += data[k] * v[indices[k]]
    return reward[row] + discount * total


@serial
def best_row(first, last, indptr, indices, data, reward, discount, v):
    """The greatest value of the rows first … last-1 (at least one) under v, and the first row that has it."""
    best, at = row_value(first, indptr, indices, data, reward, discount, v), first
    for row in range(first + ONE, last):
        q = row_value(row, indptr, indices, data, reward, discount, v)
        if q > best:
            best, at = q, row
    return best, at


@serial
def backup_range(begin, end, pointer, indptr, indices, data, reward, discount, v, out, choice):
    """`backup` of the states begin … end-1; the least and the greatest change. `out` may be `v`: Gauss–Seidel."""
    low, high = np.inf, -np.inf
    row = np.uint64(pointer[begin])
    k = np.uint64(indptr[row])
    for s in range(begin, end):
        before, last = v[s], np.uint64(pointer[s + ONE])
        best, at = before, np.int64(-1)
        if row < last:
            best = -np.inf
        while row < last:
            total, stop = 0.0, np.uint64(indptr[row + ONE])
            while k < stop:  # as in `row_value`
                total += data[k] * v[indices[k]]
                k += ONE
            q = reward[row] + discount * total
            better = q > best  # selected without a branch, which would be guessed wrong half of the time
            best, at = q if better else best, np.int64(row) if better else at
            row += ONE
        out[s], choice[s] = best, at
        change = best - before
        low, high = change if change < low else low, change if change > high else high
    return low, high


@parallel
def backup(starts, pointer, indptr, indices, data, reward, discount, v, out, choice, bounds):
    """One synchronous (Jacobi) sweep: out(s) = max over rows of s of r + γ Σ p v; `choice(s)` is the first maximal row.

    States without rows keep their value, and their choice is -1.
    """
    for chunk in numba.prange(len(bounds)):
        bounds[chunk, 0], bounds[chunk, 1] = backup_range(
            np.uint64(starts[chunk]), np.uint64(starts[chunk + 1]),
            pointer, indptr, indices, data, reward, discount, v, out, choice,
        )  # fmt: skip


@serial
def evaluate_range(begin, end, indptr, indices, data, reward, discount, v, out):
    """`evaluate` of the states begin … end-1; the least and the greatest change. `out` may be `v`: Gauss–Seidel."""
    low, high = np.inf, -np.inf
    for s in range(begin, end):
        before = v[s]
        value = row_value(s, indptr, indices, data, reward, discount, v)
        out[s] = value
        change = value - before
        low, high = min(low, change), max(high, change)
    return low, high


@parallel
def evaluate(starts, indptr, indices, data, reward, discount, v, out, bounds):
    """One synchronous sweep of a policy's own rows (see `copy_policy`): out = r + γ P v."""
    for chunk in numba.prange(len(bounds)):
        bounds[chunk, 0], bounds[chunk, 1] = evaluate_range(
            np.uint64(starts[chunk]), np.uint64(starts[chunk + 1]), indptr, indices, data, reward, discount, v, out
        )


@serial
def evaluate_padded_range(begin, end, fan, indices, data, reward, discount, v, out):
    """`evaluate_range` of rows that are padded to the same length (see `pad`): the length of the tuple `fan`.

    The loop over a row is unrolled when it is compiled for that length.
    """
    low, high = np.inf, -np.inf
    for s in range(begin, end):
        total = 0.0
        for j in range(len(fan)):
            k = s * np.uint64(len(fan)) + np.uint64(j)
            total += data[k] * v[indices[k]]
        value = reward[s] + discount * total
        out[s] = value
        change = value - v[s]
        low, high = change if change < low else low, change if change > high else high
    return low, high


@parallel
def evaluate_padded(starts, fan, indices, data, reward, discount, v, out, bounds):
    """`evaluate` of padded rows."""
    for chunk in numba.prange(len(bounds)):
        bounds[chunk, 0], bounds[chunk, 1] = evaluate_padded_range(
            np.uint64(starts[chunk]), np.uint64(starts[chunk + 1]), fan, indices, data, reward, discount, v, out
        )


@parallel
def pad(starts, choice, held, indptr, indices, data, reward, fixed, length, own_indices, own_data, own_reward):
    """The rows of a policy into own_*, each of the same length, filled up with probability 0 of the state itself.

    Only states whose row is not the one in `held` are written; the rest is there already. A state without rows gets
    reward `fixed`.
    """
    for chunk in numba.prange(len(starts) - 1):
        for s in range(np.uint64(starts[chunk]), np.uint64(starts[chunk + 1])):
            if choice[s] != held[s]:
                held[s] = choice[s]
                own_reward[s] = fixed[s]
                at = s * length
                if choice[s] >= 0:
                    row = np.uint64(choice[s])
                    own_reward[s] = reward[row]
                    for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + ONE])):
                        own_indices[at], own_data[at] = indices[k], data[k]
                        at += ONE
                for i in range(at, (s + ONE) * length):
                    own_indices[i], own_data[i] = s, 0.0


@serial
def copy_policy(choice, indptr, indices, data, reward, fixed, own_indptr, own_indices, own_data, own_reward):
    """The rows of a policy, one per state, into own_*; a state without rows gets an empty one with reward `fixed`."""
    at = np.uint64(0)
    own_indptr[0] = 0
    for s in range(np.uint64(len(choice))):
        if choice[s] < 0:
            own_reward[s] = fixed[s]
        else:
            row = np.uint64(choice[s])
            own_reward[s] = reward[row]
            for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + ONE])):
                own_indices[at], own_data[at] = indices[k], data[k]
                at += ONE
        own_indptr[s + ONE] = at


@serial
def backup_backwards(pointer, indptr, indices, data, reward, discount, v, choice):
    """One Gauss–Seidel sweep in place, from the last state to the first."""
    states = np.uint64(len(v))
    for back in range(states):
        s = states - ONE - back
        first, last = np.uint64(pointer[s]), np.uint64(pointer[s + ONE])
        if last > first:
            best, row = best_row(first, last, indptr, indices, data, reward, discount, v)
            v[s], choice[s] = best, np.int64(row)


@serial
def backup_some_range(begin, end, some, pointer, indptr, indices, data, reward, discount, v, out, choice):
    """New values of the states some[begin … end-1], each with rows, into out[begin … end-1]."""
    for i in range(begin, end):
        s = np.uint64(some[i])
        best, row = best_row(
            np.uint64(pointer[s]), np.uint64(pointer[s + ONE]), indptr, indices, data, reward, discount, v
        )
        out[i], choice[s] = best, np.int64(row)


@parallel
def backup_some(starts, some, pointer, indptr, indices, data, reward, discount, v, out, choice):
    """`backup_some_range` by chunks; v is read only, so that states of `some` may lead to each other."""
    for chunk in numba.prange(len(starts) - 1):
        backup_some_range(
            np.uint64(starts[chunk]), np.uint64(starts[chunk + 1]),
            some, pointer, indptr, indices, data, reward, discount, v, out, choice,
        )  # fmt: skip


@parallel
def row_values(starts, indptr, indices, data, reward, discount, v, q):
    """q(s, a) of every row, [L]; `starts` are rows here."""
    for chunk in numba.prange(len(starts) - 1):
        for row in range(np.uint64(starts[chunk]), np.uint64(starts[chunk + 1])):
            q[row] = row_value(row, indptr, indices, data, reward, discount, v)


@serial
def greedy(pointer, q, v, choice):
    """v(s) = max over a of q(s, a), and the first row that has it; states without rows keep their value."""
    for s in range(np.uint64(len(v))):
        first, last = np.uint64(pointer[s]), np.uint64(pointer[s + ONE])
        choice[s] = -1
        for row in range(first, last):
            if choice[s] < 0 or q[row] > v[s]:
                v[s], choice[s] = q[row], np.int64(row)


@serial
def masses(indptr, data):
    """The least and the greatest sum of a row, and the length of the longest."""
    least, most, longest = np.inf, -np.inf, np.uint64(0)
    for row in range(np.uint64(len(indptr) - 1)):
        total = 0.0
        first, last = np.uint64(indptr[row]), np.uint64(indptr[row + ONE])
        for k in range(first, last):
            total += data[k]
        least, most, longest = min(least, total), max(most, total), max(longest, last - first)
    return least, most, longest


@serial
def successors(pointer, indptr):
    """The greatest number of entries that a policy can have: Σ over s of the longest row of s."""
    total = np.uint64(0)
    for s in range(np.uint64(len(pointer) - 1)):
        longest = np.uint64(0)
        for row in range(np.uint64(pointer[s]), np.uint64(pointer[s + ONE])):
            longest = max(longest, np.uint64(indptr[row + ONE]) - np.uint64(indptr[row]))
        total += longest
    return total
