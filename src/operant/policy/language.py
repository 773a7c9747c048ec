"""A causal language model as a policy over tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from operant.config.errors import ConfigError
from operant.math.logprob import categorical_entropy, categorical_logp
from operant.policy import slim

CHUNK = 2**26
"""Logits held at once in scoring; more are computed chunk by chunk, and again in the backward pass."""


class LanguageModel(nn.Module):
    """π(token | tokens before it), from a Hugging Face model and its tokenizer.

    A row of tokens is its own observation: `tokens[:, t]` precedes `tokens[:, t + 1]`, which is the action at t.
    Rows are padded on the right. Positions count from the start of each sequence, whatever stands beside it.

    Args:
        model: a causal language model of transformers; its parameters are the policy's.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.decoder: slim.Decoder = slim.reader(model)

    @classmethod
    def load(cls, folder: Path | str, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Self:
        """Read a model folder (safetensors) or a name on the hub.

        Raises:
            ConfigError: if there is no readable causal language model.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder}: not a readable causal language model ({error})") from error
        return cls(model.to(device), tokenizer)

    def save(self, folder: Path) -> None:
        """Write the folder that `load`, and transformers, read."""
        self.model.save_pretrained(folder, safe_serialization=True)
        self.tokenizer.save_pretrained(folder)

    def hidden(self, tokens: Tensor, position: Tensor | None = None, segment: Tensor | None = None) -> Tensor:
        """Hidden states [N, L, D] of tokens [N, L]; see `operant.policy.slim.hidden`."""
        if position is None:
            position = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        return slim.hidden(self.decoder, tokens, position, segment)

    def evaluate(
        self,
        tokens: Tensor,
        acted: Tensor,
        *,
        position: Tensor | None = None,
        segment: Tensor | None = None,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """log π(tokens[:, t+1] | tokens[:, ≤ t]) and the entropy there, where `acted`; 0 elsewhere.

        Args:
            tokens: [N, T+1].
            acted: [N, T] bool. The head is computed at these steps only.
            position, segment: [N, T+1] or None.
            temperature: divides the logits, as it did in sampling.

        Returns:
            [N, T] each, float32.
        """
        states = self.hidden(tokens, position, segment)[:, :-1][acted]  # [M, D]
        action = tokens[:, 1:][acted]  # [M]
        size = max(1, CHUNK // self.decoder.vocab)
        parts = [
            checkpoint(self._score, h, a, temperature, use_reentrant=False)
            if len(states) > size
            else self._score(h, a, temperature)
            for h, a in zip(states.split(size), action.split(size), strict=True)
        ]
        logp, entropy = (torch.cat(x) for x in zip(*parts, strict=True))
        blank = torch.zeros(acted.shape, dtype=logp.dtype, device=logp.device)
        return blank.masked_scatter(acted, logp), blank.masked_scatter(acted, entropy)

    def _score(self, states: Tensor, action: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        logits = self.decoder.head(states).float() / temperature
        return categorical_logp(logits, action), categorical_entropy(logits)


class Scalar(nn.Module):
    """One number per position from a language model's hidden states: a critic [N, L], or a reward at the last token.

    Args:
        backbone: the language model whose hidden states are read; trained with the head unless frozen by the caller.
    """

    def __init__(self, backbone: LanguageModel) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.decoder.width, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, tokens: Tensor, position: Tensor | None = None, segment: Tensor | None = None) -> Tensor:
        """[N, L] from tokens [N, L]."""
        return self.head(self.backbone.hidden(tokens, position, segment)).squeeze(-1).float()
