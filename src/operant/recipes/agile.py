"""AGILE: a reward learnt from states in which an instruction is fulfilled, while a policy learns to follow it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from operant.control.setup import OnPolicy
from operant.data.streams import Streams
from operant.env.spaces import Observations
from operant.grounded import Blocks, GoalNetwork, GoalReward, Trained, ends_well, goal_states, judged
from operant.recipes.claims import Claim
from operant.recipes.filming import filmed
from operant.recipes.recipe import Recipe, Trial

WORLD, GOALS, STEPS, TUNING, EPISODES = "operant.grounded:Blocks", 20_000, 600_000, 200_000, 1_000
REWARD: dict[str, Any] = {"lr": 1e-3, "batch": 128, "steps": 8}
SETTINGS: dict[str, Any] = {
    "env.num": 32, "algo.horizon": 30, "algo.epochs": 2, "algo.batch": 240, "algo.lr": 1e-3, "algo.discount": 0.95,
    "algo.entropy_coef": 0.02, "policy.network": "grid-cnn", "policy.text_size": 32, "policy.join": "film",
    "policy.normalize_reward": True,
}  # fmt: skip
RHO = {"agile": 0.25, "no filter": 1.0, "blind": 0.25}


def judge(parts: OnPolicy, t: Trial, network: GoalNetwork) -> GoalReward:
    """What pays in an arm."""
    streams, n = Streams(t.seed), 40 if t.miniature else GOALS
    rng = streams.numpy("goals")
    goals = goal_states(n, "train", rng)
    if t.arm == "blind":
        goals["instruction"] = tuple(goals["instruction"][k] for k in rng.permutation(n))
    rows = parts.collect.env.observations.batch(goals, n)
    its = REWARD | ({"batch": 8, "steps": 1} if t.miniature else {})
    return GoalReward(network, rows, RHO[t.arm], streams=streams, **its)


def accuracy(network: GoalNetwork, seen: Observations, n: int, rng: np.random.Generator) -> float:
    """How often it is right by instructions that are held out, on as many states that fulfil them as do not."""
    table = Blocks(n, "held-out")
    table.rng = rng
    table.begin(table.all)
    with torch.no_grad():
        good, bad = (network(torch.from_numpy(seen.batch(x, n))) > 0 for x in (goal_states(n, "held-out", rng),
                                                                               table.see()))  # fmt: skip
    return float((good.float().mean() + (~bad).float().mean()) / 2)


def trial(t: Trial) -> Mapping[str, float]:
    """The share of episodes at whose end the blocks lie as they should, by instructions of training and by others."""
    small, oracle = t.miniature, t.arm == "oracle"
    its = SETTINGS | ({"env.num": 4, "algo.horizon": 15, "algo.batch": 60} if small else {})
    steps, tuning = (240, 120) if small else (STEPS, TUNING)
    table = Observations(Blocks().single_observation_space)
    network = GoalNetwork(table, 32, Streams(t.seed).torch("goal-network"))
    pays = partial(judge, t=t, network=network)
    made = judged(WORLD, (lambda _: None) if oracle else pays, seed=t.seed, total_steps=steps, settings=its)
    filmed(t, made.agent, WORLD)
    told = {name: _well(made, t, split=split) for name, split in (("success", "train"), ("held out", "held-out"))}
    if oracle:
        return told
    told["reward model"] = accuracy(network, table, 50 if small else EPISODES, Streams(t.seed).numpy("accuracy"))
    if t.arm == "agile":  # red blocks cannot be moved any more: the policy learns on, the reward stays
        told["changed world"] = _well(made, t, fixed="red")
        frozen = {**REWARD, "steps": 0}
        again = judged(WORLD, lambda _: GoalReward(network, np.zeros((1, 1), np.float32), 1.0, streams=Streams(t.seed),
                                                   **frozen), seed=t.seed, total_steps=tuning, agent=made.agent,
                       settings=its | {"env.kwargs": {"fixed": "red"}})  # fmt: skip
        told["after tuning"] = _well(again, t, fixed="red")
        told["regained"] = told["after tuning"] - told["changed world"]
    return told


def _well(made: Trained, t: Trial, **kwargs: Any) -> float:
    return ends_well(made.agent, WORLD, 16 if t.miniature else EPISODES, t.seed, **kwargs)


RECIPE = Recipe(
    name="agile",
    title="AGILE: a reward learnt from goal states",
    source="Bahdanau, Hill, Leike, Hughes, Hosseini, Kohli and Grefenstette (2019), Learning to understand goal "
    "specifications by modelling reward, arXiv:1806.01946",
    paper="On a grid of blocks a discriminator learnt from pairs of an instruction and a state that fulfils it, "
    "against what the agent itself visited. It paid the agent, which learnt by A3C about as well as one that the world "
    "pays, and went on learning where the world had changed, with the discriminator frozen.",
    here="Five by five cells, four of six kinds of blocks, 120 instructions of two kinds and a side, a fifth of them "
    "held out; 20,000 goal states. FiLM over a convolution of 32 channels for policy and reward, PPO of 600,000 steps "
    "in place of A3C, no prediction of rewards beside it. Episodes of 30 steps; a step after which the blocks "
    "lie as they should is a success, and what counts is the last one.",
    mechanism="The discriminator pays, and learns only from the quarter of visited states of which it thinks least. "
    "Without the choice states that fulfil the instruction are taught as negatives: `no filter`.",
    arms={"agile": "paid by the discriminator", "oracle": "paid by the world",
          "no filter": "every visited state is a negative example",
          "blind": "goal states with the instructions of others"},
    controls=("no filter", "blind"),
    claims=(
        Claim(text="the reward model is right in 95 % of states by instructions that it never read",
              metric="reward model", arm="agile", bar=0.95),
        Claim(text="goal states with the instructions of others teach little", metric="success", arm="blind",
              bar=0.2, most=True),
        Claim(text="AGILE comes within 5 points of who is paid by the world", metric="success", arm="agile",
              over="oracle", bar=-0.05, must=False),
        Claim(text="the choice of negatives is worth 10 points", metric="success", arm="agile", over="no filter",
              bar=0.1, must=False),
        Claim(text="in a world where red blocks cannot be moved, learning on by the frozen reward gains 10 points",
              metric="regained", arm="agile", bar=0.1, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=150.0,
)  # fmt: skip
