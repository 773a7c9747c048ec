"""Beam search over steps, guided by a reward model: keep the most promising beginnings, go on from each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Beginning(Generic[State]):
    """A solution so far."""

    state: State
    score: float
    ended: bool


def beam(
    start: State,
    propose: Callable[[Sequence[State], int], Sequence[Sequence[tuple[State, bool]]]],
    score: Callable[[Sequence[State]], Sequence[float]],
    *,
    width: int,
    branch: int,
    steps: int,
) -> list[Beginning[State]]:
    """The `width` best solutions found, best first; those that have not ended after `steps` steps are among them.

    At each step every open beginning is gone on from `branch` times, all are scored, and the best `width` stay, ended
    ones among them. It stops when all of those have ended. Equal scores keep the order in which they were proposed.

    Args:
        start: where to begin; a prompt's tokens, say.
        propose: for each state, `branch` states one step further, and whether each has ended. Sampling decides what a
            step is: up to a stop token that closes one.
        score: how promising each state is; a process reward model, or a reward model.
        width: beginnings kept.
        branch: samples of each.
        steps: at most.

    Raises:
        ValueError: if a size is below 1, or `propose` or `score` give another number than they were asked for.

    Source: Snell et al. (2024), Scaling LLM test-time compute optimally, arXiv:2408.03314, section 5.2; Xie et al.
    (2023), Self-evaluation guided beam search for reasoning, arXiv:2305.00633.
    """
    for name, size in (("width", width), ("branch", branch), ("steps", steps)):
        if size < 1:
            raise ValueError(f"{name} is {size}; give at least 1")
    kept: list[Beginning[State]] = []
    states = [start]
    for _ in range(steps):
        found = propose(states, branch)
        if len(found) != len(states) or any(len(more) != branch for more in found):
            raise ValueError(f"propose must give {branch} states for each of {len(states)}")
        further = [each for more in found for each in more]
        scores = score([state for state, _ in further])
        if len(scores) != len(further):
            raise ValueError(f"score gave {len(scores)} numbers for {len(further)} states")
        done = [b for b in kept if b.ended]
        fresh = [Beginning(state, float(s), ended) for (state, ended), s in zip(further, scores, strict=True)]
        kept = sorted([*done, *fresh], key=lambda b: -b.score)[:width]
        states = [b.state for b in kept if not b.ended]
        if not states:
            break
    return kept
