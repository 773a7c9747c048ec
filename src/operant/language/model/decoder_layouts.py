"""A slim forward of the common decoder layouts, on the model's own parameters.

Llama, Qwen2, Qwen3, Gemma and GPT-2 layouts are read through the modules of a Hugging Face model, by reference:
training moves the weights that sampling reads, and there is nothing to synchronise. Positions are explicit. The layers
are exposed one half at a time, so that a full forward (training, scoring) and a decoding step (sampling) are the same
arithmetic around two ways of attending.

A variant that this arithmetic does not cover (a sliding window, positions whose rotation depends on the longest row)
is refused by `reader`, and goes through transformers instead (`operant.language.model.hf_forward`).
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class Decoder(Protocol):
    """What a causal language model consists of."""

    depth: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    width: int
    max_positions: int
    scale: float  # of the attention logits
    layers: Any  # the model's blocks, for those who read weights
    recompute: bool  # whether `layers` computes each again in the backward pass

    def embed(self, tokens: Tensor, position: Tensor) -> tuple[Tensor, Any]:
        """Token [N, L] and position [N, L] to the residual stream [N, L, D], and what layers need of positions."""
        ...

    def qkv(self, layer: int, x: Tensor, at: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [N, H, L, d], keys and values [N, K, L, d] of one layer, rotated where the family rotates."""
        ...

    def finish(self, layer: int, x: Tensor, attended: Tensor) -> Tensor:
        """The residual stream after the layer, from its input and the attended values [N, H, L, d]."""
        ...

    def norm(self, x: Tensor) -> Tensor:
        """The last norm: the hidden states that the head reads."""
        ...

    def head(self, hidden: Tensor) -> Tensor:
        """Logits [..., V]."""
        ...


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class Rotary:
    """Llama, Qwen2, Qwen3 and Gemma: RMS norm, rotary positions, gated MLP."""

    def __init__(self, model: Any) -> None:
        config = model.config
        self.model, self.lm_head, self.recompute = model.model, model.lm_head, False
        self.layers = self.model.layers
        self.depth, self.heads = config.num_hidden_layers, config.num_attention_heads
        self.kv_heads = getattr(config, "num_key_value_heads", None) or self.heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.vocab, self.width, self.max_positions = (
            config.vocab_size,
            config.hidden_size,
            config.max_position_embeddings,
        )
        self.scale = self.head_dim**-0.5
        # Gemma multiplies embeddings by √D: in the embedding itself from transformers 5 on, after it before
        outside = config.model_type == "gemma" and not hasattr(self.model.embed_tokens, "embed_scale")
        self.stretch = self.width**0.5 if outside else None

    def embed(self, tokens: Tensor, position: Tensor) -> tuple[Tensor, Any]:
        x = self.model.embed_tokens(tokens)
        if self.stretch is not None:
            x = x * torch.tensor(self.stretch, dtype=x.dtype)
        cos, sin = self.model.rotary_emb(x, position_ids=position)
        return x, (cos[:, None], sin[:, None])

    def qkv(self, layer: int, x: Tensor, at: Any) -> tuple[Tensor, Tensor, Tensor]:
        block = self.layers[layer]
        attention, y = block.self_attn, block.input_layernorm(x)
        n, length = y.shape[:2]
        q = attention.q_proj(y).view(n, length, self.heads, self.head_dim)
        k = attention.k_proj(y).view(n, length, self.kv_heads, self.head_dim)
        v = attention.v_proj(y).view(n, length, self.kv_heads, self.head_dim)
        if hasattr(attention, "q_norm"):
            q, k = attention.q_norm(q), attention.k_norm(k)
        return _rotate(q.transpose(1, 2), *at), _rotate(k.transpose(1, 2), *at), v.transpose(1, 2)

    def finish(self, layer: int, x: Tensor, attended: Tensor) -> Tensor:
        block = self.layers[layer]
        x = x + block.self_attn.o_proj(attended.transpose(1, 2).flatten(2))
        return x + block.mlp(block.post_attention_layernorm(x))

    def norm(self, x: Tensor) -> Tensor:
        return self.model.norm(x)

    def head(self, hidden: Tensor) -> Tensor:
        return self.lm_head(hidden)


class Absolute:
    """GPT-2: layer norm, learnt positions, one projection for queries, keys and values."""

    def __init__(self, model: Any) -> None:
        config = model.config
        self.model, self.lm_head, self.recompute = model.transformer, model.lm_head, False
        self.layers = self.model.h
        self.depth, self.heads, self.kv_heads = config.n_layer, config.n_head, config.n_head
        self.head_dim = config.n_embd // config.n_head
        self.vocab, self.width, self.max_positions = config.vocab_size, config.n_embd, config.n_positions
        self.scale = self.head_dim**-0.5

    def embed(self, tokens: Tensor, position: Tensor) -> tuple[Tensor, Any]:
        return self.model.drop(self.model.wte(tokens) + self.model.wpe(position)), None

    def qkv(self, layer: int, x: Tensor, at: Any) -> tuple[Tensor, Tensor, Tensor]:
        block = self.layers[layer]
        n, length = x.shape[:2]
        parts = block.attn.c_attn(block.ln_1(x)).view(n, length, 3, self.heads, self.head_dim)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        return q, k, v

    def finish(self, layer: int, x: Tensor, attended: Tensor) -> Tensor:
        block = self.layers[layer]
        x = x + block.attn.resid_dropout(block.attn.c_proj(attended.transpose(1, 2).flatten(2)))
        return x + block.mlp(block.ln_2(x))

    def norm(self, x: Tensor) -> Tensor:
        return self.model.ln_f(x)

    def head(self, hidden: Tensor) -> Tensor:
        return self.lm_head(hidden)


