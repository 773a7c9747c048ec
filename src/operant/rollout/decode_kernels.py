"""Decoding steps of small transformers compiled by Numba: several tokens for several rows in one call.

One row per sequence. Weights stand in blocks of 64 outputs, [block, inputs, 64], and each product goes to the BLAS of
SciPy in pieces so small that it computes them on the calling thread, with the kernels it keeps for small matrices;
callers run shares of the rows on threads of their own. Keys stand in blocks of 32 positions, [block, d, 32]: scores
are computed side by side, and memory is read from one end to the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from operant.data.compiled import compiled

Array = np.ndarray
F = TypeVar("F", bound=Callable[..., Any])

WIDE = 64
"""Outputs in a block of weights."""
SINGLE_THREADED = 64**3
"""Multiplications up to which OpenBLAS computes a product on the calling thread."""
LANES = 32
"""Positions in a block of keys."""

SILU, GELU_TANH, GELU, RELU = 0, 1, 2, 3


class Weights(NamedTuple):
    """A model. B counts blocks of 64 outputs; an array of length 0 stands for what a family does not have."""

    embed: Array  # [V, D]
    stretch: np.float32  # of embeddings
    places: Array  # [P, D] learnt positions, or [0, D]
    cos: Array  # [P, d], or [0, d]
    sin: Array  # [P, d]
    norms: Array  # [2 depth + 1, 2, D]: scale and shift before attention, before the MLP, …, before the head
    centred: bool  # layer norm; otherwise RMS norm
    eps: np.float32
    heads_norm: Array  # [depth, 2, d] scales of queries and keys, or [0, 2, d]
    heads_eps: np.float32
    qkv: Array  # [depth, B, D, 64]
    qkv_bias: Array  # [depth, B 64]
    out: Array  # [depth, B, H d, 64]
    out_bias: Array
    up: Array  # [depth, B, D, 64]; gate, then up, where gated
    up_bias: Array
    gated: bool
    activation: int
    down: Array  # [depth, B, F, 64], F a multiple of 64
    down_bias: Array
    head: Array  # [B, D, 64]
    heads: int
    kv_heads: int
    scale: np.float32


class Cache(NamedTuple):
    """Keys and values: of prompts (shared by their samples), and of each row since."""

    prompt_k: Array  # [depth, blocks, G, K, d, LANES]
    prompt_v: Array  # [depth, blocks, G, K, LANES, d]
    k: Array  # [depth, blocks, S, K, d, LANES]: a block of every row side by side, as a step reads them
    v: Array  # [depth, blocks, S, K, LANES, d]


class Rows(NamedTuple):
    """Views of `operant.rollout.slots.Slots`, and the prompt [S] that each row follows."""

    tokens: Array
    logp: Array
    kept: Array
    acted: Array
    known: Array
    at: Array
    limit: Array
    start: Array
    key: Array  # uint64
    offset: Array
    busy: Array
    prompt: Array


class Scratch(NamedTuple):
    """One thread's memory for n rows."""

    active: Array  # [n] int64
    x: Array  # [n, D] the residual stream
    y: Array  # [n, D]
    q: Array  # [n, H d]
    h: Array  # [n, F]
    z: Array  # [blocks, n, 64]
    one: Array  # [longest row of outputs]
    score: Array  # [positions]
    logits: Array  # [V]
    share: Array  # [V]
    allowed: Array  # [V] bool


class How(NamedTuple):
    """`operant.rollout.sampling.Sampling` with its stop tokens as a mask."""

    temperature: np.float32
    top_k: int
    top_p: float
    min_p: float
    stop: Array  # [V] bool


def _jit(flags: set[str]) -> Callable[[F], F]:
    def wrap(function: F) -> F:
        return compiled(function, fastmath=flags, error_model="numpy", nogil=True)

    return wrap


_fast = _jit({"reassoc", "contract", "arcp", "nsz"})  # NaN and infinity stay what they are
_strict = _jit({"contract"})
_loose = _jit({"reassoc", "contract", "arcp", "nsz", "nnan"})  # for a maximum alone: which of NaN it is does not matter


