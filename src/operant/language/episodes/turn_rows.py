"""The sampler's rows under episodes: a row is an episode's for as long as it lasts, and keeps its keys and values."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from operant.config.errors import OperantError
from operant.language.sample.decode_state import Decoding, Job
from operant.language.sample.engine import Engine, Prompt, Sampling

FED = 4
"""Where new tokens can only be fed one by one, a prompt of which they are more than one in so many is computed anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the policy said in a turn, token by token."""

    tokens: tuple[int, ...]
    logp: tuple[float, ...]
    kept: tuple[float, ...]
    finish: Literal["stop", "length"]


class TurnRows:
    """Rows in which turns are sampled, some waiting for their worlds while others go on.

    A draw depends on (seed, episode, turn, position in the turn). Prompts are computed one at a time, and which are fed
    and which are computed anew is told by their lengths: so what an episode's numbers are does not depend on when it
    came, nor on what stood beside it.

    Args:
        engine: the sampler, whose seed keys the draws.
        count: rows.
        sampling: how tokens are drawn; its limit is that of a turn.
        longest: tokens of a row with its prompt.
    """

    def __init__(self, engine: Engine, count: int, sampling: Sampling, longest: int) -> None:
        self.engine, self.count, self.sampling, self.longest = engine, count, sampling, longest
        policy = engine.policy
        # else rows step together and could not wait, or would be fed pictures place by place
        self.keeps = policy.whole is None and (engine.compiles or not policy.sees)
        self.free = list(range(count))[::-1]
        self._numbers = itertools.count()
        self._orders: dict[tuple[int, ...], int] = {}
        self._jobs: dict[int, Job] = {}
        self._first: dict[int, int] = {}  # of busy rows, the column of the turn's first token
        self._fed: dict[int, tuple[int, ...]] = {}

    @cached_property
    def decoding(self) -> Decoding:
        """The rows, opened when the first begins."""
        return self.engine.open(self.count, steady=True)

    @property
    def busy(self) -> bool:
        """Whether there is anything to sample."""
        return bool(self._first)

    def begin(self, slot: int, tokens: Sequence[int], episode: int, turn: int) -> None:
        """Sample a turn behind a prompt, in a row whose tokens are kept where the prompt extends them."""
        slots, whole, before = self.decoding.slots, tuple(tokens), self._fed.get(slot, ())
        seed = self.engine.seed
        new = len(whole) - len(before)
        most = len(whole) if self.decoding.feeds else len(whole) // FED
        if self.keeps and before and 0 < new <= most and whole[: len(before)] == before:
            prompt = Prompt(id=episode, tokens=whole)
            slots.follow(slot, whole[len(before) :], Job(0, 0, prompt, turn, self.sampling, seed))
            self.decoding.feed(slot)
        else:
            self._release(slot)
            room = self.longest - len(whole) if self.keeps else self.sampling.max_tokens
            order = self._orders.setdefault(whole, len(self._orders))
            sampling = replace(self.sampling, max_tokens=max(room, self.sampling.max_tokens))
            job = Job(next(self._numbers), order, Prompt(id=episode, tokens=whole), turn, sampling, seed)
            self.decoding.expect([job])
            self.decoding.begin([slot], [job])
            slots.limit[slot] = 1 + self.sampling.max_tokens
            self._jobs[slot] = job
        self._first[slot], self._fed[slot] = int(slots.known[slot]), whole

    def advance(self) -> dict[int, Said]:
        """Some steps of all busy rows; what those said that have ended."""
        began = time.perf_counter()
        self.decoding.advance()
        busy = self.decoding.slots.busy.tolist()
        found = {slot: self._said(slot) for slot in sorted(self._first) if not busy[slot]}
        self.engine.tokens += sum(len(said.tokens) for said in found.values())
        self.engine.seconds += time.perf_counter() - began
        return found

    def leave(self, slot: int) -> None:
        """The episode of a row is over."""
        if slot in self._jobs:
            self.decoding.slots.busy[slot] = False
        self._release(slot)
        self._first.pop(slot, None)
        self.free.append(slot)

    def _said(self, slot: int) -> Said:
        """What a row that has ended drew; its tokens are seen to be those that it was fed, and these."""
        slots, first = self.decoding.slots, self._first.pop(slot)
        known, fed = int(slots.known[slot]), self._fed[slot]
        tokens, logp, kept = (x[slot, first:known].tolist() for x in (slots.tokens, slots.logp, slots.kept))
        start = len(self._jobs[slot].prompt.tokens) - 1
        if fed[start:] != tuple(slots.tokens[slot, :first].tolist()) or not bool(slots.acted[slot, first:known].all()):
            raise OperantError(
                "the tokens of an episode are not those that the model read: nothing may be trained on them. This is a "
                "fault of operant; please report it"
            )
        self._fed[slot] = (*fed, *tokens)
        finish = "stop" if tokens[-1] in self.sampling.stop else "length"
        return Said(tokens=tuple(tokens), logp=tuple(logp), kept=tuple(kept), finish=finish)

    def _release(self, slot: int) -> None:
        if (job := self._jobs.pop(slot, None)) is not None:
            self.decoding.release(job)
        self._fed.pop(slot, None)
