"""Attention of a decoding step against torch's, over a prompt's blocks and a row's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from operant.data.compiled import compiled
from operant.language.cpu import attention_kernels as kernels
from operant.language.cpu.attention_kernels import LANES
from operant.language.cpu.simd import exp


@compiled
def attend(
    q: Any, out: Any, caches: Any, prompt: Any, row: Any, g: Any, before: Any, own: Any, score: Any, scale: Any
) -> None:
    kernels.attend_one(q, q.size // 2, out, 0, caches, prompt, row, g, before, own, score, scale)


def blocks(x: np.ndarray, keys: bool) -> np.ndarray:
    """[blocks, N, K, d, LANES] or [blocks, N, K, LANES, d] from x [N, K, T, d]; what is not filled must not be read."""
    n, k, length, d = x.shape
    count = -(-length // LANES)
    padded = np.full((n, k, count * LANES, d), 7.0, np.float32)
    padded[:, :, :length] = x
    found = padded.reshape(n, k, count, LANES, d).transpose(2, 0, 1, 4, 3) if keys else None
    return np.ascontiguousarray(
        padded.reshape(n, k, count, LANES, d).transpose(2, 0, 1, 3, 4) if found is None else found
    )


@pytest.mark.parametrize("d", [4, 20, 32, 40, 64])
@pytest.mark.parametrize(("before", "own"), [(0, 1), (3, 1), (15, 33), (32, 32), (70, 7), (64, 65)])
def test_it_is_softmax_attention_over_both_parts(d: int, before: int, own: int) -> None:
    rng = np.random.default_rng(d + before)
    prompts = rng.standard_normal((2, 2, 3, max(before, 1), d)).astype(np.float32)  # keys and values, G, K
    rows = rng.standard_normal((2, 4, 3, own, d)).astype(np.float32)
    q = rng.standard_normal(2 * d).astype(np.float32)
    caches = (blocks(prompts[0], True), blocks(prompts[1], False), blocks(rows[0], True), blocks(rows[1], False))
    out, score = np.full(d, 5.0, np.float32), np.full(before + own + 3 * LANES, np.nan, np.float32)
    attend(q, out, caches, 1, 2, 1, before, own, score, np.float32(0.7))
    k, v = (np.concatenate((a[1, 1, :before], b[2, 1])) for a, b in zip(prompts, rows, strict=True))
    query, key, value = (torch.from_numpy(x)[None] for x in (q[None, d:], k, v))
    wanted = F.scaled_dot_product_attention(query, key, value, scale=0.7)
    torch.testing.assert_close(torch.from_numpy(out), wanted[0, 0], rtol=1e-5, atol=1e-5)


def test_a_score_that_is_not_a_number_shows() -> None:
    x = np.ones((1, 1, 1, 4), np.float32)
    caches = (blocks(x, True), blocks(x, False), blocks(np.full_like(x, np.nan), True), blocks(x, False))
    out = np.zeros(4, np.float32)
    attend(np.ones(8, np.float32), out, caches, 0, 0, 0, 1, 1, np.zeros(200, np.float32), np.float32(1.0))
    assert np.isnan(out).all()


def test_exp_is_exact_to_float32() -> None:
    x = np.linspace(-86.0, 88.0, 10_001).astype(np.float32)
    y = np.empty_like(x)
    _fill(x, y)
    np.testing.assert_allclose(y, np.exp(x.astype(np.float64)), rtol=2.5e-7)


@compiled
def _fill(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = exp(x[i])
