"""Completions asked for at any time, written together: one thread owns the model and takes requests between two tokens.

A draw depends on (seed, id, sample, position) alone, as in `operant.language.sample.engine`: the same request has the
same answer whatever else is being written (but for a draw within 1e-7, by rounding, of the border between two tokens).
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import torch
from torch import Tensor

from operant.config.errors import ConfigError, OperantError
from operant.language.model.language_model import CHUNK, LanguageModel
from operant.language.sample.decode_state import Job, check
from operant.language.sample.engine import Engine, Prompt, Sampling
from operant.language.serve.detokenize import Words

WAITING = 512
"""Completions that may wait for a place."""

Finish = Literal["stop", "length", "cancelled", "failed"]


class FullError(OperantError):
    """Too many completions wait already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token that was drawn."""

    id: int
    logp: float  # log π at the temperature (at 1 where the best is taken), over the whole vocabulary. NaN: none before
    kept: float  # log of the mass that top-k, top-p and min-p kept
    top: tuple[tuple[int, float], ...]  # the most probable tokens and their log π
    begin: int  # characters of the completion before it; negative in the prompt
    end: bool = False  # a stop token, which has no text


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What is new of one sample."""

    sample: int
    text: str
    tokens: tuple[Token, ...]  # those that begin in the text given so far; what a stop text cut off is left out
    cut: tuple[Token, ...] = ()  # with the last delta: drawn, but their text was cut off
    finish: Finish | None = None  # set in the last delta of a sample
    drawn: int = 0  # tokens drawn so far
    error: str = ""  # why, where it failed


@dataclass(eq=False, slots=True, kw_only=True)
class Ask:
    """A prompt, and how it is to be gone on from.

    Attributes:
        tokens: of the prompt.
        sampling: how tokens are drawn, the limit, and the stop tokens.
        seed, id: key the draws, with the sample's index.
        samples: completions of the prompt.
        stops: texts that end a completion, left out of it.
        top: how many of the most probable tokens to tell at each step.
        score: tell the prompt's tokens first, each with its log π.
        write, follows: False where that is all; whether the text goes on from the prompt's, and is no turn of its own.
        tell: called with what is new, from the scheduler's thread: it must be quick.
    """

    tokens: tuple[int, ...]
    sampling: Sampling
    tell: Callable[[Delta], object]
    seed: int = 0
    id: int = 0
    samples: int = 1
    stops: tuple[str, ...] = ()
    top: int = 0
    score: bool = False
    write: bool = True
    follows: bool = False
    cancelled: bool = field(default=False, init=False)
    jobs: list[Job] = field(default_factory=list[Job], init=False)  # what waits, once a sample began; the scheduler's
    scored: tuple[Token, ...] = field(default=(), init=False)  # the prompt's tokens, once they are; the scheduler's
    placed: int = field(default=0, init=False)

    def cancel(self) -> None:
        """Write no more of it; nothing else is told. From any thread."""
        self.cancelled = True


@dataclass(eq=False, slots=True)
class _Row:
    ask: Ask
    job: Job
    words: Words
    drawn: int = 0
    pending: list[Token] = field(default_factory=list[Token])  # those whose text was not given yet


_Sample = tuple[Ask, int, int]  # a sample of an ask, and the tokens drawn of it


