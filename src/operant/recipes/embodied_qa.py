"""Embodied question answering: walk to where the answer can be seen, stop, and say it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import torch

from operant.data.streams import Streams
from operant.env.spaces import Observations
from operant.grounded import Asked, Pacman, imitate, reinforce, walk
from operant.recipes.claims import Claim
from operant.recipes.recipe import Recipe, Trial

SIZE, MOST, NUM, DEMONSTRATIONS, EPISODES = 64, 5, 32, 2_000, 512
COPYING: dict[str, Any] = {"steps": 2_000, "batch": 32, "lr": 1e-3}
REWARD: dict[str, Any] = {"updates": 1_500, "lr": 3e-4, "discount": 0.99, "grown": 0.5}
SPAWNS = {"near": (3, 5), "middle": (7, 10), "far": (13, 99)}
"""Where episodes begin, in steps of a shortest way; houses hold ways of 20 at most."""


@cache
def copied(seed: int, most: int, blind: bool, small: bool) -> Pacman:
    """An agent that has copied shortest ways in the houses of training, and learnt to answer at their ends."""
    torch.set_num_threads(1)  # layers this small do not gain by more
    streams, world = Streams(seed), Asked(8 if small else DEMONSTRATIONS)
    world.reset(seed=streams.integer("demonstrations"))
    shown = walk(world, None, streams.torch("walk"), most)
    made = Pacman(Observations(world.single_observation_space), SIZE, most, streams.torch("pacman"))
    its = COPYING | ({"steps": 2} if small else {})
    imitate(made, shown, rng=streams.numpy("copying"), blind=blind, **its)
    return made


def measured(agent: Pacman, t: Trial, blind: bool) -> Mapping[str, float]:
    """In houses of the test, by how far episodes begin from the end of a shortest way, and on average."""
    told: dict[str, float] = {}
    for spawn, (nearest, farthest) in SPAWNS.items():
        world = Asked(8 if t.miniature else EPISODES, "test", nearest=nearest, farthest=farthest)
        world.reset(seed=900_000 + t.seed)
        its = walk(world, agent, Streams(t.seed).torch("measured"))
        with torch.no_grad():
            right = (agent.answers(its, blind).argmax(1) == its.answer).double()
        numbers = {
            "accuracy": right, "d_0": its.first, "d_T": its.last, "d_delta": its.first - its.last, "d_min": its.least,
            "stopped": its.stopped, "ended in the room": its.ended, "entered the room": its.entered,
        }  # fmt: skip
        told |= {f"{name}, {spawn}": float(x.double().mean()) for name, x in numbers.items()}
    return {"accuracy": float(np.mean([told[f"accuracy, {spawn}"] for spawn in SPAWNS])), **told}


def trial(t: Trial) -> Mapping[str, float]:
    """How often the answer is right, and how near it came, in houses in which it never was."""
    blind = t.arm == "question only"
    agent = deepcopy(copied(t.seed, 1 if t.arm == "planner alone" else MOST, blind, t.miniature))
    if t.arm in ("pacman", "planner alone"):
        streams, world = Streams(t.seed), Asked(8 if t.miniature else NUM)
        world.reset(seed=streams.integer("houses"))
        its = REWARD | ({"updates": 2} if t.miniature else {})
        reinforce(agent, world, generator=streams.torch("reward"), **its)
    return measured(agent, t, blind)


RECIPE = Recipe(
    name="embodied-qa",
    title="Embodied question answering",
    source="Das, Datta, Gkioxari, Lee, Parikh and Batra (2018), Embodied question answering, arXiv:1711.11543",
    paper="In houses of three dimensions an agent was asked for a colour, a room or a place. A planner chose where to "
    "go, a controller how long to keep on, an answerer looked at the last five frames. It copied shortest ways, then "
    "learnt by REINFORCE from steps nearer and right answers, which made it more often right from afar.",
    here="Houses of nine by nine cells with four rooms and twelve things, seven by seven cells ahead are seen as "
    "symbols, through doors and not through walls; eight questions, five colours. 2,000 shortest ways to copy, then "
    "1,500 updates of 32 episodes each, which begin ever farther away; the answerer stays as it was. Houses of the "
    "test have their doors elsewhere. Episodes of 40 steps begin 3 to 5, 7 to 10, and 13 or more steps away, in place "
    "of the paper's 10, 30 and 50. House3D and its pictures are on paper only.",
    mechanism="What was copied is taught on by steps nearer and by right answers, a planner's decision lasting as long "
    "as the controller keeps on. Without the first it is `imitation`, without the second `planner alone`.",
    arms={"pacman": "copies, then learns by reward", "imitation": "copies shortest ways",
          "planner alone": "copies, then learns by reward; each step is planned",
          "question only": "an answerer that sees no frame"},
    controls=("imitation", "planner alone", "question only"),
    claims=(
        Claim(text="who hears the question alone is right 20 points less often", metric="accuracy", arm="pacman",
              over="question only", bar=0.2),
        Claim(text="and by chance", metric="accuracy", arm="question only", bar=0.3, most=True),
        Claim(text="from afar reward is worth 5 points over imitation", metric="accuracy, far", arm="pacman",
              over="imitation", bar=0.05, must=False),
        Claim(text="and it ends nearer", metric="d_delta, far", arm="pacman", over="imitation", bar=0.0, must=False),
        Claim(text="from afar the controller is worth 5 points", metric="accuracy, far", arm="pacman",
              over="planner alone", bar=0.05, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=200.0,
)  # fmt: skip
