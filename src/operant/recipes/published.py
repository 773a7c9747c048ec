"""The results of recipes that are published, and a seed of one run again and held against them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.special import stdtrit

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.recipes.recipe import Recipe
from operant.recipes.registry import recipe
from operant.recipes.runner import run, spec_of
from operant.run.job import Say, silent

STORED = Path(__file__).parent / "results"
"""One file for each recipe."""
LEVEL = 0.99
"""A seed that is run again must land where 99 of 100 new ones would."""


def published(its: Recipe) -> tuple[list[Mapping[str, Any]], bool]:
    """The rows that are published of this text, and whether there are only those of another."""
    file = _file(its)
    if not file.exists():
        return [], False
    found = load_json(file)
    return (found["rows"], False) if found["spec"] == spec_of(its) else ([], True)


def verify(name: str, *, arm: str | None = None, runs: Path | str = "runs", say: Say = silent) -> list[str]:
    """Run one seed of one arm again, and say in lines what lies outside of what the published rows let one expect.

    With n published seeds of mean m and deviation s, a new one lies within m ± t s √(1 + 1/n), t Student's at 99 %.

    Args:
        name: of the recipe.
        arm: which; its first if None.
        runs: where its folder is made.
        say: as in `run`.

    Raises:
        ConfigError: if nothing of it is published, or it is of another text.
    """
    its = recipe(name)
    arm = next(iter(its.arms)) if arm is None else arm
    if not _file(its).exists():
        raise ConfigError(f"nothing of {its.name} is published yet: operant recipe run {its.name}")
    found, stale = published(its)
    if stale:
        raise ConfigError(f"the published rows of {its.name} are of another text of it: operant recipe run {its.name}")
    rows = [row["metrics"] for row in found if row["arm"] == arm]
    if not rows:
        raise ConfigError(f"no row of {its.name}'s arm {arm} is published. Arms: {', '.join(its.arms)}")
    again = run(name, arms=[arm], seeds=1, runs=Path(runs) / "verify", say=say).rows[0]["metrics"]
    return [
        f"{metric} is {value:.6g}, and {low:.6g} … {high:.6g} was to be expected"
        for metric, value in again.items()
        for low, high in [expected([row[metric] for row in rows if row.get(metric) is not None])]
        if not low <= value <= high
    ]


def expected(values: Sequence[float]) -> tuple[float, float]:
    """Where a new number of the same kind lies in 99 of 100 cases; all numbers where there is one or none.

    A thousandth is allowed for another machine's rounding.
    """
    if len(values) < 2:
        return -math.inf, math.inf
    middle, n = mean(values), len(values)
    wide = float(stdtrit(n - 1, (1.0 + LEVEL) / 2.0)) * stdev(values) * math.sqrt(1.0 + 1.0 / n)
    wide += 1e-3 * max(map(abs, values))
    return middle - wide, middle + wide


def _file(its: Recipe) -> Path:
    return STORED / f"{its.name}.json"
