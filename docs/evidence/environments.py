"""One page of every measured control method, by environment: `python docs/evidence/environments.py`.

Reads the rows of the other scripts here, measures nothing, and writes docs/evidence/environments.md.
"""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any, NamedTuple

from measured import HERE, MODE

SCRIPTS = ("on_policy", "off_policy", "imitation", "offline", "preferences")
SHORT = {
    "operant.env.memory:cartpole_positions": "CartPole without velocities", "operant.env.memory:t_maze": "T-maze of 20",
    "operant.env.memory:repeat_previous": "RepeatPrevious", "operant.env.reach:point": "Reaching a point",
    "operant.env.imitated:lane": "Driving in a lane", "operant.env.reach_point": "Reaching a point",
}  # fmt: skip


class Measured(NamedTuple):
    """A method in an environment: scores and seconds by seed, and the commands that make them again."""

    case: str
    env: str
    steps: int
    scores: list[float]
    seconds: list[float]
    protocol: str
    published: str
    train: str
    again: str


def command(case: Mapping[str, Any]) -> str:
    """What trains the first seed of a case."""
    flags = [f"--{key} {shlex.quote(_written(value))}" for key, value in case["settings"].items()]
    return " ".join(["operant train", case["algorithm"], case["env"], f"--total-steps {case['total_steps']}", *flags])


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def kept() -> Iterator[Measured]:
    """What stands in the files, case by case, where every seed is there."""
    for row in json.loads((HERE / "ppo.json").read_text()):
        of = row | {"algorithm": "ppo"}
        scores, seconds = ([float(run[key]) for run in row["runs"]] for key in ("score", "seconds"))
        again = f"python docs/evidence/regenerate.py --case {shlex.quote(row['name'])}"
        yield Measured(f"ppo-{row['name']}", row["env"], row["total_steps"], scores, seconds, row["protocol"],
                       row["published"], command(of), again)  # fmt: skip
    for script in SCRIPTS:
        file = HERE / f"{script}.jsonl"
        cases = defaultdict[str, list[dict[str, Any]]](list)
        for line in file.read_text().splitlines() if file.exists() else ():
            row = json.loads(line)
            if row["seed"] in row["protocol"]["seeds"]:
                cases[row["case"]].append(row)
        for name, rows in cases.items():
            of = rows[0]["protocol"]
            if {row["seed"] for row in rows} == {*of["seeds"]}:
                scores, seconds = ([float(row[key]) for row in rows] for key in ("score", "seconds"))
                yield Measured(name, of["env"], of["total_steps"], scores, seconds, of["protocol"], of["published"],
                               command(of), f"python docs/evidence/{script}.py --case {name} --again")  # fmt: skip


def page() -> str:
    """The page, by environment in the order of the alphabet, the best method first."""
    from operant.data.stats import bootstrap_ci, iqm

    by_env = defaultdict[str, list[Measured]](list)
    for one in kept():
        by_env[one.env].append(one)
    lines = [
        "# Every control method by environment", "",
        "Made by `python docs/evidence/environments.py` from the rows of the pages beside it. A number is the",
        "interquartile mean over seeds with a 95 % bootstrap interval over seeds; minutes are those of a run, mean",
        "over seeds, on two cores of which other work took a part. Budgets of steps differ: a row is compared with",
        "another of as many steps. What is not said of settings is as the preset has it; of two commands the first",
        "makes one seed, the second all rows of the case.",
        "",
        f"Protocol, where nothing else is said: {MODE}.", "",
    ]  # fmt: skip
    for env in sorted(by_env, key=lambda name: SHORT.get(name, name).lower()):
        lines += [f"## {SHORT.get(env, env)}", ""]
        lines += [
            "| case | steps | seeds | IQM [95 %] | worst | minutes | published |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
        ranked = sorted(by_env[env], key=lambda one: (-iqm(one.scores), one.steps))
        for one in ranked:
            digits = 2 if max(map(abs, one.scores)) < 10 else 1
            mean, low, high, worst = (
                f"{x:,.{digits}f}" for x in (iqm(one.scores), *bootstrap_ci(one.scores), min(one.scores))
            )
            lines.append(
                f"| {one.case} | {one.steps:,} | {len(one.scores)} | {mean} [{low}, {high}] | {worst} "
                f"| {fmean(one.seconds) / 60:.1f} | {one.published} |"
            )
        others = {one.protocol: one.case for one in ranked if one.protocol != MODE}
        lines += ["", *(f"Protocol of {case}: {protocol}." for protocol, case in others.items()), *[""] * bool(others)]
        lines += ["```text"]
        for one in ranked:
            lines += [f"{one.case}:", f"    {one.train}", f"    {one.again}"]
        lines += ["```", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    (HERE / "environments.md").write_text(page())
