"""What recipes of manuals share: PPO on a world with texts, and how many episodes end well by each split."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from operant.grounded import ends_well, judged
from operant.recipes.filming import filmed
from operant.recipes.recipe import Trial

EPISODES = 1_000
SETTINGS: dict[str, Any] = {
    "env.num": 32, "algo.horizon": 32, "algo.epochs": 2, "algo.batch": 256, "algo.lr": 7e-4, "algo.discount": 0.95,
    "algo.entropy_coef": 0.02, "policy.network": "grid-cnn", "policy.hidden": (128,), "policy.text_size": 48,
}  # fmt: skip


def reads(
    t: Trial, world: str, join: str, steps: int, trained: Mapping[str, Any], splits: Mapping[str, Mapping[str, Any]]
) -> dict[str, float]:
    """The share of episodes that end well, by what is asked for, after so many steps of training.

    Args:
        t: what is tried.
        world: of `operant.grounded`.
        join: how texts meet the maps of what is seen.
        steps: of PPO.
        trained: options of the world to train in.
        splits: of those to be measured in, by name.
    """
    its = SETTINGS | {"policy.join": join, "env.kwargs": dict(trained)}
    its |= {"env.num": 8, "algo.horizon": 8, "algo.batch": 32, "policy.text_size": 8} if t.miniature else {}
    name, total = f"operant.grounded:{world}", 128 if t.miniature else steps
    agent = judged(name, lambda _: None, seed=t.seed, total_steps=total, settings=its).agent
    filmed(t, agent, name, **next(iter(splits.values())))
    episodes, num = (8, 8) if t.miniature else (EPISODES, 64)
    return {key: ends_well(agent, name, episodes, t.seed, num=num, **kwargs) for key, kwargs in splits.items()}


def at_hand(t: Trial) -> bool:
    """Whether people's words are; says so where they are not."""
    if "OPERANT_DATA" in os.environ:
        return True
    t.say(f"{t.arm}: people's words are not at hand (OPERANT_DATA); a grammar's have rows of their own")
    return False
