"""Messenger: people's descriptions say who is the enemy, and sentences about absent things stand among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operant.recipes.claims import Claim
from operant.recipes.reading import at_hand, reads
from operant.recipes.recipe import Recipe, Trial

STEPS, NOISE = 1_000_000, 2
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "attends": ("cross-attention", {}), "concat": ("concat", {}), "blind": ("cross-attention", {"blind": True}),
    "noise": ("cross-attention", {"noise": NOISE}),
}  # fmt: skip


def trial(t: Trial) -> Mapping[str, float]:
    """The share of episodes that end well: in games and words of training, and in others."""
    name, _, templates = t.arm.partition(", ")
    join, world = ARMS[name]
    words = "grammar" if templates else "people"
    if words == "people" and not at_hand(t):
        return {}
    tested = {"words": words, "noise": world.get("noise", 0)}
    splits = {"success": {**tested, "split": "train"}, "held out": {**tested, "split": "test"}}
    return reads(t, "Messenger", join, STEPS, {"words": words, **world}, splits)


RECIPE = Recipe(
    name="noisy-manual",
    title="A manual of people's descriptions: Messenger",
    source="Hanjie, Zhong and Narasimhan (2021), Grounding language to entities and dynamics for generalization in "
    "reinforcement learning, arXiv:2101.07393",
    paper="Of three things on a board one is the enemy, one carries a message and one is whom it is for; only "
    "descriptions by people say which. Each thing attends to the descriptions (EMMA). By games and sentences of the "
    "test it won most episodes where things stand still, and networks without it hardly more than chance.",
    here="The paper's people's descriptions and its games, training against test, of the first stage: three things two "
    "cells away, which stand still. Each place of the maps attends to the words of the manual, which is one text. "
    "An arm has two sentences about absent things among them. Beside it sentences of a grammar. "
    "PPO of a million steps.",
    mechanism="Each place asks the words. Without it the text stands beside what is seen: `concat`.",
    arms={"attends": "each place attends to the words", "concat": "the text beside what is seen",
          "blind": "trained with the manual of another game", "noise": "two sentences about absent things",
          "attends, templates": "a grammar's words", "concat, templates": "a grammar's words, beside what is seen",
          "noise, templates": "a grammar's words, two sentences about absent things"},
    controls=("concat", "blind", "concat, templates"),
    claims=(
        Claim(text="by a grammar's words 80 % end well", metric="success", arm="attends, templates", bar=0.8),
        Claim(text="without a manual that means something half do at most", metric="success", arm="blind", bar=0.5,
              most=True),
        Claim(text="by people's words and in games of the test 60 % do", metric="held out", arm="attends", bar=0.6,
              must=False),
        Claim(text="attention is worth 10 points there", metric="held out", arm="attends", over="concat", bar=0.1,
              must=False),
        Claim(text="sentences about absent things cost 5 points at most", metric="held out", arm="noise",
              over="attends", bar=-0.05, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=300.0,
)  # fmt: skip
