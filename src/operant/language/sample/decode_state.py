"""The rows that are decoded together: what every way of decoding keeps of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.language.sample.sampling import Completion, Prompt, Sampling, row_key


@dataclass(frozen=True, slots=True)
class Job:
    """One completion to be sampled."""

    number: int  # of the completion among those of the call
    order: int  # of the prompt
    prompt: Prompt
    sample: int


class Slots:
    """S rows of known tokens: the last of the prompt in column 0, then what was forced or drawn.

    A step feeds column `at` of each busy row, at position `start + at`. Where the next column is known (forced) it is
    fed next; elsewhere a token is drawn for it, and the row is busy no more if it stops or is full.

    Args:
        count: S.
        columns: L, of the longest completion and one.
        seed: of all draws.
        device: of everything below.
    """

    def __init__(self, count: int, columns: int, seed: int, device: torch.device) -> None:
        def numbers() -> Tensor:
            return torch.zeros(count, dtype=torch.int64, device=device)

        self.seed = seed
        self.tokens = torch.zeros(count, columns, dtype=torch.int64, device=device)
        self.logp = torch.zeros(count, columns, device=device)
        self.kept = torch.zeros(count, columns, device=device)
        self.acted = torch.zeros(count, columns, dtype=torch.bool, device=device)
        self.known, self.at, self.limit = numbers(), numbers(), numbers()  # columns: filled, fed next, at most
        self.start, self.key, self.offset = numbers(), numbers(), numbers()  # offset: column c is draw offset + c
        self.busy = torch.zeros(count, dtype=torch.bool, device=device)

    def place(self, slots: Sequence[int], jobs: Sequence[Job], max_tokens: int) -> None:
        """Begin completions in these rows."""
        device = self.tokens.device
        rows = torch.tensor(slots, device=device)
        columns = [
            (j.prompt.tokens[-1], 1 + max_tokens - j.prompt.drawn, len(j.prompt.tokens) - 1, j.prompt.drawn - 1,
             j.prompt.id, j.sample)
            for j in jobs
        ]  # fmt: skip
        last, limit, start, offset, ids, sample = torch.tensor(columns, device=device).T
        self.tokens[rows, 0], self.limit[rows], self.start[rows], self.offset[rows] = last, limit, start, offset
        self.key[rows] = row_key(self.seed, ids, sample)
        self.known[rows], self.at[rows], self.acted[rows] = 1, 0, False
        self.logp[rows], self.kept[rows] = 0.0, 0.0
        self.busy[rows] = True

    def take(self, slots: Sequence[int], jobs: Sequence[Job], stop: frozenset[int]) -> list[Completion]:
        """What these rows hold."""
        rows = torch.tensor(slots, device=self.tokens.device)
        known = self.known[rows]
        width = int(known.max())
        table = [x[rows, 1:width].tolist() for x in (self.tokens, self.logp, self.kept, self.acted)]
        found: list[Completion] = []
        for i, (job, m) in enumerate(zip(jobs, (known - 1).tolist(), strict=True)):
            tokens, logp, kept, acted = (tuple(column[i][:m]) for column in table)
            found.append(
                Completion(
                    prompt=job.prompt,
                    sample=job.sample,
                    tokens=tokens,
                    logp=logp,
                    kept=kept,
                    acted=acted,
                    finish="stop" if acted and acted[-1] and tokens[-1] in stop else "length",
                )
            )
        return found

    def force(self, slot: int, tokens: Sequence[int]) -> None:
        """Tokens that follow what the row has; it goes on after them, if there is room."""
        first, limit = int(self.known[slot]), int(self.limit[slot])
        last = min(first + len(tokens), limit)
        self.tokens[slot, first:last] = torch.tensor(list(tokens)[: last - first], device=self.tokens.device)
        self.known[slot] = last
        self.busy[slot] = last < limit


class Decoding(Protocol):
    """One way of decoding, made for one call."""

    slots: Slots
    refills: bool  # whether a row can begin while others are under way

    def begin(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """Prompts' keys and values for rows that begin."""
        ...

    def advance(self) -> None:
        """A few steps of every busy row."""
        ...

    def release(self, job: Job) -> None:
        """A completion has ended."""
        ...


def check(prompts: Sequence[Prompt], sampling: Sampling, vocab: int, positions: int) -> None:
    """Raise a ConfigError for a prompt that cannot be gone on from."""
    for prompt in prompts:
        if not prompt.tokens:
            raise ConfigError(f"prompt {prompt.id}: has no token; begin it with one")
        if min(prompt.tokens) < 0 or max(prompt.tokens) >= vocab:
            raise ConfigError(f"prompt {prompt.id}: has a token outside of the model's {vocab}; check the tokenizer")
        if not 0 <= prompt.drawn < min(sampling.max_tokens, len(prompt.tokens)):
            raise ConfigError(
                f"prompt {prompt.id}: {prompt.drawn} tokens drawn, of {len(prompt.tokens)} and at most "
                f"{sampling.max_tokens}; leave out completions that have ended"
            )
        longest = len(prompt.tokens) - prompt.drawn + sampling.max_tokens
        if longest > positions:
            raise ConfigError(
                f"prompt {prompt.id}: {len(prompt.tokens) - prompt.drawn} tokens and max_tokens {sampling.max_tokens} "
                f"go beyond the model's {positions} positions; lower max_tokens or leave the prompt out"
            )
