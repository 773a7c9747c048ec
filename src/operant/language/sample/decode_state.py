"""The rows that are decoded together: what every way of decoding keeps of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.config.errors import ConfigError
from operant.language.sample.sampling import Completion, Prompt, Sampling, row_key, rule
from operant.language.text.pictures import FIRST, LAST


@dataclass(frozen=True, slots=True)
class Job:
    """One completion to be sampled."""

    number: int  # of the completion among those of the call
    order: int  # of the prompt
    prompt: Prompt
    sample: int
    sampling: Sampling
    seed: int
    logits: bool = False  # whether they are asked for at each step

    @property
    def columns(self) -> int:
        """One, and as many as tokens may follow."""
        return 1 + self.sampling.max_tokens - self.prompt.drawn


class Where(NamedTuple):
    """Which keys the rows of a step see."""

    row: Tensor  # [B] in the cache of rows' own keys
    prompt: Tensor  # [B] in the cache of prompts
    ahead: Tensor  # [B] keys of the prompt
    at: Tensor  # [B] column of the newest key of its own: at + 1 of them are seen


class Slots:
    """S rows of known tokens: the last of the prompt in column 0, then what was forced or drawn.

    A step feeds column `at` of each busy row, at position `start + at`. Where the next column is known (forced) it is
    fed next; elsewhere a token is drawn for it, and the row is busy no more if it stops or is full.

    Args:
        count: S.
        columns: L, of the longest completion and one.
        device: of everything below.

    Attributes:
        used: rows from this one on are not stepped; who begins rows moves it up, and may move it down.
        how: of each row, how its tokens are drawn.
    """

    def __init__(self, count: int, columns: int, device: torch.device) -> None:
        def numbers() -> Tensor:
            return torch.zeros(count, dtype=torch.int64, device=device)

        self.tokens = torch.zeros(count, columns, dtype=torch.int64, device=device)
        self.logp = torch.zeros(count, columns, device=device)
        self.kept = torch.zeros(count, columns, device=device)
        self.acted = torch.zeros(count, columns, dtype=torch.bool, device=device)
        self.known, self.at, self.limit = numbers(), numbers(), numbers()  # columns: filled, fed next, at most
        self.start, self.key, self.offset = numbers(), numbers(), numbers()  # offset: column c is draw offset + c
        self.busy = torch.zeros(count, dtype=torch.bool, device=device)
        self.used, self.how = 0, [Sampling()] * count

    def widen(self, columns: int) -> None:
        """Have at least so many columns."""
        more = columns - self.tokens.shape[1]
        if more > 0:
            self.tokens, self.logp, self.kept, self.acted = (
                F.pad(table, (0, more)) for table in (self.tokens, self.logp, self.kept, self.acted)
            )

    def place(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """Begin completions in these rows."""
        device = self.tokens.device
        rows = torch.tensor(slots, device=device)
        columns = [
            (j.prompt.tokens[-1], j.columns, len(j.prompt.tokens) - 1,
             j.prompt.drawn - 1, j.prompt.id, j.sample, j.seed)
            for j in jobs
        ]  # fmt: skip
        last, limit, start, offset, ids, sample, seed = torch.tensor(columns, device=device).T
        self.tokens[rows, 0], self.limit[rows], self.start[rows], self.offset[rows] = last, limit, start, offset
        self.key[rows] = row_key(seed, ids, sample)
        self.known[rows], self.at[rows], self.acted[rows] = 1, 0, False
        self.logp[rows], self.kept[rows] = 0.0, 0.0
        self.busy[rows] = True
        self.used = max(self.used, 1 + max(slots))
        for slot, job in zip(slots, jobs, strict=True):
            self.how[slot] = rule(job.sampling)

    def alike(self, slots: Sequence[int]) -> list[tuple[Sampling, Sequence[int]]]:
        """These rows, by how their tokens are drawn."""
        hows = [self.how[slot] for slot in slots]
        if hows.count(hows[0]) == len(hows):
            return [(hows[0], slots)]
        return [(how, [slot for slot in slots if self.how[slot] == how]) for how in dict.fromkeys(hows)]

    def newest(self, slots: Sequence[int]) -> list[tuple[int, float, float]]:
        """The token that a step added to each of these rows, its log π, and the log of the kept mass."""
        rows = torch.tensor(slots, device=self.tokens.device)
        table = [x[rows, self.at[rows]].tolist() for x in (self.tokens, self.logp, self.kept)]
        return list(zip(*table, strict=True))

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

    def follow(self, slot: int, tokens: Sequence[int], job: Job) -> None:
        """Tokens that follow what the row has, and behind them another job's completion, drawn as if it began there."""
        first = int(self.known[slot])
        last = first + len(tokens)
        self.tokens[slot, first:last] = torch.tensor(list(tokens), device=self.tokens.device)
        self.known[slot], self.limit[slot], self.offset[slot] = last, last + job.sampling.max_tokens, -last
        ids = torch.tensor([job.prompt.id, job.sample], device=self.tokens.device)
        self.key[slot] = row_key(job.seed, ids[0], ids[1])
        self.busy[slot], self.how[slot] = True, rule(job.sampling)
        self.used = max(self.used, slot + 1)

    def force(self, slot: int, tokens: Sequence[int]) -> None:
        """Tokens that follow what the row has; it goes on after them, if there is room."""
        first, limit = int(self.known[slot]), int(self.limit[slot])
        last = min(first + len(tokens), limit)
        self.tokens[slot, first:last] = torch.tensor(list(tokens)[: last - first], device=self.tokens.device)
        self.known[slot] = last
        self.busy[slot] = last < limit


