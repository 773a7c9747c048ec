"""Measure a policy: whole episodes, counted without favouring the short ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from operant.env import VectorEnv


class Evaluation(NamedTuple):
    """Undiscounted returns and lengths of whole episodes, in the order of their rows."""

    returns: np.ndarray  # [E]
    lengths: np.ndarray  # [E]


def evaluate(env: VectorEnv, act: Callable[[np.ndarray], np.ndarray], *, episodes: int, seed: int) -> Evaluation:
    """Run `episodes` whole episodes of a policy.

    Each of the N copies owes a fixed share of the episodes. (Taking the first E to finish would favour short ones.)

    Args:
        env: reset here with `seed`.
        act: observations [N, D] to actions [N, ...].
        episodes: E, how many.
        seed: the first seed; copy i begins with seed + i.
    """
    quota = np.full(env.num, episodes // env.num) + (np.arange(env.num) < episodes % env.num)
    running, length = np.zeros(env.num), np.zeros(env.num, np.int64)
    returns: list[list[float]] = [[] for _ in range(env.num)]
    lengths: list[list[int]] = [[] for _ in range(env.num)]
    obs = env.reset(seed)
    while any(len(done) < want for done, want in zip(returns, quota, strict=True)):
        step = env.step(act(obs))
        running += step.reward
        length += step.acted
        for n in np.flatnonzero(step.terminated | step.truncated):
            if len(returns[n]) < quota[n] and step.acted[n]:  # one that broke off (see `Step`) is played again
                returns[n].append(float(running[n]))
                lengths[n].append(int(length[n]))
            running[n], length[n] = 0.0, 0
        obs = step.obs
    return Evaluation(np.concatenate(returns), np.concatenate(lengths).astype(np.int64))
