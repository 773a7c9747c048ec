"""Control by predictive sampling: at each step plan anew by trying noisy copies of the last plan in a simulator.

Source: Howell et al. (2022), Predictive sampling: real-time behaviour synthesis with MuJoCo, arXiv:2212.00541,
algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.design.reward import Compiled, Reward
from operant.design.tasks import Task
from operant.env.snapshot import restore, save

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """How far one looks ahead, and how often one guesses.

    Attributes:
        horizon: steps of a plan.
        knots: points of a plan, between which it is linear.
        samples: plans that are tried at each step, one of them the last one.
        noise: deviation of a guess, as a share of the half of what an action may be; of other guesses it is a quarter,
            a sixteenth and a sixty-fourth of that.
    """

    horizon: int = 24
    knots: int = 4
    samples: int = 16
    noise: float = 0.5


def controlled(
    task: Task, reward: Reward, cfg: Planning, *, steps: int, seed: int, rng: np.random.Generator
) -> list[Mapping[str, Any]]:
    """An episode in which each action is the first one of the best plan; returns the quantities after each step."""
    env, pays = task.make(), Compiled(reward)
    low, high = (np.asarray(x, np.float64) for x in (env.action_space.low, env.action_space.high))  # pyright: ignore[reportAttributeAccessIssue]
    env.reset(seed=seed)
    plan, seen = np.zeros((cfg.knots, *low.shape)) + (low + high) / 2, list[Mapping[str, Any]]()

    def worth(points: Array) -> float:
        there = restore(env, here, task.name)  # a copy, or the same one set back
        return sum(sum(pays(task.observe(there.unwrapped, there.step(a)[0], a)).values()) for a in spread(points, cfg))

    width = cfg.noise * (0.25 ** (np.arange(cfg.samples) % 4)).reshape(-1, *[1] * plan.ndim)
    for _ in range(steps):
        here = save(env, task.name)
        guesses = plan + rng.normal(0.0, 1.0, (cfg.samples, *plan.shape)) * width * (high - low) / 2
        guesses[0] = plan
        guesses = guesses.clip(low, high)
        plan = guesses[int(np.argmax([worth(points) for points in guesses]))]
        env, action = restore(env, here, task.name), spread(plan, cfg)[0]
        obs, _, over, cut, _ = env.step(action)
        seen.append(task.observe(env.unwrapped, obs, action))
        plan = shifted(plan, cfg)
        if over or cut:
            break
    env.close()
    return seen


def spread(points: Array, cfg: Planning) -> NDArray[np.float32]:
    """Actions [H, A] of a plan [K, A], linear between its points."""
    at = np.linspace(0.0, cfg.knots - 1, cfg.horizon)
    k = np.minimum(at.astype(int), cfg.knots - 2)
    share = (at - k)[:, None]
    return ((1.0 - share) * points[k] + share * points[k + 1]).astype(np.float32)


def shifted(points: Array, cfg: Planning) -> Array:
    """The plan a step later: its last action is done once more."""
    actions = np.concatenate([spread(points, cfg)[1:], points[-1:]])
    return actions[np.linspace(0, cfg.horizon - 1, cfg.knots).round().astype(int)].astype(np.float64)
