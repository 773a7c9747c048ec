"""A house of a quest: rooms, doors, containers, things, and what each command does. No randomness is in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from operant.agents.text.recipes import RECIPES, Recipe, listed
from operant.language.episodes.world import Observation

OPPOSITE = {"north": "south", "east": "west", "south": "north", "west": "east"}
SHORT = {name[0]: name for name in OPPOSITE}
HELP = (
    "go DIRECTION, look, inventory, open CONTAINER, unlock DIRECTION, dial NUMBER, read book, take THING, "
    "drop THING, combine THING and THING, give THING to PERSON"
)
SAFE, KEY, BOOK = "safe", "key", "book"


@dataclass(kw_only=True)
class Room:
    """One room, as it stands."""

    exits: dict[str, str] = field(default_factory=dict[str, str])  # direction → room
    station: str = ""
    person: str = ""
    floor: list[str] = field(default_factory=list[str])
    containers: dict[str, list[str]] = field(default_factory=dict[str, list[str]])  # the safe is one of them


@dataclass(kw_only=True)
class House:
    """A quest as it stands; a game of lines.

    Attributes:
        rooms: by name.
        here: the room where one is.
        goal: what is to be made.
        receiver: who is to get it; "" where making it is all.
        locked: rooms behind a locked door.
        code: of the safe; "" where there is none.
        opened: containers that stand open.
        held: what one carries.
        told: said once, at the beginning.
        asked: the task, as the first observation has it.
    """

    rooms: dict[str, Room]
    here: str
    goal: Recipe
    asked: str
    told: str = ""
    receiver: str = ""
    code: str = ""
    locked: set[str] = field(default_factory=set[str])
    opened: set[str] = field(default_factory=set[str])
    held: list[str] = field(default_factory=list[str])
    made: bool = field(default=False, init=False)
    given: bool = field(default=False, init=False)

    def begin(self) -> Observation:
        """The task, what is told once, and the first room."""
        parts = (self.asked, self.told, self.room())
        return Observation(text="\n".join(filter(None, parts)), state=self.state())

    def do(self, command: str) -> Observation:
        """What comes of a command."""
        for pattern, act in COMMANDS:
            if found := pattern.fullmatch(" ".join(word for word in _words(command) if word not in ("the", "a", "an"))):
                text, error = act(self, *found.groups())
                break
        else:
            text, error = "", f"PARSE I do not understand. Commands: {HELP}"
        if error:
            return Observation(text=error, error=error, state=self.state())
        done = self.given if self.receiver else self.made
        text = f"{text} The quest is done." if done else text
        return Observation(text=text, reward=float(done), terminated=done, state=self.state())

    def commands(self) -> Sequence[str]:
        """Commands that do something here."""
        room, near = self.rooms[self.here], self.near()
        found = [f"go {d}" for d, there in room.exits.items() if there not in self.locked]
        found += [f"unlock {d}" for d, there in room.exits.items() if there in self.locked and KEY in self.held]
        found += [f"open {c}" for c in room.containers if c not in self.opened and c != SAFE]
        found += ["dial 123"] * (SAFE in room.containers and SAFE not in self.opened)
        found += [f"take {name}" for name in near if name != BOOK] + ["read book"] * (BOOK in near)
        found += [f"drop {name}" for name in self.held]
        pairs = [(a, b) for i, a in enumerate(self.held) for b in self.held[i + 1 :]]
        found += [f"combine {a} and {b}" for a, b in pairs] if room.station else []
        found += [f"give {name} to {room.person}" for name in self.held] if room.person else []
        return [*found, "look", "inventory"]

    def room(self) -> str:
        """What is seen of the room where one is."""
        room = self.rooms[self.here]
        parts = [f"You are in the {self.here}."]
        parts += [f"There is a {room.station}."] if room.station else []
        parts += [f"The {room.person} is here."] if room.person else []
        parts += [f"On the floor: {', '.join(room.floor)}."] if room.floor else []
        for name, inside in room.containers.items():
            parts.append(f"In the {name}: {', '.join(inside) or 'nothing'}." if name in self.opened else f"A {name}, "
                         f"{'locked with a dial' if name == SAFE else 'closed'}.")  # fmt: skip
        ways = [f"{d} (locked)" if there in self.locked else d for d, there in room.exits.items()]
        return " ".join([*parts, f"Exits: {', '.join(ways)}."])

    def near(self) -> list[str]:
        """Things that can be taken here."""
        room = self.rooms[self.here]
        inside = [name for c, things in room.containers.items() if c in self.opened for name in things]
        return [*room.floor, *inside]

    def state(self) -> str:
        """Equal where everything stands equally."""
        things = [(n, sorted(r.floor), sorted(map(sorted, r.containers.values()))) for n, r in self.rooms.items()]
        return repr((self.here, sorted(self.held), sorted(self.opened), sorted(self.locked), self.made, things))

    def go(self, way: str) -> tuple[str, str]:
        way = SHORT.get(way, way)
        there = self.rooms[self.here].exits.get(way)
        if there is None:
            return "", f"NO_EXIT there is no way {way}"
        if there in self.locked:
            return "", f"LOCKED the door {way} is locked"
        self.here = there
        return self.room(), ""

    def unlock(self, way: str) -> tuple[str, str]:
        way = SHORT.get(way, way)
        there = self.rooms[self.here].exits.get(way)
        if there not in self.locked:
            return "", f"NO_LOCK there is no locked door {way}"
        if KEY not in self.held:
            return "", "NO_KEY you have no key"
        self.locked.discard(there or "")
        return f"You unlock the door {way}.", ""

    def open(self, name: str) -> tuple[str, str]:
        if name not in self.rooms[self.here].containers:
            return "", f"NOT_HERE there is no {name} here to open"
        if name == SAFE and SAFE not in self.opened:
            return "", "LOCKED the safe opens with a number: dial NUMBER"
        self.opened.add(name)
        return f"In the {name}: {', '.join(self.rooms[self.here].containers[name]) or 'nothing'}.", ""

    def dial(self, number: str) -> tuple[str, str]:
        if SAFE not in self.rooms[self.here].containers:
            return "", "NOT_HERE there is nothing to dial on here"
        if number != self.code:
            return "", "WRONG_NUMBER the safe stays locked"
        self.opened.add(SAFE)
        return self.open(SAFE)

    def read(self) -> tuple[str, str]:
        if BOOK not in [*self.near(), *self.held]:
            return "", "NOT_HERE there is no book here"
        return f"The book says: {self.goal.told()}", ""

    def take(self, name: str) -> tuple[str, str]:
        room = self.rooms[self.here]
        places = [room.floor, *(things for c, things in room.containers.items() if c in self.opened)]
        place = next((things for things in places if name in things), None)
        if place is None:
            return "", f"NOT_HERE there is no {name} here to take"
        place.remove(name)
        self.held.append(name)
        return f"You take the {name}.", ""

    def drop(self, name: str) -> tuple[str, str]:
        if name not in self.held:
            return "", f"NOT_HELD you have no {name}"
        self.held.remove(name)
        self.rooms[self.here].floor.append(name)
        return f"You drop the {name}.", ""

    def combine(self, names: str) -> tuple[str, str]:
        parts = re.split(r"\s*,\s*(?:and\s+)?|\s+(?:and|with)\s+", names)
        if lacking := next((name for name in parts if name not in self.held), None):
            return "", f"NOT_HELD you have no {lacking}"
        station = self.rooms[self.here].station
        found = next((r for r in RECIPES.values() if sorted(r.ingredients) == sorted(parts)), None)
        if found is None or found.station != station:
            return "", f"NO_RECIPE {listed(parts)} make nothing {f'at the {station}' if station else 'here'}"
        for name in parts:
            self.held.remove(name)
        self.held.append(found.thing)
        self.made = self.made or found.thing == self.goal.thing
        return f"You have a {found.thing}.", ""

    def give(self, name: str, person: str) -> tuple[str, str]:
        if person != self.rooms[self.here].person:
            return "", f"NOT_HERE there is no {person} here"
        if name not in self.held:
            return "", f"NOT_HELD you have no {name}"
        if name != self.goal.thing or person != self.receiver:
            return "", f"NOT_WANTED the {person} does not want the {name}"
        self.held.remove(name)
        self.given = True
        return f"The {person} takes the {name}.", ""

    def look(self) -> tuple[str, str]:
        return self.room(), ""

    def inventory(self) -> tuple[str, str]:
        return f"You have {listed(self.held) if self.held else 'nothing'}.", ""


Act = Callable[..., tuple[str, str]]
COMMANDS: list[tuple[re.Pattern[str], Act]] = [
    (re.compile(r"(?:go |walk )?(north|east|south|west|[nesw])"), House.go),
    (re.compile(r"unlock (?:door )?(north|east|south|west|[nesw])(?: door)?(?: with key)?"), House.unlock),
    (re.compile(r"dial (\d{1,9})"), House.dial),
    (re.compile(r"read(?: book)?"), House.read),
    (re.compile(r"open (\w+)"), House.open),
    (re.compile(r"(?:take|get|pick up) (\w+)"), House.take),
    (re.compile(r"drop (\w+)"), House.drop),
    (re.compile(r"(?:combine|make of) ([\w, ]+)"), House.combine),
    (re.compile(r"give (\w+) to (\w+)"), House.give),
    (re.compile(r"look(?: around)?|l"), House.look),
    (re.compile(r"inventory|i"), House.inventory),
]


def _words(command: str) -> list[str]:
    return command.lower().strip(" .!").split()
