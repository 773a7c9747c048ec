"""Rooms to be furnished, turn by turn: where things stand is said as JSON, and shown from above."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from operant.agents.text.session import LineWorld, seed_of
from operant.config.bounded import loads
from operant.config.errors import ConfigError
from operant.language.episodes.world import Observation, Scenario
from operant.vision.drawing import GROUND, Picture
from operant.vision.scene import COLOURS

WIDE, UNIT, CELL = 10, 4, 2
"""Units of a room's side, pixels of a unit, units of a cell."""
KINDS = dict(zip(("bed", "desk", "sofa", "table", "shelf", "chair", "lamp", "plant"), COLOURS.values(), strict=True))
RELATIONS = ("beside", "left of", "above")
Layout = Mapping[str, tuple[int, int]]
"""Of each thing, its left and its upper edge in units."""
NAME = re.compile(r"(\d{1,18})/([a-z0-9,-]{0,80})")


@dataclass(frozen=True, slots=True)
class Room:
    """Things with their sizes, what is asked of their places, and a layout that has it all."""

    sizes: Mapping[str, tuple[int, int]]
    asked: tuple[tuple[str, str, str], ...]
    gold: Layout

    @property
    def text(self) -> str:
        """What is to be done."""
        things = ", ".join(f"{name} {w}x{h}" for name, (w, h) in self.sizes.items())
        return f"{things}. {', '.join(' '.join(each) for each in self.asked)}."

    def box(self, layout: Layout, name: str) -> tuple[int, int, int, int]:
        """A thing's left, upper, right and lower edge, the latter two without."""
        (x, y), (w, h) = layout[name], self.sizes[name]
        return x, y, x + w, y + h

    def faulty(self, layout: Layout) -> set[str]:
        """The things that overlap another or leave the room."""
        boxes = {name: self.box(layout, name) for name in self.sizes}
        out = {name for name, box in boxes.items() if max(box) > WIDE}
        pairs = (pair for pair in combinations(boxes, 2) if _gap(boxes[pair[0]], boxes[pair[1]]) < 0)
        return out.union(*pairs)

    def holds(self, layout: Layout, asked: tuple[str, str, str]) -> bool:
        """Whether a relation is there: beside: no unit or one between them; left of, above: wholly."""
        a, b = self.box(layout, asked[0]), self.box(layout, asked[2])
        if asked[1] == "beside":
            return 0 <= _gap(a, b) <= 1
        return a[2] <= b[0] if asked[1] == "left of" else a[3] <= b[1]

    def shares(self, layout: Layout | None) -> tuple[float, float]:
        """The shares of things that are not faulty, and of relations that hold; 0 and 0 of no layout."""
        if layout is None:
            return 0.0, 0.0
        held = sum(self.holds(layout, each) for each in self.asked)
        return 1.0 - len(self.faulty(layout)) / len(self.sizes), held / len(self.asked)

    def read(self, command: str) -> Layout | None:
        """The layout that JSON says: each of the things once, with two numbers in the room; None of anything else."""
        try:
            said: Any = loads(command)
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict) or {*said} != {*self.sizes}:
            return None
        right = all(isinstance(at, list) and len(at) == 2 and all(type(x) is int and 0 <= x < WIDE for x in at)
                    for at in said.values())  # fmt: skip
        return {name: (at[0], at[1]) for name, at in said.items()} if right else None


def _gap(a: Sequence[int], b: Sequence[int]) -> int:
    """Units between two boxes, in the direction in which they are further apart; below 0 where they overlap."""
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])


@lru_cache(maxsize=4_096)
def room_of(seed: int) -> Room:
    """The room of a seed: four to six things, and two or three relations that a layout without faults has."""
    rng = random.Random(seed)
    while True:
        names = rng.sample([*KINDS], rng.randint(4, 6))
        sizes = {name: (rng.randint(1, 4), rng.randint(1, 4)) for name in names}
        gold = {name: (rng.randint(0, WIDE - w), rng.randint(0, WIDE - h)) for name, (w, h) in sizes.items()}
        room = Room(sizes, (), gold)
        true = [(a, how, b) for a in names for b in names for how in RELATIONS
                if a != b and room.holds(gold, (a, how, b))]  # fmt: skip
        if not room.faulty(gold) and any(how == "beside" for _, how, _ in true) and len(true) > 2:
            first = rng.choice([each for each in true if each[1] == "beside"])
            rest = rng.sample([each for each in true if each != first], rng.randint(1, 2))
            return Room(sizes, (first, *rest), gold)


