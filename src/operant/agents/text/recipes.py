"""What can be made in the quests, of what and where, and what else there is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_BOOK = {
    "workbench": "torch = stick rag, ladder = plank rope, bow = stick string, arrow = stick feather, "
    "broom = stick straw, chair = plank nail, kite = paper string, raft = plank rope tar, drum = hide hoop, "
    "mask = paper paint",
    "stove": "soup = carrot water, bread = flour water, jam = berry sugar, pie = flour berry, tea = herb water, "
    "stew = carrot meat water, cake = flour sugar egg, candle = wax string",
    "forge": "hook = iron coal, sword = iron leather, shield = iron plank, bell = copper tin, ring = silver gem, "
    "lamp = copper glass, whistle = iron tin, horn = copper silver",
    "loom": "cloak = wool dye, sail = flax rope, carpet = wool flax, scarf = wool string, flag = silk dye, "
    "net = flax string, belt = leather silk",
    "press": "ink = berry coal, cider = apple jar, wine = grape jar, perfume = herb jar, varnish = dye egg, "
    "glue = hide water, medicine = herb honey jar",
}
HELD_OUT = ("bow", "ladder", "soup", "pie", "shield", "horn", "carpet", "flag", "perfume", "glue")
"""Things that are made in the split `test` alone; their ingredients and stations occur in the others, too."""
PLACES = {"workbench": "workshop", "stove": "kitchen", "forge": "smithy", "loom": "attic", "press": "cellar"}
"""The room in which each station stands."""
PLAIN = ("garden", "library", "hall", "barn", "chapel", "porch")
"""Rooms without one."""
CONTAINERS = ("chest", "cupboard", "crate", "barrel", "drawer", "basket")
PEOPLE = ("miller", "baker", "sailor", "tailor", "hunter", "nurse")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A thing, the station where it is made, and its ingredients."""

    thing: str
    station: str
    ingredients: tuple[str, ...]

    def told(self) -> str:
        """The recipe in words."""
        return f"To make a {self.thing}, combine {listed(self.ingredients)} at the {self.station}."


def listed(names: Sequence[str]) -> str:
    """Names as in `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


RECIPES = {
    thing: Recipe(thing, station, tuple(of.split()))
    for station, page in _BOOK.items()
    for thing, of in (entry.split(" = ") for entry in page.split(", "))
}
INGREDIENTS = tuple(sorted({name for recipe in RECIPES.values() for name in recipe.ingredients}))
