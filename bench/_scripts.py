"""Episodes of worlds of many turns that are played by their scripts, so many at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

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


async def rate(world: World, played: Sequence[tuple[Scenario, Sequence[str]]], flight: int, seconds: float) -> float:
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
