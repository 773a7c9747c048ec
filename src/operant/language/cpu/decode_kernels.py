"""Decoding steps of small transformers compiled by Numba: several tokens for several rows in one call.

One row per sequence. Weights stand in blocks of 64 outputs, [block, inputs, 64], and each product goes to the BLAS of
SciPy in pieces so small that it computes them on the calling thread, with the kernels it keeps for small matrices;
callers run shares of the rows on threads of their own. Attention stands in
`operant.language.cpu.attention_kernels`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from operant.data.compiled import inner, inner_counted, outer
from operant.language.cpu.attention_kernels import LANES, attend_one
from operant.language.cpu.simd import exp, largest

Array = np.ndarray

WIDE = 64
"""Outputs in a block of weights."""
SINGLE_THREADED = 64**3
"""Multiplications up to which OpenBLAS computes a product on the calling thread."""
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
    """Views of `operant.language.sample.decode_state.Slots`, and the prompt [S] that each row follows."""

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
    steady: int  # rows of every product, so that equal rows get equal bits whoever is beside them; 0 for as it comes


class Record(NamedTuple):
    """Where what is computed is kept for training (an activation cache); empty arrays where it is not."""

    on: bool
    base: Array  # [S] place of column 0 of each row
    x: Array  # [depth + 1, places, D]
    qkv: Array  # [depth, places, (H + 2 K) d]
    out: Array  # [depth, places, H d]
    mid: Array  # [depth, places, D]
    gates: Array  # [depth, places, 2 F]


class How(NamedTuple):
    """`operant.language.sample.sampling.Sampling` with its stop tokens as a mask."""

    temperature: np.float32
    top_k: int
    top_p: float
    min_p: float
    stop: Array  # [V] bool


@outer
def pack(w: Array, blocks: Array, first: int) -> None:
    """Weights w [O, I] as outputs first … first + O - 1 of blocks [B, ≥ I, 64]."""
    for o in range(0, w.shape[0], 16):
        for i in range(0, w.shape[1], 16):
            for a in range(o, min(o + 16, w.shape[0])):
                block, lane = blocks[(first + a) // WIDE], (first + a) % WIDE
                for c in range(i, min(i + 16, w.shape[1])):
                    block[c, lane] = w[a, c]


@inner
def exponential(x: Array, y: Array, n: int) -> None:
    """y[:n] = e^x[:n]."""
    for i in range(n):
        y[i] = exp(x[i])


@inner_counted
def product(x: Array, w: Array, z: Array, n: int, steady: int) -> None:
    """z[b, :n] = x[:n] w[b] for x [·, K], w [B, K, 64], z [≥ B, ·, 64]; `steady` rows at a time, of x too, if not 0."""
    # OpenBLAS cuts the rows of a product into blocks of 12, 4, 2 and 1 (Haswell's kernel), each of which rounds in its
    # own way: only where every product has as many rows does none depend on how many others there are
    some = steady if steady else max(1, min(32, SINGLE_THREADED // (WIDE * w.shape[1])))
    least = max(steady, 1)
    for b in range(w.shape[0]):
        for r in range(0, n, some):
            e = max(min(r + some, n), least)
            f = min(r, e - least)
            np.dot(x[f:e], w[b], z[b, f:e])


@inner
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


@inner
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


@inner
def _gather(z: Array, bias: Array, r: int, blocks: int, one: Array) -> None:
    """One row of a product's blocks side by side, with the bias."""
    for b in range(blocks):
        part, given, to = z[b, r], bias[b * WIDE : (b + 1) * WIDE], one[b * WIDE : (b + 1) * WIDE]
        for j in range(WIDE):
            to[j] = part[j] + given[j]


@inner
def _head_norm(x: Array, scale: Array, eps: Any) -> None:
    square = np.float32(0.0)
    for i in range(x.size):
        square += x[i] * x[i]
    k = np.float32(1.0) / np.sqrt(square / np.float32(x.size) + eps)
    for i in range(x.size):
        x[i] = x[i] * k * scale[i]


@inner
def _rotate(x: Array, cos: Array, sin: Array) -> None:
    half = x.size // 2
    left, right, near, far = (
        x[:half],
        x[half:],
        cos[half:],
        sin[half:],
    )  # views: see `backward_kernels`
    for i in range(half):
        a, b = left[i], right[i]
        left[i] = a * cos[i] - b * sin[i]
        right[i] = b * near[i] + a * far[i]


@inner
def _turn(w: Weights, layer: int, position: int, one: Array, d: int) -> None:
    """Normalise and rotate the queries and keys of a row, whose outputs stand side by side."""
    for h in range(w.heads + w.kv_heads):
        x = one[h * d : (h + 1) * d]
        if w.heads_norm.shape[0] > 0:
            _head_norm(x, w.heads_norm[layer, 0 if h < w.heads else 1], w.heads_eps)
        if w.cos.shape[0] > 0:
            _rotate(x, w.cos[position], w.sin[position])


@inner
def _keep(x: Array, n: int, rows: Rows, s: Scratch, base: Array, to: Array) -> None:
    """Rows of x to their places."""
    for r in range(n):
        row = s.active[r]
        place = base[row] + rows.at[row]
        for i in range(to.shape[1]):
            to[place, i] = x[r, i]


