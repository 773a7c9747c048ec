"""Decoding through transformers, for models that the slim forward does not read.

Rows that run together have prompts of one length, so that nothing is padded and no assumption is made about the
family's masks or states; a row that has ended idles until the others have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from operant.language.model.language_model import LanguageModel
from operant.language.sample.decode_state import Job, Slots
from operant.language.sample.sampling import Sampling
from operant.language.sample.torch_decoder import absorb


class Through:
    """Rows that step together through the model's own cache."""

    refills = False

    def __init__(self, policy: LanguageModel, jobs: Sequence[Job], sampling: Sampling, seed: int, count: int) -> None:
        assert policy.whole is not None
        self.whole, self.sampling, self.device = policy.whole, sampling, policy.device
        columns = 1 + max(sampling.max_tokens - job.prompt.drawn for job in jobs)
        self.slots = Slots(count, columns, seed, self.device)
        self.stop = torch.tensor(sampling.stop, dtype=torch.int64, device=self.device)
        self.running: list[tuple[Tensor, Any]] = []  # rows of one length, and their cache; made at their first step

    def begin(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """The prompts of rows that begin together, one length at a time."""
        self.slots.place(slots, jobs, self.sampling.max_tokens)
        self.running = []
        for length in sorted({len(job.prompt.tokens) for job in jobs}):
            some = [(slot, job.prompt.tokens) for slot, job in zip(slots, jobs, strict=True)
                    if len(job.prompt.tokens) == length]  # fmt: skip
            rows = torch.tensor([slot for slot, _ in some], device=self.device)
            cache = None
            if length > 1:
                tokens = torch.tensor([tokens[:-1] for _, tokens in some], device=self.device)
                position = torch.arange(length - 1, device=self.device).expand_as(tokens)
                cache = self.whole.step(tokens, position, None)[1]
            self.running.append((rows, cache))

    def advance(self) -> None:
        """One step of each length that has a busy row."""
        s = self.slots
        logits = torch.zeros(len(s.busy), self.whole.vocab, device=self.device)
        for i, (rows, cache) in enumerate(self.running):
            if not bool(s.busy[rows].any()):
                continue
            # rows that have ended, or wait for tokens to be forced, step with the others: their columns are the same
            column = (s.at[rows] * s.busy[rows]).max()
            place = (s.start[rows] + column)[:, None]
            tokens = s.tokens[rows, column][:, None]
            found, cache = self.whole.step(tokens, place, cache)
            logits[rows] = found[:, -1].float()
            self.running[i] = (rows, cache)
        absorb(s, logits, self.sampling, self.stop)

    def release(self, job: Job) -> None:
        """Nothing is kept for a prompt."""
