"""What a language model writes before and after training, on the same held-out prompts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.language.episodes.rollout_files import read_rollouts
from operant.view import charts
from operant.view.charts import Scale

if TYPE_CHECKING:
    from operant.run.metrics import Metrics

SHOWN = 30
"""Prompts on the page: the first ones, not chosen ones."""

LONGEST = 2000
"""Characters of a text on the page."""

NAME = re.compile(r"eval-step-(\d{8,})\.parquet")


def completions(run: Path, metrics: Metrics) -> dict[str, Any] | None:
    """The section of a run; None for one that has kept no evaluation's completions.

    Raises:
        OperantError: if a file of completions cannot be read; names it.
    """
    files = {int(m[1]): p for p in (run / "rollouts").glob("eval-step-*.parquet") if (m := NAME.fullmatch(p.name))}
    if not files:
        return None
    first, last = min(files), max(files)
    before, after = (_greedy(read_rollouts(files[step], tokens=False)) for step in (first, last))
    both = [key for key in before if key in after and before[key]["prompt"] == after[key]["prompt"]]
    if not both:  # the protocol changed in between: what was written last stands alone
        first, before, both = last, after, [*after]
    pairs = [(before[key], after[key]) for key in both]
    return {
        "first": first,
        "last": last,
        "rows": [{"prompt": _cut(a["prompt"]), "gold": _cut(a["gold"]), "cells": _cells(b, a, first < last)}
                 for b, a in pairs[:SHOWN]],
        "count": len(pairs),
        "changes": _changes(pairs) if first < last else [],
        "curve": accuracy_curve(metrics),
    }  # fmt: skip


def _greedy(rows: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    return {int(row["prompt_id"]): row for row in rows if row["mode"] == "greedy"}


def _cells(before: Mapping[str, Any], after: Mapping[str, Any], both: bool) -> list[dict[str, Any]]:
    """One cell for each time: the text, how good it is, and the parts of its reward."""
    return [_cell(row) for row in ((before, after) if both else (after,))]


def _cell(row: Mapping[str, Any]) -> dict[str, Any]:
    values = [(name.removeprefix("reward/"), value) for name, value in row.items() if name.startswith("reward/")]
    parts = [(name, "not judged" if value is None or math.isnan(value) else f"{value:.3g}") for name, value in values]
    reward = row["reward"]
    grade = "unknown" if reward is None else "good" if _right(row) else "poor" if float(reward) <= 0.0 else "fair"
    return {"text": _cut(row["completion"]), "cut": row["finish"] == "length", "parts": parts, "grade": grade}


def _right(row: Mapping[str, Any]) -> bool:
    """Whether the first reward, which is that of being right, is at 1 or above."""
    first = next((value for name, value in row.items() if name.startswith("reward/")), None)
    return first is not None and float(first) >= 1.0


def _changes(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[tuple[str, int]]:
    """How many prompts became right, stayed so, and so on."""
    kinds = {
        (False, True): "wrong, then right",
        (True, True): "right both times",
        (False, False): "wrong both times",
        (True, False): "right, then wrong",
    }
    outcomes = [(_right(before), _right(after)) for before, after in pairs]
    return [(text, outcomes.count(kind)) for kind, text in kinds.items()]


def accuracy_curve(metrics: Metrics) -> dict[str, Any] | None:
    """Held-out accuracy over the steps: greedily decoded, and sampled beside it."""
    kinds = (("smooth", "greedy"), ("raw", "sampled"))
    every = [(css, name, metrics.column(f"eval/accuracy_{name}")) for css, name in kinds]
    curves = [(css, name, column) for css, name, column in every if column is not None]
    if not curves:
        return None
    end = max(float(column.step[-1]) for _, _, column in curves)
    chart = charts.chart(
        Scale(0.0, end or 1.0), Scale(0.0, 1.0), "Held-out accuracy over steps", across="steps", up="share right"
    )
    for css, _, column in curves:
        chart.line(css, column.step, column.value)
    greedy = curves[0][2]
    chart.dots("dot", greedy.step, greedy.value)
    readings = [(name, column.value.tolist()) for _, name, column in curves]
    if len({len(values) for _, values in readings}) == 1:
        chart.reading(greedy.step, readings)
    return {"chart": chart, "sampled": len(curves) > 1}


def _cut(text: object) -> str:
    full = str(text)
    return full if len(full) <= LONGEST else full[:LONGEST] + " …"
