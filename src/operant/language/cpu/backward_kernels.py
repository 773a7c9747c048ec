"""The backward pass of a decoder layer between its products, compiled by Numba: norms, gated MLP, attention.

Each writes over what it reads where that is not needed again. The products inside attention go to the BLAS of SciPy in
pieces of `QUERIES` rows, so small that it computes them on the calling thread.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from operant.data.compiled import inner, inner_counted, outer
from operant.language.cpu.simd import exp, largest

Array = np.ndarray

QUERIES = 32
"""Queries whose scores are held at once."""
SILU, GELU_TANH = 0, 1


@outer
def normalise(x: Array, scale: Array, eps: Any, y: Array, rate: Array) -> None:
    """y = x k ∘ scale and rate = k = (mean x² + eps)^-1/2, by row of x [M, D]."""
    width = x.shape[1]
    for r in range(x.shape[0]):
        square = np.float32(0.0)
        for i in range(width):
            square += x[r, i] * x[r, i]
        k = np.float32(1.0) / np.sqrt(square / np.float32(width) + eps)
        rate[r] = k
        for i in range(width):
            y[r, i] = x[r, i] * k * scale[i]


@outer
def normalise_backward(x: Array, scale: Array, rate: Array, dy: Array, dx: Array, dscale: Array) -> None:
    """dx += k (g − x̂ mean(g ∘ x̂)) with g = dy ∘ scale and x̂ = k x, and dscale += Σ dy ∘ x̂, over rows of x [M, D]."""
    width = x.shape[1]
    for r in range(x.shape[0]):
        k, along = rate[r], np.float32(0.0)
        for i in range(width):
            along += dy[r, i] * scale[i] * x[r, i]
        along *= k * k / np.float32(width)
        for i in range(width):
            dx[r, i] += k * (dy[r, i] * scale[i] - x[r, i] * along)
        for i in range(width):
            dscale[i] += dy[r, i] * x[r, i] * k


@inner
def _gate_backward(gate: Array, up: Array, dh: Array, activation: int) -> None:
    one = np.float32(1.0)
    if activation == SILU:
        for i in range(dh.size):
            a, u, d = gate[i], up[i], dh[i]
            share = one / (one + exp(-a))
            gate[i] = d * u * share * (one + a * (one - share))
            up[i] = d * a * share
            dh[i] = a * share * u
    else:  # a σ(2 c (a + 0.044715 a³)) with c = √(2/π): the form with tanh
        for i in range(dh.size):
            a, u, d = gate[i], up[i], dh[i]
            s = np.float32(1.5957691216057308) * (a + np.float32(0.044715) * a * a * a)
            slope = np.float32(1.5957691216057308) * (one + np.float32(0.134145) * a * a)
            share = one / (one + exp(-s))
            gate[i] = d * u * share * (one + a * slope * (one - share))
            up[i] = d * a * share
            dh[i] = a * share * u


@outer
def gate_backward(gates: Array, dh: Array, activation: int) -> None:
    """From gate and up side by side [M, 2 F] and dh [M, F] to their gradients and h = act(gate) ∘ up, in place."""
    for r in range(dh.shape[0]):
        _gate_backward(gates[r, : dh.shape[1]], gates[r, dh.shape[1] :], dh[r], activation)


@outer
def score_backward(logits: Array, token: Array, weight: Array) -> None:
    """logits [M, V] to weight ∘ (1[token] − softmax(logits)), in place."""
    vocab = logits.shape[1]
    for r in range(logits.shape[0]):
        row = logits[r]
        most, total = largest(row, vocab), np.float32(0.0)
        for i in range(vocab):
            p = exp(row[i] - most)
            row[i] = p
            total += p
        share = -weight[r] / total
        for i in range(vocab):
            row[i] *= share
        row[token[r]] += weight[r]


class Rows(NamedTuple):
    """Sequences among M tokens: groups of rows behind a prompt, each a stretch of tokens."""

    prompt: Array  # [G, 2] first token of the prompt, and one behind its last
    first: Array  # [G + 1] the first row of each group
    row: Array  # [R, 2] first token of the row, and one behind its last
    cos: Array  # [M, d]
    sin: Array  # [M, d]


class Scratch(NamedTuple):
    """One thread's memory, for C positions and heads of d numbers."""

    q: Array  # [QUERIES, d]
    dout: Array  # [QUERIES, d]
    dq: Array  # [QUERIES, d]
    k: Array  # [C, d]
    across: Array  # [2, d · C] keys and values, one column for each: BLAS takes twice as long over a transposed view
    dk: Array  # [C, d]
    dv: Array  # [C, d]
    part: Array  # [C, d]
    score: Array  # [QUERIES · C]
    p: Array  # [QUERIES · C]
    dp: Array  # [QUERIES · C]
    ds: Array  # [QUERIES · C]


