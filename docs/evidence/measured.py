"""What evidence of learning is made of: cases, their rows, and the table that a person reads.

A script beside this one names its cases and calls `main`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODE = "mean return of 100 episodes of the policy's mode after training, on seeds not trained on"
RECENT = 100
"""Episodes whose mean return in training must be at a threshold for it to count as reached."""


@dataclass(frozen=True)
class Case:
    """One claim: an algorithm, an environment, a budget of steps, a bar."""

    name: str
    algorithm: str
    env: str
    total_steps: int
    bar: float | None
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)  # presets were tuned on seeds from 101 on
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    protocol: str = MODE
    published: str = ""
    threshold: float | None = None  # of the return in training; when it was reached is kept


class Reached:
    """When the mean return of the last episodes of training came to a threshold.

    Attributes:
        step: the environment steps that were done then; None before.
    """

    def __init__(self, threshold: float | None) -> None:
        self.threshold, self.step = threshold, None
        self._rows: deque[tuple[float, float]] = deque()
        self._episodes = 0.0

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Look at a row of metrics."""
        mean, total = float(row.get("train/return", float("nan"))), float(row.get("train/episodes", 0.0))
        if self.threshold is None or self.step is not None or not isfinite(mean):
            return
        self._rows.append((total - self._episodes, mean))
        self._episodes = total
        while len(self._rows) > 1 and sum(n for n, _ in self._rows) - self._rows[0][0] >= RECENT:
            self._rows.popleft()
        count = sum(n for n, _ in self._rows)
        if count >= RECENT and sum(n * m for n, m in self._rows) / count >= self.threshold:
            self.step = int(row["step"])


After = Callable[[Any, Case], dict[str, float]]
"""What else is measured of a run: columns of its row."""


def measure(case: Case, seed: int, runs: str, after: After | None = None) -> dict[str, Any]:
    """Train one seed; returns its score, speed and protocol."""
    import operant

    quiet = {"save.videos": False, "save.report": False, "quiet": True}
    reached = Reached(case.threshold)
    run = operant.train(
        case.algorithm, case.env, seed=seed, total_steps=case.total_steps, runs=runs, on_metrics=reached,
        **case.settings, **quiet,
    )  # fmt: skip
    info = run.folder.info()
    told = tomllib.loads((run.path / "config.toml").read_text())
    return {
        "case": case.name,
        "seed": seed,
        "spec": spec_hash(told),
        "score": info["evaluation"]["mean"],
        "steps": info["steps"],
        "seconds": sum(info["phases"].values()),
        **({} if case.threshold is None else {"reached": reached.step}),
        **({} if after is None else after(run, case)),
        "protocol": asdict(case) | {"seeds": list(case.seeds)},
        "host": info.get("host"),
        "packages": info.get("packages"),
        "git": _tree(info.get("git")),
    }


def _tree(git: Any) -> Any:
    """The commit of a row; the rows themselves, which change the tree as they come, do not make it another."""
    if not isinstance(git, dict):
        return git
    changed = subprocess.run(["git", "status", "--porcelain", "--", "src"], cwd=HERE, capture_output=True, text=True)
    return git | {"dirty": bool(changed.stdout.strip())}


def spec_hash(settings: Mapping[str, Any]) -> str:
    """Of every setting of a run but its seed: rows with equal ones were made alike, wherever the checkout lies."""
    alike = json.loads(json.dumps({k: v for k, v in settings.items() if k != "seed"}).replace(f"{Path.cwd()}/", ""))
    return hashlib.sha256(json.dumps(alike, sort_keys=True).encode()).hexdigest()[:12]


