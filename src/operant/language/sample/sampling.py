"""What is sampled, how tokens are drawn, and the uniform number behind each draw."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.text.pictures import FIRST, LAST
from operant.math.logprob import categorical_sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn: the temperature first, then top-k, then top-p of what is left, then min-p."""

    temperature: float = 1.0  # 0: the most probable token
    top_k: int = 0  # 0: all
    top_p: float = 1.0  # the fewest tokens with this much probability
    min_p: float = 0.0  # tokens at least this share as probable as the most probable one
    max_tokens: int = 256  # of a completion, forced ones included
    stop: tuple[int, ...] = ()  # tokens that end a completion; they belong to it

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0.0):
            raise ConfigError(f"sampling.temperature is {self.temperature}: give a number of at least 0")
        if self.top_k < 0 or not 0.0 < self.top_p <= 1.0 or not 0.0 <= self.min_p <= 1.0:
            raise ConfigError(
                f"sampling: top_k {self.top_k} must be at least 0, top_p {self.top_p} in (0, 1], min_p {self.min_p} "
                "in [0, 1]"
            )
        if not (hasattr(self.max_tokens, "__index__") and hasattr(self.top_k, "__index__") and self.max_tokens >= 1):
            raise ConfigError(
                f"sampling.max_tokens is {self.max_tokens}: give at least 1, and a whole number for top_k, {self.top_k}"
            )

    @property
    def cuts(self) -> bool:
        """Whether some tokens may be left out."""
        return self.temperature > 0.0 and (self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0)