def scratch(positions: int, d: int) -> Scratch:
    """For so many positions."""
    few, many, across, table = (QUERIES, d), (positions, d), (2, d * positions), (QUERIES * positions,)
    shapes = (few, few, few, many, across, many, many, many, table, table, table, table)
    return Scratch(*(np.empty(shape, np.float32) for shape in shapes))


# Views are taken of rows, whose indices are then plainly not negative: only so are the loops vectorised.
@inner
def _copy(x: Array, first: int, last: int, column: int, to: Array, at: int) -> None:
    for t in range(first, last):
        source, target = x[t, column:], to[at + t - first]
        for i in range(target.size):
            target[i] = source[i]


@inner
def _put(x: Array, at: int, count: int, to: Array, first: int, column: int) -> None:
    for t in range(count):
        source, target = x[at + t], to[first + t, column:]
        for i in range(x.shape[1]):
            target[i] = source[i]


@inner
def _copy_across(x: Array, first: int, last: int, column: int, d: int, to: Array, at: int, count: int) -> None:
    for i in range(d):
        source, target = x[first:, column + i], to[i * count + at :]
        for t in range(last - first):
            target[t] = source[t]


@inner
def _shares(score: Array, dp: Array, p: Array, ds: Array, seen: int, n: int, along: Any, scale: Any) -> None:
    """p = softmax(scale score) over `seen` keys and ds = scale p (dp − along), of n; 0 behind them."""
    most, total = largest(score, seen), np.float32(0.0)
    for j in range(seen):
        e = exp((score[j] - most) * scale)
        p[j] = e
        total += e
    share = np.float32(1.0) / total
    for j in range(seen):
        e = p[j] * share
        p[j] = e
        ds[j] = e * (dp[j] - along) * scale
    for j in range(seen, n):
        p[j] = np.float32(0.0)
        ds[j] = np.float32(0.0)


@inner
def _turn_back(dx: Array, at: int, count: int, rows: Rows, first: int, out: Array, column: int) -> None:
    """out[first + t, column :] = the rotation undone of dx[at + t]."""
    half = dx.shape[1] // 2
    for t in range(count):
        a, b, cos, sin = dx[at + t, :half], dx[at + t, half:], rows.cos[first + t], rows.sin[first + t]
        left, right = out[first + t, column : column + half], out[first + t, column + half :]
        near, far = cos[half:], sin[half:]
        for i in range(half):
            left[i] = a[i] * cos[i] + b[i] * far[i]
        for i in range(half):
            right[i] = b[i] * near[i] - a[i] * sin[i]


@inner
def _grow(x: Array, part: Array, count: int) -> None:
    for j in range(count):
        for i in range(x.shape[1]):
            x[j, i] += part[j, i]


@inner
def _dot(a: Array, b: Array, t: int, column: int, d: int) -> Any:
    x, y, total = a[t, column:], b[t, column:], np.float32(0.0)
    for i in range(d):
        total += x[i] * y[i]
    return total


@inner
def _all_shares(
    s: Scratch, dout: Array, out: Array, begin: int, column: int, n: int, wide: int, count: int, scale: Any
) -> None:
    """`_shares` of each of n queries, the last of which sees `count` keys."""
    for t in range(n):
        along = _dot(dout, out, begin + t, column, s.k.shape[1])
        score, dp, p, ds = s.score[t * wide :], s.dp[t * wide :], s.p[t * count :], s.ds[t * count :]
        _shares(score, dp, p, ds, count - n + t + 1, count, along, scale)


