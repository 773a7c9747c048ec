"""Prompts drawn by how much their answers differ: variance-aware sampling (Leng et al. 2025, MMR1, arXiv:2509.21268).

A group whose answers are all worth the same has no gradient, and the variance of what a group earns bounds the size of
its expected gradient from below. So a share of each step's prompts is drawn in proportion to

    VPS = OUTCOME · Var(returns of its last group) + (1 - OUTCOME) · share of its answers that differ,

and the rest in turn, which finds others. The paper looks at all prompts anew at intervals; here every group that is
sampled anyway renews its own prompt's number, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from statistics import pvariance
from typing import Any

import numpy as np

from operant.data.streams import Streams
from operant.language.episodes.episodes import Score, Scorer, total_score
from operant.language.sample.sampling import Completion, Prompts

OUTCOME = 0.8
"""The weight of what answers are worth; the rest is that of how they are written."""
REMEMBERED = 65_536
"""Draws whose prompt is remembered: more than a step has."""


class VarianceSampler(Prompts):
    """Prompts of which a share is drawn by VPS.

    Args:
        tokens: of each prompt.
        seed: of all draws.
        share: in [0, 1), of the draws; those of before anything is known are in turn.

    Attributes:
        worth: VPS by prompt; with `drawn` the whole state.
    """

    def __init__(self, tokens: Sequence[Sequence[int]], *, seed: int, share: float) -> None:
        super().__init__(tokens, seed=seed)
        self.share, self.worth = share, dict[int, float]()
        self._streams, self._chosen = Streams(seed), dict[int, int]()

    def example(self, drawn: int) -> int:
        if drawn not in self._chosen:
            self._chosen[drawn] = self._draw(drawn)
            self._chosen.pop(drawn - REMEMBERED, None)
        return self._chosen[drawn]

    def _draw(self, drawn: int) -> int:
        random = self._streams.numpy("prompts/variance", drawn)
        if random.random() >= self.share or not any(self.worth.values()):
            return super().example(drawn)
        weight = np.fromiter(self.worth.values(), float)
        return int(random.choice(np.fromiter(self.worth, int), p=weight / weight.sum()))

    def noting(self, score: Scorer) -> Scorer:
        """The same scores, from which the prompts' numbers are renewed."""

        def noted(completions: Sequence[Completion]) -> Sequence[Score]:
            scores = score(completions)
            rows = zip(completions, scores, strict=True)
            for drawn, group in groupby(rows, key=lambda row: row[0].prompt.id):
                self._renew(drawn, [*group])
            return scores

        return noted

    def _renew(self, drawn: int, group: Sequence[tuple[Completion, Score]]) -> None:
        total = [x for _, score in group if (x := total_score(score)) is not None]
        if len(total) > 1:
            differ = (len({c.tokens for c, _ in group}) - 1) / (len(group) - 1)
            self.worth[self.example(drawn)] = OUTCOME * pvariance(total) + (1 - OUTCOME) * differ

    def state(self) -> list[dict[str, Any]]:
        """The prompts' numbers, as a checkpoint holds them."""
        return [{"prompt": i, "worth": x} for i, x in self.worth.items()]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Take them back."""
        self.worth = {int(row["prompt"]): float(row["worth"]) for row in state}
        self._chosen.clear()
