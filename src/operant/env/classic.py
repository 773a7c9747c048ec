"""Classic control as compiled, batched environments: Gymnasium's numbers, a copy at a time, without Python's time.

Given the same state and action, a step is Gymnasium's: observation, reward, termination and time limit. First states
are drawn from Gymnasium's distribution, but they are not Gymnasium's numbers: each copy has a counter-based stream of
its own, so that the episodes of copy i depend on `seed + i` and on nothing else, not on how many copies there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from operant.config.errors import EnvError, user_code
from operant.config.undisturbed import undisturbed
from operant.env.inprocess import Env, close, pictures_per_second
from operant.env.spaces import Observations
from operant.env.vector import Step

_BASE = "gymnasium.envs.classic_control."
KINDS = {
    f"{_BASE}cartpole:CartPoleEnv": (0, 4),
    f"{_BASE}pendulum:PendulumEnv": (1, 2),
    f"{_BASE}acrobot:AcrobotEnv": (2, 4),
    f"{_BASE}mountain_car:MountainCarEnv": (3, 2),
    f"{_BASE}continuous_mountain_car:Continuous_MountainCarEnv": (4, 2),
}
"""By the entry point of Gymnasium's registry: the number of the equations in the kernels, and how many numbers a state
has."""


class World(NamedTuple):
    """Everything a kernel needs to step the copies, and changes; see `classic_kernels.step`."""

    kind: int
    choices: int  # actions there are; 0 where an action is a number
    limit: int  # steps of an episode; 0 for none
    state: NDArray[np.float64]  # [N, S]
    elapsed: NDArray[np.int64]  # [N]
    seed: NDArray[np.uint64]  # [N]
    episode: NDArray[np.uint64]  # [N]
    last: NDArray[np.float64]  # [S], of copy 0 before it was reset


def is_classic(spec: EnvSpec, kwargs: Mapping[str, Any], *beside: object) -> bool:
    """Whether an id is one of Gymnasium's classic control, as Gymnasium registers it, with no other setting than how
    many steps an episode has; nothing `beside` may be set."""
    plain = spec.entry_point in KINDS and not spec.kwargs and not spec.additional_wrappers and not any(beside)
    limit = kwargs.get("max_episode_steps", 1)
    return plain and set(kwargs) <= {"max_episode_steps"} and type(limit) is int and limit > 0


def has_compiled(spec: EnvSpec, kwargs: Mapping[str, Any], *beside: object) -> bool:
    """Whether an id `is_classic` and Numba can be imported."""
    return is_classic(spec, kwargs, *beside) and numba_missing() is None


class Classic:
    """A `VectorEnv` of N copies, reset inside the step that ends them. Copy i is seeded with `seed + i`.

    Args:
        spec: of an environment for which `has_compiled` holds.
        num: N.
        kwargs: `max_episode_steps` in place of the registry's time limit, or nothing.
        render_mode: "rgb_array" where pictures of copy 0 are wanted: Gymnasium draws them.
        beside: what it does not know, as wrappers: refused where it is set.

    Raises EnvError where the environment has no compiled form, takes such a `kwargs`, or Numba cannot be imported.
    """

    backend = "compiled"
    foreign = False

    def __init__(
        self, spec: EnvSpec, num: int, kwargs: Mapping[str, Any], render_mode: str | None = None, *beside: object
    ) -> None:
        if not has_compiled(spec, kwargs, *beside):
            raise EnvError(f'{spec.id} {_obstacle(spec)}: use the backend "auto"')
        self.name, self.num = spec.id, num
        with undisturbed(), user_code(f"{spec.id}: making it", EnvError):
            self._drawn: Env = gymnasium.make(spec, render_mode=render_mode, disable_env_checker=True, **kwargs)
        self.observation_space, self.action_space = self._drawn.observation_space, self._drawn.action_space
        self.observations = Observations(self.observation_space)
        self.obs_dim = self.observations.dim
        self._kernels: Any = import_module("operant.env.classic_kernels")
        kind, size = KINDS[str(spec.entry_point)]
        choices = int(self.action_space.n) if isinstance(self.action_space, gymnasium.spaces.Discrete) else 0
        limit = kwargs.get("max_episode_steps", spec.max_episode_steps) or 0
        seed, episode = np.zeros((2, num), np.uint64)
        state, last, elapsed = np.zeros((num, size)), np.zeros(size), np.zeros(num, np.int64)
        self.world = World(kind, choices, limit, state, elapsed, seed, episode, last)
        self.steps = 0
        self._push: np.float32 | None = None  # what the picture of a pendulum shows
        self._ended = False

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Start every copy anew, copy i with `seed + i`; returns [N, D]."""
        obs = np.empty((self.num, self.obs_dim), np.float32)
        world = self.world
        world.seed[:] = np.arange(self.num, dtype=np.uint64) + np.uint64(int(seed) % 2**64)
        world.episode[:], world.elapsed[:] = 0, 0
        self._kernels.reset(world.kind, world.state, world.seed, obs)
        self.steps, self._push, self._ended = 0, None, False
        return obs

    def step(self, action: NDArray[Any]) -> Step:
        """Step every copy; one that ends is reset at once and its last state stands in `final_obs`."""
        n = self.num
        flat = self._flat(action)
        obs, final_obs = np.zeros((2, n, self.obs_dim), np.float32)
        reward = np.empty(n, np.float32)
        terminated, truncated = np.empty((2, n), np.bool_)
        self.steps += 1
        ended = self._kernels.step(*self.world, flat, obs, reward, terminated, truncated, final_obs)
        if ended < 0:
            raise EnvError(
                f"{self.name}, copy {-1 - ended}, step {self.steps}: the action {flat[-1 - ended]} is none of 0 to "
                f"{self.world.choices - 1}"
            )
        self.stepped(flat[0], bool(terminated[0] or truncated[0]))
        return Step(obs, reward, terminated, truncated, np.ones(n, np.bool_), final_obs if ended else None)

    def stepped(self, action: Any, ended: bool) -> None:
        """Note what copy 0 did last and whether its episode ended with it, for the next picture."""
        self._push, self._ended = action, ended

    def _flat(self, action: NDArray[Any]) -> NDArray[Any]:
        """Actions [N], int64 within the space, or float32, which the kernel clips."""
        if self.world.choices:
            if action.shape != (self.num,) or action.dtype.kind not in "iu":
                raise ValueError(f"actions {action.dtype} {list(action.shape)} where int64 [{self.num}] belongs")
            return action.astype(np.int64, copy=False)
        if action.shape != (self.num, 1):
            raise ValueError(f"actions of shape {list(action.shape)} where [{self.num}, 1] belongs")
        return np.ascontiguousarray(action, np.float32).reshape(-1)

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture of copy 0, [H, W, 3] uint8, or None when it was made without `render_mode="rgb_array"`.

        After a step that ended an episode of copy 0, that of its last state. Gymnasium draws it.
        """
        env: Any = self._drawn.unwrapped
        if env.render_mode is None:
            return None
        with user_code(f"{self.name} cannot be drawn here: render()", EnvError):
            env.state = (self.world.last if self._ended else self.world.state[0]).copy()
            if self.world.kind == 1:
                env.last_u = None if self._push is None else np.clip(self._push, -env.max_torque, env.max_torque)
            frame: Any = env.render()
        return frame if isinstance(frame, np.ndarray) else None

    @property
    def fps(self) -> int:
        """Pictures that make a second."""
        return pictures_per_second(self._drawn)

    def close(self) -> None:
        """Close what draws."""
        close(self._drawn, self.name)


def _obstacle(spec: EnvSpec) -> str:
    if not is_classic(spec, {}):
        return "has no compiled form"
    return (
        numba_missing()
        or "has a compiled form that takes max_episode_steps, a whole number from 1, and no other setting"
    )


@cache
def numba_missing() -> str | None:
    """Why nothing can be compiled; None where it can."""
    try:
        import_module("numba")
    except ImportError as error:
        return f"has a compiled form, but Numba cannot be imported ({error})"
    return None