@inner_counted
def _attend_backward(
    qkv: Array, out: Array, dout: Array, dqkv: Array, rows: Rows, first: int, last: int, before: int, h: int,
    scale: Any, s: Scratch,
) -> None:  # fmt: skip
    """One head of queries first … last - 1, with `before` keys ahead of their own: dk and dv grow, dq is written."""
    d, wide = s.k.shape[1], before + last - first
    keys, values = s.across[0, : d * wide].reshape((d, wide)), s.across[1, : d * wide].reshape((d, wide))
    for begin in range(first, last, QUERIES):
        n = min(QUERIES, last - begin)
        count = before + begin - first + n
        q, g, part = s.q[:n], s.dout[:n], s.part[:count]
        p, ds = s.p[: n * count].reshape((n, count)), s.ds[: n * count].reshape((n, count))
        _copy(qkv, begin, begin + n, h * d, s.q, 0)
        _copy(dout, begin, begin + n, h * d, s.dout, 0)
        np.dot(q, keys, s.score[: n * wide].reshape((n, wide)))
        np.dot(g, values, s.dp[: n * wide].reshape((n, wide)))
        _all_shares(s, dout, out, begin, h * d, n, wide, count, scale)
        np.dot(p.T, g, part)
        _grow(s.dv, s.part, count)
        np.dot(ds.T, q, part)
        _grow(s.dk, s.part, count)
        np.dot(ds, s.k[:count], s.dq[:n])
        _turn_back(s.dq, 0, n, rows, begin, dqkv, h * d)


@outer
def attention_backward(
    qkv: Array, out: Array, dout: Array, dqkv: Array, rows: Rows, heads: int, scale: Any, s: Scratch
) -> None:
    """dqkv [M, (H + 2 K) d] from the gradient of what attention gave.

    With p = softmax(scale q kᵀ) over the tokens before in the prompt and the row, and D = Σ dout ∘ out by query:
    dv = pᵀ dout, ds = scale p ∘ (dout vᵀ − D), dq = ds k, dk = dsᵀ q.

    Args:
        qkv: [M, (H + 2 K) d] rotated queries, keys, and values.
        out, dout: [M, H d] what attention gave, and its gradient.
        dqkv: is written, before the rotation.
        rows: the sequences.
        heads: H.
        scale: of the scores.
        s: memory for the longest row and its prompt.
    """
    d = s.k.shape[1]
    kv_heads = qkv.shape[1] // d - heads
    kv_heads //= 2
    each = heads // kv_heads
    for group in range(rows.prompt.shape[0]):
        start, end = rows.prompt[group, 0], rows.prompt[group, 1]
        before = end - start
        for g in range(kv_heads):
            key, value = (heads + g) * d, (heads + kv_heads + g) * d
            _copy(qkv, start, end, key, s.k, 0)
            s.dk[:before] = np.float32(0.0)
            s.dv[:before] = np.float32(0.0)
            for r in range(rows.first[group], rows.first[group + 1]):
                first, last = rows.row[r, 0], rows.row[r, 1]
                count = last - first
                _copy(qkv, first, last, key, s.k, before)
                for side, column in ((0, key), (1, value)):
                    _copy_across(qkv, start, end, column, d, s.across[side], 0, before + count)
                    _copy_across(qkv, first, last, column, d, s.across[side], before, before + count)
                s.dk[before : before + count] = np.float32(0.0)
                s.dv[before : before + count] = np.float32(0.0)
                for h in range(g * each, (g + 1) * each):
                    _attend_backward(qkv, out, dout, dqkv, rows, first, last, before, h, scale, s)
                _turn_back(s.dk, before, count, rows, first, dqkv, key)
                _put(s.dv, before, count, dqkv, first, value)
            for side, column in ((0, key), (1, value)):
                _copy_across(qkv, start, end, column, d, s.across[side], 0, before)
            for h in range(g * each, (g + 1) * each):
                _attend_backward(qkv, out, dout, dqkv, rows, start, end, 0, h, scale, s)
            _turn_back(s.dk, 0, before, rows, start, dqkv, key)
            _put(s.dv, 0, before, dqkv, start, value)
