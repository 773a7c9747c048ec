"""Any causal language model of transformers that the slim forward does not read: its own forward, row by row.

Sequences packed into one row are unpacked first, one to a row and padded on the right, so that no assumption is made
about the family's masks: what stands after a token cannot reach it in a causal model, be its memory an attention, a
window or a recurrent state.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from operant.config.errors import ConfigError


class Whole:
    """The forward of transformers.

    Args:
        model: the causal language model.
    """

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        self.model = model
        self.vocab, self.width = config.vocab_size, config.hidden_size
        self.max_positions = int(getattr(config, "max_position_embeddings", None) or 2**31)
        self.positioned = "position_ids" in inspect.signature(model.forward).parameters

    def hidden(self, tokens: Tensor, position: Tensor, segment: Tensor | None = None) -> Tensor:
        """The last hidden states [N, L, D]."""
        body = self.model.get_decoder()

        def forward(tokens: Tensor, position: Tensor) -> Tensor:
            return body(**self._given(tokens, position)).last_hidden_state

        return self._rows(forward, tokens, position, segment)

    def logits(self, tokens: Tensor, position: Tensor, segment: Tensor | None = None) -> Tensor:
        """Logits [N, L, V], with whatever the family does to them after its head."""

        def forward(tokens: Tensor, position: Tensor) -> Tensor:
            return self.model(**self._given(tokens, position)).logits

        return self._rows(forward, tokens, position, segment)

    def step(self, tokens: Tensor, position: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Logits [N, L, V] of tokens [N, L] that go on from a cache, None at a beginning, and the cache behind them.

        Raises:
            ConfigError: if the family keeps none.
        """
        given: dict[str, Any] = {"input_ids": tokens, "use_cache": True}
        if cache is not None:
            given["past_key_values"] = cache
        if self.positioned:
            given["position_ids"] = position
        done = self.model(**given)
        memory = getattr(done, "past_key_values", None)
        if memory is None:
            kind = self.model.config.model_type
            raise ConfigError(f"{kind}: returns no past_key_values, so it cannot be sampled from; use another family")
        return done.logits, memory

    def _given(self, tokens: Tensor, position: Tensor) -> dict[str, Any]:
        if self.positioned:
            return {"input_ids": tokens, "position_ids": position, "use_cache": False}
        if not torch.equal(position, torch.arange(tokens.shape[1], device=tokens.device).expand_as(position)):
            raise ConfigError(
                f"{self.model.config.model_type}: takes no positions, but a row's positions do not count from 0; "
                "give rows that begin at position 0"
            )
        return {"input_ids": tokens, "use_cache": False}

    def _rows(
        self, forward: Callable[[Tensor, Tensor], Tensor], tokens: Tensor, position: Tensor, segment: Tensor | None
    ) -> Tensor:
        if segment is None:
            return forward(tokens, position)
        first = torch.ones_like(segment, dtype=torch.bool)
        first[:, 1:] = segment[:, 1:] != segment[:, :-1]
        row = first.flatten().cumsum(0) - 1  # [N·L], the number of each token's own sequence
        start = first.flatten().nonzero()[:, 0]
        column = torch.arange(len(row), device=row.device) - start[row]
        shape = (len(start), int(column.max()) + 1)
        alone, places = tokens.new_zeros(shape), position.new_zeros(shape)
        places += torch.arange(shape[1], device=row.device)  # padding goes on counting
        alone[row, column], places[row, column] = tokens.flatten(), position.flatten()
        return forward(alone, places)[row, column].view(*tokens.shape, -1)
