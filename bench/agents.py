"""Agents of many turns: episodes a second of the desk with a scripted agent.

A scripted agent plays each task's own solution through the contract of worlds (`reset`, `step`, `close`), `--flight`
episodes at a time on one event loop, so that what is measured is the world: the database of each episode, its process
in the sandbox, its calls and its judgement. Scenarios are drawn before the clock runs, as those of a group are drawn
once; what drawing one costs, its proof by the solution included, is a figure of its own.

Prints one JSON line a case; `--only` takes some of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from _interleave import quiet, say
from operant.agents.desk.world import make
from operant.language.episodes.world import Scenario, World


async def _episode(world: World, scenario: Scenario, actions: Sequence[str]) -> float:
    """One episode by its script; returns the sum of its rewards."""
    session = world.open(scenario)
    try:
        observation = await session.reset()
        total = observation.reward
        for action in actions:
            observation = await session.step(action)
            total += observation.reward
        return total
    finally:
        await session.close()


async def _rate(world: World, played: Sequence[tuple[Scenario, Sequence[str]]], flight: int, seconds: float) -> float:
    """Episodes a second; raises SystemExit if one is not solved."""
    done, number, deadline = 0, 0, time.perf_counter() + seconds

    async def play() -> None:
        nonlocal done, number
        while time.perf_counter() < deadline:
            scenario, actions = played[number % len(played)]
            number += 1
            if await _episode(world, scenario, actions) != 1.0:
                raise SystemExit(f"{world.name}: the solution of scenario {scenario.id} ({scenario.template}) fails")
            done += 1

    start = time.perf_counter()
    await asyncio.gather(*(play() for _ in range(flight)))
    return done / (time.perf_counter() - start)


def desk(variant: str, args: argparse.Namespace) -> dict[str, Any]:
    """Episodes a second of the desk, over all templates of a split."""
    world = make(variant)
    try:
        found = world.scenarios("train")
        size = min(len(found), 300)
        found[0]  # the sandbox starts
        start = time.perf_counter()
        scenarios = [found[i] for i in range(1, size)]
        drawn = (size - 1) / (time.perf_counter() - start)
        played = [(scenario, world.oracle(scenario)) for scenario in scenarios]
        turns = sum(len(actions) for _, actions in played) / len(played)
        asyncio.run(_rate(world, played, args.flight, 0.5))  # warm
        rates = [asyncio.run(_rate(world, played, args.flight, args.seconds)) for _ in range(args.rounds)]
    finally:
        world.close()
    return {"episodes_per_s": statistics.median(rates), "rounds": rates, "turns": turns, "drawn_per_s": drawn}


CASES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "desk": lambda args: desk("", args),
    "desk/tiny": lambda args: desk("tiny", args),
    "desk/calls": lambda args: desk("calls", args),
    "desk/tiny/calls": lambda args: desk("tiny/calls", args),
}


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--flight", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    quiet()
    for name in args.only:
        found = CASES[name](args)
        say(f"  {name}: {found['episodes_per_s']:,.0f} episodes/s")
        print(json.dumps({"bench": "agents", "case": name, "flight": args.flight} | found))


if __name__ == "__main__":
    main()