def table(title: str, script: str, cases: Mapping[str, Case], rows: list[dict[str, Any]]) -> str:
    """The page that a person reads."""
    from operant.data.stats import bootstrap_ci, iqm

    lines = [
        f"# {title}",
        "",
        f"Made by `python docs/evidence/{script}.py`; every number with its protocol is in `{script}.jsonl`. IQM is",
        "the interquartile mean over seeds, with a 95 % bootstrap interval over seeds. The presets are those that",
        "`operant train ALGORITHM ENV` uses.",
        "",
        "| case | steps | seeds | IQM [95 %] | worst seed | bar | published | steps/s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for case in cases.values():
        mine = [r for r in rows if r["case"] == case.name and r["seed"] in case.seeds]
        scores = [r["score"] for r in mine]
        bar = "" if case.bar is None else f"≥ {case.bar:g}"
        measured = ["not yet run", "", ""]
        if len(scores) == len(case.seeds):
            low, high = bootstrap_ci(scores)
            speed = sum(r["steps"] for r in mine) / sum(r["seconds"] for r in mine)
            digits = 2 if max(map(abs, scores)) < 10 else 1
            said = f"{iqm(scores):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
            measured = [said, f"{min(scores):.{digits}f}", f"{speed:,.0f}"]
        lines.append(
            f"| {case.name} | {case.total_steps:,} | {len(case.seeds)} | {measured[0]} | {measured[1]} | {bar} "
            f"| {case.published} | {measured[2]} |"
        )
    lines += ["", f"Protocol: {MODE}.", *_thresholds(cases, rows)]
    return "\n".join([*lines, ""])


def _thresholds(cases: Mapping[str, Case], rows: list[dict[str, Any]]) -> list[str]:
    """The steps after which a threshold was reached, seed by seed."""
    lines: list[str] = []
    for case in (case for case in cases.values() if case.threshold is not None):
        mine = sorted((r for r in rows if r["case"] == case.name and r["seed"] in case.seeds), key=lambda r: r["seed"])
        if len(mine) == len(case.seeds):
            steps = ", ".join("never" if r["reached"] is None else f"{r['reached']:,}" for r in mine)
            lines.append(f"| {case.name} | {case.threshold:g} | {steps} |")
    if not lines:
        return []
    said = f"Steps until the mean return of the last {RECENT} episodes of training was at a threshold, by seed:"
    return ["", said, "", "| case | threshold | steps |", "|---|--:|---|", *lines]


def stands(row: Mapping[str, Any], cases: Mapping[str, Case]) -> bool:
    """Whether a row was measured as its case is now: one of other settings or steps is no evidence for it."""
    case, asked = cases.get(row["case"]), row["protocol"]
    now: dict[str, Any] = {} if case is None else json.loads(json.dumps(asdict(case)))
    return case is not None and all(asked[k] == now[k] for k in ("algorithm", "env", "total_steps", "settings"))


def main(
    script: str, title: str, cases: Mapping[str, Case], *, after: After | None = None,
    more: Callable[[list[dict[str, Any]]], list[str]] | None = None,
) -> None:  # fmt: skip
    """Measure what is missing of the cases that the command line names, write each row, then the table.

    Args:
        script: what the file is called, and its page.
        title: of the page.
        cases: by name.
        after: what else is measured of each run.
        more: lines of the page behind the table, from all rows.
    """
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", nargs="+", choices=list(cases), default=list(cases), help="only these")
    parser.add_argument("--runs", help="keep the run folders here")
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    args = parser.parse_args()
    file, page = HERE / f"{script}.jsonl", HERE / f"{script}.md"
    there = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    rows = [row for row in there if stands(row, cases)]

    def write() -> None:
        page.write_text(table(title, script, cases, rows) + "\n".join([*(more(rows) if more else ()), ""]))

    if args.again:
        rows = [r for r in rows if r["case"] not in args.case]
    if len(rows) < len(there):
        file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.case:
            for seed in cases[name].seeds:
                if (name, seed) in {(r["case"], r["seed"]) for r in rows}:
                    continue
                row = measure(cases[name], seed, args.runs or temporary, after)
                with file.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                rows = [json.loads(line) for line in file.read_text().splitlines()]  # another may have written
                print(f"{name}, seed {seed}: {row['score']:.2f}", flush=True)
                write()
    write()
