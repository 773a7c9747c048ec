"""Agents in a browser: episodes a second, steps a second of a context, and memory of eight contexts.

Scripts that know what to do play seven tasks of MiniWoB++ through the contract of worlds (`reset`, `step`, `close`),
`--flight` episodes at a time. Memory is the proportional share (PSS) of the browser's processes. `--case sites` times
how our own sites are reset: their database alone, an episode without a browser, and one in a context that is there.

Prints one JSON line a case.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

from _interleave import quiet, say
from _processes import named
from _scripts import rate
from operant.language import load_world
from operant.language.episodes.world import Scenario

IDLE = "```scroll [down]```"


def memory() -> float:
    """MB of the browser's processes: those whose command is the browser and whose ancestor this process is."""
    rollups = [(folder / "smaps_rollup").read_text() for folder, _ in named(b"chrom")]
    return sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:")) / 1e3


async def _steps(world: Any, scenario: Scenario, seconds: float) -> float:
    """Steps a second of one context."""
    session, count = world.open(scenario), 0
    await session.reset()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        await session.step(IDLE)
        count += 1
    taken = time.perf_counter() - start
    await session.close()
    return count / taken


async def _resets(world: Any, scenarios: Sequence[Scenario]) -> list[float]:
    """Milliseconds of each reset of a session."""
    taken: list[float] = []
    for scenario in scenarios:
        session = world.open(scenario)
        start = time.perf_counter()
        await session.reset()
        taken.append(1e3 * (time.perf_counter() - start))
        await session.close()
    return taken


def sites(rounds: int) -> None:
    """Resets of the three sites, and steps a second without a browser."""
    from operant.agents.store import Store
    from operant.agents.web.sites.database import NOW
    from operant.agents.web.sites.server import Harbour

    plain: Any = load_world("web", {"engine": "plain", "turns": 1_000_000})
    scenarios = [plain.scenarios("train")[k] for k in range(0, 300, 6)]
    taken: list[float] = []
    for case in [plain.of_scenario(scenario) for scenario in scenarios] * rounds:
        start = time.perf_counter()
        Harbour(Store(case.snapshot, NOW)).close()
        taken.append(1e3 * (time.perf_counter() - start))
    real = load_world("web")
    for scenario in scenarios:  # its cases, drawn before the clock runs
        real.open(scenario)
    asyncio.run(_resets(real, scenarios[:3]))  # warm: a context is made
    found = {
        "database_ms": statistics.median(taken), "database_worst_ms": max(taken),
        "plain_ms": statistics.median(asyncio.run(_resets(plain, scenarios * rounds))),
        "chromium_ms": statistics.median(asyncio.run(_resets(real, scenarios * rounds))),
        "plain_steps_per_s": asyncio.run(_steps(plain, scenarios[0], float(rounds))),
    }  # fmt: skip
    say(f"  sites: a database in {found['database_ms']:.2f} ms, an episode in {found['plain_ms']:.1f} ms")
    say(f"  {found['chromium_ms']:.1f} ms in a browser; {found['plain_steps_per_s']:,.0f} steps/s without one")
    print(json.dumps({"bench": "web", "case": "sites", "templates": len(plain.templates)} | found))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flight", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=["miniwob", "sites"], default="miniwob")
    args = parser.parse_args()
    quiet()
    if args.case == "sites":
        return sites(args.rounds)
    world: Any = load_world("miniwob/scripted", {"train": 4, "turns": 1000})
    played = [(scenario, list(world.oracle(scenario))) for scenario in world.scenarios("train")]
    asyncio.run(rate(world, played, args.flight, 1.0))  # warm: contexts are made
    rates = [asyncio.run(rate(world, played, args.flight, args.seconds)) for _ in range(args.rounds)]
    steps = [asyncio.run(_steps(world, played[0][0], args.seconds)) for _ in range(args.rounds)]
    contexts = sum(map(len, world.idle.values()))
    found = {"episodes_per_s": statistics.median(rates), "steps_per_s": statistics.median(steps),
             "memory_mb": memory(), "contexts": contexts, "rounds": rates}  # fmt: skip
    say(f"  miniwob: {found['episodes_per_s']:,.0f} episodes/s, {found['steps_per_s']:,.0f} steps/s of a context")
    print(json.dumps({"bench": "web", "case": "miniwob", "flight": args.flight} | found))


if __name__ == "__main__":
    main()
