"""Completions judged by a task: the scores that training learns from, and those an evaluation reports."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from operant.data.conversation import Encoder
from operant.reward.trace import is_pure
from operant.rollout.episodes import Score
from operant.rollout.sampling import Completion, Prompt, Sampling
from operant.task.pool import Pool
from operant.task.score import Scores, score
from operant.task.task import Example, Task


class Judged:
    """A task's rewards on completions.

    Args:
        task: the rewards.
        tokenizer: turns completions into texts.
        example: the example behind a prompt's id.

    Attributes:
        values: of every completion scored since `forget`: by (prompt id, sample) the value of each reward, NaN where it
            failed.
    """

    def __init__(self, task: Task, tokenizer: Any, example: Callable[[int], Example]) -> None:
        self.task, self.tokenizer, self.example = task, tokenizer, example
        self.values: dict[tuple[int, int], list[float]] = {}
        self._pool = None if all(map(is_pure, task.rewards.values())) else Pool()
        self._told = False

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The total of each, None where a reward failed; the first failure of a run is told as a warning."""
        found = self.scores(completions)
        if found.message and not self._told:
            self._told = True
            warnings.warn(f"{found.message}. It counts as not judged, and is left out of training", stacklevel=2)
        for c, values, failed in zip(completions, found.values, found.failed, strict=True):
            self.values[c.prompt.id, c.sample] = np.where(failed, np.nan, values).tolist()
        return [float(x) if ok else None for x, ok in zip(found.total, found.judged, strict=True)]

    def scores(self, completions: Sequence[Completion]) -> Scores:
        """What every reward gives every completion."""
        known = {i: self.example(i) for i in {c.prompt.id for c in completions}}
        traces = [known[c.prompt.id].trace(self.text(c), c.tokens, c.finish) for c in completions]
        return score(traces, self.task.rewards, self.task.weights, self._pool)

    def text(self, completion: Completion) -> str:
        """What a completion says, without its stop token."""
        return str(self.tokenizer.decode(list(completion.tokens), skip_special_tokens=True))

    def forget(self) -> None:
        """Drop the values."""
        self.values.clear()

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.close()


def prompts_of(examples: Sequence[Example], encoder: Encoder) -> list[Prompt]:
    """A prompt for each example, its index as its id."""
    return [Prompt(id=i, tokens=tuple(encoder.prompt(e.prompt))) for i, e in enumerate(examples)]


def greedy(sampling: Sampling) -> Sampling:
    """The same limits, taking the most probable token."""
    return Sampling(temperature=0.0, max_tokens=sampling.max_tokens, stop=sampling.stop)
