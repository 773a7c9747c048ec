"""The sweeps: Numba kernels over the rows of a model, threads over states, nothing allocated inside.

Indices are unsigned (a signed index makes Numba test for negative ones at every load) and sums are not reassociated
(LLVM would gather in vectors, which is slower here); both were measured, see the log. Every result is the same for any
number of threads: a state is computed by one thread in a fixed order, and minima and maxima do not depend on order.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": {"contract"}, "error_model": "numpy"}
parallel = numba.njit(parallel=True, **OPTIONS)
serial = numba.njit(**OPTIONS)


@parallel
def backup(pointer, indptr, indices, data, reward, discount, v, out, choice, bounds):  # pyright: ignore
    """One synchronous (Jacobi) sweep: out(s) = max over rows of s of r + γ Σ p v; `choice(s)` is the first maximal row.

    States without rows keep their value, and their choice is -1. `bounds` [chunks, 2] receives min and max of out - v
    over each chunk of states.
    """
    states, chunks = len(v), len(bounds)
    for chunk in numba.prange(chunks):
        low, high = np.inf, -np.inf
        for s in range(np.uint64(states * chunk // chunks), np.uint64(states * (chunk + 1) // chunks)):
            best, at = v[s], np.int64(-1)
            first = True
            for row in range(np.uint64(pointer[s]), np.uint64(pointer[s + np.uint64(1)])):
                total = 0.0
                for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + np.uint64(1)])):
                    total += data[k] * v[indices[k]]
                q = reward[row] + discount * total
                if first or q > best:
                    best, at, first = q, np.int64(row), False
            out[s], choice[s] = best, at
            low, high = min(low, best - v[s]), max(high, best - v[s])
        bounds[chunk, 0], bounds[chunk, 1] = low, high