def drafts(seed: int) -> Iterator[Layout]:
    """What a teacher says: the layout at once, or in every other room two in which fewer and fewer things stand
    anywhere, and then it."""
    room, rng = room_of(seed), random.Random(seed + 1)
    loose = rng.sample([*room.sizes], len(room.sizes) // 2 + 1)
    for count in (len(loose), 1) if rng.random() < 0.5 else ():
        yield {**room.gold, **{name: (rng.randrange(WIDE), rng.randrange(WIDE)) for name in loose[:count]}}
    yield room.gold


def painted(seed: int, layout: Layout) -> tuple[Picture, tuple[int, ...]]:
    """[40, 40, 3] of a room from above, white where things overlap; and what each of its 25 cells shows."""
    room, side = room_of(seed), WIDE * UNIT
    picture, owner = np.empty((side, side, 3), np.uint8), np.zeros((WIDE, WIDE), np.int64)
    picture[:] = GROUND
    for name in layout:
        x0, y0, x1, y1 = room.box(layout, name)
        inside = owner[y0:y1, x0:x1]
        owner[y0:y1, x0:x1] = np.where(inside > 0, 1 + len(KINDS), 1 + [*KINDS].index(name))
    for value, colour in enumerate((*KINDS.values(), (255, 255, 255)), 1):
        picture[(owner == value).repeat(UNIT, 0).repeat(UNIT, 1)] = colour
    parts = owner.reshape(WIDE // CELL, CELL, WIDE // CELL, CELL).swapaxes(1, 2).reshape(-1, CELL**2)
    return picture, tuple(1 + int(np.bincount(x - 1).argmax()) if len(x := part[part > 0]) else 0 for part in parts)


def name_of(seed: int, layout: Layout) -> str:
    """A picture's name: `room:SEED/bed-34,lamp-90`, digits in the order of the edges."""
    return f"room:{seed}/{','.join(f'{name}-{x}{y}' for name, (x, y) in layout.items())}"


def picture(name: str) -> Picture:
    """[40, 40, 3] by what stands behind `room:`.

    Raises:
        ConfigError: if it is no room.
    """
    found = NAME.fullmatch(name)
    things = [each.partition("-") for each in found[2].split(",") if each] if found else [("", "", "")]
    room = room_of(int(found[1])) if found else None
    if room is None or not all(a in room.sizes and b.isdecimal() and len(b) == 2 for a, _, b in things):
        raise ConfigError(f"room:{name:.60} is no room: give room:SEED/THING-XY,…")
    return painted(int(found[1]) if found else 0, {a: (int(b[0]), int(b[1])) for a, _, b in things})[0]


@dataclass(kw_only=True)
class Rooms(LineWorld):
    """The world. An episode earns what its last readable layout is worth: half the share of things without fault, half
    that of relations that hold; each turn pays by how much more that is.

    Args:
        turns: to say a layout in.
        shown: "render": the room as it stands; "other": another one.
        paid: "own", or "chance": a number that is drawn.
    """

    turns: int = 3
    shown: str = "render"
    paid: str = "own"
    name, system, templates = "rooms", "", ("room",)

    def scenario(self, split: str, number: int) -> Scenario:
        """The room of a number in a split."""
        seed = seed_of(split, number)
        return Scenario(id=number, template="room", seed=seed, instruction=room_of(seed).text)

    def game(self, scenario: Scenario) -> _Furnishing:
        """An empty room."""
        return _Furnishing(self, scenario)

    def oracle(self, scenario: Scenario) -> Sequence[str]:
        """The drafts of a teacher; the last one alone where there is one turn."""
        return [json.dumps(layout, separators=(",", ":")) for layout in drafts(scenario.seed)][-self.turns :]


class _Furnishing:
    """A room that is furnished."""

    def __init__(self, world: Rooms, scenario: Scenario) -> None:
        self.world, self.seed, self.room = world, scenario.seed, room_of(scenario.seed)
        self.layout: Layout = {}
        self.worth, self.turn = 0.0, 0

    def begin(self) -> Observation:
        """The empty room."""
        return self._seen("empty", 0.0)

    def do(self, command: str) -> Observation:
        """What becomes of the room; what is no layout leaves it as it was."""
        layout, self.turn = self.room.read(command), self.turn + 1
        if layout is None:
            return self._seen("PARSE no layout", 0.0, error="PARSE no layout")
        self.layout, before = layout, self.worth
        shares = self.room.shares(layout)
        self.worth = sum(shares) / 2
        if self.world.paid == "chance":
            self.worth = random.Random(f"{self.seed} {command}").random()
        return self._seen("done", self.worth - before, terminated=min(shares) == 1.0)

    def commands(self) -> Sequence[str]:
        """The right layout."""
        return [json.dumps(self.room.gold)]

    def _seen(self, text: str, reward: float, **more: Any) -> Observation:
        seed, layout = self.seed, self.layout
        if self.world.shown == "other":
            seed += 3
            layout = room_of(seed).gold if layout else {}
        success = bool(self.layout) and min(self.room.shares(self.layout)) == 1.0
        return Observation(text=text, reward=reward, pictures=(name_of(seed, layout),), cells=painted(seed, layout)[1],
                           info={"success": success}, **more)  # fmt: skip


def make(**options: Any) -> Rooms:
    """The world, for `operant train ALGORITHM operant.recipes.rooms:make`."""
    return Rooms(**options)
