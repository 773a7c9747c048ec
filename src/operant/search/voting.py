"""Votes: of several answers give the one that most samples, or most weight, came to."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

Answer = TypeVar("Answer", bound=Hashable)


def majority(answers: Sequence[Answer | None]) -> Answer | None:
    """The most frequent answer; the first of several that are. None is no answer and has no vote; None if all are.

    Source: Wang et al. (2022), Self-consistency improves chain of thought reasoning, arXiv:2203.11171.
    """
    return weighted(answers, [1.0] * len(answers))


def weighted(answers: Sequence[Answer | None], weights: Sequence[float]) -> Answer | None:
    """The answer with the largest sum of weights (a verifier's scores); ties, and None, as in `majority`.

    Raises:
        ValueError: if there is not one weight for each answer, or one is negative or not a number.

    Source: Li et al. (2022), Making large language models better reasoners with step-aware verifier, arXiv:2206.02336.
    """
    if len(weights) != len(answers):
        raise ValueError(f"{len(answers)} answers have {len(weights)} weights: give one for each")
    total: dict[Answer, float] = {}
    for answer, weight in zip(answers, weights, strict=True):
        if not weight >= 0.0:
            raise ValueError(f"weight {weight} of answer {answer!r}: give numbers of at least 0")
        if answer is not None:
            total[answer] = total.get(answer, 0.0) + weight
    return max(total, key=lambda a: total[a]) if total else None


def voted(answers: Sequence[Sequence[Answer | None]], worth: Sequence[Sequence[float]]) -> float:
    """What the most frequent answer to each prompt is worth, on average; no answer at all is worth 0."""
    total = 0.0
    for said, row in zip(answers, worth, strict=True):
        chosen = majority(said)
        total += 0.0 if chosen is None else row[said.index(chosen)]
    return total / len(answers)
