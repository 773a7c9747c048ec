"""Solved models held against each other: what each method needed, and how far their answers lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError
from operant.view import solutions


def compare_solutions(paths: Sequence[Path]) -> dict[str, Any]:
    """A row for each solution, and, for those of one model, how far values and policies lie apart.

    Of each pair of solutions of the same model (name, sizes, criterion, discount and horizon) `apart` is max |v - v'|
    over states; `allowed` is the sum of the radii of both certificates, which it must not exceed; `differ` counts the
    states in which each policy takes an action that the other does not know to be optimal.

    Raises:
        ConfigError: if a folder holds no solution.
    """
    import numpy as np

    records = {str(path): solutions.read(path) for path in paths}
    rows = [_row(path, record.about) for path, record in records.items()]
    pairs: list[dict[str, Any]] = []
    named = list(records.items())
    for index, (one, a) in enumerate(named):
        for other, b in named[index + 1 :]:
            if a.about["model"] != b.about["model"] or a.values.shape != b.values.shape:
                continue
            radius = [_radius(record.about) for record in (a, b)]
            pairs.append(
                {
                    "first": one,
                    "second": other,
                    "apart": float(np.max(np.abs(a.values - b.values), initial=0.0)),
                    "allowed": None if None in radius else sum(r for r in radius if r is not None),
                    "differ": int((~_agree(a, b) & ~_agree(b, a)).sum()),
                }
            )
    return {"solutions": rows, "pairs": pairs}


def are_solutions(paths: Sequence[Path]) -> bool:
    """Whether all folders hold solved models; False if none does.

    Raises:
        ConfigError: if some do and some do not.
    """
    held = [solutions.is_solution(path) for path in paths]
    if any(held) and not all(held):
        solved, trained = paths[held.index(True)], paths[held.index(False)]
        raise ConfigError(
            f"{solved.name} is a solved model and {trained.name} a training run: compare runs with runs, or solutions "
            f"with solutions. A run's report shows what it learnt beside the optimum: operant report {trained}"
        )
    return any(held)


def _row(path: str, about: Any) -> dict[str, Any]:
    model, known = about["model"], about["certificate"]
    return {
        "path": path,
        "model": model["name"],
        "states": model["states"],
        "criterion": model["criterion"],
        "discount": model["discount"],
        "method": about["method"],
        "start_value": about.get("start_value"),
        "radius": known["radius"],
        "policy_loss": known["policy_loss"],
        "iterations": about["iterations"],
        "seconds": about["seconds"],
    }


def _radius(about: Any) -> float | None:
    radius = about["certificate"]["radius"]
    return radius if isinstance(radius, int | float) else None


def _agree(a: solutions.Record, b: solutions.Record) -> Any:
    """Whether the action that `a` takes is among those that `b` knows to be optimal, [S]."""
    import numpy as np

    if b.optimal is None:
        return (a.policy == b.policy) | (a.policy < 0)
    states = np.arange(len(a.policy))
    return (a.policy < 0) | b.optimal[states, np.maximum(a.policy, 0)]
