"""Simulators of robots that are stepped N at a time by compiled kernels: a hopper, a quadrotor, a pole to swing up.

On the command line: `operant train ppo operant.robots:quadrotor --env.num 64`. Equations, constants and sources are in
`batched_kernels.py`; pendulum and cart-pole are Gymnasium's, compiled by `operant.env.classic`.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.env.batched import BatchedEnv
from operant.robots.pictures import drawn

ROBOTS = ("hopper", "quadrotor", "swing_up")


class BatchedRobot(BatchedEnv):
    """N copies; a step is 0.02 s, of a swing-up 0.04 s. Actions [N, A] are clipped to [−1, 1].

    A hopper swings its leg (5 rad/s) in the air and turns its trunk (100 N m) on the ground, and pushes (500 N) along
    its leg there: A = 2. A quadrotor's A = 4 rotors push m g/4 (1 + a/2) each. A swing-up pushes a cart
    (10 N), whose pole hangs, until it stands: A = 1.

    Copy i draws from a stream of its own, that of `seed + i`: an episode depends on that and on its number alone.

    Args:
        num_envs: N.
        robot: its name.
        limit: steps of an episode; 500, of a swing-up 200, if None.
        render_mode: "rgb_array" for pictures of the first copy.

    Raises:
        EnvError: for a limit below 1.
    """

    def __init__(self, num_envs: int, robot: str, limit: int | None = None, render_mode: str | None = None) -> None:
        if limit is not None and limit < 1:
            raise EnvError(f"limit {limit}: give a limit of 1 or more")
        self._kernels: Any = import_module("operant.robots.batched_kernels")
        self.robot, self._kind = robot, ROBOTS.index(robot)
        self.limit = limit or self._kernels.LIMITS[self._kind]
        seen = spaces.Box(-np.inf, np.inf, (self._kernels.OBSERVED[self._kind],), np.float32)
        does = spaces.Box(-1.0, 1.0, (self._kernels.ACTIONS[self._kind],), np.float32)
        fps = round(1.0 / self._kernels.SECONDS[self._kind])
        super().__init__(num_envs, seen, does, fps=fps, render_mode=render_mode)
        self.state = np.zeros((num_envs, self._kernels.STATES[self._kind]))
        self._shown = np.zeros(self._kernels.STATES[self._kind])
        self.seed, self.episode = np.zeros((2, num_envs), np.uint64)
        self.elapsed = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin every copy anew, copy i with `seed + i`."""
        self.seed[:] = self.seeds(int(np.random.SeedSequence().generate_state(1)[0] if seed is None else seed))
        self.episode[:], self.elapsed[:] = 0, 0
        obs = self._blank()
        self._kernels.reset(self._kind, self.state, self.seed, obs)
        self._shown[:] = self.state[0]
        return obs, {}

    def step(self, actions: Any) -> Any:
        """One step of every copy; of those that ended, what was seen last stands in `final_obs`.

        Raises:
            EnvError: for actions of another shape, or that are no numbers.
        """
        action = np.asarray(actions, np.float32)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise EnvError(f"{self.robot}: actions {action.shape} where finite ones {self.action_space.shape} belong")
        obs, final, reward = self._blank(), self._blank(), np.empty(self.num_envs, np.float32)
        terminated, truncated = np.empty((2, self.num_envs), np.bool_)
        self._kernels.step(
            self._kind, self.limit, self.state, self.elapsed, self.seed, self.episode, action, obs, final, reward,
            terminated, truncated, self._shown,
        )  # fmt: skip
        return obs, reward, terminated, truncated, self.last_seen(terminated | truncated, final.__getitem__)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The picture of the first copy, [240, 320, 3], once; of the last state where its episode ended."""
        return None if self.render_mode is None else (drawn(self.robot, self._shown),)

    def _blank(self) -> NDArray[np.float32]:
        return np.zeros(self.observation_space.shape or (), np.float32)


def _made(robot: str, num_envs: int = 1, render_mode: str | None = None, **kwargs: Any) -> BatchedRobot:
    return BatchedRobot(num_envs, robot, render_mode=render_mode, **kwargs)


hopper, quadrotor, swing_up = (partial(_made, robot) for robot in ROBOTS)
"""By name, as the command line takes them."""
