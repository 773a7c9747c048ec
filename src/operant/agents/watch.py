"""Episodes that are looked at as they go: each action with the thought before it and what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from operant.agents.spoken import parts
from operant.config.errors import ConfigError
from operant.language.episodes.world import Observation, Scenario, Session, World

LOOKED = 128
"""Scenarios among which a task is looked for by its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One turn; the first, of number 0, has no action."""

    number: int
    thought: str
    action: str
    seen: Observation
    said: str = ""  # all of it
    again: bool = False  # done again, to stand where it led


Tell = Callable[[Step], None]


class _Around:
    """A world with something around it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.name, self.system, self.turns, self.splits = world.name, world.system, world.turns, world.splits

    def scenarios(self, split: str) -> Sequence[Scenario]:
        """Those of the world."""
        return self.world.scenarios(split)

    def oracle(self, scenario: Scenario) -> Sequence[str] | None:
        """That of the world."""
        return self.world.oracle(scenario)


class Watched(_Around):
    """A world that tells of every turn of its sessions.

    Args:
        world: where.
        tell: told each step when it has been made.
    """

    def __init__(self, world: World, tell: Tell) -> None:
        super().__init__(world)
        self.tell = tell

    def open(self, scenario: Scenario) -> Session:
        """A session of the world, watched."""
        return _WatchedSession(self.world.open(scenario), self.tell)


class Pictured(_Around):
    """A world of which a picture is taken whenever one of its sessions has been seen.

    Args:
        world: one whose sessions draw; `draws` says so.

    Attributes:
        kept: what was seen, with its picture as PNG.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.kept: list[tuple[Observation, bytes]] = []

    def open(self, scenario: Scenario) -> Session:
        """A session of the world, pictured."""
        return _PicturedSession(self.world.open(scenario), self.kept)

    def turns_of(self, steps: Sequence[Step]) -> list[tuple[Step, bytes]]:
        """Steps with their pictures; what a tool answered shows the page as it was before."""
        by_seen, found = {id(seen): picture for seen, picture in self.kept}, list[tuple[Step, bytes]]()
        for step in steps:
            picture = by_seen.get(id(step.seen), found[-1][1] if found else b"")
            found += [(step, picture)] if picture else []
        return found


def draws(world: World) -> bool:
    """Whether pictures can be taken of a world."""
    return bool(getattr(world, "draws", False))


class _PicturedSession:
    def __init__(self, session: Any, kept: list[tuple[Observation, bytes]]) -> None:
        self.session, self.kept = session, kept

    async def reset(self) -> Observation:
        return await self._taken(await self.session.reset())

    async def step(self, action: str) -> Observation:
        return await self._taken(await self.session.step(action))

    async def _taken(self, seen: Observation) -> Observation:
        self.kept.append((seen, await self.session.picture()))
        return seen

    async def close(self) -> None:
        await self.session.close()


class _WatchedSession:
    def __init__(self, session: Session, tell: Tell) -> None:
        self.session, self.tell, self.number = session, tell, 0

    async def reset(self) -> Observation:
        seen = await self.session.reset()
        self.tell(Step(number=0, thought="", action="", seen=seen))
        return seen

    async def step(self, action: str) -> Observation:
        seen = await self.session.step(action)
        self.number += 1
        thought, act = parts(action)
        self.tell(Step(number=self.number, thought=thought, action=act, seen=seen, said=action))
        return seen

    async def close(self) -> None:
        await self.session.close()


def success(seen: Sequence[Observation]) -> bool:
    """Whether an episode succeeded: its last observation says so, or its rewards add up to 1."""
    told = seen[-1].info.get("success")
    return bool(told) if told is not None else sum(one.reward for one in seen) >= 1.0 - 1e-9


def chosen(world: World, split: str, instruction: str, number: int | None) -> Scenario:
    """The scenario of a number, or of the first `LOOKED` the one whose instruction has most of the words asked for.

    Raises:
        ConfigError: if the split has none, or none with any of these words.
    """
    scenarios = world.scenarios(split)
    if not len(scenarios):
        raise ConfigError(f"{world.name} has no scenarios in the split {split}")
    if number is not None:
        if not 0 <= number < len(scenarios):
            raise ConfigError(f"--scenario is {number}, and {world.name} has {len(scenarios)} in {split}, from 0 on")
        return scenarios[number]
    if not instruction:
        return scenarios[0]
    asked = _words(instruction)
    looked = [scenarios[k] for k in range(min(LOOKED, len(scenarios)))]  # a world may make them as they are asked for
    best = max(looked, key=lambda s: len(asked & (own := _words(s.instruction))) - len(own) / 1000)
    if not asked & _words(best.instruction):
        raise ConfigError(
            f"no task of {world.name} in {split} has a word of {instruction!r}. It asks for things such as: "
            f"{looked[0].instruction!r}"
        )
    return best


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
