"""The page of a recipe, made from what it says of itself and the rows that are published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operant.data.stats import bootstrap_ci, iqm
from operant.recipes.claims import Claim, Verdict
from operant.recipes.published import published
from operant.recipes.recipe import Recipe


def page(its: Recipe) -> str:
    """Markdown: the paper, what is done here, the arms with their numbers, and the verdict of each claim."""
    rows, stale = published(its)
    return "\n".join([
        f"# {its.title}", "", f"*{its.source}*", "",
        f"**What the paper did.** {its.paper}", "", f"**What is done here.** {its.here}", "",
        f"**The mechanism.** {its.mechanism}", "",
        "```sh", f"operant recipe run {its.name}", "```", "",
        *(["The published rows are of an earlier text of this recipe.", ""] if stale else []),
        "## Claims", "", "Fixed before the run. Interquartile means over seeds with 95 % bootstrap intervals.", "",
        "| claim | kind | verdict | estimate [95 %] |", "|---|---|---|--:|",
        *(_claim(claim, claim.verdict(rows, its.seeds)) for claim in its.claims), "",
        "## Arms", "", *_arms(its, rows), "",
        f"Seeds {', '.join(map(str, its.seeds))}; at most {its.minutes:g} minutes of two cores. "
        f"Rows: `src/operant/recipes/results/{its.name}.json`.", "",
    ])  # fmt: skip


def interval(estimate: float | None, low: float | None, high: float | None) -> str:
    """A number with what it may be."""
    if estimate is None:
        return ""
    if low == high:
        return f"{estimate:.6g}"
    digits = 3 if abs(estimate) < 10 else 1
    return f"{estimate:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def line(claim: Claim, verdict: Verdict) -> str:
    """What became of a claim, in a line."""
    number = _number(verdict)
    return f"{verdict.says}: {_bar(claim)}{number and f': {number}'}"


def _claim(claim: Claim, verdict: Verdict) -> str:
    kind = "must hold" if claim.must else "open"
    return f"| {_bar(claim)} | {kind} | {verdict.says} | {_number(verdict)} |"


def _bar(claim: Claim) -> str:
    return f"{claim.text} ({'≤' if claim.most else '≥'} {claim.bar:g})"


def _number(verdict: Verdict) -> str:
    return interval(verdict.estimate, verdict.low, verdict.high)


def _arms(its: Recipe, rows: list[Mapping[str, Any]]) -> list[str]:
    """A table of every number of every arm, over the seeds that there are."""
    metrics = [*dict.fromkeys(name for row in rows for name in row["metrics"])]
    table = [f"| arm | what | seeds |{''.join(f' {m} |' for m in metrics)}", "|---|---|--:|" + "--:|" * len(metrics)]
    for arm, what in its.arms.items():
        mine = [row["metrics"] for row in rows if row["arm"] == arm]
        cells: list[str] = []
        for metric in metrics:
            values = [x for row in mine if (x := row.get(metric)) is not None]
            several = len(values) > 1
            cells.append(interval(iqm(values), *bootstrap_ci(values)) if several else _one(values, bool(mine)))
        control = " (control)" if arm in its.controls else ""
        table.append(f"| {arm}{control} | {what} | {len(mine)} |{''.join(f' {cell} |' for cell in cells)}")
    return table


def _one(values: list[float], measured: bool) -> str:
    return f"{values[0]:.4g}" if values else "–" if measured else "not yet run"
