"""MineCLIP: how well what was just seen fits a caption is a dense reward."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch

from operant.data.streams import Streams
from operant.env.spaces import Observations
from operant.grounded import CaptionReward, ClipModel, Field, ends_well, field_clips, fit_clips, judged
from operant.grounded.field import DEEDS, PROMPT, THINGS, WORDS
from operant.recipes.claims import Claim
from operant.recipes.filming import filmed
from operant.recipes.recipe import Recipe, Trial

WORLD, FRAMES, CLIPS, TEACHING, STEPS, TASKS, EPISODES = "operant.grounded:Field", 4, 8_000, 1_500, 200_000, 3, 500
WEIGHT, DENSE = 0.1, 0.05
PROMPTS = [PROMPT.format(deed, thing) for deed, thing in zip(DEEDS, THINGS, strict=True)]
SETTINGS: dict[str, Any] = {
    "env.num": 32, "algo.horizon": 64, "algo.epochs": 2, "algo.batch": 256, "algo.lr": 1e-3, "algo.discount": 0.97,
    "algo.entropy_coef": 0.01, "policy.network": "grid-cnn",
}  # fmt: skip


@cache
def model(seed: int, small: bool) -> tuple[ClipModel, float]:
    """A model of clips and captions, and how often it finds which of four prompts a new clip of a walk fits."""
    torch.set_num_threads(1)  # layers this small do not gain by more
    streams = Streams(seed)
    seen, rng = Observations(Field().single_observation_space), streams.numpy("clips")
    made = ClipModel(seen, WORDS, FRAMES, 16 if small else 64, streams.torch("clip-model"))
    fit_clips(made, field_clips(60 if small else CLIPS, FRAMES, rng), steps=3 if small else TEACHING, batch=32, lr=1e-3,
              streams=streams)  # fmt: skip
    new = [(rows, k) for rows, text in field_clips(40 if small else 1_000, FRAMES, rng)
           for k, thing in enumerate(THINGS) if thing in text]  # fmt: skip
    with torch.no_grad():
        best = made(torch.from_numpy(np.stack([rows for rows, _ in new])), PROMPTS).argmax(1)
    return made, float((best == torch.tensor([k for _, k in new])).float().mean())


def trial(t: Trial) -> Mapping[str, float]:
    """The share of episodes in which the task is done, over tasks, after training on an arm's reward."""
    small, found = t.miniature, list[float]()
    clips, accuracy = model(t.seed, small)
    its = SETTINGS | ({"env.num": 4, "algo.horizon": 16, "algo.batch": 32} if small else {})
    for task in range(1 if small else TASKS):
        kwargs = {"task": task, "dense": DENSE if t.arm == "hand" else 0.0}
        shown = (task + 1) % len(THINGS) if t.arm == "other caption" else task
        captions = [PROMPTS[shown], *(p for k, p in enumerate(PROMPTS) if k != shown)]
        pays = t.arm in ("mineclip", "other caption")
        judge = CaptionReward(clips, captions, WEIGHT) if pays else None
        agent = judged(WORLD, lambda _, judge=judge: judge, seed=t.seed, total_steps=128 if small else STEPS,
                       settings=its | {"env.kwargs": kwargs}).agent  # fmt: skip
        found.append(ends_well(agent, WORLD, 8 if small else EPISODES, t.seed, num=8 if small else 64, task=task))
        t.say(f"{t.arm}, {THINGS[task]}: {found[-1]:.2f}")
        if task == 0:
            filmed(t, agent, WORLD, task=task)
    return {"success": float(np.mean(found)), "captions": accuracy}


RECIPE = Recipe(
    name="mineclip",
    title="MineCLIP: captions as rewards",
    source="Fan et al. (2022), MineDojo: building open-ended embodied agents with internet-scale knowledge, "
    "arXiv:2206.08853",
    paper="A contrastive model of 16 frames and a sentence learnt from 640,000 pairs of Minecraft films. How much "
    "better the last frames fit the task's sentence than others was a dense reward for PPO with self-imitation: as "
    "good as rewards written by hand on most of a dozen tasks, where sparse ones gave next to nothing.",
    here="A field of nine by nine cells with four things; 8,000 clips of four frames of a script at work, at walks "
    "and at leisure, with captions of a grammar, no pretraining. Prompts are sentences that no clip has. PPO of "
    "200,000 steps without self-imitation, on three tasks: walk to a thing and use it three times in a row. The reward "
    "is 0.1 max(P − 1/4, 0) beside the task's own 1. Minecraft, its films and its prompts are on paper only.",
    mechanism="max(P(goal | clip, captions) − 1/U, 0) beside the task's reward. Without it that is all: `sparse`.",
    arms={"mineclip": "clips that fit the prompt pay", "sparse": "the task alone",
          "hand": "each step nearer, and each use, pays", "other caption": "clips that fit another task's prompt pay"},
    controls=("sparse", "other caption"),
    claims=(
        Claim(text="of four prompts that it never read, three in four new clips fit the right one best",
              metric="captions", arm="mineclip", bar=0.75),
        Claim(text="a prompt of another task gives no gain over the task alone", metric="success", arm="other caption",
              over="sparse", bar=0.05, most=True),
        Claim(text="it does 70 % of what a reward by hand does", metric="success", arm="mineclip", over="hand",
              ratio=True, bar=0.7, must=False),
        Claim(text="and 20 points more than the task's reward alone", metric="success", arm="mineclip", over="sparse",
              bar=0.2, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=200.0,
)  # fmt: skip
