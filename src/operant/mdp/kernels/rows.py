# pyright: basic
"""Loops over the entries of rows, for building: serial, and nothing allocated but what is returned."""

from __future__ import annotations

import numpy as np

from operant.mdp.kernels.bellman import serial


@serial
def is_tidy(indptr, indices, data):
    """Whether successors increase within every row and no entry is 0."""
    for row in range(len(indptr) - 1):
        for k in range(np.int64(indptr[row]), np.int64(indptr[row + 1])):
            if data[k] == 0.0 or (k > np.int64(indptr[row]) and indices[k] <= indices[k - 1]):
                return False
    return True


@serial
def tidy(indptr, indices, data, outcome):
    """Sort every row by successor, merge duplicates, leave out zeros, in place; returns the entries that are left.

    Merged probabilities are summed, and their rewards (`outcome` [nnz], or empty) averaged by probability. Everything
    moves forward only, so the arrays need no second copy.
    """
    write = np.int64(0)
    for row in range(len(indptr) - 1):
        begin, end = np.int64(indptr[row]), np.int64(indptr[row + 1])
        _sort(indices[begin:end], data[begin:end], outcome[begin:end])
        indptr[row] = write
        start = write
        for k in range(begin, end):
            if data[k] == 0.0:
                continue
            if write > start and indices[write - 1] == indices[k]:
                total = data[write - 1] + data[k]
                if len(outcome) > 0 and outcome[k] != outcome[write - 1]:
                    outcome[write - 1] += (outcome[k] - outcome[write - 1]) * (data[k] / total)
                data[write - 1] = total
                continue
            indices[write], data[write] = indices[k], data[k]
            if len(outcome) > 0:
                outcome[write] = outcome[k]
            write += 1
    indptr[len(indptr) - 1] = write
    return write


@serial
def _sort(keys, data, outcome):
    """Sort a row by its keys; stable."""
    count = len(keys)
    if count > 64:
        order = np.argsort(keys, kind="mergesort")
        keys[:], data[:] = keys[order], data[order]
        if len(outcome) > 0:
            outcome[:] = outcome[order]
        return
    for i in range(1, count):
        j = i
        key, p = keys[i], data[i]
        r = outcome[i] if len(outcome) > 0 else 0.0
        while j > 0 and keys[j - 1] > key:
            keys[j], data[j] = keys[j - 1], data[j - 1]
            if len(outcome) > 0:
                outcome[j] = outcome[j - 1]
            j -= 1
        keys[j], data[j] = key, p
        if len(outcome) > 0:
            outcome[j] = r


@serial
def means(indptr, data, outcome, reward):
    """reward(s, a) = Σ p r of every row (exactly r where all are equal and p sums to one); True if some row varies."""
    varies = False
    for row in range(len(reward)):
        begin, end = np.int64(indptr[row]), np.int64(indptr[row + 1])
        total, mean, low, high = 0.0, 0.0, np.inf, -np.inf
        for k in range(begin, end):
            total += data[k]
            mean += data[k] * outcome[k]
            low, high = min(low, outcome[k]), max(high, outcome[k])
        if low == high and abs(total - 1.0) <= 1e-8 * (end - begin):
            mean = low
        reward[row] = mean
        varies |= low < high
    return varies


@serial
def copy_rows(indptr, indices, data, lines, to, new_indptr, new_indices, new_data):
    """Copy the rows `lines` of one matrix to the rows `to` of another, whose `new_indptr` leaves room for them."""
    for i in range(len(lines)):
        write = np.int64(new_indptr[to[i]])
        for k in range(np.int64(indptr[lines[i]]), np.int64(indptr[lines[i] + 1])):
            new_indices[write], new_data[write] = indices[k], data[k]
            write += 1


@serial
def look_up(indptr, indices, other_indptr, other_indices, other_data, out):
    """out[k] = the other matrix at the place of entry k, or 0 where it has none; the rows of both are sorted."""
    for row in range(len(indptr) - 1):
        at, end = np.int64(other_indptr[row]), np.int64(other_indptr[row + 1])
        for k in range(np.int64(indptr[row]), np.int64(indptr[row + 1])):
            while at < end and other_indices[at] < indices[k]:
                at += 1
            out[k] = other_data[at] if at < end and other_indices[at] == indices[k] else 0.0
