"""A small random Markov decision process, as arrays, as an exact model and as an environment with costs."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces

from operant.mdp import MDP


def arrays(seed, S=4, A=3):
    """P [S, A, S], R [S, A], cost [S, A] of 0 to 1, start [S]."""
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(S, 0.5), (S, A))
    return P, rng.normal(size=(S, A)), rng.random((S, A)), rng.dirichlet(np.ones(S))


def model(seed, discount=0.9, **sizes):
    P, R, _, start = arrays(seed, **sizes)
    return MDP(P, R, discount, start=start)


class Tabular(gymnasium.Env):
    """Observes the state as a number; ends with a chance of `end` a step, is cut after `length`; info has the cost."""

    def __init__(self, seed: int = 0, S: int = 4, A: int = 3, length: int = 50, end: float = 0.0) -> None:
        self.P, self.R, self.cost, self.first = arrays(seed, S, A)
        self.observation_space, self.action_space = spaces.Discrete(S), spaces.Discrete(A)
        self.length, self.end = length, end

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.state = 0, int(self.np_random.choice(len(self.first), p=self.first))
        return self.state, {}

    def step(self, action):
        here = self.state, int(action)
        self.time += 1
        self.state = int(self.np_random.choice(len(self.first), p=self.P[here]))
        over = bool(self.end and self.np_random.random() < self.end)
        return self.state, float(self.R[here]), over, self.time >= self.length, {"cost": float(self.cost[here])}
