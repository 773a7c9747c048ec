"""Reward reflection (Ma et al. 2023, arXiv:2310.12931, section 3.3 and appendix A): what training says of a reward."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

CHECKPOINTS = 10
FAILED = -10_000.0
"""The score of a candidate that could not be trained on."""
ZERO, FLAT, DOMINATES = 0.01, 0.05, 10.0
"""Scores below are near zero; a component that changes less, as a share of its size, is near identical; a component
that is so many times as large as all others together is significantly larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What training on a candidate came to.

    Attributes:
        score: the largest of the task scores at the checkpoints, or `FAILED`.
        components: at each checkpoint the mean of a step, by name; over each tenth of training.
        scores, lengths: of episodes, likewise.
        error: why it failed; "" where it did not.
        correlation: Pearson's, of its total and the human reward over training; None where one does not change.
    """

    score: float
    components: Mapping[str, Sequence[float]] = field(default_factory=dict[str, list[float]])
    scores: Sequence[float] = ()
    lengths: Sequence[float] = ()
    error: str = ""
    correlation: float | None = None


@dataclass(frozen=True, slots=True)
class Tip:
    """What the reflection advises: about a component, or about the whole reward."""

    says: Literal["rewrite all", "flat", "dominates"]
    component: str = ""


def outcome_of(rows: Sequence[Mapping[str, Any]]) -> Outcome:
    """The outcome that the rows of a ledger, each of one iteration of training, come to.

    Where no episode ends in a tenth, its score is that of the tenth before; 0 before the first.
    """
    parts = [part for part in np.array_split(np.arange(len(rows)), CHECKPOINTS) if len(part)]
    names = dict.fromkeys(name for row in rows for name in row["components"])
    components = {
        name: [_mean([rows[i]["components"].get(name, 0.0) for i in part]) for part in parts] for name in names
    }
    scores, lengths = (_episodes(rows, parts, key) for key in ("score", "length"))
    total = [math.fsum(row["components"].values()) for row in rows]
    return Outcome(
        score=max(scores, default=FAILED), components=components, scores=scores, lengths=lengths,
        correlation=_correlation(total, [row["human"] for row in rows]),
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _episodes(rows: Sequence[Mapping[str, Any]], parts: Sequence[Any], key: str) -> list[float]:
    found, last = list[float](), 0.0
    for part in parts:
        ended = [rows[i] for i in part if rows[i]["episodes"]]
        count = sum(row["episodes"] for row in ended)
        last = math.fsum(row[key] * row["episodes"] for row in ended) / count if count else last
        found.append(last)
    return found


def _correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    if len(a) < 2 or min(np.std(a), np.std(b)) < 1e-12:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def tips(outcome: Outcome) -> list[Tip]:
    """What the paper's three tips say of an outcome."""
    if outcome.error:
        return [Tip("rewrite all")]
    found = [Tip("rewrite all")] if max(outcome.scores, default=0.0) < ZERO else []
    sizes = {name: _mean([abs(x) for x in values]) for name, values in outcome.components.items()}
    for name, values in outcome.components.items():
        if max(values) - min(values) <= FLAT * max(map(abs, values)):
            found.append(Tip("flat", name))
        others = math.fsum(size for other, size in sizes.items() if other != name)
        if len(sizes) > 1 and sizes[name] > DOMINATES * others:
            found.append(Tip("dominates", name))
    return found


_HEAD = """A policy was trained on that reward. Below are the values of each of its components, of the task's score \
and of the length of episodes at {checkpoints} checkpoints of training, then the largest, the mean and the smallest:
"""
_TIPS = """Look at each component in turn, then write a better reward for the task. What the numbers may tell:
    (1) Scores that stay near zero throughout: nothing of this reward leads to the task, so write the whole of it anew
    (2) A component whose values hardly change: training cannot move it in this form. Either
        (a) give it another scale, or another temperature
        (b) write it in another way
        (c) leave it out
    (3) A component far larger than the others: scale it down to their range
Answer with the code of the reward."""
_ERROR = """That reward could not be run: {error}. Mend it, and answer with a better one."""


def reflection(outcome: Outcome, words: str = "") -> str:
    """What a model is told of the best candidate of an iteration; a person's `words` stand behind it."""
    if outcome.error:
        said = _ERROR.format(error=outcome.error.rstrip("."))
    else:
        series = {**outcome.components, "task_score": outcome.scores, "episode_lengths": outcome.lengths}
        lines = [_series(name, values) for name, values in series.items()]
        said = _HEAD.format(checkpoints=len(outcome.scores)) + "\n".join(lines) + "\n" + _TIPS
    return said + (f"\nA person who watched the policy says: {words.strip()}" if words.strip() else "")


def _series(name: str, values: Sequence[float]) -> str:
    shown = ", ".join(f"'{value:.2f}'" for value in values)
    return f"{name}: [{shown}], Max: {max(values):.2f}, Mean: {_mean(values):.2f}, Min: {min(values):.2f}"
