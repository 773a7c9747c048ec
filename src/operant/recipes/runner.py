"""Run the arms of a recipe over seeds, keep each row as it comes, and say what became of its claims."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are
from operant.recipes.claims import Verdict
from operant.recipes.recipe import Recipe, Trial
from operant.recipes.registry import recipe
from operant.run.disk import writing
from operant.run.folder import provenance, write_json
from operant.run.job import Say, silent
from operant.run.log import append_log, read_log
from operant.run.schemas import NUMBER

ROOM = "operant.recipes."
ROW: dict[str, tuple[type, ...]] = {
    "arm": (str,), "seed": (int,), "spec": (str,), "metrics": (dict,), "seconds": NUMBER
}  # fmt: skip
FORM = (f"{ROOM}claims", f"{ROOM}recipe")
"""What every recipe is written in: it says nothing about how one runs."""


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
        ConfigError: if there is no such recipe or arm, it has not so many seeds, takes no model, or a kept row is none.
        DiskError: if the disk refuses.
    """
    its = recipe(name)
    if unknown := [arm for arm in arms if arm not in its.arms]:
        known = ", ".join(its.arms)
        raise ConfigError(f"{its.name} has no arm {unknown[0]}{nearest_are(unknown[0], its.arms)}. It has {known}")
    if seeds is not None and not 1 <= seeds <= len(its.seeds):
        raise ConfigError(f"{its.name} has the seeds {', '.join(map(str, its.seeds))}, not {seeds} of them")
    if model is not None and not its.takes_model:
        raise ConfigError(f"{its.name} takes no model: leave out --model")
    spec = spec_of(its, miniature=miniature, model=model)
    home = Path(runs) / f"recipe-{its.name}{'-miniature' if miniature else ''}"
    with writing(home, 0):
        home.mkdir(parents=True, exist_ok=True)
    kept = home / "rows.jsonl"
    rows = [row for row in read_log(kept, ROW) if row["spec"] == spec]
    there = {(row["arm"], row["seed"]) for row in rows}
    for seed in its.seeds[:seeds]:
        for arm in (a for a in its.arms if a in arms or not arms):
            if (arm, seed) in there:
                continue
            trial = Trial(arm=arm, seed=seed, folder=home / f"{arm}-s{seed}", miniature=miniature, model=model, say=say)
            rows.append(_row(its, trial, spec))
            append_log(kept, rows[-1])
            say(f"{its.name}, {arm}, seed {seed}: {told(rows[-1]['metrics'])} ({rows[-1]['seconds']:.1f} s)")
    verdicts = [claim.verdict(rows, its.seeds) for claim in its.claims]
    result = Result(recipe=its, spec=spec, rows=rows, verdicts=verdicts, folder=home)
    write_json(home / "result.json", result.plain())
    return result


def spec_of(its: Recipe, *, miniature: bool = False, model: str | None = None) -> str:
    """A hash of all that a row depends on but the library: the recipe's own text and what it shares with other recipes,
    its size and its model."""
    text = "".join(inspect.getsource(sys.modules[name]) for name in _texts(its.trial.__module__))
    return hashlib.sha256(json.dumps([text, miniature, model]).encode()).hexdigest()[:12]


def _texts(module: str) -> list[str]:
    """A recipe's module, and those of this room that it takes settings and parts from, but for the form of recipes."""
    found = [module]
    for name in found:
        parts = {str(getattr(part, "__module__", "")) for part in vars(sys.modules[name]).values()}
        found += sorted(p for p in parts if p.startswith(ROOM) and p not in (*FORM, *found))
    return found


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
