# pyright: basic
# Numba compiles these for the arrays that they meet; a type would not tell more than the comment at each array.
"""Nature's half of a robust sweep: the worst (or best) probabilities of a row, by sorting its successors' values."""

from __future__ import annotations

import numpy as np

from operant.mdp.kernels.bellman import ONE, serial


@serial
def order_row(first, last, indices, v, sign, order):
    """order[: last - first]: the row's entries by rising sign · v of their successors (insertion sort, stable)."""
    for k in range(first, last):
        at = np.int64(k - first)
        key = sign * v[indices[k]]
        while at > 0 and sign * v[indices[order[at - 1]]] > key:
            order[at] = order[at - 1]
            at -= 1
        order[at] = k


@serial
def interval_row(first, last, indices, lower, upper, v, sign, order, p):
    """p[k] of least Σ sign · p v with lower ≤ p ≤ upper, Σ p = 1: what is left goes to the worst successors first."""
    order_row(first, last, indices, v, sign, order)
    left = 1.0
    for k in range(first, last):
        left -= lower[k]
    for i in range(np.int64(last - first)):
        k = order[i]
        more = min(max(left, 0.0), upper[k] - lower[k])
        p[k] = lower[k] + more
        left -= more


@serial
def distance_row(first, last, indices, data, radius, v, sign, order, p):
    """p[k] of least Σ sign · p v with Σ |p - data| ≤ radius: half of it moves to the worst successor from the best."""
    order_row(first, last, indices, v, sign, order)
    for k in range(first, last):
        p[k] = data[k]
    worst = order[0]
    moved = min(0.5 * radius, 1.0 - data[worst])
    p[worst] += moved
    i = np.int64(last - first) - 1
    while moved > 0.0 and i > 0:
        k = order[i]
        less = min(moved, p[k])
        p[k] -= less
        moved -= less
        i -= 1


@serial
def interval_all(indptr, indices, lower, upper, v, sign, order, p):
    """`interval_row` of every row."""
    for row in range(np.uint64(len(indptr) - 1)):
        interval_row(np.uint64(indptr[row]), np.uint64(indptr[row + ONE]), indices, lower, upper, v, sign, order, p)


@serial
def distance_all(indptr, indices, data, radius, v, sign, order, p):
    """`distance_row` of every row; radius [L]."""
    for row in range(np.uint64(len(indptr) - 1)):
        first, last = np.uint64(indptr[row]), np.uint64(indptr[row + ONE])
        if last > first:
            distance_row(first, last, indices, data, radius[row], v, sign, order, p)
