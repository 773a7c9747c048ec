"""One token a step for rows that come and go, each where it is: what a server needs and a call of `Engine` does not.

The arithmetic is that of `operant.rollout.decode`. Rows stand without gaps: the last one moves to where one has left.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.config.errors import ConfigError
from operant.policy.language import LanguageModel
from operant.rollout.decode import GROWTH, prefill


class Batch(Protocol):
    """B rows under way."""

    def read(self, tokens: Sequence[int]) -> Any:
        """What the model remembers of a prompt, but for its last token: `add` takes it, for each sample again."""
        ...

    def add(self, memory: Any) -> None:
        """A row more, behind the others."""
        ...

    def remove(self, row: int) -> None:
        """A row less; the last one takes its number."""
        ...

    def step(self, tokens: Sequence[int], places: Sequence[int]) -> Tensor:
        """Logits [B, V] float32 behind each row's next token, which stands at its place."""
        ...


def batch_of(policy: LanguageModel) -> Batch:
    """The way to decode with a model: the slim forward, or that of transformers row by row."""
    return Slim(policy) if policy.whole is None else Alone(policy)


class Slim:
    """A cache [layer, 2, S, K, capacity, d], larger when it must be, given back when no row is left."""

    def __init__(self, policy: LanguageModel) -> None:
        self.decoder, self.device = policy.decoder, policy.device
        self.dtype = next(policy.parameters()).dtype
        self.count = 0
        self._forget()

    def read(self, tokens: Sequence[int]) -> Any:
        """Keys and values [layer, 2, K, L-1, d]."""
        if len(tokens) == 1:
            return None
        keys, values = prefill(self.decoder, torch.tensor([tokens[:-1]], device=self.device))
        return torch.stack([torch.cat(pair) for pair in zip(keys, values, strict=True)])

    def add(self, memory: Any) -> None:
        """Copy a prompt's keys and values into a row."""
        length = 0 if memory is None else memory.shape[3]
        self._grow(self.count + 1, length + 1)
        if memory is not None:
            self.cache[:, :, self.count, :, :length] = memory
        self.count += 1

    def remove(self, row: int) -> None:
        """Move the last row to its place."""
        self.count -= 1
        if row != self.count:
            self.cache[:, :, row] = self.cache[:, :, self.count]
        if not self.count:
            self._forget()

    def step(self, tokens: Sequence[int], places: Sequence[int]) -> Tensor:
        """A forward of one token for each row."""
        decoder, n = self.decoder, self.count
        self._grow(n, max(places) + 1)
        reach = min(-(-(max(places) + 1) // GROWTH) * GROWTH, self.cache.shape[4])
        place = torch.tensor(places, device=self.device)
        rows = torch.arange(n, device=self.device)
        x, at = decoder.embed(torch.tensor(tokens, device=self.device)[:, None], place[:, None])
        seen = (torch.arange(reach, device=self.device) <= place[:, None])[:, None, None]
        for layer in range(decoder.depth):
            q, k, v = decoder.qkv(layer, x, at)
            cache = self.cache[layer, :, :n, :, :reach]
            cache[0, rows, :, place], cache[1, rows, :, place] = k[:, :, 0], v[:, :, 0]
            y = F.scaled_dot_product_attention(
                q, cache[0], cache[1], attn_mask=seen, scale=decoder.scale, enable_gqa=k.shape[1] != q.shape[1]
            )
            x = decoder.finish(layer, x, y)
        return decoder.head(decoder.norm(x[:, 0])).float()

    def _forget(self) -> None:
        shape = (self.decoder.depth, 2, 0, self.decoder.kv_heads, 0, self.decoder.head_dim)
        self.cache = torch.zeros(shape, dtype=self.dtype, device=self.device)

    def _grow(self, rows: int, columns: int) -> None:
        more, wider = rows - self.cache.shape[2], columns - self.cache.shape[4]
        if more <= 0 and wider <= 0:
            return
        # half as much again at least, so that copies cost little beside the steps between them
        more = max(more, self.cache.shape[2] // 2) if more > 0 else 0
        wider = -(-max(wider, self.cache.shape[4] // 2) // GROWTH) * GROWTH if wider > 0 else 0
        self.cache = F.pad(self.cache, (0, 0, 0, wider, 0, 0, 0, more))


class Alone:
    """Rows that step one by one through the model's own cache, which makes no assumption about the family."""

    def __init__(self, policy: LanguageModel) -> None:
        assert policy.whole is not None
        self.whole, self.device = policy.whole, policy.device
        self.rows: list[Any] = []

    def read(self, tokens: Sequence[int]) -> Any:
        """The model's cache after the prompt."""
        return self._forward(tokens[:-1], 0, None)[1] if len(tokens) > 1 else None

    def add(self, memory: Any) -> None:
        """A copy of the cache, which the model writes on."""
        self.rows.append(copy.deepcopy(memory))

    def remove(self, row: int) -> None:
        """Drop its cache."""
        last = self.rows.pop()
        if row != len(self.rows):
            self.rows[row] = last

    def step(self, tokens: Sequence[int], places: Sequence[int]) -> Tensor:
        """A forward of each row."""
        logits: list[Tensor] = []
        for i, (token, place) in enumerate(zip(tokens, places, strict=True)):
            found, self.rows[i] = self._forward([token], place, self.rows[i])
            logits.append(found[0, -1].float())
        return torch.stack(logits)

    def _forward(self, tokens: Sequence[int], place: int, cache: Any) -> tuple[Tensor, Any]:
        given: dict[str, Any] = {"input_ids": torch.tensor([tokens], device=self.device), "use_cache": True}
        if cache is not None:
            given["past_key_values"] = cache
        if self.whole.positioned:
            given["position_ids"] = torch.arange(place, place + len(tokens), device=self.device)[None]
        done = self.whole.model(**given)
        memory = getattr(done, "past_key_values", None)
        if memory is None:
            kind = self.whole.model.config.model_type
            raise ConfigError(f"{kind}: returns no past_key_values, so it cannot be sampled from; use another family")
        return done.logits, memory
