"""Runs held against each other: seed bands, final scores and the probability of improvement."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.errors import ConfigError
from operant.data.improvement import improvement_ci, probability_of_improvement
from operant.data.stats import bootstrap_ci, iqm
from operant.view.bands import Band, band, evaluation_grid, training_grid
from operant.view.members import EVALUATION, TRAIN, Group, Member, group, notes, read_member

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Score:
    """The final evaluations of a group, one number a seed: the mean return over its episodes."""

    values: list[float]
    iqm: float
    interval: tuple[float, float]  # 95 %, NaN where one seed says nothing about spread
    mean: float
    median: float
    std: float  # over seeds, of the population; NaN for one


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A group and what was measured of it; `train`, `evaluation` and `score` are None where there is nothing."""

    group: Group
    train: Band | None
    evaluation: Band | None
    score: Score | None

    @property
    def name(self) -> str:
        """What tells the group from the others of its environment."""
        return self.group.name


@dataclass(frozen=True, kw_only=True)
class World:
    """All groups of one environment, and in which settings they differ."""

    env: str
    groups: list[Compared]
    differences: list[tuple[str, list[str]]]  # key, its value in each group
    window: float  # of the moving average of training, in steps


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """P(first > second) over the runs of both, stratified by environment."""

    first: str
    second: str
    environments: list[str]
    runs: tuple[int, int]
    probability: float
    interval: tuple[float, float]  # 95 %, NaN where a group has a single run

    @property
    def verdict(self) -> str:
        """What the interval allows one to say."""
        low, high = self.interval
        if math.isnan(self.probability):
            return "a score is not finite"
        if math.isnan(low):
            return "a single run: no interval"
        return "the interval excludes one half" if low > 0.5 or high < 0.5 else "not told apart"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that a page, a picture or a program needs."""

    worlds: list[World]
    improvements: list[Improvement]
    notes: list[str]
    repeated: list[Member]

    @property
    def members(self) -> list[Member]:
        """Every run, those not counted last."""
        return [m for world in self.worlds for each in world.groups for m in each.group.members] + self.repeated


def compare(paths: Sequence[Path]) -> Comparison:
    """Compare run folders; a folder named twice counts once.

    Raises:
        ConfigError: if there is none, or a path is no run folder.
        OperantError: if a file of a run cannot be read; names it.
    """
    unique = list({path.resolve(): path for path in paths}.values())
    if not unique:
        raise ConfigError("nothing to compare: name at least one run. See `operant list runs`.")
    grouped = group([read_member(path) for path in unique])
    worlds = [_world(env, groups, grouped.differences[env]) for env, groups in grouped.groups.items()]
    return Comparison(
        worlds=worlds, improvements=_improvements(worlds), notes=notes(grouped), repeated=grouped.repeated
    )


def score(values: Sequence[float]) -> Score:
    """Aggregate one number a seed. The interval is that of rliable for one task: a percentile bootstrap over runs."""
    import numpy as np

    table = np.asarray(values, dtype=np.float64)
    finite = bool(np.isfinite(table).all())
    return Score(
        values=[float(value) for value in table],
        iqm=iqm(table),
        interval=bootstrap_ci(table),
        mean=float(table.mean()) if finite else math.nan,
        median=float(np.median(table)) if finite else math.nan,
        std=float(table.std()) if finite and len(table) > 1 else math.nan,
    )


def _world(env: str, groups: Sequence[Group], differences: list[tuple[str, list[str]]]) -> World:
    train = [member.columns[TRAIN] for each in groups for member in each.members if TRAIN in member.columns]
    tests = [member.columns[EVALUATION] for each in groups for member in each.members if EVALUATION in member.columns]
    grid, window = training_grid(train) if train else (None, 0.0)
    compared = [
        Compared(
            group=each,
            train=_band(each, TRAIN, grid, window),
            evaluation=_band(each, EVALUATION, evaluation_grid(tests) if tests else None, 0.0),
            score=score(each.scores) if each.scores else None,
        )
        for each in groups
    ]
    return World(env=env, groups=compared, differences=differences, window=window)


def _band(each: Group, metric: str, grid: NDArray[np.float64] | None, window: float) -> Band | None:
    columns = [member.columns[metric] for member in each.members if metric in member.columns]
    return band(columns, grid, window) if columns and grid is not None else None


def _improvements(worlds: Sequence[World]) -> list[Improvement]:
    """Every pair of methods that were scored in a common environment; where in several, over all and in each."""
    scores: dict[tuple[str, ...], dict[str, list[float]]] = {}
    names: dict[tuple[str, ...], str] = {}
    for world in worlds:
        for each in world.groups:
            if each.score is not None:
                scores.setdefault(each.group.method, {})[world.env] = each.score.values
                names.setdefault(each.group.method, each.name)
    improvements: list[Improvement] = []
    for one, other in combinations(scores, 2):
        shared = [env for env in scores[one] if env in scores[other]]
        for envs in ([shared] if shared else []) + ([[env] for env in shared] if len(shared) > 1 else []):
            x, y = ([scores[method][env] for env in envs] for method in (one, other))
            improvements.append(_improvement(names[one], names[other], envs, x, y))
    return improvements


def _improvement(one: str, other: str, envs: list[str], x: list[list[float]], y: list[list[float]]) -> Improvement:
    """The pair, the better one first."""
    probability = probability_of_improvement(x, y)
    if probability < 0.5:
        return _improvement(other, one, envs, y, x)
    runs = (sum(map(len, x)), sum(map(len, y)))
    return Improvement(
        first=one, second=other, environments=envs, runs=runs, probability=probability, interval=improvement_ci(x, y)
    )


def numbers(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values, for `json_text`."""
    return {
        "environments": [
            {
                "env": world.env,
                "differences": {
                    key: dict(zip((g.name for g in world.groups), values, strict=True))
                    for key, values in world.differences
                },
                "groups": [_group_numbers(each) for each in world.groups],
            }
            for world in comparison.worlds
        ],
        "improvement": [
            {
                "first": each.first,
                "second": each.second,
                "environments": each.environments,
                "runs": list(each.runs),
                "probability": each.probability,
                "interval": [*each.interval],
            }
            for each in comparison.improvements
        ],
        "not_counted": [str(member.path) for member in comparison.repeated],
        "notes": comparison.notes,
    }


def _group_numbers(each: Compared) -> dict[str, Any]:
    final = each.score
    runs = [
        {
            "path": str(member.path),
            "seed": member.seed,
            "status": member.status,
            "steps": member.steps,
            "score": member.score,
        }
        for member in each.group.members
    ]
    result: dict[str, Any] = {"name": each.name, "runs": runs, "scored": len(each.group.scored), "final": None}
    if final is not None:
        result["final"] = {key: getattr(final, key) for key in ("iqm", "mean", "median", "std")} | {
            "interval": [*final.interval],
            "values": [*final.values],
        }
    for key, curve in (("train", each.train), ("evaluation", each.evaluation)):
        result[key] = None if curve is None else _curve_numbers(curve)
    return result


def _curve_numbers(curve: Band) -> dict[str, Any]:
    columns: dict[str, Callable[[], list[Any]]] = {
        "step": curve.grid.tolist,
        "iqm": curve.middle.tolist,
        "low": curve.low.tolist,
        "high": curve.high.tolist,
        "n": curve.alive.sum(axis=0).tolist,
    }
    return {name: read() for name, read in columns.items()}