class Scheduler:
    """Writes completions for many askers.

    Args:
        policy: the model as it is now; nothing else may use it meanwhile.
        slots: completions written together; others wait.
        length: the longest prompt and completion, in tokens; the model's own limit if None.
        waiting: completions that may wait for a place.
    """

    def __init__(
        self, policy: LanguageModel, *, slots: int = 16, length: int | None = None, waiting: int = WAITING
    ) -> None:
        self.policy, self.slots, self.most = policy, slots, waiting
        self.length = min(policy.max_positions, length or policy.max_positions)
        self._engine, self._orders = Engine(policy, seed=0, slots=slots), itertools.count()
        self._rows: dict[int, _Row] = {}
        self._open()
        self._waiting: deque[Ask] = deque()
        self._news = threading.Condition()
        self._arrived: list[Ask] = []
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="scheduler", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, ask: Ask) -> None:
        """Begin as soon as there is a place.

        Raises:
            ConfigError: if the prompt is empty, has tokens the model does not know, or has no room for `max_tokens`.
            FullError: if too many completions wait.
        """
        prompt, its = Prompt(id=ask.id, tokens=ask.tokens), self.policy
        check([prompt], ask.sampling, its.vocab, self.length, sees=its.sees)
        with self._news:
            if self._closed:
                raise ConfigError("the scheduler was closed; make another")
            waiting = sum(a.samples - a.placed for a in (*self._waiting, *self._arrived) if not a.cancelled)
            if waiting + ask.samples > self.most:
                raise FullError(f"{waiting} completions wait already, and {self.most} may: ask again later")
            self._arrived.append(ask)
            self._news.notify()

    def close(self, seconds: float | None = None) -> None:
        """End, and wait so many seconds at most for the token under way; those who wait are told of it."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(seconds)

    def _open(self) -> None:
        """Begin with nothing under way."""
        self._decoding = self._engine.open(self.slots)
        self._rows.clear()
        self._free = list(range(self.slots))

    def _work(self) -> None:
        try:
            with self.policy.without_gradients():
                while self._next():
                    try:
                        self._admit()
                        self._step()
                    except Exception as error:  # of the model or the memory; those who wait may have better luck
                        left = self._under_way()
                        self._open()
                        for ask in self._waiting:
                            ask.jobs.clear()
                        _end("failed", _said(error), left)
        finally:
            with self._news:
                self._closed = True
                left = [sample for ask in (*self._waiting, *self._arrived) for sample in _left(ask)]
                _end("cancelled", "the server was closed", [*self._under_way(), *left])

    def _next(self) -> bool:
        """Wait until there is something to do; False where there never will be."""
        if not self._rows and not self._waiting:
            self._decoding.clear()
        with self._news:
            self._news.wait_for(lambda: bool(self._arrived or self._waiting or self._rows or self._closed))
            self._waiting.extend(self._arrived)
            self._arrived.clear()
            return not self._closed

    def _admit(self) -> None:
        for slot, row in list(self._rows.items()):
            if row.ask.cancelled:
                self._leave(slot)
        while self._waiting and (self._waiting[0].cancelled or self._free):
            ask = self._waiting[0]
            if ask.cancelled or ask.placed == ask.samples:
                self._forget(ask)
                continue
            try:
                self._place(ask)
            except Exception as error:  # the rows under way have nothing to do with it
                self._forget(ask)
                _end("failed", _said(error), _left(ask))

    def _place(self, ask: Ask) -> None:
        """Give an ask's next samples rows, and tell the prompt's tokens where they are asked for."""
        if not ask.placed:
            ask.scored = self._score(ask) if ask.score else ()
        samples = range(ask.placed, min(ask.placed + len(self._free), ask.samples))
        if ask.write:
            self._begin(ask, len(samples))
        ask.placed = samples.stop
        if ask.score or not ask.write:
            for sample in samples:
                ask.tell(Delta(sample=sample, text="", tokens=ask.scored, finish=None if ask.write else "length"))

    def _begin(self, ask: Ask, count: int) -> None:
        """Rows for an ask's next samples, of which there are so many at least."""
        if not ask.jobs:
            prompt, order, logits = Prompt(id=ask.id, tokens=ask.tokens), next(self._orders), ask.top > 0
            ask.jobs = [
                Job(k, order, prompt, k, ask.sampling, ask.seed, logits) for k in range(ask.placed, ask.samples)
            ]
            self._decoding.expect(ask.jobs)
        slots, jobs = [heapq.heappop(self._free) for _ in range(count)], ask.jobs[:count]
        try:
            self._decoding.begin(slots, jobs)
        except Exception:
            self._decoding.slots.busy[slots] = False
            for slot in slots:
                heapq.heappush(self._free, slot)
            raise
        del ask.jobs[:count]
        self._rows |= {
            slot: _Row(ask, job, Words(self.policy.tokenizer, ask.stops, ask.tokens if ask.follows else ()))
            for slot, job in zip(slots, jobs, strict=True)
        }

    def _forget(self, ask: Ask) -> None:
        """Take the first of those who wait away."""
        self._waiting.popleft()
        for job in ask.jobs:
            self._decoding.release(job)
        ask.jobs.clear()

    def _step(self) -> None:
        rows = self._rows
        if not rows:
            return
        slots, state = list(rows), self._decoding.slots
        state.used = max(slots) + 1
        self._decoding.advance(1)
        asked = [slot for slot in slots if rows[slot].job.logits]
        tops = dict(zip(asked, self._decoding.logits(asked) if asked else (), strict=True))
        for slot, (token, logp, kept) in zip(slots, state.newest(slots), strict=True):
            row = rows[slot]
            top = _top(tops[slot], row.ask) if slot in tops else ()
            if self._draw(row, Token(id=token, logp=logp, kept=kept, top=top, begin=row.words.reached)):
                self._leave(slot)

    def _draw(self, row: _Row, token: Token) -> bool:
        """Take a token, tell what is certain now, and say whether it was the last."""
        ask, words = row.ask, row.words
        if token.logp != token.logp:
            why = "the model's probabilities are not numbers; look at its weights, or use float32"
            ask.tell(Delta(sample=row.job.sample, text="", tokens=(), finish="failed", drawn=row.drawn, error=why))
            return True
        row.drawn += 1
        if token.id in ask.sampling.stop:
            token = replace(token, end=True)
        text = "" if token.end else words.push(token.id)
        row.pending.append(token)
        finish: Finish | None = None
        if token.end or words.stopped or row.drawn == ask.sampling.max_tokens:
            text += words.end()
            finish = "stop" if token.end or words.stopped else "length"
        if text or finish:
            whole = finish is not None and not words.stopped
            told = tuple(t for t in row.pending if whole or t.begin < words.length)
            row.pending = [t for t in row.pending if t.begin >= words.length]
            cut = tuple(row.pending) if words.stopped else ()
            ask.tell(Delta(sample=row.job.sample, text=text, tokens=told, cut=cut, finish=finish, drawn=row.drawn))
        return finish is not None

    def _score(self, ask: Ask) -> tuple[Token, ...]:
        """The prompt's tokens, each with its log π behind those before it."""
        policy = self.policy
        tokens = torch.tensor([ask.tokens], device=policy.device)
        place = torch.arange(tokens.shape[1], device=policy.device)[None]
        states = policy.hidden(tokens)[0] if policy.whole is None else policy.whole.logits(tokens, place)[0]
        words, begin = Words(policy.tokenizer), list[int]()
        for token in ask.tokens:
            begin.append(words.reached)
            words.push(token)
        words.end()
        begin = [at - words.length for at in begin]
        found = [Token(id=ask.tokens[0], logp=math.nan, kept=0.0, top=(), begin=begin[0])]
        size, following = max(1, CHUNK // policy.vocab), tokens[0, 1:]
        for part, next_ in zip(states[:-1].split(size), following.split(size), strict=True):
            logits = (part if policy.whole is not None else policy.decoder.head(part)).float()
            logp = (logits / (ask.sampling.temperature or 1.0)).log_softmax(-1)
            told = logp.gather(-1, next_[:, None])[:, 0].tolist()
            best = logp.topk(min(ask.top, logp.shape[-1]))
            for token, own, values, ids in zip(next_.tolist(), told, *(x.tolist() for x in best), strict=True):
                top = tuple(zip(ids, values, strict=True))
                found.append(Token(id=token, logp=own, kept=0.0, top=top, begin=begin[len(found)]))
        return tuple(found)

    def _leave(self, slot: int) -> None:
        self._decoding.slots.busy[slot] = False
        self._decoding.release(self._rows.pop(slot).job)
        heapq.heappush(self._free, slot)

    def _under_way(self) -> list[_Sample]:
        return [(row.ask, row.job.sample, row.drawn) for row in self._rows.values()]


def _left(ask: Ask) -> list[_Sample]:
    """The samples of an ask that have no row yet."""
    return [(ask, k, 0) for k in range(ask.placed, ask.samples)]


def _end(finish: Finish, why: str, samples: Sequence[_Sample]) -> None:
    """Tell that nothing follows."""
    for ask, sample, drawn in samples:
        if not ask.cancelled:
            ask.tell(Delta(sample=sample, text="", tokens=(), finish=finish, drawn=drawn, error=why))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _top(logits: Tensor, ask: Ask) -> tuple[tuple[int, float], ...]:
    """The most probable tokens, as many as are asked for, from logits [V]."""
    best = (logits / (ask.sampling.temperature or 1.0)).log_softmax(-1).topk(min(ask.top, len(logits)))
    return tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
