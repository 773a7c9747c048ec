"""Drawing from large vocabularies without a copy of the logits: what `operant.language.sample.sampling.draw` draws.

A block of 1,024 words is drawn from the masses of all blocks, then a word of it: logits in bfloat16 are read once, by a
Triton kernel on CUDA, where `draw` would write them out in float32 several times.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.language.sample.sampling import BLOCK, Sampling, draw
from operant.math.logprob import categorical_sample


def draw_lean(logits: Tensor, sampling: Sampling, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Token [n], log π at the temperature [n], log kept mass [n] from logits [n, V] of any type, as `draw` does.

    Where words are cut off, or the vocabulary is small, `draw` itself is called.
    """
    if sampling.cuts or logits.shape[-1] <= 4 * BLOCK:
        return draw(logits.float(), sampling, u)
    inverse = 1.0 / (sampling.temperature or 1.0)
    mass = masses(logits, inverse).double()  # [n, B], logarithms
    total = mass.logsumexp(-1)
    token = logits.argmax(-1) if sampling.temperature == 0.0 else _inverse(logits, mass - total[:, None], inverse, u)
    chosen = logits.gather(-1, token[:, None])[:, 0].double() * inverse
    return token, (chosen - total).float(), torch.zeros_like(u, dtype=torch.float32)


def _inverse(logits: Tensor, mass: Tensor, inverse: float, u: Tensor) -> Tensor:
    """The inverse of the distribution function at u [n], block by block and then within one."""
    vocab, p = logits.shape[-1], mass.exp()
    block = categorical_sample(mass, u)[:, None]
    before = (p.cumsum(-1) - p).gather(-1, block)[:, 0]
    rest = (u - before) / p.gather(-1, block)[:, 0]
    words = block * BLOCK + torch.arange(BLOCK, device=logits.device)  # [n, 1024]
    near = logits.gather(-1, words.clamp(max=vocab - 1)).double() * inverse
    word = categorical_sample(near.masked_fill(words >= vocab, -torch.inf), rest.clamp(0.0, 1.0 - 2.0**-53))
    return block[:, 0] * BLOCK + word


def masses(logits: Tensor, inverse: float) -> Tensor:
    """log Σ exp(logits · inverse) of each block of 1,024 words: [n, ⌈V / 1024⌉] float32."""
    if logits.device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        from operant.language.sample.attention_triton import block_masses

        return block_masses(logits, inverse)
    scaled = F.pad(logits.float() * inverse, (0, -logits.shape[-1] % BLOCK), value=-torch.inf)
    return scaled.unflatten(-1, (-1, BLOCK)).logsumexp(-1)
