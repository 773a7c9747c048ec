# pyright: basic
# Numba compiles these for the arrays that they meet; a type would not tell more than the comment at each array.
"""BiCGStab on the system of a policy, (I - γP) x = r, with an incomplete factorisation of each block of states.

Blocks are as many for any number of threads, and sums are taken block by block and then in order: results do not depend
on threads. I - γP is an M-matrix, so the incomplete factorisation exists (Meijerink and van der Vorst 1977), also
without the couplings between blocks. Arrays: starts [B+1] the states at which blocks begin; indptr, indices, data
the rows of the policy; vectors [S]; low, diagonal, high [S] the entries of each row inside of its block: below the
diagonal low … diagonal-1, from it on diagonal … high-1; factor [nnz], pivot [S] (inverse); sums [B, 2].
"""

from __future__ import annotations

import numpy as np
from numba import prange

from operant.mdp.kernels.bellman import ONE, parallel, row_value, serial


@serial
def factorise_block(begin, end, indptr, indices, data, discount, low, diagonal, high, factor, pivot, place):
    """Incomplete LU of I - γP on the states begin … end-1, on the pattern of P; `place` [S] must be all zeros."""
    for i in range(begin, end):
        first, last = np.uint64(indptr[i]), np.uint64(indptr[i + ONE])
        while first < last and indices[first] < begin:
            first += ONE
        while last > first and indices[last - ONE] >= end:
            last -= ONE
        own, split = 1.0, last
        for k in range(first, last):
            j = indices[k]
            if j == i:
                own -= discount * data[k]
                factor[k] = 0.0
            else:
                factor[k] = -discount * data[k]
                place[j] = k + ONE
            if j >= i and k < split:
                split = k
        for k in range(first, split):
            j = np.uint64(indices[k])
            scale = factor[k] * pivot[j]
            factor[k] = scale
            for m in range(np.uint64(diagonal[j]), np.uint64(high[j])):
                column = indices[m]
                if column == i:
                    own -= scale * factor[m]
                elif place[column] > 0:
                    factor[np.uint64(place[column]) - ONE] -= scale * factor[m]
        low[i], diagonal[i], high[i], pivot[i] = first, split, last, 1.0 / own
        for k in range(first, last):
            place[indices[k]] = 0


@serial
def precondition_block(begin, end, indices, low, diagonal, high, factor, pivot, x, y):
    """y = (LU)⁻¹ x on the states begin … end-1."""
    for i in range(begin, end):
        total = x[i]
        for k in range(np.uint64(low[i]), np.uint64(diagonal[i])):
            total -= factor[k] * y[indices[k]]
        y[i] = total
    for back in range(end - begin):
        i = end - ONE - back
        total = y[i]
        for k in range(np.uint64(diagonal[i]), np.uint64(high[i])):
            total -= factor[k] * y[indices[k]]
        y[i] = total * pivot[i]


@serial
def multiply_block(begin, end, indptr, indices, data, discount, x, y, other):
    """y = (I - γP) x on a block of states; y·other, y·y."""
    with_other, square = 0.0, 0.0
    for i in range(begin, end):
        total = 0.0
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + ONE])):
            total += data[k] * x[indices[k]]
        value = x[i] - discount * total
        y[i] = value
        with_other += value * other[i]
        square += value * value
    return with_other, square


@serial
def finish_block(begin, end, alpha, omega, p_hat, s_hat, s, t, x, r, shadow):
    """x += α p̂ + ω ŝ, r = s - ω t; shadow·r and max |r|."""
    product, largest = 0.0, 0.0
    for i in range(begin, end):
        x[i] += alpha * p_hat[i] + omega * s_hat[i]
        value = s[i] - omega * t[i]
        r[i] = value
        product += shadow[i] * value
        largest = max(largest, abs(value))
    return product, largest


@serial
def direction_block(begin, end, keep, drop, r, v, p):
    """p = r + keep · p - drop · v on a block."""
    for i in range(begin, end):
        p[i] = r[i] + keep * p[i] - drop * v[i]


@serial
def start_block(begin, end, indptr, indices, data, reward, discount, values, r, shadow, p, v, x):
    """r = reward + γ P values - values and everything else at its start; r·r and max |r|."""
    square, largest = 0.0, 0.0
    for i in range(begin, end):
        value = row_value(i, indptr, indices, data, reward, discount, values) - values[i]
        r[i], shadow[i], p[i], v[i], x[i] = value, value, 0.0, 0.0, 0.0
        square += value * value
        largest = max(largest, abs(value))
    return square, largest


@parallel
def factorise(starts, indptr, indices, data, discount, low, diagonal, high, factor, pivot, place):
    """`factorise_block` of every block."""
    for b in prange(len(starts) - 1):
        factorise_block(
            starts[b], starts[b + 1], indptr, indices, data, discount, low, diagonal, high, factor, pivot, place
        )


@parallel
def start(starts, indptr, indices, data, reward, discount, values, r, shadow, p, v, x, sums):
    """`start_block` of every block."""
    for b in prange(len(starts) - 1):
        sums[b, 0], sums[b, 1] = start_block(
            starts[b], starts[b + 1], indptr, indices, data, reward, discount, values, r, shadow, p, v, x
        )


@parallel
def direction(starts, indices, low, diagonal, high, factor, pivot, keep, drop, r, v, p, p_hat):
    """A direction, and what the preconditioner makes of it: p = r + keep · p - drop · v, p̂ = (LU)⁻¹ p."""
    for b in prange(len(starts) - 1):
        direction_block(starts[b], starts[b + 1], keep, drop, r, v, p)
        precondition_block(starts[b], starts[b + 1], indices, low, diagonal, high, factor, pivot, p, p_hat)


@parallel
def multiply(starts, indptr, indices, data, discount, x, y, other, sums):
    """`multiply_block` of every block."""
    for b in prange(len(starts) - 1):
        sums[b, 0], sums[b, 1] = multiply_block(starts[b], starts[b + 1], indptr, indices, data, discount, x, y, other)


@parallel
def finish(starts, alpha, omega, p_hat, s_hat, s, t, x, r, shadow, sums):
    """`finish_block` of every block."""
    for b in prange(len(starts) - 1):
        sums[b, 0], sums[b, 1] = finish_block(starts[b], starts[b + 1], alpha, omega, p_hat, s_hat, s, t, x, r, shadow)
