"""What a policy reads: texts through a recurrent layer or a transformer, and how they meet what it sees."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from operant.control.networks.causal import Causal, begin
from operant.control.networks.layout import Script
from operant.control.networks.memory import Memory
from operant.math.quick_start import undrawn

HEADS, BLOCKS = 4, 2


class Reading(NamedTuple):
    """How texts are read: by what, with how many numbers for a word, and how they meet the rest."""

    by: Literal["gru", "transformer"] = "gru"
    size: int = 64
    join: Literal["concat", "film", "gated", "cross-attention"] = "concat"


class Read(NamedTuple):
    """What was read: all of it at once, [B, S], and word by word, [B, L, H], with which there are, [B, L] bool."""

    whole: Tensor
    words: Tensor
    there: Tensor


class Reader(nn.Module):
    """Texts, word by word or character by character, each by layers of its own; S = H times how many there are.

    An embedding, then a GRU, or a transformer that looks back: what it has at the last word is the whole. Equal texts
    in a batch are read once.

    Args:
        scripts: where they stand.
        reading: by what, and H.
        generator: where the weights come from.
    """

    def __init__(self, scripts: list[Script], reading: Reading, generator: torch.Generator) -> None:
        super().__init__()
        self.scripts, size = scripts, reading.size
        self.size = size * len(scripts)
        self.tables, self.layers = nn.ModuleList(), nn.ModuleList()
        self.places = nn.ParameterList()  # of a transformer
        for script in scripts:
            table = undrawn(nn.Embedding, script.count, size)
            if reading.by == "gru":
                nn.init.normal_(table.weight, 0.0, 1.0, generator=generator)
                layers: nn.Module = Memory("gru", size, size, generator)
            else:
                layers = Causal(size, BLOCKS, HEADS)
                begin(layers, generator)
                begin(table, generator)
                self.places.append(nn.Parameter(0.02 * torch.randn(script.length, size, generator=generator)))
            self.tables.append(table)
            self.layers.append(layers)

    def forward(self, rows: Tensor) -> Read:
        """[B, D] → what stands in them."""
        each = [self._read(k, script.read(rows)) for k, script in enumerate(self.scripts)]
        if len(each) == 1:
            return each[0]
        whole, words, there = zip(*each, strict=True)
        return Read(torch.cat(whole, -1), torch.cat(words, 1), torch.cat(there, 1))

    def _read(self, k: int, codes: Tensor) -> Read:
        exporting = torch.compiler.is_exporting()
        back = None
        if not exporting:
            codes, back = codes.unique(dim=0, return_inverse=True)
        there = codes != 0
        last = (there * torch.arange(1, codes.shape[1] + 1, device=codes.device)).amax(1).clamp(min=1) - 1
        x, layers = self.tables[k](codes), self.layers[k]
        if isinstance(layers, Causal):
            words = layers(x + self.places[k])
        elif exporting:
            words = layers.cell(x)[0]  # pyright: ignore[reportCallIssue]
        else:
            words = layers(x, x.new_zeros(len(x), x.shape[-1]), torch.zeros_like(there))
        whole = words.gather(1, last[:, None, None].expand(-1, 1, words.shape[-1])).squeeze(1)
        return Read(whole, words, there) if back is None else Read(whole[back], words[back], there[back])


class Film(nn.Module):
    """(1 + γ) ∘ maps + β, a γ and a β for each channel, linear in the text (Perez et al. 2018, equation 2)."""

    def __init__(self, channels: int, reader: Reader, generator: torch.Generator) -> None:
        super().__init__()
        self.told = _linear(reader.size, 2 * channels, generator)

    def forward(self, maps: Tensor, read: Read) -> Tensor:
        """[B, C, ...] → the same."""
        scale, shift = _over(self.told(read.whole), maps).chunk(2, 1)
        return (1.0 + scale) * maps + shift


class Gated(nn.Module):
    """σ(W text + b) ∘ maps, a gate for each channel: gated attention (Chaplot et al. 2018, equation 2)."""

    def __init__(self, channels: int, reader: Reader, generator: torch.Generator) -> None:
        super().__init__()
        self.told = _linear(reader.size, channels, generator)

    def forward(self, maps: Tensor, read: Read) -> Tensor:
        """[B, C, ...] → the same."""
        return _over(self.told(read.whole).sigmoid(), maps) * maps


class CrossAttention(nn.Module):
    """Each place of the maps asks the words: maps + W softmax(q kᵀ / √H) v (Vaswani et al. 2017, section 3.2.3)."""

    def __init__(self, channels: int, reader: Reader, generator: torch.Generator) -> None:
        super().__init__()
        size = reader.size // len(reader.scripts)
        self.hears: Callable[[Tensor], None] | None = None
        self.asks, self.told = _linear(channels, size, generator), _linear(size, channels, generator)
        self.offers = _linear(size, 2 * size, generator)

    def forward(self, maps: Tensor, read: Read) -> Tensor:
        """[B, C, ...] → the same. `hears` is told how much each word was looked at, mean over places, [B, L]."""
        keys, values = self.offers(read.words).chunk(2, -1)
        first = torch.arange(read.there.shape[1], device=maps.device) == 0  # of no words one is looked at
        mask = (read.there | first).unsqueeze(1)
        places = maps.flatten(2).transpose(1, 2)
        asked, keys, values, mask = (x.unsqueeze(1) for x in (self.asks(places), keys, values, mask))  # one head
        if self.hears is not None:
            scores = (asked @ keys.transpose(-1, -2) / keys.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
            self.hears(scores.softmax(-1).mean((1, 2)))
        found = self.told(functional.scaled_dot_product_attention(asked, keys, values, mask).squeeze(1))
        return maps + found.transpose(1, 2).reshape(maps.shape)


@contextmanager
def attention(policy: nn.Module) -> Generator[Callable[[], NDArray[np.float32] | None]]:
    """What tells how much each place of the texts was looked at by the first row of the last batch: [L], or None.

    Mean over the layers that attend to words and the places that ask them; None for a policy without such layers.
    """
    layers, told = [m for m in policy.modules() if isinstance(m, CrossAttention)], list[Tensor]()
    try:
        for layer in layers:
            layer.hears = lambda weights: told.append(weights[0].detach())
        yield lambda: torch.stack(told[-len(layers) :]).mean(0).numpy() if told else None
    finally:
        for layer in layers:
            layer.hears = None


JOINS = {"film": Film, "gated": Gated, "cross-attention": CrossAttention}
"""How a text meets maps, but for "concat", where it stands beside their features."""


def _over(x: Tensor, maps: Tensor) -> Tensor:
    """[B, C] beside maps [B, C', ...]: with as many axes."""
    return x.reshape(*x.shape, *(1,) * (maps.ndim - 2))


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    layer = undrawn(nn.Linear, inputs, outputs)
    nn.init.orthogonal_(layer.weight, 1.0, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
