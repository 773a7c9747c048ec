# pyright: basic
# Numba compiles these for the arrays that they meet; a type would not tell more than the comment at each array.
"""Sweeps that keep a bound a bound: in place, monotone, rounded outwards. Numba, serial.

The computed r + Σ p v of a row with k entries is off by at most `slack`: (3 k + 12) u (|r| + max |v|), u = 2⁻⁵³. It
counts the sum of k products, one rounding each of p and r (a third is not a float), and rows made to sum to
one.
"""

from __future__ import annotations

import numpy as np

from operant.mdp.kernels.bellman import ONE, row_value, serial

UNIT = 2.0**-53


@serial
def slack(row, indptr, reward, scale):
    """What rounding may do to one row's value, where no |v| exceeds `scale`."""
    length = float(indptr[row + ONE]) - float(indptr[row])
    return (3.0 * length + 12.0) * UNIT * (abs(reward[row]) + scale)


@serial
def magnitude(v):
    """max |v|."""
    most = 0.0
    for s in range(np.uint64(len(v))):
        most = max(most, abs(v[s]))
    return most


@serial
def rise(order, pointer, indptr, indices, data, reward, shift, unit, v, choice):
    """v(s) ← max(v(s), max over rows of q + shift - unit · slack), in place; `choice` follows where v rose.

    Returns the greatest rise.
    """
    scale, most = magnitude(v), 0.0
    for i in range(np.uint64(len(order))):
        s = np.uint64(order[i])
        best, at = -np.inf, np.int64(-1)
        for row in range(np.uint64(pointer[s]), np.uint64(pointer[s + ONE])):
            q = row_value(row, indptr, indices, data, reward, 1.0, v) + shift
            q -= unit * slack(row, indptr, reward, scale)
            if q > best:
                best, at = q, np.int64(row)
        if best > v[s]:
            most = max(most, best - v[s])
            v[s], choice[s] = best, at
            scale = max(scale, abs(best))
    return most


@serial
def rise_policy(order, indptr, indices, data, reward, shift, unit, v, choice):
    """`rise` with the rows of `choice` alone."""
    scale, most = magnitude(v), 0.0
    for i in range(np.uint64(len(order))):
        s = np.uint64(order[i])
        row = np.uint64(choice[s])
        q = row_value(row, indptr, indices, data, reward, 1.0, v) + shift - unit * slack(row, indptr, reward, scale)
        if q > v[s]:
            most = max(most, q - v[s])
            v[s] = q
            scale = max(scale, abs(q))
    return most


@serial
def fall(order, pointer, indptr, indices, data, reward, v):
    """v(s) ← min(v(s), max over rows of q + slack), in place. Returns the greatest fall."""
    scale, most = magnitude(v), 0.0
    for i in range(np.uint64(len(order))):
        s = np.uint64(order[i])
        best = -np.inf
        for row in range(np.uint64(pointer[s]), np.uint64(pointer[s + ONE])):
            q = row_value(row, indptr, indices, data, reward, 1.0, v) + slack(row, indptr, reward, scale)
            best = max(best, q)
        if best < v[s]:
            most = max(most, v[s] - best)
            v[s] = best
            scale = max(scale, abs(best))
    return most


@serial
def excess(order, pointer, indptr, indices, data, reward, v):
    """max over rows of q + slack - v(s): v is closed from above (Tv ≤ v) if this is not positive."""
    scale, most = magnitude(v), -np.inf
    for i in range(np.uint64(len(order))):
        s = np.uint64(order[i])
        for row in range(np.uint64(pointer[s]), np.uint64(pointer[s + ONE])):
            q = row_value(row, indptr, indices, data, reward, 1.0, v) + slack(row, indptr, reward, scale)
            most = max(most, q - v[s] + 2.0 * UNIT * (abs(q) + abs(v[s])))
    return most


@serial
def excess_policy(order, indptr, indices, data, reward, v, choice):
    """`excess` of the rows in `choice` alone."""
    scale, most = magnitude(v), -np.inf
    for i in range(np.uint64(len(order))):
        s = np.uint64(order[i])
        row = np.uint64(choice[s])
        q = row_value(row, indptr, indices, data, reward, 1.0, v) + slack(row, indptr, reward, scale)
        most = max(most, q - v[s] + 2.0 * UNIT * (abs(q) + abs(v[s])))
    return most


@serial
def deficit(order, indptr, indices, data, reward, v, choice):
    """max over states of v(s) - (q - slack) of the policy's row: v ≤ T_policy v if this is not positive."""
    scale, most = magnitude(v), -np.inf
    for i in range(np.uint64(len(order))):
        s = np.uint64(order[i])
        row = np.uint64(choice[s])
        q = row_value(row, indptr, indices, data, reward, 1.0, v) - slack(row, indptr, reward, scale)
        most = max(most, v[s] - q + 2.0 * UNIT * (abs(q) + abs(v[s])))
    return most


@serial
def drift(states, pointer, indptr, indices, data, reward, live, v, out, choice):
    """out(s) = max over live rows of (r + Σ p v) - v(s), and the row; returns the greatest slack of these numbers."""
    scale, most = magnitude(v), 0.0
    for i in range(np.uint64(len(states))):
        s = np.uint64(states[i])
        best = -np.inf
        for row in range(np.uint64(pointer[s]), np.uint64(pointer[s + ONE])):
            if live[row]:
                q = row_value(row, indptr, indices, data, reward, 1.0, v)
                most = max(most, slack(row, indptr, reward, scale))
                if q > best:
                    best, choice[s] = q, np.int64(row)
        out[s] = best - v[s]
    return most + 2.0 * UNIT * scale
