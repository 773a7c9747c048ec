"""What a model computed while it sampled, kept for its backward pass: the forward pass of training need not run again.

A policy that samples and then takes one gradient step computes every activation of its completions twice: the weights
have not moved in between. A tape keeps them (11.4 D numbers for each layer and token of a Llama), and gradients of
log-probabilities are computed from it by `operant.language.cpu.backward`. It serves the sequences it holds, under the
very weights that computed them, and nothing else: `find` says None where a row is another, or a weight has moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from operant.language.cpu import backward_kernels as kernels
from operant.language.model.decoder_layouts import Decoder, Rotary

LARGEST = 2**31
"""Bytes of the largest tape."""
ACTIVATIONS = {"SiLUActivation": kernels.SILU, "SiLU": kernels.SILU, "GELUTanh": kernels.GELU_TANH}
"""By the name of the module's class."""


def obstacle(decoder: Decoder, parameters: Sequence[Tensor]) -> str | None:
    """Why there is no backward pass by hand for this model, in words; None where there is one."""
    if not isinstance(decoder, Rotary):
        return "its layout is not that of Llama"
    if any(p.device.type != "cpu" or p.dtype != torch.float32 for p in parameters):
        return "not all parameters are float32 on the CPU"
    block = decoder.layers[0]
    if hasattr(block.self_attn, "q_norm"):
        return "queries and keys are normalised"
    if type(block.mlp.act_fn).__name__ not in ACTIVATIONS:
        return f"the activation is {type(block.mlp.act_fn).__name__}"
    linear = (*(getattr(block.self_attn, f"{n}_proj") for n in "qkvo"), *block.mlp.children(), decoder.lm_head)
    if any(hasattr(m, "get_base_layer") for m in linear):
        return "it has adapters"
    return None


@dataclass(frozen=True, slots=True)
class Held:
    """A sequence on the tape: of its tokens [n], those at start … n − 2 stand at `base` and behind."""

    tokens: tuple[int, ...]
    start: int
    base: int
    logp: tuple[float, ...]  # of tokens start + 1 … n - 1


