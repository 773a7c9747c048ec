"""One token a step for rows that come and go, each where it is: what a server needs and a call of `Engine` does not.

The arithmetic is that of `operant.language.sample.torch_decoder`. Rows stand without gaps: the last one moves to where
one has left.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.language.model.language_model import LanguageModel
from operant.language.sample.torch_decoder import GROWTH, one_token, prefill


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
        self._grow(self.count, max(places) + 1)
        reach = -(-(max(places) + 1) // GROWTH) * GROWTH
        cache = self.cache[:, :, : self.count, :, :reach]
        return one_token(self.decoder, cache, *torch.tensor([tokens, places], device=self.device))

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
        position = torch.arange(place, place + len(tokens), device=self.device)
        return self.whole.step(torch.tensor([tokens], device=self.device), position[None], cache)
