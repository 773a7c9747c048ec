"""One page of every measured speed, ours beside the peer's: `python docs/evidence/speeds.py`.

Reads the rows that the benches of `bench/` have printed, measures nothing, and writes docs/evidence/speeds.md: a table
a bench with the command that prints it again, and how cost grows, with the power that fits each line.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from measured import HERE

Row = Mapping[str, Any]
GROWS = re.compile(r"growth-(?:(.*)-)?(\d+)$")


class Speed(NamedTuple):
    """What was measured: ours, a peer's where there is one, what was asked for."""

    case: str
    ours: float
    unit: str
    peer: float | None = None
    name: str = ""
    goal: str = ""
    load: float | None = None


class Bench(NamedTuple):
    """A file of rows, and what prints them."""

    title: str
    command: str
    file: str


BENCHES = (
    Bench("On-policy control", "python bench/on_policy.py", "on_policy_speed"),
    Bench("Off-policy control", "python bench/off_policy.py", "off_policy_speed"),
    Bench("What a replay costs", "python bench/replay.py", "replay_speed"),
    Bench("Learning from data", "python bench/offline.py", "offline_speed"),
    Bench("Grids", "python bench/grids.py", "grids_speed"),
    Bench("MinAtar", "python bench/minatar_games.py", "minatar_speed"),
    Bench("Games and robots", "python bench/games_robots.py", "games_robots_speed"),
    Bench("Models that see", "python bench/vision.py", "vision_speed"),
    Bench("Agents", "python bench/agents.py, bench/agents_engine.py", "agents_speed"),
    Bench("The web", "python bench/web.py", "web_speed"),
)
LAWS = {
    "envs": ("copies of CartPole-v1, PPO", "With one copy the loop pays for the network alone, as nothing else is left "
             "to share: copies win little, where a peer's cost for each call is shared by all of them."),
    "width": ("units of both hidden layers, PPO on CartPole-v1", "A product costs the square of the width; what does "
              "not grow with it (environment, advantages, Adam's call) hides that below 64 units. Where the update "
              "is autograd's, the same that the peer has, the ratio goes to 1: at 256, as a layer was by hand up to "
              "2^15 weights when this was measured; it is up to 2^16 now."),
    "": ("transitions in a replay, drawn evenly in batches of 256", "A draw is a cache miss a row: the power is that "
         "of the memory's latency as the store leaves the levels of the cache, not of the number of rows."),
    "priority": ("transitions in a replay, drawn by priority in batches of 256", "A walk down a tree of wide fan-out, "
                 "whose depth is the logarithm of the rows, before the same misses. The peer's figures are of even "
                 "draws, as it has no priorities."),
}  # fmt: skip
"""What grows, and why the line is as it is."""


def speeds(row: Row) -> Iterator[Speed]:
    """What a row says, in the forms that the benches print."""
    case, load = str(row["case"]), row.get("load")
    case += "".join(f", {row[key]}" for key in ("game", "env") if key in row)
    case += "".join(f", {row[key]} {key}" for key in ("games", "leaves", "copies") if key in row)
    if "ours" in row:
        peer, ours = row.get("peer"), float(row["ours"])
        unit = row.get("unit") or {"search": "simulations/s"}.get(str(row["case"]), "steps/s")
        name = " ".join(str(row[key]) for key in ("peer_name", "peer_version") if row.get(key)) or "Gymnasium"
        goal = "" if row.get("goal") is None else f"≥ {row['goal']:g} ×"
        yield Speed(case, ours, unit, peer if peer is None else float(peer), name if peer else "", goal, load)
    elif "in flight" in row:
        yield Speed(case, row["in flight"], "tokens/s", row["lock-step"], "the same, in lock-step", "≥ 1.5 ×", load)
    else:
        for key, unit in UNITS.items():
            if key in row:
                yield Speed(f"{case}: {unit[1]}", float(row[key]), unit[0], goal=unit[2], load=load)


