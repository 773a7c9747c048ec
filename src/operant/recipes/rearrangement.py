"""Rearrangement: things to their places, by a plan of skills that are learnt one by one, or by one policy for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from operant.data.streams import Streams
from operant.env.spaces import Observations
from operant.grounded import Errand, Tidied, errand_view, judged
from operant.recipes.claims import Claim
from operant.recipes.filming import filmed
from operant.recipes.recipe import Recipe, Trial

STEPS, EPISODES, NUM = 1_000_000, 500, 50
SETTINGS: dict[str, Any] = {
    "env.num": 32, "algo.horizon": 64, "algo.epochs": 2, "algo.batch": 256, "algo.lr": 1e-3, "algo.discount": 0.98,
    "algo.entropy_coef": 0.01, "policy.network": "grid-cnn", "policy.hidden": (128,),
}  # fmt: skip
Decide = Callable[[Tidied], np.ndarray]
"""What is done in each house, [N]."""


def tidied(decide: Decide, things: int, episodes: int, seed: int) -> float:
    """The share of houses in which everything comes to lie where it belongs."""
    world = Tidied(min(NUM, episodes), things)
    world.reset(seed=900_000 + seed)
    ends = well = 0
    while ends < episodes:
        _, _, done, cut, _ = world.step(decide(world))
        ends, well = ends + int((done | cut).sum()), well + int(done.sum())
    return well / ends


def trial(t: Trial) -> Mapping[str, float]:
    """The share of houses that are tidied, with two things and with one; and of errands that are done."""
    small, skill = t.miniature, t.arm != "monolithic"
    its = SETTINGS | ({"env.num": 4, "algo.horizon": 16, "algo.batch": 32} if small else {})
    name = "operant.grounded:Errand" if skill else "operant.grounded:Tidied"
    made = judged(name, lambda _: None, seed=t.seed, total_steps=128 if small else STEPS, settings=its)
    filmed(t, made.agent, name)
    seen = Observations((Errand() if skill else Tidied()).single_observation_space)
    noise = Streams(t.seed).numpy("tidied")

    def decide(world: Tidied) -> np.ndarray:
        if not skill:
            return made.agent.decide(seen.batch(world.see(), world.num_envs), generator=noise)
        _, cell = world.next()
        if t.arm == "no plan":  # one goes anywhere, and takes or lays down there what there is
            cell = world.anywhere()
        return made.agent.decide(seen.batch({"view": errand_view(world.here, cell)}, world.num_envs), generator=noise)

    episodes = 4 if small else EPISODES
    told = {"tidied": tidied(decide, 2, episodes, t.seed)}
    return told | ({"one thing": tidied(decide, 1, episodes, t.seed)} if skill else {})


RECIPE = Recipe(
    name="rearrangement",
    title="Rearrangement: skills and a plan",
    source="Szot et al. (2022), Habitat rearrangement challenge 2022; Szot et al. (2021), Habitat 2.0: training home "
    "assistants to rearrange their habitat, arXiv:2106.14405",
    paper="A robot in scanned flats was to bring things from their coordinates to others. A fixed plan of skills, each "
    "learnt by reinforcement on its own (go there, pick, place), did more of it than one policy for all; skills "
    "failed where one ended as the next had never begun.",
    here="A house of four rooms of nine by nine cells, two things, coordinates as planes of what is seen; taking and "
    "laying down are one action. The skill is to go to a cell and to do it there; a plan says which cell. A million "
    "steps of PPO for the skill, and as many for one policy, which is paid for every step nearer to what the "
    "plan would do next. No arm, no gripper, no pictures of a flat: Habitat is on paper only.",
    mechanism="A plan calls a skill that was learnt on its own. Without it one policy does all: `monolithic`.",
    arms={"skills": "a plan of errands", "monolithic": "one policy for all of it",
          "no plan": "the same skill, to cells that are drawn"},
    controls=("monolithic", "no plan"),
    claims=(
        Claim(text="skills and a plan tidy 70 % of houses with two things", metric="tidied", arm="skills", bar=0.7),
        Claim(text="without the plan hardly any is tidied", metric="tidied", arm="no plan", bar=0.1, most=True),
        Claim(text="one policy tidies 30 % at most", metric="tidied", arm="monolithic", bar=0.3, most=True, must=False),
        Claim(text="it is worth 40 points", metric="tidied", arm="skills", over="monolithic", bar=0.4, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=150.0,
)  # fmt: skip
