"""What the first evaluation says about a run that learns by reward, told before the first step: is there a contrast?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from operant.config.values import duration
from operant.language.episodes.evaluate import TaskAccuracy
from operant.language.episodes.rollout_files import RolloutRow
from operant.language.settings.runs import LanguageRun
from operant.run.evaluate import Evaluation

FEW = 0.05
"""Share of prompts with a contrast among their samples below which a run is told to be slow."""

LEARNING = 2.0
"""What a completion takes to be sampled, judged and learnt from, over what sampling and judging it takes."""

ENOUGH = 2
"""Prompts that say something about the others."""


class Outlook:
    """Measures like a `TaskAccuracy`, and after the evaluation before training says what there is to learn by reward.

    Args:
        measure: what measures.
        cfg: the run's settings.
        per_step: completions that a step samples; 0 where that is not known.
        say: given a line for the person who waits.
    """

    def __init__(self, measure: TaskAccuracy, cfg: LanguageRun, per_step: int, say: Callable[[str], None]) -> None:
        self.measure, self.cfg, self.per_step, self.say = measure, cfg, per_step, say

    def __call__(self, episodes: int) -> Evaluation:
        """As the measure does."""
        return self.measure(episodes)

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """As the measure does; at step 0 with a word."""
        kept = self.measure.keep(run, step)
        rows = self.measure.rows
        if step == 0 and self.cfg.eval.before:
            for line in (plan(self.cfg, self.per_step, self.measure.pace), contrast(rows, not self.cfg.model.path)):
                if line:
                    self.say(line)
        return kept


def plan(cfg: LanguageRun, per_step: int, seconds: float) -> str:
    """How many steps of what, and about how long, where a sample took `seconds`; "" where one of them is not known."""
    if not per_step or not seconds:
        return ""
    during = 0 if cfg.eval.every is None else cfg.total_steps // cfg.eval.every
    measured = (during * cfg.eval.during + cfg.eval.episodes) * (1 + cfg.eval.samples)
    about = seconds * (LEARNING * cfg.total_steps * per_step + measured)
    steps = f"{cfg.total_steps:,} step{'s' * (cfg.total_steps > 1)}"
    return f"Plan: {steps} of {per_step:,} completions each, about {duration(about)}."


def contrast(rows: list[RolloutRow], small: bool) -> str:
    """What samples of a prompt that differ in reward promise; "" where there are enough of them, or too few were drawn.

    Args:
        rows: completions of an evaluation.
        small: whether the model is the small base made here.
    """
    groups: dict[int, list[float]] = {}
    for row in rows:
        if row.mode == "sampled" and row.reward is not None:
            groups.setdefault(row.prompt_id, []).append(row.reward)
    spreads = [float(np.ptp(values)) for values in groups.values() if len(values) > 1]
    if len(spreads) < ENOUGH or all(min(v) == max(v) and v[0] >= 1.0 for v in groups.values()):
        return ""
    share = float(np.mean([s > 1e-9 for s in spreads]))
    if share >= FEW:
        return ""
    mend = (
        "give it more, or more often right, demonstrations (operant task check says how many earn the reward), shorter "
        "problems first, more of --base.examples, or a model of yours: --model DIR"
        if small
        else "begin from a model that is right sometimes, take easier prompts, or a reward with parts"
    )
    if share == 0.0:
        return (
            f"warning: of {len(spreads)} held-out prompts none has samples that differ in reward: nothing tells right "
            f"from wrong, and training by reward will most likely change nothing. Ctrl-C, and {mend}"
        )
    return (
        f"warning: of {len(spreads)} held-out prompts only {share:.1%} have samples that differ in reward: training by "
        f"reward will be slow to begin. To help, {mend}"
    )