UNITS = {
    "episodes_per_s": ("episodes/s", "episodes", ""), "steps_per_s": ("steps/s", "steps of a context", "≥ 60"),
    "steps_per_second": ("steps/s", "steps", ""), "database_ms": ("ms", "reset of the database", "≤ 10"),
    "plain_ms": ("ms", "reset with the plain engine", "≤ 10"),
    "chromium_ms": ("ms", "reset with Chromium", "≤ 10"), "seconds_a_position": ("s", "seconds a position", ""),
}  # fmt: skip
"""Of rows without a peer: a figure's name, its unit, what it is of, and what was asked for."""


def rows_of(bench: Bench) -> list[Row]:
    """Its rows, the last of each kind."""
    file = HERE / f"{bench.file}.jsonl"
    found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    told = ("case", "game", "games", "leaves", "env", "copies", "peer_name")
    return [*{tuple(str(row.get(key)) for key in told): row for row in found}.values()]


def table(rows: list[Row]) -> list[str]:
    """The lines of one bench."""
    lines = ["| case | ours | unit | peer | its figure | ratio | asked for |", "|---|--:|---|---|--:|--:|--:|"]
    for row in rows:
        for s in speeds(row):
            ratio, theirs = ("", "") if s.peer is None else (f"{s.ours / s.peer:.2f}", _figure(s.peer))
            lines.append(f"| {s.case} | {_figure(s.ours)} | {s.unit} | {s.name} | {theirs} | {ratio} | {s.goal} |")
    return lines


def _figure(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def power(points: Mapping[float, float]) -> float:
    """p of the least-squares line log y = p log x + c.

    Raises:
        ValueError: if there are fewer than two points.
    """
    if len(points) < 2:
        raise ValueError("a power is fitted to two points or more")
    return float(np.polyfit(np.log([*points]), np.log([*points.values()]), 1)[0])


def growth(rows: list[Row]) -> list[str]:
    """How figures go with what grows: each line with its powers, whole and at its end."""
    lines: list[str] = []
    groups = defaultdict[str, dict[float, tuple[float, float]]](dict)
    for row in rows:
        if found := GROWS.fullmatch(str(row["case"])):
            groups[found[1] or ""][float(found[2])] = float(row["ours"]), float(row["peer"])
    for name, points in groups.items():
        what, why = LAWS[name]
        ours, theirs = ({n: both[k] for n, both in sorted(points.items())} for k in (0, 1))
        lines += [f"### By {what}", "", "| | " + " | ".join(f"{n:,.0f}" for n in ours) + " | power | at the end |",
                  "|---|" + "--:|" * (len(ours) + 2)]  # fmt: skip
        for who, its in (("ours", ours), ("peer", theirs)):
            end = power(dict([*its.items()][-2:]))
            said = " | ".join(_figure(y) for y in its.values())
            lines.append(f"| {who} | {said} | {power(its):+.2f} | {end:+.2f} |")
        lines += ["", why, ""]
    return lines


def page() -> str:
    """The page."""
    lines = [
        "# Every speed beside its peer", "",
        "Made by `python docs/evidence/speeds.py` from rows that the benches printed; each bench runs both sides in",
        "turn, on the same work, and refuses a load above 0.5. Figures of different rows may be of different",
        "machines; a ratio is of one. Versions, rounds, loads and returns stand in the rows beside this page. Where a",
        "row was measured again the later one counts.", "",
    ]  # fmt: skip
    grown: list[Row] = []
    for bench in BENCHES:
        rows = rows_of(bench)
        grown += [row for row in rows if GROWS.fullmatch(str(row["case"]))]
        plain = [row for row in rows if not GROWS.fullmatch(str(row["case"]))]
        lines += [f"## {bench.title}", "", f"`{bench.command}`", "", *table(plain), ""]
    said = "Figures a second; a power of 0 is a cost that stays, -1 one that grows in step, -2 one that grows squared."
    lines += ["## How cost grows", "", said, "", *growth(grown)]
    return "\n".join(lines)


if __name__ == "__main__":
    (HERE / "speeds.md").write_text(page())
