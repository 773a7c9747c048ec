"""Run the arms of a recipe over seeds, keep each row as it comes, and say what became of its claims."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are
from operant.config.write import json_text
from operant.data.jsonl import lines
from operant.recipes.claims import Verdict
from operant.recipes.recipe import Recipe, Trial
from operant.recipes.registry import recipe
from operant.run.folder import provenance, write_json
from operant.run.job import Say, silent

STORED = Path(__file__).parent / "results"
"""The results that are published, one file for each recipe."""
LEVEL = 0.99
"""A seed that is run again must land where 99 of 100 new ones would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a recipe came to: its rows, and the verdict of each claim in its order."""

    recipe: Recipe
    spec: str
    rows: Sequence[Mapping[str, Any]]
    verdicts: Sequence[Verdict]
    folder: Path

    def plain(self) -> dict[str, Any]:
        """As `result.json` has it."""
        its = self.recipe
        claims = [{"text": c.text, "must": c.must, **asdict(v)} for c, v in zip(its.claims, self.verdicts, strict=True)]
        return {
            "recipe": its.name, "spec": self.spec, "seeds": [*its.seeds], "controls": [*its.controls],
            "claims": claims, "rows": [*self.rows],
            "made_with": {name: what for name, what in provenance().items() if name != "argv"},
        }  # fmt: skip


def run(
    name: str, *, arms: Sequence[str] = (), seeds: int | None = None, miniature: bool = False, model: str | None = None,
    runs: Path | str = "runs", say: Say = silent,
) -> Result:  # fmt: skip
    """Run what is missing of a recipe: every arm on every seed, or those that are named.

    Rows are kept in `RUNS/recipe-NAME/rows.jsonl` as they come, so that a run which was stopped goes on where it was;
    those of another text of the recipe, or of another model, do not count. `result.json` beside them has the verdicts.

    Args:
        name: of the recipe.
        arms: which; all if none.
        seeds: the first so many of the recipe's; all if None.
        miniature: in seconds, at a size that says nothing about the claims.
        model: in place of the small one, where the recipe takes one.
        runs: where the folder is.
        say: given a line for the person who waits.

    Raises:
        ConfigError: if there is no such recipe or arm, or it takes no model.
    """
    its = recipe(name)
    if unknown := [arm for arm in arms if arm not in its.arms]:
        known = ", ".join(its.arms)
        raise ConfigError(f"{its.name} has no arm {unknown[0]}{nearest_are(unknown[0], its.arms)}. It has {known}")
    if model is not None and not its.takes_model:
        raise ConfigError(f"{its.name} takes no model: leave out --model")
    spec = spec_of(its, miniature=miniature, model=model)
    home = Path(runs) / f"recipe-{its.name}{'-miniature' if miniature else ''}"
    home.mkdir(parents=True, exist_ok=True)
    kept = home / "rows.jsonl"
    rows = [row for _, row in lines(kept) if row.get("spec") == spec] if kept.exists() else []
    there = {(row["arm"], row["seed"]) for row in rows}
    for seed in its.seeds[:seeds]:
        for arm in (a for a in its.arms if a in arms or not arms):
            if (arm, seed) in there:
                continue
            trial = Trial(arm=arm, seed=seed, folder=home / f"{arm}-s{seed}", miniature=miniature, model=model, say=say)
            rows.append(_row(its, trial, spec))
            with kept.open("a", encoding="utf-8") as file:
                file.write(json_text(rows[-1]) + "\n")
            say(f"{its.name}, {arm}, seed {seed}: {told(rows[-1]['metrics'])} ({rows[-1]['seconds']:.1f} s)")
    verdicts = [claim.verdict(rows, its.seeds) for claim in its.claims]
    result = Result(recipe=its, spec=spec, rows=rows, verdicts=verdicts, folder=home)
    write_json(home / "result.json", result.plain())
    return result


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
    file = STORED / f"{its.name}.json"
    if not file.exists():
        raise ConfigError(f"nothing of {its.name} is published yet: operant recipe run {its.name}")
    published = load_json(file)
    if published["spec"] != spec_of(its):
        raise ConfigError(f"the published rows of {its.name} are of another text of it: operant recipe run {its.name}")
    rows = [row["metrics"] for row in published["rows"] if row["arm"] == arm]
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
    wide = float(student.ppf((1.0 + LEVEL) / 2.0, n - 1)) * stdev(values) * math.sqrt(1.0 + 1.0 / n)
    wide += 1e-3 * max(map(abs, values))
    return middle - wide, middle + wide


def spec_of(its: Recipe, *, miniature: bool = False, model: str | None = None) -> str:
    """A hash of all that a row depends on but the library: the recipe's own text, its size and its model."""
    text = inspect.getsource(sys.modules[its.trial.__module__])
    return hashlib.sha256(json.dumps([text, miniature, model]).encode()).hexdigest()[:12]


def told(metrics: Mapping[str, Any]) -> str:
    """Numbers in a line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if value is not None)


def _row(its: Recipe, trial: Trial, spec: str) -> dict[str, Any]:
    """Run a trial."""
    trial.folder.mkdir(parents=True, exist_ok=True)
    clock = time.perf_counter()
    metrics = {name: float(value) for name, value in its.trial(trial).items()}
    seconds = time.perf_counter() - clock
    return {"arm": trial.arm, "seed": trial.seed, "spec": spec, "metrics": metrics, "seconds": round(seconds, 3)}
