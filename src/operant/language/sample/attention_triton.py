# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUntypedFunctionDecorator=false, reportIndexIssue=false
"""A decoding step's attention, and the masses that it draws from, in Triton.

Attention reads keys where they lie, and shares them out among programs. A program takes the queries of one row that
share a key head (grouped queries), and one of several shares of the keys that the row sees, blocks of its prompt's
first, then of its own. It leaves the blended values, their largest logit and the sum of their weights; a second kernel
joins the shares (Dao et al. 2023, Flash-Decoding). Rows that share a prompt are neighbours among the programs, so that
its keys are read from the cache of the device.

Tested by Triton's interpreter on a CPU and compiled ahead for CUDA devices; it has not been run on one.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from operant.language.sample.decode_state import Where
from operant.language.sample.sampling import BLOCK as WORDS

BLOCK = 64
"""Keys that a program takes at once."""
PROGRAMS = 512
"""Programs that keep a device busy: with fewer, keys are shared out."""


@triton.jit
def _block(q, keys, values, first, count, stride, scale, m, total, blended, BLOCK: tl.constexpr, D: tl.constexpr,
           WIDTH: tl.constexpr):  # fmt: skip
    """Take in keys first … first + BLOCK - 1 of `count`."""
    t = first + tl.arange(0, BLOCK)
    i = tl.arange(0, WIDTH)
    inside = (t < count)[:, None] & (i < D)[None, :]
    place = t[:, None].to(tl.int64) * stride + i[None, :]
    k = tl.load(keys + place, mask=inside, other=0.0)
    v = tl.load(values + place, mask=inside, other=0.0)
    logit = tl.dot(q, tl.trans(k), input_precision="ieee") * scale  # [heads, BLOCK], in units of log 2
    logit = tl.where((t < count)[None, :], logit, float("-inf"))
    top = tl.maximum(m, tl.max(logit, 1))
    p = tl.exp2(logit - top[:, None])
    shrink = tl.exp2(m - top)
    total = total * shrink + tl.sum(p, 1)
    blended = blended * shrink[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
    return top, total, blended


@triton.jit
def _share(q_at, shared_k, shared_v, own_k, own_v, rows, prompts, aheads, ats, out, tops, totals, scale,
           q_row, q_head, shared_prompt, shared_head, shared_key, own_row, own_head, own_key,
           KV_HEADS: tl.constexpr, EACH: tl.constexpr, HEADS: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr,
           SHARES: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """One share of one row's keys, for the EACH queries (HEADS with padding) of one key head."""
    b = tl.program_id(0) // KV_HEADS
    g = tl.program_id(0) % KV_HEADS
    share = tl.program_id(1)
    row, prompt = tl.load(rows + b).to(tl.int64), tl.load(prompts + b).to(tl.int64)
    ahead, behind = tl.load(aheads + b).to(tl.int32), tl.load(ats + b).to(tl.int32) + 1
    h, i = tl.arange(0, HEADS), tl.arange(0, WIDTH)
    inside = (h < EACH)[:, None] & (i < D)[None, :]
    q = tl.load(q_at + b * q_row + (g * EACH + h)[:, None] * q_head + i[None, :], mask=inside, other=0.0)
    scale = scale * 1.4426950408889634
    m = tl.full([HEADS], float("-inf"), tl.float32)
    total = tl.zeros([HEADS], tl.float32)
    blended = tl.zeros([HEADS, WIDTH], tl.float32)
    before = (ahead + BLOCK - 1) // BLOCK
    blocks = before + (behind + BLOCK - 1) // BLOCK
    each = (blocks + SHARES - 1) // SHARES
    first = share * each
    last = tl.minimum(first + each, blocks)
    keys, values = (
        shared_k + prompt * shared_prompt + g * shared_head,
        shared_v + prompt * shared_prompt + g * shared_head,
    )
    for j in range(first, tl.minimum(last, before)):
        m, total, blended = _block(
            q, keys, values, j * BLOCK, ahead, shared_key, scale, m, total, blended, BLOCK, D, WIDTH
        )  # fmt: skip
    keys, values = own_k + row * own_row + g * own_head, own_v + row * own_row + g * own_head
    for j in range(tl.maximum(first, before) - before, last - before):
        m, total, blended = _block(
            q, keys, values, j * BLOCK, behind, own_key, scale, m, total, blended, BLOCK, D, WIDTH
        )  # fmt: skip
    head = b * (KV_HEADS * EACH) + g * EACH + h
    to = head * SHARES + share
    if SHARES == 1:
        blended = blended / total[:, None]
    else:
        tl.store(tops + to, m, mask=h < EACH)
        tl.store(totals + to, total, mask=h < EACH)
    tl.store(out + to[:, None] * D + i[None, :], blended.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _join(parts, tops, totals, out, D: tl.constexpr, WIDTH: tl.constexpr, SHARES: tl.constexpr):
    """The shares of one head [SHARES, D] to one; a share without keys has largest logit -inf."""
    head = tl.program_id(0)
    s, i = tl.arange(0, SHARES), tl.arange(0, WIDTH)
    m = tl.load(tops + head * SHARES + s)
    weight = tl.exp2(m - tl.max(m, 0))
    total = tl.sum(weight * tl.load(totals + head * SHARES + s), 0)
    place = (head * SHARES + s)[:, None] * D + i[None, :]
    part = tl.load(parts + place, mask=(i < D)[None, :] & (s >= 0)[:, None], other=0.0)
    tl.store(out + head * D + i, (tl.sum(part * weight[:, None], 0) / total).to(out.dtype.element_ty), mask=i < D)


def shares(programs: int, columns: int) -> int:
    """Into how many parts the keys of a row are shared out: a power of two, each of at least two blocks."""
    most = max(1, columns // (2 * BLOCK))
    number = 1
    while number * programs < PROGRAMS and 2 * number <= most:
        number *= 2
    return number


def split_keys(q: Tensor, shared: Tensor, own: Tensor, where: Where, scale: float) -> Tensor:
    """What `operant.language.sample.attention.dense` computes: softmax(q · k · scale) v over both caches.

    Args:
        q: [B, H, d]; d and the last dimension of the caches are contiguous.
        shared, own: keys and values [2, P, K, A, d] and [2, S, K, C, d].
        where: what each row sees of them.
        scale: of the attention logits.

    Returns:
        [B, H, d].
    """
    rows, heads, d = q.shape
    kv_heads = own.shape[2]
    number = shares(rows * kv_heads, shared.shape[3] + own.shape[3])
    width = max(16, triton.next_power_of_2(d))
    each = heads // kv_heads
    q = q if q.stride(2) == 1 else q.contiguous()
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    parts, tops, totals = out, out, out
    if number > 1:
        parts = torch.empty(rows, heads, number, d, dtype=torch.float32, device=q.device)
        tops, totals = torch.empty(2, rows, heads, number, dtype=torch.float32, device=q.device)
    _share[(rows * kv_heads, number)](
        q, shared[0], shared[1], own[0], own[1], where.row, where.prompt, where.ahead, where.at, parts, tops, totals,
        scale, q.stride(0), q.stride(1), shared.stride(1), shared.stride(2), shared.stride(3), own.stride(1),
        own.stride(2), own.stride(3), KV_HEADS=kv_heads, EACH=each, HEADS=max(16, triton.next_power_of_2(each)), D=d,
        WIDTH=width, SHARES=number, BLOCK=BLOCK, num_warps=4, num_stages=2 if width <= 128 else 1,
    )  # fmt: skip
    if number > 1:
        _join[(rows * heads,)](parts, tops, totals, out, D=d, WIDTH=width, SHARES=number, num_warps=1)
    return out


@triton.jit
def _mass(logits, out, vocab, blocks, stride, inverse, WORDS: tl.constexpr):
    """log Σ exp of one block of a row's words."""
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    word = block * WORDS + tl.arange(0, WORDS)
    x = tl.load(logits + row * stride + word, mask=word < vocab, other=float("-inf")).to(tl.float32) * inverse
    top = tl.max(x, 0)
    tl.store(out + row * blocks + block, top + tl.log(tl.sum(tl.exp(x - top), 0)))


def block_masses(logits: Tensor, inverse: float) -> Tensor:
    """What `operant.language.sample.drawing.masses` computes, in one pass over the logits [n, V]."""
    rows, vocab = logits.shape
    logits = logits if logits.stride(1) == 1 else logits.contiguous()
    blocks = triton.cdiv(vocab, WORDS)
    out = torch.empty(rows, blocks, dtype=torch.float32, device=logits.device)
    _mass[(rows, blocks)](logits, out, vocab, blocks, logits.stride(0), inverse, WORDS=WORDS, num_warps=4)
    return out
