"""Clips for a person: played in an environment of their own, from a seed and by actions that are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from operant.control.acting import sampler
from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.data.streams import Streams
from operant.data.trajectory import Trajectory
from operant.env import VectorEnv


class Playing:
    """Acts as the policy does, in one environment beside those of training, and remembers how to do it again.

    Its steps are none of the run's, and nothing is learnt from their rewards.

    Args:
        agent: whose policy acts.
        made: makes the environment, one copy in this process.
    """

    def __init__(self, agent: Agent, made: Callable[[], VectorEnv]) -> None:
        self._agent, self._made = agent, made
        self._seed, self._given = 0, np.zeros(0)
        self._calls = self._columns = np.zeros(0, np.int64)

    def __call__(self, steps: int, streams: Streams, asked: int) -> Trajectory:
        """So many steps, [1, T]; of other streams wherever other pairs were `asked` for before."""
        self._seed = streams.integer("clips", asked)
        env = _Kept(self._made())
        try:
            act, noise = sampler(self._agent.policy, self._agent), streams.numpy("clips", asked)
            traj = Collector(cast("VectorEnv", env), act, noise, seed=self._seed)(steps)
        finally:
            env.close()
        self._given, self._calls = np.concatenate(env.given), np.flatnonzero(env.acted)
        self._columns = np.flatnonzero(traj.acted[0].numpy())
        return traj

    def again(self, starts: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """What it takes to see a pair of clips again that begin in these columns [2] of the last trajectory.

        Reset one environment with `seed`, give it the actions `given` [K, *W] in turn; the clips begin before the
        actions `start` [2].
        """
        start = self._calls[np.searchsorted(self._columns, starts)]
        return {"seed": np.array(self._seed), "given": self._given[: int(start.max()) + length], "start": start}


class _Kept:
    """An environment that keeps what it is given, and whether that was a decision."""

    def __init__(self, env: VectorEnv) -> None:
        self._env = env
        self.given: list[np.ndarray] = []
        self.acted: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def step(self, action: np.ndarray) -> Any:
        """As the environment's."""
        self.given.append(action.copy())
        step = self._env.step(action)
        self.acted.append(bool(step.acted[0]))
        return step
