"""Gated attention: what an instruction says opens and shuts channels of what is seen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from operant.api import Run, train
from operant.data.streams import Streams
from operant.env import make
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial

ROOM, STEPS, EPISODES = "operant.grounded:room", 1_000_000, 1_000
ROOMS = {"side": 5, "view": 5}
HELD_OUT = {"vizdoom": "test", "templates": "combinations"}
ARMS = {
    "gated": ("vizdoom", "gated", False), "concat": ("vizdoom", "concat", False), "blind": ("vizdoom", "gated", True),
    "gated, templates": ("templates", "gated", False), "concat, templates": ("templates", "concat", False),
}  # fmt: skip
"""Of each arm the words, how they meet what is seen, and whether it is misled in training."""
SETTINGS: dict[str, Any] = {
    "env.num": 32, "algo.horizon": 32, "algo.epochs": 2, "algo.batch": 256, "algo.lr": 1e-3, "algo.discount": 0.97,
    "algo.entropy_coef": 0.01, "policy.network": "grid-cnn", "policy.hidden": (128,), "policy.text_size": 64,
    "eval.episodes": 100, "save.report": False,
}  # fmt: skip


def trial(t: Trial) -> Mapping[str, float]:
    """The share of rooms in which it reaches what is meant: by instructions it was trained on, and by others."""
    words, join, misled = ARMS[t.arm]
    if words == "vizdoom" and "OPERANT_DATA" not in os.environ:
        t.say(f"{t.arm}: the paper's instructions are not at hand (OPERANT_DATA); templates have rows of their own")
        return {}
    its: dict[str, Any] = SETTINGS | {
        "policy.join": join,
        "save.videos": t.seed == 1,
        "env.kwargs": ROOMS | {"words": words, "misled": misled},
    }
    if t.miniature:
        its |= {"env.num": 8, "algo.horizon": 16, "eval.episodes": 8}
    run = train("ppo", ROOM, seed=t.seed, total_steps=512 if t.miniature else STEPS, runs=t.folder, quiet=True, **its)
    splits = {"multitask": "train", "zero-shot": HELD_OUT[words]}
    if words == "templates":
        splits |= {"paraphrases": "paraphrases", "unknown words": "words"}
    episodes = 16 if t.miniature else EPISODES
    return {name: reached(run, words, split, episodes, t.seed) for name, split in splits.items()}


def reached(run: Run, words: str, split: str, episodes: int, seed: int) -> float:
    """The share of so many episodes that end at what is meant, with actions drawn by the policy."""
    env = make(ROOM, 64, kwargs=ROOMS | {"words": words, "split": split})
    noise, ends, right = Streams(seed).numpy("reached"), 0, 0
    try:
        obs = env.reset(900_000)
        while ends < episodes:
            step = env.step(run.policy.decide(obs, generator=noise))
            obs, ends = step.obs, ends + int(step.begun.sum())
            right += int((step.reward > 0.0).sum())
    finally:
        env.close()
    return right / ends


RECIPE = Recipe(
    name="gated-attention",
    title="Gated attention",
    source="Chaplot, Sathyendra, Pasumarthi, Rajagopal and Salakhutdinov (2018), Gated-attention architectures for "
    "task-oriented language grounding, arXiv:1706.07230",
    paper="In rooms of ViZDoom stood five things, and a sentence said to which to go. What a recurrent "
    "layer read in it became a gate for each channel of the convolutions, in place of numbers beside them. Trained by "
    "A3C on 55 instructions it reached what was meant in new rooms, and by 15 instructions that it had never been "
    "given, far more often than with sentence and picture side by side.",
    here="The paper's own instructions and the same things (types, colours, heights, sizes) in rooms of five by five "
    "cells, seen as symbols, five by five of what lies ahead; PPO for a million steps in place of A3C, no memory, as "
    "nothing hides a thing that lies ahead. Beside them 231 sentences of a grammar of our own, where each kind of "
    "thing is held out in one colour.",
    mechanism="σ(W text) times each channel. Without it the sentence stands beside the features: `concat`.",
    arms={"gated": "the paper's instructions open channels", "concat": "they stand beside what is seen",
          "blind": "gates, but in training what is said is drawn anew, whatever is meant",
          "gated, templates": "gates, sentences of the grammar", "concat, templates": "side by side, the grammar's"},
    controls=("blind", "concat", "concat, templates"),
    claims=(
        Claim(text="it reaches what is meant in 85 % of new rooms", metric="multitask", arm="gated", bar=0.85),
        Claim(text="and by the grammar's sentences", metric="multitask", arm="gated, templates", bar=0.85),
        Claim(text="without instructions that mean something it is right by chance", metric="multitask", arm="blind",
              bar=0.3, most=True),
        Claim(text="by instructions that are held out it is right 10 points more often than side by side",
              metric="zero-shot", arm="gated", over="concat", bar=0.1, must=False),
        Claim(text="and in colours in which a kind of thing was never named", metric="zero-shot",
              arm="gated, templates", over="concat, templates", bar=0.1, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=90.0,
)  # fmt: skip
