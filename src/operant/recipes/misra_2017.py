"""From instructions and observations to block moves: a contextual bandit on shaped rewards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from operant.control import Agent
from operant.data.streams import Streams
from operant.env.spaces import Observations
from operant.grounded import Moves, cloned, judged, prepared
from operant.recipes.claims import Claim
from operant.recipes.filming import filmed
from operant.recipes.recipe import Recipe, Trial

STEPS, DEMONSTRATIONS, CLONING, EPISODES = 1_000_000, 3_000, 4_000, 500
SETTINGS: dict[str, Any] = {
    "env.num": 32, "algo.horizon": 32, "algo.epochs": 2, "algo.batch": 256, "algo.lr": 1e-3, "algo.entropy_coef": 0.01,
    "policy.hidden": (256, 128), "policy.text_size": 64, "policy.shared": True,
}  # fmt: skip
ARMS: dict[str, tuple[float, dict[str, bool]]] = {
    "bandit": (0.0, {}), "returns": (0.99, {}), "no shaping": (0.0, {"distance": False, "trajectory": False}),
    "blind": (0.0, {"blind": True}),
}  # fmt: skip
"""Of each arm that learns by reward γ, and what differs in its world."""


def demonstrations(words: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and actions of n shortest ways."""
    world = Moves(1, words)
    seen, rows, actions, ends = Observations(world.single_observation_space), [], [], 0
    obs, _ = world.reset(seed=seed)
    while ends < n:
        rows.append(seen.batch(obs, 1)[0])
        actions.append(int(world.shortest()[0]))
        obs, _, over, cut, _ = world.step(np.array(actions[-1:]))
        ends += int((over | cut)[0])
    return np.stack(rows), np.array(actions)


def error(agent: Agent | None, words: str, split: str, episodes: int, seed: int) -> float:
    """The mean distance at the end, in blocks; of who stops at once without an agent."""
    world, noise, told = Moves(32, words, split), Streams(seed).numpy("error"), list[float]()
    seen = Observations(world.single_observation_space)
    obs, _ = world.reset(seed=900_000)
    while len(told) < episodes:
        rows = seen.batch(obs, 32)
        actions = np.full(32, 80) if agent is None else agent.decide(rows, generator=noise)
        obs, _, over, cut, _ = world.step(actions)
        told += world.error[over | cut].tolist()
    return float(np.mean(told))


def trial(t: Trial) -> Mapping[str, float]:
    """How far from its place the block is in the end, in scenes of training and of the test."""
    name, _, templates = t.arm.partition(", ")
    words, small = "grammar" if templates else "people", t.miniature
    if words == "people" and "OPERANT_DATA" not in os.environ:
        t.say(f"{t.arm}: people's words are not at hand (OPERANT_DATA); a grammar's have rows of their own")
        return {}
    settings = SETTINGS | ({"env.num": 8, "algo.horizon": 16, "algo.batch": 64} if small else {})
    if name == "stops":
        agent = None
    elif name == "demonstrations":
        agent = prepared(partial(Moves, words=words), seed=t.seed, total_steps=1, settings=settings).agent
        rows, actions = demonstrations(words, 5 if small else DEMONSTRATIONS, t.seed)
        cloned(agent, rows, actions, steps=3 if small else CLONING, batch=256, lr=1e-3,
               rng=Streams(t.seed).numpy("cloned"))  # fmt: skip
    else:
        discount, world = ARMS[name]
        its = settings | {"algo.discount": discount, "env.kwargs": {"words": words, **world}}
        agent = judged("operant.grounded:Moves", lambda _: None, seed=t.seed, total_steps=256 if small else STEPS,
                       settings=its).agent  # fmt: skip
    if agent is not None:
        filmed(t, agent, "operant.grounded:Moves", words=words, split="test")
    splits = {"error": "test", "error in training": "train"}
    return {key: error(agent, words, split, 32 if small else EPISODES, t.seed) for key, split in splits.items()}


RECIPE = Recipe(
    name="misra-2017",
    title="Instructions to block moves",
    source="Misra, Langford and Artzi (2017), Mapping instructions and visual observations to actions with "
    "reinforcement learning, arXiv:1704.08795",
    paper="A picture of blocks on a table and a person's sentence came in, moves of a block by one step came out. "
    "A contextual bandit, which learns from the reward of the step alone, on rewards shaped by distance and by "
    "demonstrations, left the block 24 % nearer to its place than the best of supervised learning and REINFORCE.",
    here="The paper's scenes and people's sentences of at most 40 words, single moves; in place of pictures where "
    "each of twenty blocks is. 81 actions, a move as far as a block. PPO with γ = 0 for the bandit, of a million "
    "steps; 3,000 demonstrations for who copies. Beside them six blocks and sentences of a grammar.",
    mechanism="γ = 0: a step is judged by its own shaped reward. Without it by what follows, too: `returns`.",
    arms={"bandit": "the reward of a step, shaped", "returns": "the same rewards, their discounted sum",
          "no shaping": "the reward of a step, of the task alone", "demonstrations": "copies shortest ways",
          "blind": "sentences of other tasks", "stops": "stops at once",
          "bandit, templates": "a grammar's words", "returns, templates": "a grammar's words, returns",
          "demonstrations, templates": "copies, a grammar's words", "stops, templates": "stops at once"},
    controls=("no shaping", "blind", "stops"),
    claims=(
        Claim(text="on a grammar's words the block ends at half the distance of who stops at once",
              metric="error", arm="bandit, templates", over="stops, templates", ratio=True, bar=0.5, most=True),
        Claim(text="on people's words it ends nearer than where it was", metric="error", arm="bandit", over="stops",
              ratio=True, bar=1.0, most=True),
        *(Claim(text=f"the distance is at most 0.85 of that of {what}", metric="error", arm="bandit", over=over,
                ratio=True, bar=0.85, most=True, must=False)
          for over, what in {"returns": "returns", "demonstrations": "who copies"}.items()),
        Claim(text="without shaping it is farther", metric="error", arm="no shaping", over="bandit", bar=0.0,
              must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3, 4, 5),
    minutes=300.0,
)  # fmt: skip