class Tape:
    """Activations of completions, by token; memory is kept from one call of the sampler to the next.

    Attributes:
        x: [depth + 1, capacity, D] the residual stream before each layer, and before the last norm.
        qkv: [depth, capacity, (H + 2 K) d] rotated queries and keys, and values.
        out: [depth, capacity, H d] what attention gave.
        mid: [depth, capacity, D] the residual stream between attention and MLP.
        gates: [depth, capacity, 2 F] gate, then up.
        rows: the sequences, by their tokens.
        places: where the tokens of each prompt begin, without its last, behind those of completions.
        checked: the row that was computed again when the tape last served; None where all were, without it.
    """

    def __init__(self, decoder: Rotary, parameters: Sequence[Tensor]) -> None:
        mlp: Any = decoder.layers[0].mlp
        depth, d, inner = decoder.depth, decoder.head_dim, mlp.gate_proj.weight.shape[0]
        self.decoder, self.parameters = decoder, list(parameters)
        self.shapes = {
            "x": (depth + 1, decoder.width),
            "qkv": (depth, (decoder.heads + 2 * decoder.kv_heads) * d),
            "out": (depth, decoder.heads * d),
            "mid": (depth, decoder.width),
            "gates": (depth, 2 * inner),
        }
        self.x = self.qkv = self.out = self.mid = self.gates = torch.zeros(0, 0, 0)
        self.rows: dict[bytes, Held] = {}
        self.places: dict[tuple[int, ...], int] = {}
        self.filled, self.temperature = 0, 1.0
        self.checked: int | None = None
        self._weights: tuple[list[int], Tensor] = ([], torch.zeros(0))

    def __deepcopy__(self, memo: Any) -> None:
        """A copy of a model begins without one."""

    @property
    def trained(self) -> list[Tensor]:
        """The decoder's parameters that are trained, whose gradients are computed by hand."""
        own = {id(p) for part in (self.decoder.model, self.decoder.lm_head) for p in part.parameters()}
        return [p for p in self.parameters if p.requires_grad and id(p) in own]

    def bytes(self, tokens: int) -> int:
        """What so many tokens take."""
        return 4 * tokens * sum(layers * width for layers, width in self.shapes.values())

    def begin(self, sampled: int, prompts: int, temperature: float) -> None:
        """Make room for so many tokens, computed under the weights as they are now; forget what was there."""
        self.rows.clear()
        self.places = {(): 0}
        self.filled, self.temperature = sampled, temperature
        tokens = sampled + prompts
        self._weights = self._fingerprint()
        if self.x.shape[1] < tokens:
            with torch.inference_mode(mode=False):  # the sampler calls from within it
                for name, (layers, width) in self.shapes.items():
                    setattr(self, name, torch.empty(layers, tokens, width))

    def prefill(self, prompts: Sequence[tuple[int, ...]]) -> tuple[list[Tensor], list[Tensor]]:
        """Compute and keep prompts, some of them with tokens; keys and values [G, K, P, d] of each layer."""
        decoder, width = self.decoder, max(map(len, prompts))
        tokens = torch.tensor([[*p, *[0] * (width - len(p))] for p in prompts])
        real = torch.arange(width) < torch.tensor([len(p) for p in prompts])[:, None]  # [G, P]
        ends = self.filled + np.cumsum([0, *map(len, prompts)])
        here, keys, values = slice(self.filled, int(ends[-1])), list[Tensor](), list[Tensor]()
        x, at = decoder.embed(tokens, torch.arange(width).expand_as(tokens))
        for layer in range(decoder.depth):
            block: Any = decoder.layers[layer]
            q, k, v = decoder.qkv(layer, x, at)
            keys.append(k)
            values.append(v)
            out = F.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=decoder.scale, enable_gqa=k.shape[1] != q.shape[1]
            )
            q, k, v, out = (y.transpose(1, 2).flatten(2) for y in (q, k, v, out))
            mid = x + block.self_attn.o_proj(out)
            y = block.post_attention_layernorm(mid)
            gate, up = block.mlp.gate_proj(y), block.mlp.up_proj(y)
            qkv, gates = torch.cat((q, k, v), -1), torch.cat((gate, up), -1)
            for name, part in (("x", x), ("qkv", qkv), ("out", out), ("mid", mid), ("gates", gates)):
                getattr(self, name)[layer, here] = part[real]
            x = mid + block.mlp.down_proj(block.mlp.act_fn(gate) * up)
        self.x[decoder.depth, here] = x[real]
        self.places |= dict(zip(prompts, ends.tolist(), strict=False))
        self.filled = here.stop
        return keys, values

    def hold(self, tokens: tuple[int, ...], start: int, base: int, logp: tuple[float, ...]) -> None:
        """A sequence is complete; its last token is a decision."""
        self.rows[np.array(tokens, np.int64).tobytes()] = Held(tokens, start, base, logp)

    def find(self, tokens: Tensor, acted: Tensor, temperature: float) -> list[Held] | None:
        """The sequences of rows tokens [N, T+1] where acted [N, T], or None unless all are held as asked for."""
        if not self.rows or temperature != self.temperature:
            return None
        versions, some = self._fingerprint()
        if versions != self._weights[0] or not torch.equal(some, self._weights[1]):
            return None
        found: list[Held] = []
        for row, ours in zip(tokens.numpy(), acted.numpy(), strict=True):
            steps = np.flatnonzero(ours)
            held = self.rows.get(row[: steps[-1] + 2].tobytes()) if len(steps) else None
            if held is None or steps[0] < held.start:
                return None
            found.append(held)
        return found

    def _fingerprint(self) -> tuple[list[int], Tensor]:
        """How often each weight was written to, which fused optimisers do not count, and some numbers of each."""
        flat = [p.detach().reshape(-1) for p in self.parameters]
        return [p._version for p in self.parameters], torch.cat([x[:: max(1, len(x) // 32)] for x in flat])
