"""Attention of one decoding step over a cache, compiled by Numba: queries of each row against its own keys and values.

Keys stand in blocks of 32 positions, [block, d, 32], values in blocks [block, 32, d]: scores of 32 positions, and 32
numbers of the outcome, are computed side by side, and memory is read from one end to the other. Both are one operation,
`weigh`: a weighted sum of rows of memory. It is given to the compiler with its vectors spelt out, because from loops it
makes code that reads and writes the sums at every step (2 to 3 times slower).

What runs inside the loop over rows does not count references (`inner`), which would take most of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from operant.data.compiled import inner
from operant.language.cpu.simd import exp, largest

Array = np.ndarray

LANES = 32
"""Positions in a block of keys or values."""
STRIDE = 4
"""Terms of a weighted sum are taken so many at a time: callers fill up with weights of 0."""


def _weigher(width: int) -> Any:
    """`weigh(a, i, n, m, j, stride, out, k, more)`, for `width` outcomes.

    out[k : k + width] = (out[k : k + width] if more else 0) + Σ_{t<n} a[i + t] · m[j + t · stride : … + width], where
    a, m and out are float32 arrays taken as flat memory, and n is a multiple of `STRIDE`, at least that.
    """

    def weigh(_: Any, a: Any, i: Any, n: Any, m: Any, j: Any, stride: Any, out: Any, k: Any, more: Any) -> Any:
        whole = types.intp
        signature = types.void(a, whole, whole, m, whole, whole, out, whole, types.boolean)

        def generate(context: Any, b: Any, signature: Any, given: Any) -> Any:
            vector, number = ir.VectorType(ir.FloatType(), width), ir.IntType(64)
            lanes = ir.VectorType(ir.IntType(32), width)
            zero, unset = ir.Constant(vector, [0.0] * width), ir.Constant(vector, ir.Undefined)
            contract = ("contract",)

            def place(which: int, at: int) -> Any:
                array = context.make_array(signature.args[which])(context, b, given[which])
                return b.gep(array.data, [given[at]])

            def load(pointer: Any) -> Any:
                found = b.load(b.bitcast(pointer, vector.as_pointer()))
                found.align = 4
                return found

            weights, rows, target = place(0, 1), place(3, 4), place(6, 7)
            n, stride, more = given[2], given[5], given[8]
            first = b.select(more, load(target), zero)
            before, loop, after = b.block, b.append_basic_block("weigh"), b.append_basic_block("weighed")
            b.branch(loop)
            b.position_at_end(loop)
            t, sums = b.phi(number), [b.phi(vector) for _ in range(STRIDE)]  # several sums: additions do not wait
            t.add_incoming(ir.Constant(number, 0), before)
            following: list[Any] = []
            for lane, total in enumerate(sums):
                total.add_incoming(zero if lane else first, before)
                now = b.add(t, ir.Constant(number, lane))
                weight = b.insert_element(unset, b.load(b.gep(weights, [now])), ir.Constant(ir.IntType(32), 0))
                weight = b.shuffle_vector(weight, unset, ir.Constant(lanes, [0] * width))
                part = b.fmul(weight, load(b.gep(rows, [b.mul(now, stride)])), flags=contract)
                following.append(b.fadd(total, part, flags=contract))
            further = b.add(t, ir.Constant(number, STRIDE))
            t.add_incoming(further, loop)
            for total, value in zip(sums, following, strict=True):
                total.add_incoming(value, loop)
            b.cbranch(b.icmp_signed("<", further, n), loop, after)
            b.position_at_end(after)
            result = following[0]
            for value in following[1:]:
                result = b.fadd(result, value)
            b.store(result, b.bitcast(target, vector.as_pointer())).align = 4
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(weigh)


_weigh, _weigh_few = _weigher(LANES), _weigher(STRIDE)


@inner
def scores(q: Array, at: int, d: int, k: Array, first: int, block: int, count: int, score: Array, to: int) -> None:
    """score[to + t] = q[at : at + d] · k_t for `count` positions, of flat blocks [d, LANES] at first, first + block, ….

    Numbers up to the end of the last block are written. d is a multiple of `STRIDE`.
    """
    for b in range((count + LANES - 1) // LANES):
        _weigh(q, at, d, k, first + b * block, LANES, score, to + b * LANES, False)


@inner
def blend(p: Array, at: int, v: Array, first: int, block: int, count: int, d: int, out: Array, to: int) -> None:
    """out[to : to + d] += Σ_t p[at + t] v_t over `count` positions, of flat blocks [LANES, d]; behind them p is 0."""
    for b in range((count + LANES - 1) // LANES):
        some = (min(LANES, count - b * LANES) + STRIDE - 1) // STRIDE * STRIDE
        source, weights, i = first + b * block, at + b * LANES, 0
        while i + LANES <= d:
            _weigh(p, weights, some, v, source + i, d, out, to + i, True)
            i += LANES
        while i < d:
            _weigh_few(p, weights, some, v, source + i, d, out, to + i, True)
            i += STRIDE


@inner
def attend_one(
    q: Array, at: int, out: Array, to: int, caches: tuple[Array, Array, Array, Array], prompt: int, row: int, g: int,
    before: int, own: int, score: Array, scale: Any,
) -> None:  # fmt: skip
    """out[to : to + d] = Σ_t p_t v_t, p = softmax(scale q·k) over `before` positions of a prompt and `own` of a row.

    Args:
        q, at: queries as flat memory, and where these d begin.
        out, to: the same of the outcome.
        caches: keys and values of prompts [blocks, G, K, …], and of rows [blocks, S, K, …].
        prompt, row, g: which prompt, row, and head of keys.
        before, own: positions; own is at least 1.
        score: scratch of before + own + 3 LANES numbers.
        scale: of the scores.
    """
    prompt_k, prompt_v, k, v = caches
    d = prompt_k.shape[3]
    size = d * LANES
    place, block = (prompt * k.shape[2] + g) * size, prompt_k.shape[1] * k.shape[2] * size
    home, stretch = (row * k.shape[2] + g) * size, k.shape[1] * k.shape[2] * size
    middle = (before + STRIDE - 1) // STRIDE * STRIDE
    count = middle + own
    scores(q, at, d, prompt_k, place, block, before, score, 0)
    scores(q, at, d, k, home, stretch, own, score, middle)
    for t in range(before, middle):
        score[t] = score[middle]
    most, total = largest(score, count), np.float32(0.0)
    for t in range(count):
        p = exp((score[t] - most) * scale)
        score[t] = p
        total += p
    for t in range(before, middle):
        total -= score[t]
        score[t] = np.float32(0.0)
    share = np.float32(1.0) / total
    for t in range(count):
        score[t] *= share
    for t in range(count, count + STRIDE):
        score[t] = np.float32(0.0)
    for i in range(d):
        out[to + i] = np.float32(0.0)
    blend(score, 0, prompt_v, place, block, before, d, out, to)
    blend(score, middle, v, home, stretch, own, d, out, to)
