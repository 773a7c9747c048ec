"""SILG: one interface and one network for several worlds that are played by reading."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from operant.recipes.claims import Claim
from operant.recipes.reading import reads
from operant.recipes.recipe import Recipe, Trial

STEPS = 1_000_000
WORLDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "Manual": ({"armed": False}, "blind", "held-out"), "Messenger": ({}, "blind", "test"),
    "room": ({"side": 5, "view": 5}, "misled", "combinations"),
}  # fmt: skip
"""Of each world its options, which of them makes texts mean nothing, and the split that is held out."""
JOINS = {"shared": "cross-attention", "film": "film", "concat": "concat", "blind": "cross-attention"}


def trial(t: Trial) -> Mapping[str, float]:
    """The share of episodes that end well in each world, by a network of the same form, trained anew in each."""
    told: dict[str, float] = {}
    for world, (options, misleads, held) in WORLDS.items():
        trained = options | ({misleads: True} if t.arm == "blind" else {})
        splits = {f"{world}": {**options, "split": "train"}, f"{world}, held out": {**options, "split": held}}
        told |= reads(t, world, JOINS[t.arm], STEPS, trained, splits)
    held_out = fmean(told[f"{world}, held out"] for world in WORLDS)
    return {**told, "success": fmean(told[world] for world in WORLDS), "held out": held_out}


RECIPE = Recipe(
    name="silg",
    title="SILG: worlds of symbols and texts, one interface",
    source="Zhong, Hanjie, Wang, Narasimhan and Zettlemoyer (2021), SILG: the multi-environment symbolic interactive "
    "language grounding benchmark, arXiv:2110.10661",
    paper="RTFM, Messenger, NetHack, ALFWorld and Touchdown got one interface, a grid of symbols and named fields of "
    "text, and one network (SIR), trained in each. It played some of them, and none as well as it might.",
    here="Three worlds of the kind behind one interface: RTFM on a board where weapons do not count, Messenger's first "
    "stage with a grammar's words, and rooms of things with instructions. NetHack, ALFWorld and "
    "Touchdown are not among them: they need their own simulators and data. PPO of a million steps in each.",
    mechanism="One network reads all texts of a world, and each place of what is seen attends to their words. Without "
    "it texts stand beside what is seen: `concat`.",
    arms={"shared": "attention to the words", "film": "texts scale and shift maps",
          "concat": "texts beside what is seen", "blind": "attention, trained on texts that mean nothing"},
    controls=("concat", "blind"),
    claims=(
        Claim(text="texts that mean nothing are right by chance, on average over worlds", metric="success", arm="blind",
              bar=0.5, most=True),
        Claim(text="80 % of episodes end well on average over worlds", metric="success", arm="shared", bar=0.8),
        Claim(text="and 60 % by what is held out", metric="held out", arm="shared", bar=0.6, must=False),
        Claim(text="attention is worth 10 points there", metric="held out", arm="shared", over="concat", bar=0.1,
              must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3),
    minutes=400.0,
)  # fmt: skip
