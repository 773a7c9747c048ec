"""Decoding through transformers, for models that the slim forward does not read.

Rows that begin together and have prompts of one length step together, so that nothing is padded and no assumption is
made about the family's masks or states; a row that has ended idles until the others have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from operant.language.model.language_model import LanguageModel
from operant.language.sample.decode_state import Decoding, Job, Slots
from operant.language.sample.torch_decoder import absorb, stop_mask


@dataclass(slots=True)
class _Group:
    """Rows that step together."""

    rows: Tensor  # [B]
    mine: Tensor  # [B] bool: False where another completion has begun in the row
    start: int  # position of column 0
    cache: Any  # the model's; made at the first step


class Through(Decoding):
    """Rows that step together through the model's own cache.

    Args:
        policy: the model.
        count: rows.
    """

    refills = False  # in the middle, that is: a group of few rows steps hardly faster than one of many

    def __init__(self, policy: LanguageModel, count: int) -> None:
        assert policy.whole is not None
        self.whole, self.device = policy.whole, policy.device
        self.slots = Slots(count, 0, self.device)
        self.clear()

    def begin(self, slots: Sequence[int], jobs: Sequence[Job]) -> None:
        """The prompts of rows that begin together, one length at a time."""
        taken = torch.tensor(slots, device=self.device)
        for group in self.groups:
            group.mine &= ~torch.isin(group.rows, taken)
        self.groups = [g for g in self.groups if bool((self.slots.busy[g.rows] & g.mine).any())]
        self.slots.place(slots, jobs)
        for length in sorted({len(job.prompt.tokens) for job in jobs}):
            some = [(slot, job.prompt.tokens) for slot, job in zip(slots, jobs, strict=True)
                    if len(job.prompt.tokens) == length]  # fmt: skip
            rows = torch.tensor([slot for slot, _ in some], device=self.device)
            cache = None
            if length > 1:
                tokens = torch.tensor([tokens[:-1] for _, tokens in some], device=self.device)
                position = torch.arange(length - 1, device=self.device).expand_as(tokens)
                cache = self.whole.step(tokens, position, None)[1]
            self.groups.append(_Group(rows, torch.ones_like(rows, dtype=torch.bool), length - 1, cache))

    def advance(self, steps: int | None = None) -> None:
        """One step of each group that has a busy row."""
        s = self.slots
        for _ in range(steps or 1):
            self.last = torch.zeros(s.used, self.whole.vocab, device=self.device)
            for g in self.groups:
                busy = s.busy[g.rows] & g.mine
                if not bool(busy.any()):
                    continue
                # rows that have ended, or wait for forced tokens, step with the others: their columns are the same
                column = (s.at[g.rows] * busy).max()
                tokens, place = s.tokens[g.rows, column][:, None], (g.start + column).expand(len(g.rows), 1)
                logits, g.cache = self.whole.step(tokens, place, g.cache)
                self.last[g.rows[busy]] = logits[busy, -1].float()
            for how, some in s.alike(range(s.used)):
                rows = torch.tensor(some, device=self.device)
                logits = self.last if len(rows) == s.used else self.last[rows]
                absorb(s, rows, logits, how, stop_mask(how.stop, self.whole.vocab, self.device))

    def clear(self) -> None:
        super().clear()
        self.groups: list[_Group] = []