def places_for(rows: int, prompts: int, samples: int) -> int:
    """Prompts whose keys are held at once: one for each row at worst, and those computed ahead."""
    return min(prompts, rows + max(1, rows // samples))


class Prompts:
    """Places for prompts' keys and values: computed once, read by all samples, free when all of these have ended.

    Args:
        places: prompts that can be held at once.
        ahead: prompts that are computed before they are asked for, where there is a place.
    """

    def __init__(self, places: int, ahead: int) -> None:
        self.ahead, self.empty = ahead, list(range(places))
        self.tokens: dict[int, tuple[int, ...]] = {}  # of prompts that are expected or held, without the last
        self.left: dict[int, int] = {}  # samples of each that have not ended
        self.places: dict[int, int] = {}

    def expect(self, jobs: Sequence[Job]) -> None:
        """These will begin."""
        for job in jobs:
            self.tokens[job.order] = job.prompt.tokens[:-1]
            self.left[job.order] = self.left.get(job.order, 0) + 1

    def missing(self, jobs: Sequence[Job]) -> list[int]:
        """The prompts that are not at hand, and some ahead: each has a place now, and is to be computed."""
        missing = sorted({job.order for job in jobs} - self.places.keys())
        if not missing:
            return []
        last = missing[-1]
        ahead = [o for o in range(last + 1, last + 1 + self.ahead) if o in self.tokens and o not in self.places]
        found = (missing + ahead)[: len(self.empty)]
        self.places |= {order: self.empty.pop() for order in found}
        return found

    def release(self, job: Job) -> None:
        """A completion has ended, or never will begin."""
        self.left[job.order] -= 1
        if self.left[job.order] == 0:
            del self.left[job.order], self.tokens[job.order]
            if job.order in self.places:
                self.empty.append(self.places.pop(job.order))


class Decoding(ABC):
    """One way of decoding rows that come and go, each drawn in its own way.

    Attributes:
        slots: the rows.
        refills: whether a row should begin while others are under way.
        feeds: whether `feed` does something; else what a row has and was not fed is fed by steps, one by one.
    """

    slots: Slots
    last: Tensor  # logits [rows in use, V] of the last step
    refills = True
    feeds = False

    def expect(self, jobs: Sequence[Job]) -> None:
        """Make room for jobs that will begin, each of which is released once."""
        self.slots.widen(max(job.columns for job in jobs))

    @abstractmethod
    def begin(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """Compute prompts' keys and values for rows that begin."""
        ...

    @abstractmethod
    def advance(self, steps: int | None = None) -> None:
        """So many steps of every busy row; if None, as many as are best between two looks."""
        ...

    def feed(self, slot: int) -> None:
        """Compute at once what a row has and was not fed, but for its last token."""
        return

    def logits(self, slots: Sequence[int]) -> Tensor:
        """Those [n, V] float32 from which the newest tokens of these rows were drawn, if their jobs ask for them."""
        return self.last[list(slots)].float()

    def release(self, job: Job) -> None:
        """A completion has ended, or never will begin."""
        return

    def clear(self) -> None:
        """Give memory back; no job is expected."""
        self.slots.used, self.last = 0, torch.zeros(0, 0)


def check_tokens(tokens: Sequence[int], vocab: int, what: str, *, sees: bool = False) -> None:
    """Raise a ConfigError for a token that the model does not know: compiled decoding would read beyond its table.

    A model that `sees` knows pictures besides.
    """
    if sees and max(tokens) >= FIRST:
        tokens = [token for token in tokens if not FIRST <= token < LAST] or [0]
    if not hasattr(sum(tokens), "__index__") or min(tokens) < 0 or max(tokens) >= vocab:
        raise ConfigError(f"{what}: has a token outside of the model's {vocab}; check the tokenizer")


def check(prompts: Sequence[Prompt], sampling: Sampling, vocab: int, positions: int, *, sees: bool = False) -> None:
    """Raise a ConfigError for a prompt that cannot be gone on from."""
    for prompt in prompts:
        if not prompt.tokens:
            raise ConfigError(f"prompt {prompt.id}: has no token; begin it with one")
        check_tokens(prompt.tokens, vocab, f"prompt {prompt.id}", sees=sees)
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
