"""Completions judged by a task: the scores that training learns from, and those an evaluation reports."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from operant.config.errors import ConfigError
from operant.language.episodes.episodes import OutcomeAndSteps, Score, Steps
from operant.language.reward.steps import token_ends
from operant.language.reward.trace import Trace, is_pure
from operant.language.sample.sampling import Completion, Prompt, Sampling
from operant.language.task.pool import Pool
from operant.language.task.score import Scores, score, step_rewards
from operant.language.task.task import Example, Task
from operant.language.text.conversation import Encoder, Text
from operant.language.text.rendering import rendering_of

Supervision = Literal["outcome", "process", "both"]

StepScorer = Callable[[Sequence[Trace]], Sequence[Sequence[tuple[int, float]] | str]]
"""Traces to (characters up to the end of a step, its reward) for each step of each; or why there are none."""


class TaskScorer:
    """A task's rewards on completions.

    Args:
        task: the rewards.
        tokenizer: turns completions into texts.
        example: the example behind a prompt's id.
        supervision: what training learns from: the total of the rewards, what the steps earn, or both.
        steps: what the steps earn: a process reward model; the task's step reward if None.
        pool: runs the rewards that are not pure; one of its own if None.

    Raises:
        ConfigError: if the steps are to be judged, and nothing can, or it may hang.

    Attributes:
        values: of every completion scored since `forget`: by (prompt id, sample) the value of each reward, NaN where it
            failed.
        message: why the first reward failed that did in the last call; "" if none did.
    """

    def __init__(
        self,
        task: Task,
        tokenizer: Any,
        example: Callable[[int], Example],
        *,
        supervision: Supervision = "outcome",
        steps: StepScorer | None = None,
        pool: Pool | None = None,
    ) -> None:
        self.task, self.tokenizer, self.example, self.supervision = task, tokenizer, example, supervision
        self._steps = steps if steps is not None or supervision == "outcome" else step_scorer(task)
        self.values: dict[tuple[int, int], list[float]] = {}
        self._pool = None if all(map(is_pure, task.rewards.values())) else pool or Pool()
        self._warned, self.message = False, ""

    def __call__(self, completions: Sequence[Completion]) -> Sequence[Score]:
        """What each earned, None where a reward failed; the first failure of a run is a warning."""
        traces = self.traces(completions)
        scores = score(traces, self.task.rewards, self.task.weights, self._pool)
        self.message = scores.message
        self._warn(scores.message)
        for c, values, failed in zip(completions, scores.values, scores.failed, strict=True):
            self.values[c.prompt.id, c.sample] = np.where(failed, np.nan, values).tolist()
        total = [float(x) if ok else None for x, ok in zip(scores.total, scores.judged, strict=True)]
        if self._steps is None:
            return total
        steps = self._by_step(completions, traces, self._steps)
        if self.supervision == "process":
            return steps
        both = zip(total, steps, strict=True)
        return [None if o is None or s is None else OutcomeAndSteps(outcome=o, steps=s) for o, s in both]

    def scores(self, completions: Sequence[Completion]) -> Scores:
        """What every reward gives every completion."""
        return score(self.traces(completions), self.task.rewards, self.task.weights, self._pool)

    def text(self, completion: Completion) -> str:
        """What a completion says, without its stop token; with what the template opened for it in the prompt."""
        return self._reader(completion, self.example(completion.prompt.id).prompt)(completion.tokens)

    def traces(self, completions: Sequence[Completion]) -> list[Trace]:
        """What the rewards see of each."""
        known = {i: self.example(i) for i in {c.prompt.id for c in completions}}
        texts = [self._reader(c, known[c.prompt.id].prompt)(c.tokens) for c in completions]
        return [known[c.prompt.id].trace(text, c.tokens, c.finish) for c, text in zip(completions, texts, strict=True)]

    def _by_step(
        self, completions: Sequence[Completion], traces: Sequence[Trace], judge: StepScorer
    ) -> list[Steps | None]:
        """The rewards of steps, at tokens."""
        by_token: list[Steps | None] = []
        for c, trace, steps in zip(completions, traces, judge(traces), strict=True):
            if isinstance(steps, str):
                self._warn(f"the step reward {steps} (completion {trace.completion!r:.80})")
                by_token.append(None)
            else:
                by_token.append(token_ends(steps, c.tokens, self._reader(c, trace.prompt)))
        return by_token

    def _reader(self, completion: Completion, prompt: Text) -> Callable[[Sequence[int]], str]:
        """From a completion's first tokens to their text, as the rewards read it."""
        rendering = rendering_of(self.tokenizer)
        return partial(rendering.said, completion.prompt.tokens) if isinstance(prompt, str) else rendering.answer

    def _warn(self, message: str) -> None:
        if message and not self._warned:
            self._warned = True
            warnings.warn(f"{message}. It counts as not judged, and is left out of training", stacklevel=3)

    def forget(self) -> None:
        """Drop the values."""
        self.values.clear()

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.close()


def step_scorer(task: Task) -> StepScorer:
    """A task's step reward, on several traces.

    Raises:
        ConfigError: if it has none, or one that may hang: it runs in the training process.
    """
    judge = task.step_reward
    if judge is None:
        raise ConfigError(
            f"task {task.name} has no step reward, so its steps cannot be judged: give Task(step_reward=…) one, take "
            "an option of the task that writes steps (arithmetic: --task.options.steps true), or a learnt one "
            "(--process.model DIR)"
        )
    if not is_pure(judge):
        raise ConfigError(
            f"the step reward of task {task.name} runs in the training process, where it must neither hang nor touch "
            "anything outside: where that is so, say it with @reward(pure=True)"
        )
    return lambda traces: [step_rewards(judge, trace) for trace in traces]


def talks(task: Task) -> bool:
    """Whether a task's prompts are messages."""
    return not isinstance(task.train[0].prompt, str)


def prompts_of(examples: Sequence[Example], encoder: Encoder) -> list[Prompt]:
    """A prompt for each example, its index as its id."""
    return [Prompt(id=i, tokens=tuple(encoder.prompt(e.prompt))) for i, e in enumerate(examples)]


def greedy(sampling: Sampling) -> Sampling:
    """The same limits, taking the most probable token."""
    return Sampling(temperature=0.0, max_tokens=sampling.max_tokens, stop=sampling.stop)
