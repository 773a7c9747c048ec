# pyright: basic
"""The product of factors, row by row.

Arguments: sizes [V] values of each variable; base, stride, numbers as `operant.mdp.build.factored._Flat`; ends [S].
"""

from __future__ import annotations

import numpy as np

from operant.mdp.kernels.bellman import serial


@serial
def _digits(state, sizes, digits):
    """The value of each variable in a state; the first changes slowest."""
    for i in range(len(sizes) - 1, -1, -1):
        digits[i] = state % sizes[i]
        state //= sizes[i]


@serial
def _offset(base, stride, digits):
    """Where a table's numbers for these digits (the last is the action) begin."""
    at = base
    for i in range(len(digits)):
        at += stride[i] * digits[i]
    return at


@serial
def count(sizes, actions, base, stride, numbers, ends):
    """How many entries the product has."""
    digits, total = np.zeros(len(sizes) + 1, dtype=np.int64), np.int64(0)
    for state in range(len(ends)):
        if ends[state]:
            continue
        _digits(state, sizes, digits)
        for action in range(actions):
            digits[len(sizes)] = action
            entries = np.int64(1)
            for i in range(len(sizes)):
                at = _offset(base[i], stride[i], digits)
                entries *= np.count_nonzero(numbers[at : at + sizes[i]])
            total += entries
    return total


@serial
def fill(
    sizes, actions, base, stride, numbers, ends, pay_base, pay_stride, pay_numbers, indptr, indices, data, reward
):  # fmt: skip
    """Write the rows: the entries of a row are the combinations of the factors' entries, successors increasing.

    A row grows factor by factor from its end backwards, so that no entry is overwritten before it is read.
    """
    variables = len(sizes)
    digits = np.zeros(variables + 1, dtype=np.int64)
    row, entry = np.int64(0), np.int64(0)
    indptr[0] = 0
    for state in range(len(ends)):
        if ends[state]:
            continue
        _digits(state, sizes, digits)
        for action in range(actions):
            digits[variables] = action
            indices[entry], data[entry] = 0, 1.0
            length = np.int64(1)
            for i in range(variables):
                at = _offset(base[i], stride[i], digits)
                wide = np.count_nonzero(numbers[at : at + sizes[i]])
                for k in range(length - 1, -1, -1):
                    write = entry + (k + 1) * wide - 1
                    successor, p = indices[entry + k], data[entry + k]
                    for value in range(sizes[i] - 1, -1, -1):
                        if numbers[at + value] != 0.0:
                            indices[write] = successor * sizes[i] + value
                            data[write] = p * numbers[at + value]
                            write -= 1
                length *= wide
            total = 0.0
            for j in range(len(pay_base)):
                total += pay_numbers[_offset(pay_base[j], pay_stride[j], digits)]
            reward[row] = total
            entry += length
            row += 1
            indptr[row] = entry
