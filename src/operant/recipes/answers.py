"""What models that see answer to the questions of a task, and what it is worth: for the recipes of `seeing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from operant.language.episodes.evaluate import TaskAccuracy, sampling_of
from operant.language.episodes.rollout_files import RolloutRow
from operant.language.learn.setup import model_of
from operant.language.reward.answer import extract
from operant.language.settings.runs import GRPORun
from operant.language.task.load import load_task
from operant.language.task.task import Task
from operant.search.voting import voted

ASK = "vision/ask"
Options = Mapping[str, Any]


def measured(model: str, options: Options, samples: int, limit: int | None) -> tuple[Task, list[RolloutRow]]:
    """A task, and a model's answers to all of its test questions: greedy ones, and samples."""
    cfg = GRPORun.model_validate({
        "task": {"id": ASK, "options": {**options}}, "model": {"path": model}, "eval": {"samples": samples},
        "sampling": {"slots": 256, "max_tokens": limit},
    })  # fmt: skip
    task, policy = load_task(ASK, options), model_of(cfg)
    measure = TaskAccuracy(cfg, policy, task, sampling_of(cfg, policy, task))
    try:
        measure(len(task.test))
    finally:
        measure.close()
    return task, measure.rows


def right(rows: Sequence[RolloutRow], mode: str) -> float:
    """The mean of what answers of a mode are worth."""
    return fmean(row.rewards["correct"] for row in rows if row.mode == mode)


def form(rows: Sequence[RolloutRow]) -> dict[str, float]:
    """How greedy answers are written: the share of the demanded form, and their tokens."""
    greedy = [row for row in rows if row.mode == "greedy"]
    return {
        "format": fmean(row.rewards.get("format", 1.0) for row in greedy),
        "tokens": fmean(float(len(row.tokens)) for row in greedy),
    }


def answer(task: Task, row: RolloutRow) -> str | None:
    """What a row answers; None where it does not."""
    places: tuple[str, ...] = getattr(task.rewards["correct"], "answer", ("tag:answer", "whole"))
    return extract(row.completion, places, cut=row.finish == "length")


def votes(task: Task, rows: Sequence[RolloutRow]) -> float:
    """What the most frequent of a question's sampled answers is worth."""
    said, worth = dict[int, list[str | None]](), dict[int, list[float]]()
    for row in (r for r in rows if r.mode == "sampled"):
        said.setdefault(row.prompt_id, []).append(answer(task, row))
        worth.setdefault(row.prompt_id, []).append(row.rewards["correct"])
    return voted([*said.values()], [*worth.values()])
