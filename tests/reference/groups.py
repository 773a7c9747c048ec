"""The slow way: GRPO's advantages with loops, and hand-made completions."""

from __future__ import annotations

import numpy as np

from operant.language.sample.engine import Completion, Prompt

Steps = list[tuple[int, float]]


def outcome(rewards: list[list[float]], eps: float = 1e-4) -> list[list[float]]:
    """(r − mean)/(std + eps) in each group (Shao et al. 2024, section 4.1.2)."""
    return [[(r - np.mean(g)) / (np.std(g, ddof=1) + eps) for r in g] for g in rewards]


def process(group: list[Steps], lengths: list[int], eps: float = 1e-4) -> list[list[float]]:
    """Σ of the normalised rewards of the steps that end at t or later (section 4.1.3); R is all of the group's."""
    every = [r for steps in group for _, r in steps]
    mean, std = np.mean(every), np.std(every, ddof=1)
    return [
        [sum((r - mean) / (std + eps) for index, r in steps if index >= t) for t in range(length)]
        for steps, length in zip(group, lengths, strict=True)
    ]


def completion(
    prompt: int, sample: int, tokens: int, *, start: int = 3, cut: bool = False, forced: tuple[int, ...] = ()
) -> Completion:
    """A completion of `tokens` tokens after a prompt of `start`, with log-probabilities that tell them apart."""
    rng = np.random.default_rng((prompt, sample))
    words = np.random.default_rng(prompt).integers(10, 90, start)
    return Completion(
        prompt=Prompt(id=prompt, tokens=tuple(int(t) for t in words)),
        sample=sample,
        tokens=tuple(int(t) for t in rng.integers(10, 90, tokens)),
        logp=tuple(float(x) for x in -rng.uniform(1.0, 4.0, tokens)),
        kept=tuple(float(x) for x in -rng.uniform(0.0, 0.2, tokens)),
        acted=tuple(t not in forced for t in range(tokens)),
        finish="length" if cut else "stop",
    )
