# pyright: basic
# Numba compiles these for the arrays that they meet; a type would not tell more than the comment at each array.
"""Soft sweeps: out(s) = τ log Σ_a exp(q(s, a) / τ), one state after the other, with nothing allocated inside."""

from __future__ import annotations

import numba
import numpy as np

from operant.mdp.kernels.bellman import ONE, parallel, row_value, serial


@serial
def soft_range(begin, end, pointer, indptr, indices, data, reward, discount, temperature, v, q, out, choice):
    """The states begin … end-1; q [L] is filled in, and choice [S] with the first row of largest q."""
    for s in range(begin, end):
        first, last = np.uint64(pointer[s]), np.uint64(pointer[s + ONE])
        if last == first:
            out[s], choice[s] = v[s], -1
            continue
        best, at = -np.inf, first
        for row in range(first, last):
            q[row] = row_value(row, indptr, indices, data, reward, discount, v)
            if q[row] > best:
                best, at = q[row], row
        total = 0.0
        for row in range(first, last):
            total += np.exp((q[row] - best) / temperature)
        out[s], choice[s] = best + temperature * np.log(total), np.int64(at)


@parallel
def soft(starts, pointer, indptr, indices, data, reward, discount, temperature, v, q, out, choice):
    """`soft_range` of all states in chunks."""
    for chunk in numba.prange(len(starts) - 1):
        soft_range(
            np.uint64(starts[chunk]), np.uint64(starts[chunk + 1]),
            pointer, indptr, indices, data, reward, discount, temperature, v, q, out, choice,
        )  # fmt: skip
