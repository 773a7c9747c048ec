"""`text/quests`: find the ingredients of a thing in a house, make it, and sometimes bring it to someone.

Little is seen at once, what was told at the beginning or read in a book is not told again, and a command that is not
understood is answered in words. The recipes of the split `test` occur in no other; the split `layouts` has the recipes
of `train` in other houses.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from operant.agents.options import number
from operant.agents.text.explorer import explore
from operant.agents.text.house import BOOK, HELP, KEY, OPPOSITE, SAFE, House, Room
from operant.agents.text.recipes import CONTAINERS, HELD_OUT, INGREDIENTS, PEOPLE, PLACES, PLAIN, RECIPES, Recipe
from operant.agents.text.session import Game, LineWorld, seed_of, split_of
from operant.language.episodes.world import Scenario

STEPS = {"north": (0, -1), "east": (1, 0), "south": (0, 1), "west": (-1, 0)}


@dataclass(kw_only=True)
class Quests(LineWorld):
    """The world: reward 1 when the quest is done.

    The templates: `craft` tells the recipe with the task, `book` has it in a book that must be found, `locked` has an
    ingredient behind a locked door, `told` says the number of a safe once, `deliver` asks for the thing to be brought
    to someone.

    Args:
        train, test, layouts: scenarios of each split.
        rooms: of a house; six turns for each.
    """

    layouts: int = 256
    rooms: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        number("rooms", self.rooms, 3, 6, whole=True)
        self.turns = 6 * self.rooms

    name = "text/quests"
    system = f"You are in a house and have a task. Say one command a turn. Commands: {HELP}."
    templates = ("craft", "book", "locked", "told", "deliver")

    @property
    def _sizes(self) -> dict[str, int]:
        return {"train": self.train, "test": self.test, "layouts": self.layouts}

    def scenario(self, split: str, number: int) -> Scenario:
        """The scenario of a number in a split."""
        seed, template = seed_of(split, number), self.templates[number % len(self.templates)]
        return Scenario(id=number, template=template, seed=seed, instruction=self._house(template, seed).asked)

    def game(self, scenario: Scenario) -> Game:
        """The game of a scenario, at its beginning."""
        return self._house(scenario.template, scenario.seed)

    def oracle(self, scenario: Scenario) -> Sequence[str]:
        """What one does who explores, remembers what was told and seen, and uses nothing else."""
        return explore(self._house(scenario.template, scenario.seed), self.turns)

    def _house(self, template: str, seed: int) -> House:
        rng = random.Random(f"{template}/{seed}")
        recipe = RECIPES[rng.choice([name for name in RECIPES if (name in HELD_OUT) == (split_of(seed) == "test")])]
        return _Builder(rng, recipe, template, self.rooms).house()


class _Builder:
    """Draws a house in which a quest can be done."""

    def __init__(self, rng: random.Random, recipe: Recipe, template: str, rooms: int) -> None:
        self.rng, self.recipe, self.template = rng, recipe, template
        others = [name for name in (*PLACES.values(), *PLAIN) if name != PLACES[recipe.station]]
        names = [PLACES[recipe.station], *rng.sample(others, rooms - 1)]
        rng.shuffle(names)
        stations = {room: station for station, room in PLACES.items()}
        self.rooms = {name: Room(station=stations.get(name, "")) for name in names}
        self.names, self.start = names, names[0]
        self.leaves = self._connect()

    def house(self) -> House:
        """The house, the task, and what is told."""
        rng, recipe, template = self.rng, self.recipe, self.template
        closed = self._closed() if template == "locked" else ""
        open_rooms = [name for name in self.names if name != closed]
        self._furnish(open_rooms)
        ingredients = rng.sample(recipe.ingredients, len(recipe.ingredients))
        if closed:
            self.rooms[closed].floor.append(ingredients.pop())
            self._put(KEY, open_rooms)
        code, told = "", ""
        if template == "told":
            code = str(rng.randrange(100, 1000))
            told = f"An old man says: the safe opens with {code}. Then he is gone."
            self.rooms[rng.choice(self.names[1:])].containers[SAFE] = [ingredients.pop()]
        if template == "book":
            self.rooms[rng.choice(self.names[1:])].floor.append(BOOK)
        for name in ingredients:
            self._put(name, open_rooms)
        for name in rng.sample([x for x in INGREDIENTS if x not in recipe.ingredients], 3):
            self._put(name, open_rooms)
        receiver, asked = "", f"Make a {recipe.thing}."
        if template == "deliver":
            receiver, place = rng.choice(PEOPLE), rng.choice(self.names)
            self.rooms[place].person, asked = receiver, f"Bring a {recipe.thing} to the {receiver}."
        asked += " A book in the house says how." if template == "book" else f" {recipe.told()}"
        return House(
            rooms=self.rooms, here=self.start, goal=recipe, asked=asked, told=told, receiver=receiver, code=code,
            locked={closed} if closed else set(),
        )  # fmt: skip

    def _connect(self) -> list[str]:
        """Lay the rooms on a grid, each beside an earlier one; returns those with one door, but for the first."""
        at = {self.start: (0, 0)}
        for name in self.names[1:]:
            free = [
                (there, way, (x + dx, y + dy))
                for there, (x, y) in at.items()
                for way, (dx, dy) in STEPS.items()
                if (x + dx, y + dy) not in at.values()
            ]
            there, way, at[name] = self.rng.choice(free)
            self.rooms[there].exits[way] = name
            self.rooms[name].exits[OPPOSITE[way]] = there
        for room in self.rooms.values():
            room.exits = {way: room.exits[way] for way in STEPS if way in room.exits}
        return [name for name in self.names[1:] if len(self.rooms[name].exits) == 1]

    def _closed(self) -> str:
        """The room to lock: one at an end, not that of the station, if there is one."""
        station = PLACES[self.recipe.station]
        return self.rng.choice([name for name in self.leaves if name != station] or [self.leaves[0]])

    def _furnish(self, rooms: Sequence[str]) -> None:
        """A container in most rooms."""
        for name, container in zip(rooms, self.rng.sample(CONTAINERS, len(rooms)), strict=True):
            if self.rng.random() < 0.7:
                self.rooms[name].containers[container] = []

    def _put(self, thing: str, rooms: Sequence[str]) -> None:
        """Lay a thing on a floor or into a container."""
        room = self.rooms[self.rng.choice(list(rooms))]
        places = [room.floor, *(things for name, things in room.containers.items() if name != SAFE)]
        self.rng.choice(places).append(thing)
