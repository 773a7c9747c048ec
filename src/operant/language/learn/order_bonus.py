"""T-GRPO: what is right is worth more where the pictures' order helped (Feng et al. 2025, Video-R1, arXiv:2503.21776).

Each prompt is answered a second time, by half as many completions, with its pictures in another order; these are not
learnt from. Where the mean accuracy in order is at least `RATIO` of that out of order, completions in order whose
accuracy is above `RIGHT` earn the bonus. (Ratio and bar as in what the authors released; the paper compares the means.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from operant.language.episodes.episodes import Score
from operant.language.episodes.task_scorer import TaskScorer
from operant.language.sample.engine import Engine
from operant.language.sample.sampling import Completion, Prompt, Sampling
from operant.language.text.rendering import rendering_of

RATIO, RIGHT = 0.8, 0.1


class OrderBonus:
    """A task's scores, with the bonus.

    Args:
        scorer: of the task, whose examples hold their prompt with its pictures in another order under
            `metadata["mixed"]`; one that does not earns no bonus.
        engine: samples second answers, from the model that is trained; not the one whose samples are learnt from.
        sampling: how.
        bonus: what is added.
    """

    def __init__(self, scorer: TaskScorer, engine: Engine, sampling: Sampling, *, bonus: float) -> None:
        self.scorer, self.engine, self.sampling, self.bonus = scorer, engine, sampling, bonus

    @property
    def message(self) -> str:
        """As of the scorer."""
        return self.scorer.message

    def __call__(self, completions: Sequence[Completion]) -> Sequence[Score]:
        scores = [*self.scorer(completions)]
        out = self._out_of_order(completions)
        metric, at = [*self.scorer.task.rewards].index(self.scorer.task.metric), 0
        for drawn, rows in groupby(completions, key=lambda c: c.prompt.id):
            group = [*rows]
            right = [self.scorer.values[drawn, c.sample][metric] for c in group]
            if drawn in out and helped(right, out[drawn]):
                for i, worth in enumerate(right, at):
                    score = scores[i]
                    if isinstance(score, int | float) and worth > RIGHT:
                        scores[i] = score + self.bonus
            at += len(group)
        return scores

    def _out_of_order(self, completions: Sequence[Completion]) -> Mapping[int, Sequence[float]]:
        """By prompt, the accuracies of answers to it with its pictures in another order."""
        prompts = {c.prompt.id: c.prompt for c in completions}
        count = len(completions) // max(1, len(prompts))
        mixed: dict[int, Any] = {i: self.scorer.example(i).metadata.get("mixed") for i in prompts}
        encode = rendering_of(self.scorer.tokenizer).prompt
        asked = [Prompt(id=i, tokens=tuple(encode(m)), sample=count) for i, m in mixed.items() if m]
        done = self.engine.generate(asked, self.sampling, samples=max(1, count // 2)) if asked else []
        judged = self.scorer.scores([replace(c, prompt=prompts[c.prompt.id]) for c in done])
        found = dict[int, list[float]]()
        values = judged.values[:, judged.names.index(self.scorer.task.metric)].tolist() if done else []
        for c, worth in zip(done, values, strict=True):
            found.setdefault(c.prompt.id, []).append(worth)
        return found


def helped(ordered: Sequence[float], mixed: Sequence[float]) -> bool:
    """Whether accuracies in order are good enough beside those out of order."""
    return bool(np.nanmean(ordered) >= RATIO * np.mean(mixed))
