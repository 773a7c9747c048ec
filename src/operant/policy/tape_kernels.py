"""The backward pass of a decoder layer between its products, compiled by Numba: norms, gated MLP, attention.

Each writes over what it reads where that is not needed again. The products inside attention go to the BLAS of SciPy in
pieces of `QUERIES` rows, so small that it computes them on the calling thread.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from operant.policy.vectors import exp, inner, largest, outer

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


@outer
def gate_backward(gates: Array, dh: Array, activation: int) -> None:
    """From gate and up side by side [M, 2 F] and dh [M, F] to their gradients and h = act(gate) ∘ up, in place."""
    width = dh.shape[1]
    for r in range(dh.shape[0]):
        if activation == SILU:
            for i in range(width):
                a, u, d = gates[r, i], gates[r, width + i], dh[r, i]
                share = np.float32(1.0) / (np.float32(1.0) + exp(-a))
                gates[r, i] = d * u * share * (np.float32(1.0) + a * (np.float32(1.0) - share))
                gates[r, width + i] = d * a * share
                dh[r, i] = a * share * u
        else:  # a σ(2 c (a + 0.044715 a³)) with c = √(2/π): the form with tanh
            for i in range(width):
                a, u, d = gates[r, i], gates[r, width + i], dh[r, i]
                s = np.float32(1.5957691216057308) * (a + np.float32(0.044715) * a * a * a)
                slope = np.float32(1.5957691216057308) * (np.float32(1.0) + np.float32(0.134145) * a * a)
                share = np.float32(1.0) / (np.float32(1.0) + exp(-s))
                gates[r, i] = d * u * share * (np.float32(1.0) + a * slope * (np.float32(1.0) - share))
                gates[r, width + i] = d * a * share
                dh[r, i] = a * share * u


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
    v: Array  # [C, d]
    dk: Array  # [C, d]
    dv: Array  # [C, d]
    part: Array  # [C, d]
    p: Array  # [QUERIES · C]
    dp: Array  # [QUERIES · C]


def scratch(positions: int, d: int) -> Scratch:
    """For so many positions."""
    few, many, table = (QUERIES, d), (positions, d), (QUERIES * positions,)
    return Scratch(*(np.empty(s, np.float32) for s in (few, few, few, many, many, many, many, many, table, table)))


@inner
def _copy(x: Array, first: int, last: int, column: int, to: Array, at: int) -> None:
    for t in range(first, last):
        for i in range(to.shape[1]):
            to[at + t - first, i] = x[t, column + i]


@inner
def _turn_back(dx: Array, at: int, count: int, rows: Rows, first: int, out: Array, column: int) -> None:
    """out[first + t, column :] = the rotation undone of dx[at + t]."""
    half = dx.shape[1] // 2
    for t in range(count):
        for i in range(half):
            a, b = dx[at + t, i], dx[at + t, half + i]
            out[first + t, column + i] = a * rows.cos[first + t, i] + b * rows.sin[first + t, half + i]
            out[first + t, column + half + i] = b * rows.cos[first + t, half + i] - a * rows.sin[first + t, i]


@outer
def _attend_backward(
    qkv: Array, out: Array, dout: Array, dqkv: Array, rows: Rows, first: int, last: int, before: int, h: int,
    scale: Any, s: Scratch,
) -> None:  # fmt: skip
    """One head of queries first … last - 1, with `before` keys ahead of their own: dk and dv grow, dq is written."""
    d = s.k.shape[1]
    for begin in range(first, last, QUERIES):
        n = min(QUERIES, last - begin)
        count = before + begin - first + n
        q, g, dq = s.q[:n], s.dout[:n], s.dq[:n]
        k, v, part = s.k[:count], s.v[:count], s.part[:count]
        p, dp = s.p[: n * count].reshape((n, count)), s.dp[: n * count].reshape((n, count))
        _copy(qkv, begin, begin + n, h * d, s.q, 0)
        _copy(dout, begin, begin + n, h * d, s.dout, 0)
        np.dot(q, k.T, p)
        np.dot(g, v.T, dp)
        for t in range(n):
            seen, total, along = count - n + t + 1, np.float32(0.0), np.float32(0.0)
            most = largest(p[t], seen)
            for j in range(seen):
                e = exp((p[t, j] - most) * scale)
                p[t, j] = e
                total += e
            share = np.float32(1.0) / total
            for i in range(d):
                along += g[t, i] * out[begin + t, h * d + i]
            for j in range(seen):
                e = p[t, j] * share
                p[t, j] = e
                dp[t, j] = e * (dp[t, j] - along) * scale
            for j in range(seen, count):
                p[t, j] = np.float32(0.0)
                dp[t, j] = np.float32(0.0)
        np.dot(p.T, g, part)
        for j in range(count):
            for i in range(d):
                s.dv[j, i] += part[j, i]
        np.dot(dp.T, q, part)
        for j in range(count):
            for i in range(d):
                s.dk[j, i] += part[j, i]
        np.dot(dp, k, dq)
        _turn_back(s.dq, 0, n, rows, begin, dqkv, h * d)


@outer
def attention_backward(
    qkv: Array, out: Array, dout: Array, dqkv: Array, rows: Rows, heads: int, from_head: int, to_head: int, scale: Any,
    s: Scratch,
) -> None:  # fmt: skip
    """dqkv [M, (H + 2 K) d] from the gradient of what attention gave, for heads from_head … to_head - 1 of keys.

    With p = softmax(scale q kᵀ) over the tokens before in the prompt and the row, and D = Σ dout ∘ out by query:
    dv = pᵀ dout, ds = scale p ∘ (dout vᵀ − D), dq = ds k, dk = dsᵀ q.

    Args:
        qkv: [M, (H + 2 K) d] rotated queries, keys, and values.
        out, dout: [M, H d] what attention gave, and its gradient.
        dqkv: is written, before the rotation.
        rows: the sequences.
        heads: H.
        from_head, to_head: a share of the K.
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
        for g in range(from_head, to_head):
            key, value = (heads + g) * d, (heads + kv_heads + g) * d
            _copy(qkv, start, end, key, s.k, 0)
            _copy(qkv, start, end, value, s.v, 0)
            s.dk[:before] = np.float32(0.0)
            s.dv[:before] = np.float32(0.0)
            for r in range(rows.first[group], rows.first[group + 1]):
                first, last = rows.row[r, 0], rows.row[r, 1]
                count = last - first
                _copy(qkv, first, last, key, s.k, before)
                _copy(qkv, first, last, value, s.v, before)
                s.dk[before : before + count] = np.float32(0.0)
                s.dv[before : before + count] = np.float32(0.0)
                for h in range(g * each, (g + 1) * each):
                    _attend_backward(qkv, out, dout, dqkv, rows, first, last, before, h, scale, s)
                _turn_back(s.dk, before, count, rows, first, dqkv, key)
                for t in range(count):
                    for i in range(d):
                        dqkv[first + t, value + i] = s.dv[before + t, i]
            for h in range(g * each, (g + 1) * each):
                _attend_backward(qkv, out, dout, dqkv, rows, start, end, 0, h, scale, s)
            _turn_back(s.dk, 0, before, rows, start, dqkv, key)
            for t in range(before):
                for i in range(d):
                    dqkv[start + t, value + i] = s.dv[t, i]
