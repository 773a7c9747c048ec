"""Measure what is learnt from fixed data: every case, every seed; each row is kept as soon as it is there.

    python docs/evidence/offline_data.py        # once: makes the data sets
    python docs/evidence/offline.py [--case NAME ...] [--runs DIR] [--again]

Four methods on two environments and three sets of each, 30,000 gradient steps. Writes docs/evidence/offline.jsonl, a
line for each case and seed with its protocol, and offline.md: the table, the data, and what was claimed before with
whether it holds. What is in the file is not measured again; `--again` begins anew. Scores are of the last policy, not
of the best.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from measured import Case, main

HERE = Path(__file__).resolve().parent
DATA = Path(".offline-data")
"""Where the sets lie in the checkout: a machine's own paths are no part of a protocol."""
SHORT = {"InvertedDoublePendulum-v5": "pendulum", "Hopper-v5": "hopper"}
SETS = ("medium", "replay", "expert")
ALIKE: dict[str, Any] = {"policy.hidden": (128, 128), "policy.activation": "relu", "policy.normalize_obs": True}
METHODS: dict[str, dict[str, Any]] = {
    "bc": {"algo.batch": 256},
    "td3-bc": {},
    "iql": {},
    "cql": {"algo.samples": 4, "algo.batch": 128, "algo.lr": 3e-4},
}
"""Settings beside the defaults, which are the papers'; CQL's batch and samples are smaller, for the time they take."""
STEPS, SEEDS, GAMMA = 30_000, (1, 2, 3), 0.99
CASES = {
    case.name: case
    for env, short in SHORT.items()
    for kind in SETS
    for method, its in METHODS.items()
    for case in [
        Case(
            f"{method}-{short}-{kind}", method, env, STEPS, None, SEEDS,
            ALIKE | its | {"data.path": str(DATA / f"{env}-{kind}")},
        )
    ]
}  # fmt: skip
"""By name."""


def promised(run: Any, case: Case) -> dict[str, float]:
    """What the critics say of the first observations of 20 episodes, and the discounted returns that follow."""
    if case.algorithm == "bc":
        return {}
    env, says, does = gymnasium.make(case.env), list[float](), list[float]()
    for k in range(20):
        obs, _ = env.reset(seed=5_000 + k)
        says.append(float(run.value(obs)))
        total, power, over = 0.0, 1.0, False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(run.policy.act(obs))
            total, power, over = total + power * float(reward), GAMMA * power, terminated or truncated
        does.append(total)
    return {"promised": float(np.mean(says)), "discounted": float(np.mean(does))}


def page(rows: list[dict[str, Any]]) -> list[str]:
    """The data, normalised scores, and the claims."""
    about = json.loads((HERE / "offline_data.json").read_text()) if (HERE / "offline_data.json").exists() else {}
    return ["", *_data(about), "", *_normalised(about, rows), "", *_claims(about, rows)]


def _data(about: dict[str, Any]) -> list[str]:
    lines = ["## The data", "", "| set | episodes | steps | mean return | its best episode |", "|---|--:|--:|--:|--:|"]
    for env, its in about.items():
        for kind in SETS:
            s = its[f"{kind}_set"]
            lines.append(
                f"| {SHORT[env]}-{kind} | {s['episodes']:,} | {s['steps']:,} | {s['mean']:.1f} | {s['best']:.1f} |"
            )
    said = [
        f"{SHORT[e]}: expert {i['expert']:.1f}, medium {i['medium']:.1f}, even {i['even']:.1f}"
        for e, i in about.items()
    ]
    return [
        *lines,
        "",
        f"Mean returns of the policies' modes over 100 episodes, and of even actions: {'; '.join(said)}.",
    ]


def score(about: dict[str, Any], rows: list[dict[str, Any]], name: str) -> float | None:
    """The mean over seeds of the normalised score, 0 for even actions, 100 for the expert; None until all are run."""
    case = CASES[name]
    mine = [r["score"] for r in rows if r["case"] == name]
    if len(mine) < len(case.seeds) or case.env not in about:
        return None
    its = about[case.env]
    return 100.0 * (float(np.mean(mine)) - its["even"]) / (its["expert"] - its["even"])


def _normalised(about: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Normalised", "", "Mean over seeds of the last policy's return, 0 for even actions, 100 for the expert.", "",
        "| set | best episode | " + " | ".join(METHODS) + " |", "|---|" + "--:|" * (len(METHODS) + 1),
    ]  # fmt: skip
    for env, short in SHORT.items():
        for kind in SETS if env in about else ():
            its = about[env]
            best = 100.0 * (its[f"{kind}_set"]["best"] - its["even"]) / (its["expert"] - its["even"])
            found = [score(about, rows, f"{method}-{short}-{kind}") for method in METHODS]
            lines.append(
                f"| {short}-{kind} | {best:.0f} | " + " | ".join("–" if x is None else f"{x:.1f}" for x in found) + " |"
            )
    return lines


def _claims(about: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """What was claimed before anything was run, and whether it holds."""
    lines = ["## Claimed before, and found", "", "| claim | found | holds |", "|---|---|---|"]

    def line(claim: str, found: str, holds: bool | None) -> None:
        lines.append(f"| {claim} | {found} | {'not yet run' if holds is None else 'yes' if holds else 'no'} |")

    for short in SHORT.values():
        clone = score(about, rows, f"bc-{short}-medium")
        for method in ("td3-bc", "iql"):
            mine = score(about, rows, f"{method}-{short}-medium")
            run = mine is not None and clone is not None
            line(
                f"{method} ≥ bc on {short}-medium", f"{mine:.1f} and {clone:.1f}" if run else "",
                mine >= clone if run else None,
            )  # fmt: skip
        for method in METHODS:
            mine = score(about, rows, f"{method}-{short}-expert")
            line(
                f"{method} ≥ 90 on {short}-expert",
                "" if mine is None else f"{mine:.1f}",
                None if mine is None else mine >= 90,
            )
        for kind in SETS:
            mine = [r for r in rows if r["case"] == f"cql-{short}-{kind}" and "promised" in r]
            whole = len(mine) == len(SEEDS)
            says, does = (float(np.mean([r[k] for r in mine])) if whole else 0.0 for k in ("promised", "discounted"))
            line(
                f"cql's Q ≤ the true return on {short}-{kind}", f"{says:.1f} and {does:.1f}" if whole else "",
                says <= does if whole else None,
            )  # fmt: skip
    return lines


if __name__ == "__main__":
    os.chdir(HERE.parents[1])
    main("offline", "Learning from fixed data: evidence", CASES, after=promised, more=page)