FAMILIES: dict[str, Callable[[Any], Decoder]] = {
    "llama": Rotary,
    "qwen2": Rotary,
    "qwen3": Rotary,
    "gemma": Rotary,
    "gpt2": Absolute,
}
"""From `config.model_type` to the reader of its layout."""

SEEING = ("llava", "idefics3", "smolvlm")
"""Models that see whose decoder reads a picture's features where it stands, in one order of positions, and causally."""

STEADY = ("default", "linear", "llama3", "yarn")
"""Rotations that depend on a token's own position alone, not on the longest row beside it."""


def words(model: Any) -> Any:
    """What of a model that sees reads and writes words, as a model of words alone has it; any other model as it is."""
    if model.config.model_type not in SEEING or FAMILIES.get(model.config.text_config.model_type) is not Rotary:
        return model
    head = model.get_output_embeddings()
    return SimpleNamespace(config=model.config.text_config, model=model.get_decoder(), lm_head=head)


def obstacle(model: Any) -> str | None:
    """Why the slim forward does not compute what this model does, in words; None where it does."""
    config = model.config
    if config.model_type not in FAMILIES:
        return f"model_type {config.model_type!r} is not one of {', '.join(FAMILIES)}"
    if config.model_type == "gpt2":
        for name, wanted in {
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
            "reorder_and_upcast_attn": False,
            "add_cross_attention": False,
        }.items():
            if getattr(config, name, wanted) != wanted:
                return f"{name} is {not wanted}"
        return None
    windows = {kind for kind in getattr(config, "layer_types", None) or () if kind != "full_attention"}
    if windows:
        return f"layer_types has {', '.join(sorted(windows))}"
    if getattr(config, "use_sliding_window", False) and getattr(config, "sliding_window", None):
        return "use_sliding_window is set"
    if getattr(config, "use_bidirectional_attention", None):
        return "use_bidirectional_attention is set"
    rotary = model.model.rotary_emb
    kind = getattr(rotary, "rope_type", "default")
    if kind not in STEADY:
        return f"rope_type is {kind!r}"
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if 2 * rotary.inv_freq.numel() != head_dim:
        return f"{2 * rotary.inv_freq.numel()} of {head_dim} dimensions of a head rotate"
    return None


def reader(model: Any) -> Decoder:
    """The reader of a model's layout.

    Raises:
        ValueError: if `obstacle` names one.
    """
    found = obstacle(model)
    if found is not None:
        raise ValueError(found)
    return FAMILIES[model.config.model_type](model)


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ scale) v.

    Args:
        q: [N, H, L, d].
        k, v: [N, K, M, d]; H / K queries share a key.
        scale: of the logits.
        mask: [N or 1, 1, L, M], bool, or added to the logits; None for a causal one, where L = M.

    Returns:
        [N, H, L, d].
    """
    shared = k.shape[1] != q.shape[1]
    if shared and mask is not None and q.device.type != "cpu":
        # of the kernels there, those that take a mask take no shared keys, and what is left holds all logits at once
        each, shared = q.shape[1] // k.shape[1], False
        k, v = k.repeat_interleave(each, 1), v.repeat_interleave(each, 1)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=shared
    )


def layers(decoder: Decoder, x: Tensor, at: Any, attention: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """The residual stream [N, L, D] through all layers, around a way of attending.

    Where `decoder.recompute`, the input of each layer is all that is kept for the backward pass, in which the layer is
    computed again (Chen et al. 2016, arXiv:1604.06174).
    """

    def through(layer: int, x: Tensor) -> Tensor:
        return decoder.finish(layer, x, attention(*decoder.qkv(layer, x, at)))

    for layer in range(decoder.depth):
        if decoder.recompute and torch.is_grad_enabled():
            x = cast(Tensor, checkpoint(through, layer, x, use_reentrant=False))
        else:
            x = through(layer, x)
    return x


def hidden(decoder: Decoder, tokens: Tensor, position: Tensor, segment: Tensor | None = None) -> Tensor:
    """Hidden states [N, L, D] of whole rows.

    Args:
        tokens: [N, L].
        position: [N, L], of each token within its own sequence.
        segment: [N, L] numbers of the sequences packed into a row, or None where a row is one sequence padded on the
            right. A token attends to earlier tokens of its own segment.
    """
    x, at = decoder.embed(tokens, position)
    mask = None
    if segment is not None:
        mask = (segment[:, None, :, None] == segment[:, None, None, :]).tril()
    return decoder.norm(layers(decoder, x, at, lambda q, k, v: attend(q, k, v, decoder.scale, mask)))
