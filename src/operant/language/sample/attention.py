"""Attention of one query a row to keys of its prompt, which rows share, and to keys of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.language.sample.decode_state import Where

Attend = Callable[[Tensor, Tensor, Tensor, Where, float], Tensor]
"""`dense`, or what computes the same."""


def dense(q: Tensor, shared: Tensor, own: Tensor, where: Where, scale: float) -> Tensor:
    """softmax(q · k · scale) v over both caches, by torch: the rows' keys are copied side by side.

    Args:
        q: [B, H, d].
        shared: keys and values [2, P, K, A, d] of P prompts.
        own: keys and values [2, S, K, C, d] of S rows.
        where: what each row sees of them.
        scale: of the attention logits.

    Returns:
        [B, H, d].
    """
    k, v = torch.cat((shared[:, where.prompt], own[:, where.row]), 3)  # [B, K, A + C, d]
    columns = torch.arange(k.shape[2], device=q.device)
    split = shared.shape[3]
    seen = torch.where(columns < split, columns < where.ahead[:, None], columns - split <= where.at[:, None])
    gqa = k.shape[1] != q.shape[1]
    return F.scaled_dot_product_attention(
        q[:, :, None], k, v, attn_mask=seen[:, None, None], scale=scale, enable_gqa=gqa
    )[:, :, 0]


def attention(device: torch.device) -> Attend:
    """The Triton kernel on CUDA where Triton is installed, else `dense`."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        from operant.language.sample.attention_triton import split_keys

        return split_keys
    return dense
