"""What models that see answer to the questions of a task, and what it is worth: for the recipes of `seeing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from operant.config.write import json_text
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
    task = load_task(ASK, options)
    return task, answers(model, task, options, samples, limit)


def answers(model: str, task: Task, options: Options, samples: int, limit: int | None) -> list[RolloutRow]:
    """A model's answers to a task's test questions: greedy ones, and samples."""
    cfg = GRPORun.model_validate({
        "task": {"id": ASK, "options": {**options}}, "model": {"path": model}, "eval": {"samples": samples},
        "sampling": {"slots": 256, "max_tokens": limit},
    })  # fmt: skip
    policy = model_of(cfg)
    measure = TaskAccuracy(cfg, policy, task, sampling_of(cfg, policy, task))
    try:
        measure(len(task.test))
    finally:
        measure.close()
    return measure.rows


def rewritten(model: str, options: Options, file: Path, limit: int | None = None) -> Path:
    """The questions that a task is to be learnt from, each with what a model sampled that is right in every respect, in
    a file to imitate; where fewer than ten are, solutions of the first questions stand behind them."""
    task = load_task(ASK, options)
    questions = [*task.train[: len(task.train)]]
    asked, kept = replace(task, test=questions), dict[int, str]()
    for row in answers(model, asked, options, 4, limit):
        if row.mode == "sampled" and row.finish == "stop" and all(x >= 1.0 for x in row.rewards.values()):
            kept.setdefault(row.prompt_id, row.completion)
    said = [(questions[i], text) for i, text in kept.items()]
    said += [(e, e.solution) for e in questions[: max(0, 10 - len(said))]]
    told = [{"messages": [*e.prompt, {"role": "assistant", "content": text}]} for e, text in said]
    file.write_text("".join(json_text(each) + "\n" for each in told), encoding="utf-8")
    return file


def right(rows: Sequence[RolloutRow], mode: str) -> float:
    """The mean of what answers of a mode are worth."""
    return fmean(row.rewards["correct"] for row in rows if row.mode == mode)


def by_kind(task: Task, rows: Sequence[RolloutRow]) -> dict[str, float]:
    """What greedy answers to questions of each kind are worth."""
    found = dict[str, list[float]]()
    for row in (r for r in rows if r.mode == "greedy"):
        found.setdefault(str(task.test[row.prompt_id].metadata["kind"]), []).append(row.rewards["correct"])
    return {kind: fmean(worth) for kind, worth in sorted(found.items())}


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
