"""Chains: the random walks, and the two-state world in which a maximum over estimates misleads."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from operant.mdp.model import MDP
from operant.mdp.worlds.table import Outcome, table


def random_walk(states: int = 5, *, left: float = 0.0, right: float = 1.0, discount: float = 1.0) -> MDP:
    """A walk that goes left or right with probability ½ until it falls off either end; one action, start in the middle.

    State 0 and state `states` + 1 are the ends. `random_walk()` is example 6.2, v(i) = i / 6;
    `random_walk(19, left=-1.0)` is that of chapters 7 and 12, v(i) = i / 10 - 1.

    Args:
        left, right: reward of leaving over that end.

    Source: Sutton & Barto (2018), examples 6.2, 6.3, 7.1; figures 12.3, 12.6, 12.8.
    """
    last = states + 1

    def step(at: int, action: str) -> list[Outcome[int]]:
        return [(0.5, at - 1, left if at == 1 else 0.0), (0.5, at + 1, right if at == states else 0.0)]

    ends = {0: 0.0, last: 0.0}
    return table(range(last + 1), ["walk"], step, discount, terminal=ends, start=(states + 1) // 2)


def maximisation_bias(actions: int = 10, *, mean: float = -0.1, levels: int = 100, discount: float = 1.0) -> MDP:
    """Two decisions: from A, "left" leads to B and "right" ends with 0; from B, each action ends with a noisy reward.

    The noise of variance 1 takes `levels` equally likely values, the means of equal slices of the normal distribution
    scaled to variance 1 exactly; each is an outcome of its own (a terminal state), so that sampling the model samples
    the noise. State 0 is A, 1 is B, 2 the end on the right, 3 … the noisy ends. Of A, action 0 is "left" and 1 "right".

    Source: Sutton & Barto (2018), example 6.7 (figure 6.5).
    """
    normal = NormalDist()
    cuts = [normal.pdf(normal.inv_cdf(k / levels)) if 0 < k < levels else 0.0 for k in range(levels + 1)]
    slices = levels * -np.diff(cuts)  # the mean of each slice
    rewards = mean + slices / max(float(np.sqrt(np.mean(slices**2))), 1e-300)

    def step(at: int, action: str) -> list[Outcome[int]]:
        if at == 0:
            return [(1.0, {"0": 1, "1": 2}[action], 0.0)] if action in ("0", "1") else []
        return [(1.0 / levels, 3 + k, float(reward)) for k, reward in enumerate(rewards)]

    ends = dict.fromkeys(range(2, levels + 3), 0.0)
    words = [str(action) for action in range(max(actions, 2))]
    return table(range(levels + 3), words, step, discount, terminal=ends, start=0)
