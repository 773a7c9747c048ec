"""Teachers of agents: what one who knows a world thinks, plans, does, and learns from a failure, in words to be cloned.

A teacher knows no more than an agent that read its whole episode could: the walls and rooms that were seen, and what
its own lessons say of earlier attempts.
"""

from __future__ import annotations

import random
import re
from ast import literal_eval
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from operant.agents.harness.episode import Episode
from operant.agents.text.explorer import Explorer
from operant.agents.text.grid import EXIT, MOVES, Cell, Grid
from operant.agents.text.house import KEY, House
from operant.agents.text.quests import Quests
from operant.agents.text.recipes import listed
from operant.config.errors import ConfigError
from operant.language.episodes.world import World
from operant.language.text.rendering import Message

PAIR = re.compile(r"(\d+) (\d+)")
ROOM = re.compile(r"(\w+) (?:north|east|south|west) (\w+)")
LIES = re.compile(r"(\w+) in the (\w+)")


class Teacher(Protocol):
    """What it says of an episode for each purpose that an agent asks for."""

    def act(self, episode: Episode) -> tuple[str, str]: ...  # thought, action
    def plan(self, episode: Episode) -> str: ...
    def reflect(self, episode: Episode) -> str: ...
    def lesson(self, episode: Episode) -> str: ...
    def value(self, episode: Episode) -> str: ...
    def commands(self, episode: Episode) -> Sequence[str]: ...  # what could be done, well or not


class GridTeacher:
    """Of `text/grid`: goes the shortest way through what it knows of the walls."""

    def __init__(self, world: Grid) -> None:
        self.world = world

    def act(self, episode: Episode) -> tuple[str, str]:
        """The thought is how far the goal is, and where."""
        here, goal, name = self._stands(episode)
        known = replace(self.world.map(episode.scenario.seed, episode.scenario.template), walls=self._walls(episode))

        def behind(move: str) -> float:
            step = (here[0] + MOVES[move][0], here[1] + MOVES[move][1])
            far = known.distance(step, goal) if known.inside(step) else None
            return float("inf") if far is None else far

        return f"The {name} is {_offset(here, goal)}.", f"go {min(MOVES, key=behind)}"

    def plan(self, episode: Episode) -> str:
        """The way as the crow flies."""
        here, goal, name = self._stands(episode)
        return f"To the {name}: {_offset(here, goal)}."

    def reflect(self, episode: Episode) -> str:
        """The plan does not hold where a wall is in its way."""
        here, goal, _ = self._stands(episode)
        ways = [move for move, (dx, dy) in MOVES.items() if (goal[0] - here[0]) * dx + (goal[1] - here[1]) * dy > 0]
        shut = [w for w in ways if (here[0] + MOVES[w][0], here[1] + MOVES[w][1]) in self._walls(episode)]
        return f"REPLAN: a wall is {shut[0]}." if shut else "CONTINUE"

    def lesson(self, episode: Episode) -> str:
        """Where walls stand."""
        return f"Walls: {', '.join(f'{x} {y}' for x, y in sorted(self._walls(episode))) or 'none'}."

    def value(self, episode: Episode) -> str:
        """The nearer the more; nothing where it cannot be reached in time."""
        seen = episode.steps[-1].seen
        if seen.state == EXIT:
            return "10"
        here, goal, _ = self._stands(episode)
        far, drawn = _far(here, goal), self.world.map(episode.scenario.seed, episode.scenario.template)
        return str(0 if seen.truncated or far > drawn.limit + 1 - len(episode.steps) else max(1, 9 - far))

    def commands(self, episode: Episode) -> Sequence[str]:
        """The moves."""
        return [f"go {move}" for move in MOVES]

    def _stands(self, episode: Episode) -> tuple[Cell, Cell, str]:
        """Where one is, what is to be reached, and its name."""
        drawn = self.world.map(episode.scenario.seed, episode.scenario.template)
        x, y, left = literal_eval(next(s.seen.state for s in episode.steps[::-1] if s.seen.state not in (None, EXIT)))
        return ((x, y), drawn.coin, "coin") if left and drawn.coin else ((x, y), drawn.exit, "exit")

    def _walls(self, episode: Episode) -> frozenset[Cell]:
        """Those beside cells where one was, and those of lessons."""
        drawn = self.world.map(episode.scenario.seed, episode.scenario.template)
        been = [literal_eval(s.seen.state) for s in episode.steps if s.seen.state not in (None, EXIT)]
        beside = {(x + dx, y + dy) for x, y, _ in been for dx, dy in MOVES.values()}
        told = {(int(x), int(y)) for note in episode.notes for x, y in PAIR.findall(note) if note.startswith("Lesson")}
        return frozenset(told | (beside & drawn.walls))