@_strict
def _exp(x: Any) -> Any:
    """e^x to 2e-7 of itself, for x in [-87, 88] (clamped): Cephes' `expf`, without a branch."""
    x = np.float32(-87.0) if x < np.float32(-87.0) else x  # written so that NaN passes
    x = np.float32(88.0) if x > np.float32(88.0) else x
    n = np.floor(x * np.float32(1.44269504088896341) + np.float32(0.5))
    r = x - n * np.float32(0.693359375)
    r = r + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * (r * r) + r + np.float32(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@_loose
def _top(x: Array, n: int) -> Any:
    top = x[0]
    for i in range(n):
        top = max(top, x[i])
    return top


@_fast
def pack(w: Array, blocks: Array, first: int) -> None:
    """Weights w [O, I] as outputs first … first + O - 1 of blocks [B, ≥ I, 64]."""
    for o in range(0, w.shape[0], 16):
        for i in range(0, w.shape[1], 16):
            for a in range(o, min(o + 16, w.shape[0])):
                block, lane = blocks[(first + a) // WIDE], (first + a) % WIDE
                for c in range(i, min(i + 16, w.shape[1])):
                    block[c, lane] = w[a, c]


@_fast
def exponential(x: Array, y: Array, n: int) -> None:
    """y[:n] = e^x[:n]."""
    for i in range(n):
        y[i] = _exp(x[i])


@_fast
def product(x: Array, w: Array, z: Array, n: int) -> None:
    """z[b, :n] = x[:n] w[b] for x [·, K], w [B, K, 64], z [≥ B, ·, 64]."""
    some = max(1, min(32, SINGLE_THREADED // (WIDE * w.shape[1])))
    for b in range(w.shape[0]):
        for r in range(0, n, some):
            e = min(r + some, n)
            np.dot(x[r:e], w[b], z[b, r:e])


@_fast
def _normalise(x: Array, norm: Array, centred: bool, eps: Any, y: Array, n: int) -> None:
    width = x.shape[1]
    scale, shift = norm[0], norm[1]
    for r in range(n):
        a, b = x[r], y[r]
        mean = np.float32(0.0)
        if centred:
            for i in range(width):
                mean += a[i]
            mean /= np.float32(width)
        square = np.float32(0.0)
        for i in range(width):
            d = a[i] - mean
            square += d * d
        k = np.float32(1.0) / np.sqrt(square / np.float32(width) + eps)
        for i in range(width):
            b[i] = (a[i] - mean) * k * scale[i] + shift[i]


@_fast
def _add(z: Array, bias: Array, x: Array, n: int) -> None:
    """x += a product and its bias."""
    width = x.shape[1]
    for b in range((width + WIDE - 1) // WIDE):
        first = b * WIDE
        count = min(WIDE, width - first)
        given = bias[first : first + count]
        for r in range(n):
            to, part = x[r, first : first + count], z[b, r]
            for j in range(count):
                to[j] += part[j] + given[j]


@_fast
def _gather(z: Array, bias: Array, r: int, blocks: int, one: Array) -> None:
    """One row of a product's blocks side by side, with the bias."""
    for b in range(blocks):
        part, given, to = z[b, r], bias[b * WIDE : (b + 1) * WIDE], one[b * WIDE : (b + 1) * WIDE]
        for j in range(WIDE):
            to[j] = part[j] + given[j]


@_fast
def _head_norm(x: Array, scale: Array, eps: Any) -> None:
    square = np.float32(0.0)
    for i in range(x.size):
        square += x[i] * x[i]
    k = np.float32(1.0) / np.sqrt(square / np.float32(x.size) + eps)
    for i in range(x.size):
        x[i] = x[i] * k * scale[i]


@_fast
def _rotate(x: Array, cos: Array, sin: Array) -> None:
    half = x.size // 2
    for i in range(half):
        a, b = x[i], x[i + half]
        x[i] = a * cos[i] - b * sin[i]
        x[i + half] = b * cos[i + half] + a * sin[i + half]


@_fast
def _scores(q: Array, k: Array, row: int, g: int, count: int, score: Array) -> None:
    """score[t] = q · k_t for the first `count` positions of k [blocks, row, g, d, LANES]; d is a multiple of 4.

    Up to LANES - 1 numbers behind are written too.
    """
    for b in range((count + LANES - 1) // LANES):
        block, to = k[b, row, g], score[b * LANES : (b + 1) * LANES]
        for t in range(LANES):
            to[t] = np.float32(0.0)
        i = 0
        while i + 8 <= q.size:
            q0, q1, q2, q3, q4, q5, q6, q7 = q[i], q[i + 1], q[i + 2], q[i + 3], q[i + 4], q[i + 5], q[i + 6], q[i + 7]
            for t in range(LANES):
                near = q0 * block[i, t] + q1 * block[i + 1, t] + (q2 * block[i + 2, t] + q3 * block[i + 3, t])
                far = q4 * block[i + 4, t] + q5 * block[i + 5, t] + (q6 * block[i + 6, t] + q7 * block[i + 7, t])
                to[t] += near + far
            i += 8
        if i < q.size:
            q0, q1, q2, q3 = q[i], q[i + 1], q[i + 2], q[i + 3]
            for t in range(LANES):
                to[t] += q0 * block[i, t] + q1 * block[i + 1, t] + (q2 * block[i + 2, t] + q3 * block[i + 3, t])


@_fast
def _blend(p: Array, v: Array, row: int, g: int, count: int, to: Array) -> None:
    """to += Σ_t p_t v_t over the first `count` positions of v [blocks, row, g, LANES, d]."""
    d = to.size
    for b in range((count + LANES - 1) // LANES):
        block, share, most = v[b, row, g], p[b * LANES :], min(LANES, count - b * LANES)
        t = 0
        while t + 8 <= most:
            p0, p1, p2, p3 = share[t], share[t + 1], share[t + 2], share[t + 3]
            p4, p5, p6, p7 = share[t + 4], share[t + 5], share[t + 6], share[t + 7]
            for i in range(d):
                near = p0 * block[t, i] + p1 * block[t + 1, i] + (p2 * block[t + 2, i] + p3 * block[t + 3, i])
                far = p4 * block[t + 4, i] + p5 * block[t + 5, i] + (p6 * block[t + 6, i] + p7 * block[t + 7, i])
                to[i] += near + far
            t += 8
        while t < most:
            p0 = share[t]
            for i in range(d):
                to[i] += p0 * block[t, i]
            t += 1


@_fast
def _turn(w: Weights, layer: int, position: int, one: Array, d: int) -> None:
    """Normalise and rotate the queries and keys of a row, whose outputs stand side by side."""
    for h in range(w.heads + w.kv_heads):
        x = one[h * d : (h + 1) * d]
        if w.heads_norm.shape[0] > 0:
            _head_norm(x, w.heads_norm[layer, 0 if h < w.heads else 1], w.heads_eps)
        if w.cos.shape[0] > 0:
            _rotate(x, w.cos[position], w.sin[position])


@_fast
def _attend(w: Weights, cache: Cache, rows: Rows, layer: int, s: Scratch, n: int) -> None:
    """Store keys and values of the product in `s.z`, and attend: to `s.q` [n, H d]."""
    all_k, all_v, prompt_k, prompt_v = cache.k[layer], cache.v[layer], cache.prompt_k[layer], cache.prompt_v[layer]
    d, each, kv_heads, scale = all_v.shape[4], w.heads // w.kv_heads, w.kv_heads, w.scale
    bias, blocks, one, score = w.qkv_bias[layer], w.qkv.shape[1], s.one, s.score
    for r in range(n):
        row = s.active[r]
        at, start, prompt, to = int(rows.at[row]), int(rows.start[row]), int(rows.prompt[row]), s.q[r]
        count = start + at + 1
        _gather(s.z, bias, r, blocks, one)
        _turn(w, layer, start + at, one, d)
        for g in range(kv_heads):
            key = one[(kv_heads * each + g) * d : (kv_heads * each + g + 1) * d]
            value = one[(kv_heads * (each + 1) + g) * d : (kv_heads * (each + 1) + g + 1) * d]
            block, lane = all_k[at // LANES, row, g], at % LANES
            for i in range(d):
                block[i, lane] = key[i]
            newest = all_v[at // LANES, row, g, lane]
            for i in range(d):
                newest[i] = value[i]
            for h in range(g * each, (g + 1) * each):
                q, out = one[h * d : (h + 1) * d], to[h * d : (h + 1) * d]
                if start > 0:
                    _scores(q, prompt_k, prompt, g, start, score)
                _scores(q, all_k, row, g, at + 1, score[start:])
                top, total = _top(score, count), np.float32(0.0)
                for t in range(count):
                    p = _exp((score[t] - top) * scale)
                    score[t] = p
                    total += p
                for i in range(d):
                    out[i] = np.float32(0.0)
                if start > 0:
                    _blend(score, prompt_v, prompt, g, start, out)
                _blend(score[start:], all_v, row, g, at + 1, out)
                for i in range(d):
                    out[i] /= total


@_fast
def _activate(w: Weights, layer: int, z: Array, h: Array, n: int) -> None:
    """h [n, F] from the product with gate and up, or with up alone."""
    blocks = h.shape[1] // WIDE
    bias = w.up_bias[layer]
    for b in range(blocks):
        first, second = bias[b * WIDE : (b + 1) * WIDE], bias[(b + blocks) * WIDE : (b + blocks + 1) * WIDE]
        for r in range(n):
            part, to = z[b, r], h[r, b * WIDE : (b + 1) * WIDE]
            if w.activation == SILU:
                for j in range(WIDE):
                    a = part[j] + first[j]
                    to[j] = a / (np.float32(1.0) + _exp(-a))
            elif w.activation == GELU_TANH:
                for j in range(WIDE):
                    a = part[j] + first[j]
                    s = np.float32(1.5957691216057308) * (a + np.float32(0.044715) * a * a * a)
                    to[j] = a / (np.float32(1.0) + _exp(-s))
            elif w.activation == GELU:
                for j in range(WIDE):
                    a = part[j] + first[j]
                    to[j] = np.float32(0.5) * a * np.float32(1.0 + math.erf(a * 0.7071067811865476))
            else:
                for j in range(WIDE):
                    to[j] = max(part[j] + first[j], np.float32(0.0))
            if w.gated:
                part = z[b + blocks, r]
                for j in range(WIDE):
                    to[j] *= part[j] + second[j]


@_strict
def _uniform(key: Any, position: Any) -> float:
    """`operant.rollout.sampling.uniform_at`, bit for bit."""
    x = key + np.uint64(position) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return float(x >> np.uint64(11)) * 2.0**-53


@_fast
def _cut(share: Array, how: How, allowed: Array) -> float:
    """Mark the words that top-k, top-p and min-p leave, of shares whose largest is 1; the sum of theirs.

    Only words that can be left are sorted: those with less than (1 - top_p) / V of the whole cannot.
    """
    vocab = share.size
    least = np.float32(0.0)
    if 0 < how.top_k < vocab:
        least = np.partition(share, vocab - how.top_k)[vocab - how.top_k]
    left = 0.0
    if how.top_p < 1.0:
        total = 0.0
        for i in range(vocab):
            allowed[i] = False
            if share[i] >= least:
                total += share[i]
        border = max(least, np.float32(0.999 * (1.0 - how.top_p) * total / vocab))
        candidates = np.nonzero(share >= border)[0]
        reach = 0.0
        for o in np.argsort(-share[candidates], kind="mergesort"):
            if reach >= how.top_p * total:
                break
            i = candidates[o]
            allowed[i] = share[i] >= how.min_p
            reach += share[i]
    else:
        least = max(least, np.float32(how.min_p))
        for i in range(vocab):
            allowed[i] = share[i] >= least
    for i in range(vocab):
        if allowed[i]:
            left += share[i]
    return left


@_fast
def _pick(w: Weights, rows: Rows, how: How, row: int, scratch: Scratch) -> None:
    """Draw the next token of a row from `scratch.logits`."""
    logits, share, allowed = scratch.logits, scratch.share, scratch.allowed
    vocab = logits.size
    column = rows.at[row] + 1
    top, greedy = _top(logits, vocab), how.temperature == np.float32(0.0)
    inverse = np.float32(1.0) if greedy else np.float32(1.0) / how.temperature
    for i in range(vocab):
        share[i] = (logits[i] - top) * inverse
    exponential(share, share, vocab)
    total = 0.0
    for i in range(vocab):
        total += share[i]
    token, kept = 0, np.float32(0.0)
    if greedy:
        while token + 1 < vocab and logits[token] < top:
            token += 1
    else:
        left = total
        cuts = how.top_k > 0 or how.top_p < 1.0 or how.min_p > 0.0
        if cuts:
            left = _cut(share, how, allowed)
            kept = np.float32(math.log(left / total))
        threshold = _uniform(rows.key[row], rows.offset[row] + column) * left
        reach = 0.0
        for i in range(vocab):
            if cuts and not allowed[i]:
                continue
            token = i
            reach += share[i]
            if reach > threshold:
                break
    rows.tokens[row, column] = token
    rows.logp[row, column] = np.float32((logits[token] - top) * inverse - math.log(total))
    rows.kept[row, column] = kept
    rows.acted[row, column] = True
    rows.known[row] = column + 1
    if how.stop[token] or column + 1 >= rows.limit[row]:
        rows.busy[row] = False


@_fast
def advance(w: Weights, cache: Cache, rows: Rows, how: How, s: Scratch, mine: Array, steps: int) -> None:
    """Up to `steps` steps of the rows `mine` that are busy."""
    width, vocab = s.x.shape[1], s.logits.size
    depth, head_blocks = w.qkv.shape[0], w.head.shape[0]
    none = np.zeros(head_blocks * WIDE, np.float32)
    for _ in range(steps):
        n = 0
        for row in mine:
            if rows.busy[row]:
                s.active[n] = row
                n += 1
        if n == 0:
            return
        for r in range(n):
            row = s.active[r]
            source, x = w.embed[rows.tokens[row, rows.at[row]]], s.x[r]
            for i in range(width):
                x[i] = source[i] * w.stretch
            if w.places.shape[0] > 0:
                source = w.places[rows.start[row] + rows.at[row]]
                for i in range(width):
                    x[i] += source[i]
        for layer in range(depth):
            _normalise(s.x, w.norms[2 * layer], w.centred, w.eps, s.y, n)
            product(s.y, w.qkv[layer], s.z, n)
            _attend(w, cache, rows, layer, s, n)
            product(s.q, w.out[layer], s.z, n)
            _add(s.z, w.out_bias[layer], s.x, n)
            _normalise(s.x, w.norms[2 * layer + 1], w.centred, w.eps, s.y, n)
            product(s.y, w.up[layer], s.z, n)
            _activate(w, layer, s.z, s.h, n)
            product(s.h, w.down[layer], s.z, n)
            _add(s.z, w.down_bias[layer], s.x, n)
        _normalise(s.x, w.norms[2 * depth], w.centred, w.eps, s.y, n)
        product(s.y, w.head, s.z, n)
        for r in range(n):
            row = s.active[r]
            if rows.at[row] + 1 >= rows.known[row]:
                _gather(s.z, none, r, head_blocks, s.one)
                for i in range(vocab):
                    s.logits[i] = s.one[i]
                _pick(w, rows, how, row, s)
            rows.at[row] += 1
