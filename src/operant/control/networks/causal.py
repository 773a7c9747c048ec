"""A transformer that looks back and never ahead."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from operant.math.quick_start import undrawn


class Block(nn.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x)) (Radford et al. 2019).

    Args:
        width: H, a multiple of `heads`.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.asked, self.told = (undrawn(nn.Linear, width, n) for n in (3 * width, width))
        self.wide = undrawn(nn.Linear, width, 4 * width)
        self.narrow = undrawn(nn.Linear, 4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, H] → [B, L, H]."""
        before, between = self.norms
        parts = self.asked(before(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [3, B, heads, L, H/h]
        seen = functional.scaled_dot_product_attention(*parts.unbind(0), is_causal=True)
        x = x + self.told(seen.transpose(1, 2).flatten(2))
        return x + self.narrow(functional.gelu(self.wide(between(x))))


class Causal(nn.Module):
    """Blocks, one above the other, and a norm at the end.

    Args:
        width: H.
        layers: how many blocks.
        heads: of each.
    """

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.blocks, self.norm = nn.ModuleList(Block(width, heads) for _ in range(layers)), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, H] → [B, L, H]; what is at a place depends on it and on those before it alone."""
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def begin(module: nn.Module, generator: torch.Generator) -> None:
    """New weights of all linear layers and embeddings: N(0, 0.02²), biases 0 (Radford et al. 2019)."""
    for each in module.modules():
        if isinstance(each, nn.Linear | nn.Embedding):
            nn.init.normal_(each.weight, 0.0, 0.02, generator=generator)
        if isinstance(each, nn.Linear):
            nn.init.zeros_(each.bias)