class QuestTeacher:
    """Of `text/quests`: explores, remembers, and goes straight to what a lesson says."""

    def __init__(self, world: Quests) -> None:
        self.world = world

    def act(self, episode: Episode) -> tuple[str, str]:
        """The thought is what is needed next."""
        explorer = self._explorer(episode)
        house, goal = explorer.house, explorer.house.goal
        missing = [name for name in goal.ingredients if name not in house.held]
        if goal.thing in house.held:
            thought = f"I have the {goal.thing}; the {house.receiver} wants it."
        elif not explorer.knows:
            thought = "I need the book."
        else:
            thought = f"I need {listed(missing)}." if missing else f"I have all for the {goal.station}."
        return thought, explorer.choose()

    def plan(self, episode: Episode) -> str:
        """What is to be found, made and given."""
        explorer = self._explorer(episode)
        goal, receiver = explorer.house.goal, explorer.house.receiver
        first = f"Find {listed(goal.ingredients)}. Combine them at the {goal.station}." if explorer.knows else (
            "Find the book, read it, do what it says.")  # fmt: skip
        return f"{first} Give it to the {receiver}." if receiver else first

    def reflect(self, episode: Episode) -> str:
        """A plan that did not know what is known now does not hold."""
        stale = "Find the book" in "".join(episode.notes) and self._explorer(episode).knows
        return "REPLAN: I read the book." if stale else "CONTINUE"

    def lesson(self, episode: Episode) -> str:
        """How rooms lie, and where what is needed was left."""
        explorer = self._explorer(episode)
        house = explorer.house
        ways = [
            f"{a} {way} {b}" for a in explorer.seen for way, b in house.rooms[a].exits.items() if b in explorer.seen
        ]
        return f"Rooms: {', '.join(ways)}. Things: {', '.join(f'{n} in the {r}' for n, r in self._lay(episode))}."

    def value(self, episode: Episode) -> str:
        """The share of what is to be done that is done."""
        house = self._explorer(episode).house
        parts = len(house.goal.ingredients) + 1 + bool(house.receiver)
        held = sum(name in house.held for name in house.goal.ingredients)
        done = parts if episode.success else parts - bool(house.receiver) if house.made else held
        return str(10 * done // parts)

    def commands(self, episode: Episode) -> Sequence[str]:
        """All that do something."""
        return self._explorer(episode).house.commands()

    def _explorer(self, episode: Episode) -> Explorer:
        """What is known in the house as it stands."""
        game = self.world.game(episode.scenario)
        assert isinstance(game, House)
        told = " ".join(note for note in episode.notes if note.startswith("Lesson"))
        rooms = [name for pair in ROOM.findall(told) for name in pair if name in game.rooms.keys() - game.locked]
        explorer = Explorer(game, dict.fromkeys(rooms), dict(LIES.findall(told)))
        for step in episode.steps[1:]:
            game.do(step.action)
            explorer.knows |= step.action == "read book" and step.seen.error is None
            if game.here not in explorer.seen:
                explorer.seen.append(game.here)
        return explorer

    def _lay(self, episode: Episode) -> list[tuple[str, str]]:
        """Where ingredients were before they were taken."""
        game, found = self.world.game(episode.scenario), dict[str, str]()
        assert isinstance(game, House)
        for step in (*episode.steps[1:], None):
            found |= {name: game.here for name in game.near() if name in (KEY, *game.goal.ingredients)}
            if step is not None:
                game.do(step.action)
        return [*found.items()]


def teacher_of(world: World) -> Teacher:
    """The teacher of a world.

    Raises:
        ConfigError: if it has none.
    """
    if isinstance(world, Grid):
        return GridTeacher(world)
    if isinstance(world, Quests):
        return QuestTeacher(world)
    raise ConfigError(f"{world.name} has no teacher of agents: text/grid and text/quests have")


class Taught:
    """A teacher in a model's place; now and then it does anything at all, so that mistakes and their mending are seen.

    Args:
        teacher: who answers.
        thinks: whether actions have their thought before them.
        slip: how often anything is done.
        seed: of the slips.

    Attributes:
        episode: the one that is played, to be set before it begins.
        slips: the numbers of the calls that are not to be learnt.
    """

    def __init__(self, teacher: Teacher, *, thinks: bool, slip: float, seed: int) -> None:
        self.teacher, self.thinks, self.slip, self.rng = teacher, thinks, slip, random.Random(seed)
        self.episode: Episode | None = None
        self.slips = set[int]()

    async def __call__(self, messages: Sequence[Message], *, purpose: str, draw: tuple[int, int], warm: bool) -> str:
        """What the teacher says."""
        assert self.episode is not None
        if purpose != "act":
            return getattr(self.teacher, purpose)(self.episode)
        thought, action = self.teacher.act(self.episode)
        if self.rng.random() < self.slip:
            self.slips.add(draw[1])
            action = self.rng.choice([*self.teacher.commands(self.episode)])
        return f"{thought}\n{action}" if self.thinks else action


def _offset(here: Cell, goal: Cell) -> str:
    dx, dy = goal[0] - here[0], goal[1] - here[1]
    legs = [f"{abs(dx)} {'east' if dx > 0 else 'west'}"] * bool(dx)
    legs += [f"{abs(dy)} {'south' if dy > 0 else 'north'}"] * bool(dy)
    return " and ".join(legs) or "here"


def _far(here: Cell, goal: Cell) -> int:
    return abs(goal[0] - here[0]) + abs(goal[1] - here[1])
