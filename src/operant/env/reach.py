"""Small tasks with a goal in what is observed, whose reward says only whether it was reached.

They follow the convention of Gymnasium-Robotics: a Dict of `observation`, `achieved_goal` and `desired_goal`, and
`compute_reward` for any goal, or many at once. On the command line: `operant train sac operant.env.reach:point`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.env.probe import Answer, Env

Array = NDArray[Any]


class Reach(Env):
    """What both tasks have: the reward is 0 where the goal is reached and −1 elsewhere, and only time ends an episode.

    So the return of an episode of T steps is −(steps before the goal is reached) for whoever stays there.
    """

    limit: int
    within: float

    def __init__(self, here: spaces.Space[Any], limit: int, within: float) -> None:
        if limit < 1:
            raise EnvError(f"an episode of {limit} steps has none: give 1 or more")
        names = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = spaces.Dict(dict.fromkeys(names, here))
        self.limit, self.within = limit, within
        self._at = self._goal = np.zeros(here.shape or (), np.float32)
        self._step = 0

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """0 where the distance of goals [..., D] is at most `within`, else −1: [...]."""
        far = np.linalg.norm(np.asarray(achieved_goal) - np.asarray(desired_goal), axis=-1) > self.within
        return -far.astype(np.float32)

    def _observe(self) -> dict[str, Array]:
        return {"observation": self._at.copy(), "achieved_goal": self._at.copy(), "desired_goal": self._goal.copy()}

    def _answer(self) -> Answer:
        self._step += 1
        reward = float(self.compute_reward(self._at, self._goal, {}))
        return self._observe(), reward, False, self._step >= self.limit, {"is_success": reward == 0.0}


class Point(Reach):
    """A point in [−1, 1]^D that moves by at most 0.1 along each axis in a step; it and its goal lie anywhere at first.

    A policy that goes straight to the goal gets about −7.7 in two dimensions; one that does not move gets −`limit`, but
    for one episode in a hundred, whose goal is where it stands.
    """

    def __init__(self, dim: int, limit: int, within: float) -> None:
        if dim < 1:
            raise EnvError(f"a space of {dim} dimensions has no place for a goal: give 1 or more")
        super().__init__(spaces.Box(-1.0, 1.0, (dim,), np.float32), limit, within)
        self.action_space = spaces.Box(-1.0, 1.0, (dim,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw where it is, and where its goal is."""
        super().reset(seed=seed)
        self._step = 0
        self._at, self._goal = self.np_random.uniform(-1.0, 1.0, (2, *self._at.shape)).astype(np.float32)
        return self._observe(), {}

    def step(self, action: Any) -> Answer:
        """Move."""
        move = 0.1 * np.clip(np.asarray(action, np.float32), -1.0, 1.0)
        self._at = np.clip(self._at + move, -1.0, 1.0).astype(np.float32)
        return self._answer()


class Bits(Reach):
    """`size` bits and the bits that they should be; an action turns one over (Andrychowicz et al. 2017, section 3.1).

    Without hindsight nothing is learnt where they are more than about 13: none of 2^size states but one is paid for.
    """

    def __init__(self, size: int, limit: int) -> None:
        if size < 1:
            raise EnvError(f"of {size} bits none can be turned over: give 1 or more")
        super().__init__(spaces.Box(0.0, 1.0, (size,), np.float32), limit, 0.5)
        self.action_space = spaces.Discrete(size)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw the bits, and what they should be."""
        super().reset(seed=seed)
        self._step = 0
        self._at, self._goal = self.np_random.integers(2, size=(2, *self._at.shape)).astype(np.float32)
        return self._observe(), {}

    def step(self, action: Any) -> Answer:
        """Turn a bit over."""
        self._at = self._at.copy()
        self._at[int(action)] = 1.0 - self._at[int(action)]
        return self._answer()


def point(dim: int = 2, limit: int = 50, within: float = 0.1) -> Env:
    """Make a `Point` environment."""
    return Point(dim, limit, within)


def bits(size: int = 12, limit: int | None = None) -> Env:
    """Make a `Bits` environment, whose episodes have `size` steps where no limit is given."""
    return Bits(size, size if limit is None else limit)
