"""Worlds of two turns for tests: one that adds, with delays, faults and templates as asked for."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from operant.language.episodes.world import Observation, Scenario


class Sum:
    """Ask for a sum with `add A B`, then say it: `say S`. Its sum is only in the answer to the first.

    Args:
        delay: seconds that a call takes, given a generator of its own; it then waits on the loop of its thread.
        breaks: whether a call of an episode's attempt breaks, given the scenario's id, the attempt and the call.
        digits: the largest number is below 10 to this.
    """

    name, splits = "sum", ("train", "test")

    def __init__(
        self,
        *,
        delay: Callable[[random.Random], float] | None = None,
        breaks: Callable[[int, int, int], bool] = lambda scenario, attempt, call: False,
        digits: int = 1,
        system: str = "",
        turns: int = 4,
    ) -> None:
        self.turns = turns
        self.fault: type[Exception] = OSError
        self.delay, self.breaks, self.most, self.system = delay, breaks, 10**digits, system
        self.attempts: Counter[int] = Counter()
        self.open_now = self.closed = 0

    def scenarios(self, split: str) -> Sequence[Scenario]:
        """Forty of each."""
        first = 0 if split == "train" else 1_000
        return [self._scenario(first + i) for i in range(40)]

    def _scenario(self, seed: int) -> Scenario:
        a, b = self.numbers(seed)
        kind = "carry" if a + b >= self.most else "plain"
        return Scenario(id=seed, template=kind, seed=seed, instruction=f"{a}+{b}?")

    def numbers(self, seed: int) -> tuple[int, int]:
        """The two that are to be added."""
        rng = random.Random(seed)
        return rng.randrange(self.most), rng.randrange(self.most)

    def open(self, scenario: Scenario) -> Any:
        """A session."""
        self.attempts[scenario.id] += 1
        self.open_now += 1
        return _Adding(self, scenario, self.attempts[scenario.id])

    def oracle(self, scenario: Scenario) -> Sequence[str]:
        """What solves it."""
        a, b = self.numbers(scenario.seed)
        return [f"add {a} {b}", f"say {a + b}"]


class _Adding:
    def __init__(self, world: Sum, scenario: Scenario, attempt: int) -> None:
        self.world, self.scenario, self.attempt = world, scenario, attempt
        self.rng, self.calls, self.asked = random.Random(scenario.id), 0, ""

    async def _pass(self) -> None:
        if self.world.delay is not None:
            await asyncio.sleep(self.world.delay(self.rng))
        self.calls += 1
        if self.world.breaks(self.scenario.id, self.attempt, self.calls):
            raise self.world.fault("the world broke")

    async def reset(self) -> Observation:
        await self._pass()
        return Observation(text="ready", state="begun")

    async def step(self, action: str) -> Observation:
        await self._pass()
        a, b = self.world.numbers(self.scenario.seed)
        over = self.calls > self.world.turns
        verb, _, rest = action.strip().partition(" ")
        if verb == "say":
            right = rest.strip() == str(a + b)
            return Observation(text="right" if right else "wrong", reward=float(right), terminated=True)
        if verb == "add" and rest == f"{a} {b}":
            return Observation(text=f"= {a + b}", truncated=over, state="added")
        error = f"PARSE {action.strip().splitlines()[0][:12] if action.strip() else 'nothing'}"
        return Observation(text=error, error=error, truncated=over, state="begun")

    async def close(self) -> None:
        self.world.open_now -= 1
        self.world.closed += 1


class Counting(Sum):
    """Rewards what is said by its length, so that episodes differ."""

    def open(self, scenario: Scenario) -> Any:
        session = super().open(scenario)
        step = session.step

        async def counted(action: str) -> Observation:
            obs = await step(action)
            return replace(obs, reward=len(action) / 10)

        session.step = counted
        return session


def make(digits: int = 1, turns: int = 4) -> Sum:
    """For `tiny_worlds.py:make`."""
    return Sum(digits=digits, turns=turns)


def variant(name: str) -> Sum:
    """For a registry: the variant is the number of digits."""
    return Sum(digits=int(name))