@inner
def _keep_gates(z: Array, bias: Array, n: int, rows: Rows, s: Scratch, base: Array, to: Array) -> None:
    """Gate and up of a product whose blocks are full, to their places without what fills the blocks up."""
    width, half = to.shape[1] // 2, s.h.shape[1] // WIDE
    for r in range(n):
        row = s.active[r]
        place = base[row] + rows.at[row]
        for side in range(2):
            for b in range(half):
                block = side * half + b
                for j in range(min(WIDE, width - b * WIDE)):
                    to[place, side * width + b * WIDE + j] = z[block, r, j] + bias[block * WIDE + j]


@inner
def _attend(w: Weights, cache: Cache, rows: Rows, layer: int, s: Scratch, n: int, record: Record) -> None:
    """Store keys and values of the product in `s.z`, and attend: to `s.q` [n, H d]."""
    caches = cache.prompt_k[layer], cache.prompt_v[layer], cache.k[layer], cache.v[layer]
    keys, values = caches[2], caches[3]
    d, each, kv_heads = values.shape[4], w.heads // w.kv_heads, w.kv_heads
    bias, blocks, one = w.qkv_bias[layer], w.qkv.shape[1], s.one
    for r in range(n):
        row = s.active[r]
        at, start, prompt = int(rows.at[row]), int(rows.start[row]), int(rows.prompt[row])
        to = s.q[r]
        _gather(s.z, bias, r, blocks, one)
        _turn(w, layer, start + at, one, d)
        if record.on:
            place = record.base[row] + at
            for i in range(record.qkv.shape[2]):
                record.qkv[layer, place, i] = one[i]
        block, lane = at // LANES, at % LANES
        for g in range(kv_heads):
            key, value = (kv_heads * each + g) * d, (kv_heads * (each + 1) + g) * d
            for i in range(d):
                keys[block, row, g, i, lane] = one[key + i]
            for i in range(d):
                values[block, row, g, lane, i] = one[value + i]
            for h in range(g * each, (g + 1) * each):
                attend_one(one, h * d, to, h * d, caches, prompt, row, g, start, at + 1, s.score, w.scale)


@inner
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
                    to[j] = a / (np.float32(1.0) + exp(-a))
            elif w.activation == GELU_TANH:
                for j in range(WIDE):
                    a = part[j] + first[j]
                    s = np.float32(1.5957691216057308) * (a + np.float32(0.044715) * a * a * a)
                    to[j] = a / (np.float32(1.0) + exp(-s))
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


@partial(inner, flags=frozenset({"contract"}))
def _uniform(key: Any, position: Any) -> float:
    """`operant.language.sample.sampling.uniform_at`, bit for bit."""
    x = key + np.uint64(position) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return float(x >> np.uint64(11)) * 2.0**-53


@inner_counted
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


@inner_counted
def _pick(w: Weights, rows: Rows, how: How, row: int, scratch: Scratch) -> None:
    """Draw the next token of a row from `scratch.logits`."""
    logits, share, allowed = scratch.logits, scratch.share, scratch.allowed
    vocab = logits.size
    column = rows.at[row] + 1
    top, greedy = largest(logits, vocab), how.temperature == np.float32(0.0)
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


@outer
def advance(
    w: Weights, cache: Cache, rows: Rows, how: How, s: Scratch, mine: Array, steps: int, record: Record
) -> None:
    """Up to `steps` steps of the rows `mine` that are busy, as many of them at a time as `s` has memory for.

    Each few go through all of the steps before the next ones begin: their keys and values stay in the cache.
    """
    size = s.active.size
    pieces = (len(mine) + size - 1) // size
    for i in range(pieces):
        some = mine[i * len(mine) // pieces : (i + 1) * len(mine) // pieces]
        _advance(w, cache, rows, how, s, some, steps, record)


@inner_counted
def _advance(
    w: Weights, cache: Cache, rows: Rows, how: How, s: Scratch, mine: Array, steps: int, record: Record
) -> None:
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
            if record.on:
                _keep(s.x, n, rows, s, record.base, record.x[layer])
            _normalise(s.x, w.norms[2 * layer], w.centred, w.eps, s.y, n)
            product(s.y, w.qkv[layer], s.z, n, s.steady)
            _attend(w, cache, rows, layer, s, n, record)
            product(s.q, w.out[layer], s.z, n, s.steady)
            _add(s.z, w.out_bias[layer], s.x, n)
            if record.on:
                _keep(s.q, n, rows, s, record.base, record.out[layer])
                _keep(s.x, n, rows, s, record.base, record.mid[layer])
            _normalise(s.x, w.norms[2 * layer + 1], w.centred, w.eps, s.y, n)
            product(s.y, w.up[layer], s.z, n, s.steady)
            if record.on:
                _keep_gates(s.z, w.up_bias[layer], n, rows, s, record.base, record.gates[layer])
            _activate(w, layer, s.z, s.h, n)
            product(s.h, w.down[layer], s.z, n, s.steady)
            _add(s.z, w.down_bias[layer], s.x, n)
        if record.on:
            _keep(s.x, n, rows, s, record.base, record.x[depth])
        _normalise(s.x, w.norms[2 * depth], w.centred, w.eps, s.y, n)
        product(s.y, w.head, s.z, n, s.steady)
        for r in range(n):
            row = s.active[r]
            if rows.at[row] + 1 >= rows.known[row]:
                _gather(s.z, none, r, head_blocks, s.one)
                for i in range(vocab):
                    s.logits[i] = s.one[i]
                _pick(w, rows, how, row, s)
            rows.at[row] += 1
