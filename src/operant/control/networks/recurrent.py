"""Recurrent layers compiled by Numba: an LSTM and a GRU over whole rows, forwards and backwards.

The equations, and the order of the gates, are those of `torch.nn.LSTM` and `torch.nn.GRU`. Numbers run along the units,
rows of a batch one after the other in pieces whose products never start a thread. What lies before an episode's first
step is zero. Arrays are float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operant.control.kernels import SINGLE_THREADED, tanh
from operant.data.compiled import inner, outer

Array = np.ndarray

ONE, HALF = np.float32(1.0), np.float32(0.5)


@inner
def _sigmoid(x: Any) -> Any:
    return HALF + HALF * tanh(HALF * x)


@inner
def _width(gates: int, size: int) -> int:
    return max(1, SINGLE_THREADED // (gates * size * size))


@outer
def lstm(gates: Array, weight: Array, bias: Array, begins: Array, state: Array, out: Array, cells: Array) -> None:
    """h and c of every step.

    Args:
        gates: [B, T, 4 H], W x + b of input, forget, cell and output gate; replaced by the gates' values.
        weight, bias: [4 H, H] and [4 H], of h.
        begins: [B, T] bool, where an episode begins.
        state: [B, 2 H], h and c before the first step; replaced by those behind the last.
        out, cells: [B, T, H], filled with h and c.
    """
    rows, steps, size = out.shape
    width = _width(4, size)
    for start in range(0, rows, width):
        n = min(width, rows - start)
        hidden, z = np.empty((n, size), np.float32), np.empty((n, 4 * size), np.float32)
        for t in range(steps):
            for p in range(n):
                if begins[start + p, t]:
                    state[start + p] = np.float32(0.0)
                hidden[p] = state[start + p, :size]
            np.dot(hidden, weight.T, z)
            for p in range(n):
                b = start + p
                at, whole = z[p], gates[b, t]
                for k in range(4 * size):
                    at[k] += whole[k] + bias[k]
                for k in range(4 * size):
                    whole[k] = _sigmoid(at[k])
                i, f, g, o = whole[:size], whole[size : 2 * size], whole[2 * size : 3 * size], whole[3 * size :]
                new, old, c, h = at[2 * size : 3 * size], state[b, size:], cells[b, t], out[b, t]
                for k in range(size):
                    g[k] = tanh(new[k])
                for k in range(size):
                    c[k] = f[k] * old[k] + i[k] * g[k]
                for k in range(size):
                    h[k] = o[k] * tanh(c[k])
                state[b, :size] = h
                state[b, size:] = c


@outer
def lstm_slope(gates: Array, weight: Array, begins: Array, before: Array, cells: Array, slope: Array) -> None:
    """Backwards through `lstm`.

    Args:
        gates: [B, T, 4 H], values; replaced by dLoss/d(W x + b).
        weight: [4 H, H], of h.
        begins: [B, T] bool.
        before, cells: [B, T, H], c before each step and behind it.
        slope: [B, T, H], dLoss/dh of every step.
    """
    rows, steps, size = slope.shape
    width = _width(4, size)
    for start in range(0, rows, width):
        n = min(width, rows - start)
        dh, dc = np.zeros((n, size), np.float32), np.zeros((n, size), np.float32)
        dz, c = np.empty((n, 4 * size), np.float32), np.empty(size, np.float32)
        for t in range(steps - 1, -1, -1):
            for p in range(n):
                b = start + p
                whole, reached, told, old = gates[b, t], cells[b, t], slope[b, t], before[b, t]
                i, f, g, o = whole[:size], whole[size : 2 * size], whole[2 * size : 3 * size], whole[3 * size :]
                dhp, dcp, dzp = dh[p], dc[p], dz[p]
                for k in range(size):
                    c[k] = tanh(reached[k])
                for k in range(size):
                    dhp[k] += told[k]
                for k in range(size):
                    dcp[k] += dhp[k] * o[k] * (ONE - c[k] * c[k])
                for k in range(size):
                    o[k] = dhp[k] * c[k] * o[k] * (ONE - o[k])
                for k in range(size):
                    c[k] = dcp[k] * g[k] * i[k] * (ONE - i[k])
                for k in range(size):
                    g[k] = dcp[k] * i[k] * (ONE - g[k] * g[k])
                for k in range(size):
                    i[k] = dcp[k] * old[k]
                for k in range(size):
                    dcp[k] *= f[k]
                for k in range(size):
                    f[k] = i[k] * f[k] * (ONE - f[k])
                for k in range(size):
                    i[k] = c[k]
                for k in range(4 * size):
                    dzp[k] = whole[k]
            np.dot(dz, weight, dh)
            for p in range(n):
                if begins[start + p, t]:
                    dh[p] = np.float32(0.0)
                    dc[p] = np.float32(0.0)


@outer
def gru(gates: Array, weight: Array, bias: Array, begins: Array, state: Array, out: Array, kept: Array) -> None:
    """h of every step.

    Args:
        gates: [B, T, 3 H], W x + b of reset and update gate and of the new value; replaced by the values of all three.
        weight, bias: [3 H, H] and [3 H], of h.
        begins: [B, T] bool, where an episode begins.
        state: [B, H], h before the first step; replaced by that behind the last.
        out: [B, T, H], filled with h; `kept` [B, T, H] with the part of the new value that the reset gate weighs.
    """
    rows, steps, size = out.shape
    width = _width(3, size)
    for start in range(0, rows, width):
        n = min(width, rows - start)
        hidden, z = np.empty((n, size), np.float32), np.empty((n, 3 * size), np.float32)
        for t in range(steps):
            for p in range(n):
                if begins[start + p, t]:
                    state[start + p] = np.float32(0.0)
                hidden[p] = state[start + p]
            np.dot(hidden, weight.T, z)
            for p in range(n):
                b = start + p
                at, whole, h, old = z[p], gates[b, t], out[b, t], hidden[p]
                for k in range(3 * size):
                    at[k] += bias[k]
                gate, both = whole[: 2 * size], at[: 2 * size]
                for k in range(2 * size):
                    gate[k] = _sigmoid(gate[k] + both[k])
                r, u, new, weighed = whole[:size], whole[size : 2 * size], whole[2 * size :], kept[b, t]
                weighed[:] = at[2 * size :]
                for k in range(size):
                    new[k] = tanh(new[k] + r[k] * weighed[k])
                for k in range(size):
                    h[k] = new[k] + u[k] * (old[k] - new[k])
                state[b] = h


@outer
def gru_slope(gates: Array, weight: Array, begins: Array, before: Array, kept: Array, slope: Array) -> None:
    """Backwards through `gru`.

    Args:
        gates: [B, T, 3 H], values; replaced by dLoss/d(W x + b).
        weight: [3 H, H], of h.
        begins: [B, T] bool.
        before: [B, T, H], h before each step.
        kept: [B, T, H], what the reset gate weighs; replaced by dLoss/d(that).
        slope: [B, T, H], dLoss/dh of every step.
    """
    rows, steps, size = slope.shape
    width = _width(3, size)
    for start in range(0, rows, width):
        n = min(width, rows - start)
        dh, dz, back = (
            np.zeros((n, size), np.float32),
            np.empty((n, 3 * size), np.float32),
            np.empty((n, size), np.float32),
        )
        for t in range(steps - 1, -1, -1):
            for p in range(n):
                b = start + p
                whole, told, old, weighed, dhp = gates[b, t], slope[b, t], before[b, t], kept[b, t], dh[p]
                r, u, new, keep = whole[:size], whole[size : 2 * size], whole[2 * size :], back[p]
                for k in range(size):
                    dhp[k] += told[k]
                for k in range(size):
                    keep[k] = dhp[k] * u[k]
                for k in range(size):
                    u[k] = dhp[k] * (old[k] - new[k]) * u[k] * (ONE - u[k])
                for k in range(size):
                    new[k] = (dhp[k] - keep[k]) * (ONE - new[k] * new[k])
                dz[p, 2 * size :] = new
                last = dz[p, 2 * size :]
                for k in range(size):
                    last[k] *= r[k]
                for k in range(size):
                    r[k] = new[k] * weighed[k] * r[k] * (ONE - r[k])
                weighed[:] = last
                dz[p, : 2 * size] = whole[: 2 * size]
            np.dot(dz, weight, dh)
            for p in range(n):
                if begins[start + p, t]:
                    dh[p] = np.float32(0.0)
                else:
                    dh[p] += back[p]
