"""Small tasks with a known expert, that show what goes wrong when it is imitated; and their experts.

`tree`: the expert passes a tree on either side, and their mean hits it. `lane`: the expert never leaves its lane, so
that nobody was shown how to come back. On the command line, for data of the first:
`operant record operant.env.imitated:tree --script operant.env.imitated:skier --episodes 100 --out demos`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.env.probe import Answer, Env

STEPS, TURN = 10, 4
"""Steps of a run down the slope, and the one on which the tree must be passed."""
REACH, HALF = 0.6, 0.3
"""How far a turn goes at most, and half the width of the tree."""


class Tree(Env):
    """Down a slope in ten steps, with a tree in the middle of it: the return is 1 for who comes down, 0 for who hits.

    Seen are (steps before the tree, from 4 down to −6; how far to the side, in [−1, 1]). An action in [−1, 1] moves to
    the side by up to `REACH`. The tree stands behind the fifth step,
    `HALF` wide to either side; nothing else is in the way.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(np.array([TURN - STEPS, -1], np.float32), np.array([TURN, 1], np.float32))
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._step, self._side = 0, 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw where the slope is entered, near its middle."""
        super().reset(seed=seed)
        self._step, self._side = 0, float(self.np_random.uniform(-0.05, 0.05))
        return self._seen(), {}

    def step(self, action: Any) -> Answer:
        """Move to the side, and down."""
        move = REACH * float(np.clip(np.asarray(action, np.float32), -1.0, 1.0).ravel()[0])
        self._side = float(np.clip(self._side + move, -1.0, 1.0))
        self._step += 1
        hit = self._step == TURN + 1 and abs(self._side) < HALF
        down = self._step == STEPS
        return self._seen(), float(down and not hit), hit or down, False, {}

    def _seen(self) -> NDArray[np.float32]:
        return np.array([TURN - self._step, self._side], np.float32)


def skier(obs: NDArray[Any], generator: np.random.Generator) -> NDArray[np.float32]:
    """The expert of `Tree`: straight on, then round the tree on either side, each as often, and back to the middle."""
    side = float(obs[1])
    if round(float(obs[0])) == 0:
        turn = generator.choice([-1.0, 1.0]) * generator.uniform(0.9, 1.0)
        return np.array([turn], np.float32)
    return np.array([np.clip(-side / REACH, -1.0, 1.0) + 0.05 * generator.standard_normal()], np.float32).clip(-1, 1)


class Lane(Env):
    """A road that bends, for `limit` steps; the reward is −1 on each step that ends beside the lane.

    Seen are (offset from the lane, 0 to 6 with 3 on it, and which of `bends` views lies ahead). A view is of a road
    that goes left, straight on or right; the action steers so (0, 1, 2), and the offset changes by the difference. Some
    views are rare: how often a view comes falls as 1/(its number + 10).

    Who follows the bends never leaves the lane. So data of an expert show no offset at all, and a clone that mistakes a
    view that it has not seen follows the road beside the lane from then on.
    """

    def __init__(self, limit: int, bends: int) -> None:
        if limit < 1 or bends < 3:
            raise EnvError(f"a road of {limit} steps and {bends} views: give 1 or more, and 3 or more")
        self.limit, self.bends = limit, bends
        self.observation_space = spaces.MultiDiscrete([7, bends])
        self.action_space = spaces.Discrete(3)
        self.often = np.cumsum(1.0 / (np.arange(bends) + 10.0))
        self._step, self._offset, self._view = 0, 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin on the lane."""
        super().reset(seed=seed)
        self._step, self._offset = 0, 0
        return self._next(), {}

    def step(self, action: Any) -> Answer:
        """Steer."""
        self._offset = int(np.clip(self._offset + int(action) - bend_of(self._view), -3, 3))
        self._step += 1
        return self._next(), -float(self._offset != 0), False, self._step >= self.limit, {}

    def _next(self) -> NDArray[np.int64]:
        self._view = int(np.searchsorted(self.often, self.np_random.uniform(0.0, self.often[-1]), side="right"))
        return np.array([self._offset + 3, self._view])


def bend_of(view: int) -> int:
    """Where the road of a view goes: 0 left, 1 straight on, 2 right; there is no rule behind it."""
    return view * 2_654_435_761 % 2**32 * 3 // 2**32


def driver(obs: NDArray[Any]) -> int:
    """The expert of `Lane`: with the bend, and back towards the lane."""
    return int(np.clip(bend_of(int(obs[1])) + 3 - int(obs[0]), 0, 2))


def tree() -> Env:
    """Make a `Tree` environment."""
    return Tree()


def lane(limit: int = 100, bends: int = 300) -> Env:
    """Make a `Lane` environment."""
    return Lane(limit, bends)