@lru_cache(maxsize=256)
def rule(sampling: Sampling) -> Sampling:
    """The same without its limit: rows with equal rules are drawn together."""
    return replace(sampling, max_tokens=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Tokens to go on from, and what keys their randomness.

    A completion that was stopped half way goes on as it would have: `tokens` with what it had so far, `sample` its
    index, and `drawn` the number of its tokens.
    """

    id: int
    tokens: tuple[int, ...]
    sample: int = 0  # index of the first sample
    drawn: int = 0  # how many of the tokens, at the end, belong to the completion

    def __post_init__(self) -> None:
        if self.tokens and FIRST <= self.tokens[-1] < LAST:
            raise ConfigError(f"prompt {self.id}: ends with a picture, or a token that is none; put words behind it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sample: what follows `prompt.tokens`."""

    prompt: Prompt
    sample: int  # prompt.sample … prompt.sample + samples - 1
    tokens: tuple[int, ...]
    logp: tuple[float, ...]  # log π(token) at the temperature, over the whole vocabulary; 0 where forced
    kept: tuple[float, ...]  # log of the probability that top-k, top-p, min-p kept: the sampler's log μ is logp - kept
    acted: tuple[bool, ...]  # False where the token was forced (a tool's output)
    finish: Literal["stop", "length"]


_GOLDEN = -7046029254386353131


def _mix(x: Tensor) -> Tensor:
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def row_key(seed: int | Tensor, prompt: Tensor, sample: Tensor) -> Tensor:
    """[...] int64, the hash of what is the same for a whole completion."""
    golden = torch.tensor(_GOLDEN, device=prompt.device)
    return _mix(_mix(prompt + torch.as_tensor(seed, device=prompt.device) * golden) + sample * golden)


def uniform_at(key: Tensor, position: Tensor) -> Tensor:
    """[...] float64 in [0, 1) from `row_key` and the token's position in its completion."""
    x = _mix(key + position * _GOLDEN)
    return ((x >> 11) & 0x1FFFFFFFFFFFFF).double() * 2.0**-53


def uniform(seed: int, prompt: Tensor, sample: Tensor, position: Tensor) -> Tensor:
    """[...] float64 in [0, 1), a hash of the four numbers; int64 arithmetic wraps.

    Source: the finaliser of SplitMix64, Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators.
    """
    return uniform_at(row_key(seed, prompt, sample), position)


BLOCK = 1024


def inverse(p: Tensor, u: Tensor) -> Tensor:
    """Token [n] from probabilities [n, V] (any scale) and uniform numbers [n] in [0, 1).

    Of a large vocabulary a block of words is drawn first, then a word of it: cumulated sums in float64 run over
    V / 1024 and 1024 numbers, not over V.
    """
    vocab = p.shape[-1]
    if vocab <= 4 * BLOCK:
        return categorical_sample(p.double().log(), u)
    blocks = torch.nn.functional.pad(p, (0, -vocab % BLOCK)).unflatten(-1, (-1, BLOCK))  # [n, B, 1024]
    mass = blocks.sum(-1, dtype=torch.float64)
    block = categorical_sample(mass.log(), u)[:, None]
    before = (mass.cumsum(-1) - mass).gather(-1, block)[:, 0]
    rest = (u * mass.sum(-1) - before) / mass.gather(-1, block)[:, 0]
    words = blocks.gather(1, block[:, :, None].expand(-1, 1, BLOCK))[:, 0]
    word = categorical_sample(words.double().log(), rest.clamp(0.0, 1.0 - 2.0**-53))
    return block[:, 0] * BLOCK + word


def draw(logits: Tensor, sampling: Sampling, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Token [n], log π at the temperature [n], log kept mass [n], from logits [n, V] and uniform numbers [n].

    Greedy (temperature 0) reports log-probabilities at temperature 1.
    """
    if sampling.temperature == 0.0:
        logp = logits.log_softmax(-1)
        token = logits.argmax(-1)
        return token, logp.gather(-1, token[:, None])[:, 0], torch.zeros_like(u, dtype=logits.dtype)
    logp = (logits / sampling.temperature).log_softmax(-1)
    allowed = keep(logp, sampling)
    cut = logp if allowed is None else logp.masked_fill(~allowed, -torch.inf)
    token = inverse(cut.exp(), u)
    mass = torch.zeros_like(logp[:, 0]) if allowed is None else cut.logsumexp(-1)
    return token, logp.gather(-1, token[:, None])[:, 0], mass


def keep(logp: Tensor, sampling: Sampling) -> Tensor | None:
    """Which tokens [n, V] top-k, then top-p, then min-p leave; None where all."""
    if not sampling.cuts:
        return None
    allowed = torch.ones_like(logp, dtype=torch.bool)
    if sampling.top_k:
        allowed &= logp >= logp.topk(min(sampling.top_k, logp.shape[-1]), -1).values[:, -1:]
    if sampling.top_p < 1.0:
        order = logp.masked_fill(~allowed, -torch.inf).sort(dim=-1, descending=True, stable=True)
        p = order.values.softmax(-1)
        inside = p.cumsum(-1) - p < sampling.top_p
        allowed &= torch.zeros_like(allowed).scatter(-1, order.indices, inside)
    if sampling.min_p > 0.0:
        allowed &= logp >= logp.amax(-1, keepdim=True) + math.log(sampling.min_p)
    return allowed


class Prompts:
    """An endless draw from a list of prompts: every one once before any a second time, in an order of the seed.

    Each draw has an id of its own, which keys its randomness. `drawn` is the whole state.
    """

    def __init__(self, tokens: Sequence[Sequence[int]], *, seed: int) -> None:
        self._tokens, self._seed, self._told = tokens, seed, False
        self.drawn = 0
        # It is asked for every completion, and an order of 20,000 takes a millisecond; a step may see two epochs.
        self._order = lru_cache(maxsize=2)(self._ordered)

    def example(self, drawn: int) -> int:
        """Which of the prompts the draw of this id is."""
        epoch, index = divmod(drawn, len(self._tokens))
        return int(self._order(epoch)[index])

    def _ordered(self, epoch: int) -> NDArray[np.int64]:
        return Streams(self._seed).numpy("prompts", epoch).permutation(len(self._tokens))

    def __call__(self, n: int, positions: int | None = None, limit: int = 0) -> list[Prompt]:
        """The next n that leave room for a completion of `limit` tokens in so many positions; others are passed over.

        Raises:
            ConfigError: if none does.
        """
        found: list[Prompt] = []
        lengths: dict[int, int] = {}
        while len(found) < n:
            at = self.example(self.drawn)
            tokens = tuple(self._tokens[at])
            self.drawn += 1
            if positions is None or 0 < len(tokens) <= positions - limit:
                found.append(Prompt(id=self.drawn - 1, tokens=tokens))
                continue
            lengths[at] = len(tokens)
            if len(lengths) == len(self._tokens):
                raise ConfigError(f"no prompt can be answered: {no_room(lengths, limit, positions)}")
        if lengths and positions is not None and not self._told:
            self._told = True
            warnings.warn(
                f"prompts are passed over, the first {next(iter(lengths))}: {no_room(lengths, limit, positions)}",
                stacklevel=2,
            )
        return found


def no_room(lengths: dict[int, int], limit: int, positions: int) -> str:
    """Why prompts of so many tokens, by number, cannot be answered, and the one thing to do."""
    longest = max(lengths.values())
    if min(lengths.values()) == 0:
        empty = next(i for i, length in lengths.items() if length == 0)
        return f"prompt {empty} is empty, and there is nothing to go on from. Give it a text"
    shortest = min(lengths.values())
    why = (
        f"{longest:,} tokens and a completion of up to {limit:,} are more than the {positions:,} positions of the model"
    )
    if longest < positions:
        return f"{why}. Set sampling.max_tokens to {positions - longest} at most, or shorten the prompt"
    if shortest < positions:
        return f"{why}. Shorten them, or set sampling.max_tokens to {positions - shortest} for the shortest"
    return f"{why}. Shorten the prompts, or take a model with more positions"
