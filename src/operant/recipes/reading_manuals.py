"""Read to fight monsters: a goal and a manual of rules that are new in every episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operant.recipes.claims import Claim
from operant.recipes.reading import reads
from operant.recipes.recipe import Recipe, Trial

STEPS = 3_000_000
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "film": ("film", {}), "concat": ("concat", {}), "blind": ("film", {"blind": True}),
    "film, unarmed": ("film", {"armed": False}), "concat, unarmed": ("concat", {"armed": False}),
}  # fmt: skip
"""Of each arm how texts meet what is seen, and what differs in its world."""


def trial(t: Trial) -> Mapping[str, float]:
    """The share of fights that are won: by rules of training, and by others."""
    join, world = ARMS[t.arm]
    tested = {name: value for name, value in world.items() if name != "blind"}
    splits = {"won": {**tested, "split": "train"}, "held out": {**tested, "split": "held-out"}}
    return reads(t, "Manual", join, STEPS, world, splits)


RECIPE = Recipe(
    name="reading-manuals",
    title="Reading manuals: RTFM",
    source="Zhong, Rocktäschel and Grefenstette (2020), RTFM: generalising to novel environment dynamics via reading, "
    "arXiv:1910.08210; the line of work begins with Branavan, Silver and Barzilay (2012), Learning to win by reading "
    "manuals in a Monte-Carlo framework, arXiv:1401.5390",
    paper="Teams of monsters, elements and what beats them were drawn anew for every episode and told by a manual; the "
    "goal named a team. Networks in which texts scale and shift what is seen, and the other way round, learnt by a "
    "curriculum to win against rules that they had never met, where convolutions beside texts did not.",
    here="Six by six cells, two monsters that stand still and two weapons, a manual of eight sentences in any order "
    "and a goal; 36 sets of rules, 9 of them held out. FiLM of the maps by what was read (the direction from text to "
    "picture alone), no curriculum, PPO of three million steps. Beside it a board on which weapons do not count, so "
    "that two steps of reading are one.",
    mechanism="Texts scale and shift the channels of what is seen. Without it they stand beside it: `concat`.",
    arms={"film": "texts scale and shift maps", "concat": "texts beside what is seen",
          "blind": "trained with manuals of other episodes", "film, unarmed": "weapons do not count",
          "concat, unarmed": "the same, texts beside what is seen"},
    controls=("concat", "blind", "concat, unarmed"),
    claims=(
        Claim(text="where weapons do not count four of five fights are won by rules of training", metric="won",
              arm="film, unarmed", bar=0.8),
        Claim(text="by manuals that mean nothing at most half", metric="won", arm="blind", bar=0.5, most=True),
        Claim(text="with weapons 80 % are won by rules of training", metric="won", arm="film", bar=0.8, must=False),
        Claim(text="and 60 % by rules that are held out", metric="held out", arm="film", bar=0.6, must=False),
        Claim(text="FiLM wins 10 points more than texts beside what is seen", metric="held out", arm="film",
              over="concat", bar=0.1, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=400.0,
)  # fmt: skip
