"""From sampled tokens to scores: what a task says of the completions of its prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from operant.reward.trace import Trace
from operant.task.score import Judge, Scores, score
from operant.task.task import Example, Task


class Prompted(Protocol):
    """A prompt of `operant.rollout.engine`."""

    @property
    def id(self) -> int: ...


class Completed(Protocol):
    """A completion of `operant.rollout.engine`."""

    @property
    def prompt(self) -> Prompted: ...
    @property
    def tokens(self) -> tuple[int, ...]: ...
    @property
    def finish(self) -> Literal["stop", "length"]: ...


class Grader:
    """Scores completions with the rewards of a task; None for those that could not be judged.

    Args:
        task: its rewards and weights.
        example: from a prompt's id to its example.
        decode: token ids to text.
        judge: for rewards that are not pure, such as a `operant.task.pool.Pool`.

    Attributes:
        traces, scores: of the last call; None before.
        failed: how many completions could not be judged so far.
    """

    def __init__(
        self,
        task: Task,
        example: Callable[[int], Example],
        decode: Callable[[Sequence[int]], str],
        judge: Judge | None = None,
    ) -> None:
        self.task, self._example, self._decode, self._judge = task, example, decode, judge
        self.traces: list[Trace] = []
        self.scores: Scores | None = None
        self.failed = 0

    def __call__(self, completions: Sequence[Completed]) -> list[float | None]:
        """The total of each."""
        self.traces = [self._trace(c) for c in completions]
        self.scores = scores = score(self.traces, self.task.rewards, self.task.weights, self._judge)
        self.failed += int((~scores.judged).sum())
        return [float(t) if ok else None for t, ok in zip(scores.total, scores.judged, strict=True)]

    def _trace(self, c: Completed) -> Trace:
        """Its text without the stop token; `tokens` with it."""
        written = c.tokens[:-1] if c.finish == "stop" else c.tokens
        return self._example(c.prompt.id).trace(self._decode(written), c.tokens, c.finish)
