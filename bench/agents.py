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
from collections.abc import Callable
from typing import Any

from _interleave import quiet, say
from _scripts import rate
from operant.agents.desk.world import make


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
        asyncio.run(rate(world, played, args.flight, 0.5))  # warm
        rates = [asyncio.run(rate(world, played, args.flight, args.seconds)) for _ in range(args.rounds)]
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
