"""Tasks for which rewards are searched: an environment, what a reward may be made of, and the score that is meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are
from operant.design.expression import Kinds
from operant.env.make import make_one
from operant.workers.resolve import own_code

Env = gymnasium.Env[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What a reward may be made of.

    Attributes:
        about: in words, with its unit.
        low, high: about where it lies, from which constants are drawn; no bounds.
        size: 0 of a number, n of a vector of n.
    """

    about: str
    low: float
    high: float
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An environment, and what is wanted of it.

    Attributes:
        name: of it.
        env: Gymnasium's id, or a callable that makes one.
        words: what is wanted, in words.
        quantities: what a reward may be made of, by name.
        observe: (environment, observation, action) → their values, after a step.
        score: of a step, 0 to 1: an expression over the quantities.
        scored: what of an episode's steps counts: the mean ("share") or the largest ("ever").
        sparse, human: rewards: the bare score, and the one an expert wrote.
        command: what the translator of `operant.design.commands` is told.
        settings: of PPO, where they differ from its defaults.
    """

    name: str
    env: str | Callable[[], Env]
    words: str
    quantities: Mapping[str, Quantity]
    observe: Callable[[Any, Any, Any], dict[str, Any]]
    score: str
    scored: Literal["share", "ever"]
    sparse: str
    human: str
    command: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def kinds(self) -> Kinds:
        """The kinds of its quantities."""
        return {name: each.size for name, each in self.quantities.items()}

    def make(self, render_mode: str | None = None) -> Env:
        """One copy of the environment."""
        return make_one(self.env, None, render_mode)

    def source(self) -> str:
        """The code of the environment's step; "" where it has none that can be read."""
        env = self.make()
        try:
            return inspect.getsource(type(env.unwrapped).step)
        except (OSError, TypeError):
            return ""
        finally:
            env.close()


class SwingUp(gymnasium.Env[np.ndarray, np.ndarray]):
    """A pole that hangs from a cart, to be swung up and held there: Barto, Sutton and Anderson's (1983) cart and pole.

    Observes x (m), its velocity, cos θ, sin θ, and θ's velocity; θ is 0 upright. A push of −1 to 1 is ten newtons.
    Nothing ends an episode but its 200 steps of 0.04 s; at ±2.4 m the cart stops.
    """

    WALL, FORCE, GRAVITY, CART, POLE, HALF = 2.4, 10.0, 9.8, 1.0, 0.1, 0.5
    STEPS, DT = 200, 0.02

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (5,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.state, self._steps = np.zeros(4), 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Hang, nearly at rest."""
        super().reset(seed=seed, options=options)
        self.state, self._steps = self.np_random.uniform(-0.05, 0.05, 4), 0
        self.state[2] += np.pi
        return self._seen(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push for 0.04 s; the reward is cos θ."""
        push = self.FORCE * float(np.clip(np.asarray(action).ravel()[0], -1.0, 1.0))
        x, v, angle, spin = (float(each) for each in self.state)
        whole = self.CART + self.POLE
        for _ in range(2):
            sin, cos = np.sin(angle), np.cos(angle)
            pulled = (push + self.POLE * self.HALF * spin**2 * sin) / whole
            turned = (self.GRAVITY * sin - cos * pulled) / (self.HALF * (4 / 3 - self.POLE * cos**2 / whole))
            v += self.DT * (pulled - self.POLE * self.HALF * turned * cos / whole)
            spin += self.DT * turned
            x, angle = x + self.DT * v, angle + self.DT * spin
            if abs(x) > self.WALL:
                x, v = float(np.clip(x, -self.WALL, self.WALL)), 0.0
        self.state, self._steps = np.array([x, v, angle, spin]), self._steps + 1
        return self._seen(), float(np.cos(angle)), False, self._steps >= self.STEPS, {}

    def _seen(self) -> np.ndarray:
        x, v, angle, spin = self.state
        return np.array([x, v, np.cos(angle), np.sin(angle), spin], np.float32)


def _short_mountain() -> Env:
    """MountainCarContinuous of 100 steps in place of 999: chance alone does not find the flag."""
    return make_one("MountainCarContinuous-v0", {"max_episode_steps": 100})


def _first(action: Any) -> float:
    return float(np.asarray(action, np.float64).ravel()[0])


def _pendulum(env: Any, _: Any, __: Any) -> dict[str, Any]:
    angle, spin = (float(x) for x in env.state)
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return {"angle": angle, "spin": spin, "height": float(np.cos(angle)), "torque": float(env.last_u)}


def _mountain(env: Any, _: Any, action: Any) -> dict[str, Any]:
    position, velocity = (float(x) for x in env.state)
    return {"position": position, "velocity": velocity, "height": float(np.sin(3 * position)), "force": _first(action)}


def _swing(env: Any, _: Any, action: Any) -> dict[str, Any]:
    x, v, angle, spin = (float(each) for each in env.state)
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return {
        "position": x, "velocity": v, "angle": angle, "spin": spin, "height": float(np.cos(angle)),
        "force": _first(action),
    }  # fmt: skip


def _reacher(_: Any, obs: Any, action: Any) -> dict[str, Any]:
    seen = np.asarray(obs, np.float64)
    return {"to_target": seen[8:10], "joint_speed": seen[6:8], "torque": np.asarray(action, np.float64)}


PPO: Mapping[str, Any] = {
    "env.num": 4, "algo.batch": 64, "algo.lr": 1e-3, "policy.normalize_obs": True, "policy.normalize_reward": True,
}  # fmt: skip
"""Rewards of any scale are learnt from: all are divided by the deviation of their returns."""
_SPIN, _ANGLE = "rad/s", "rad, 0 upright"
TASKS: dict[str, Task] = {
    "pendulum": Task(
        name="pendulum",
        env="Pendulum-v1",
        words="swing the pendulum up and hold it upright",
        quantities={
            "angle": Quantity(about=_ANGLE, low=-3.0, high=3.0),
            "spin": Quantity(about=_SPIN, low=-8.0, high=8.0),
            "height": Quantity(about="cos(angle): 1 upright, -1 hanging", low=-1.0, high=1.0),
            "torque": Quantity(about="N m", low=-2.0, high=2.0),
        },
        observe=_pendulum,
        score="where(height > 0.95, 1, 0)",
        scored="share",
        sparse="upright = 1 * where(height > 0.95, 1, 0)",
        human="angle = -1 * square(angle)\nspin = -0.1 * square(spin)\ntorque = -0.001 * square(torque)",
        command="bring height to 1; keep spin at 0 weakly",
        settings={**PPO, "algo.discount": 0.95, "algo.lam": 0.9},
    ),
    "mountain-car": Task(
        name="mountain-car",
        env=_short_mountain,
        words="drive the weak car out of the valley to the flag on the right hill, at position 0.45, in 100 steps",
        quantities={
            "position": Quantity(about="m, the flag is at 0.45", low=-1.2, high=0.6),
            "velocity": Quantity(about="m a step", low=-0.07, high=0.07),
            "height": Quantity(about="sin(3 position): 1 on the hill, -1 in the valley", low=-1.0, high=1.0),
            "force": Quantity(about="of the motor, -1 to 1", low=-1.0, high=1.0),
        },
        observe=_mountain,
        score="where(position >= 0.45, 1, 0)",
        scored="ever",
        sparse="flag = 1 * where(position >= 0.45, 1, 0)",
        human="flag = 100 * where(position >= 0.45, 1, 0)\nspeed = 10 * abs(velocity)\nforce = -0.1 * square(force)",
        command="make height large; keep force at 0 weakly",
        settings={**PPO, "algo.lr": 3e-4},
    ),
    "swing-up": Task(
        name="swing-up",
        env=SwingUp,
        words="swing the hanging pole up by moving the cart, and hold it upright near the middle",
        quantities={
            "position": Quantity(about="m of the cart, walls at -2.4 and 2.4", low=-2.4, high=2.4),
            "velocity": Quantity(about="m/s of the cart", low=-3.0, high=3.0),
            "angle": Quantity(about=_ANGLE, low=-3.0, high=3.0),
            "spin": Quantity(about=_SPIN, low=-8.0, high=8.0),
            "height": Quantity(about="cos(angle): 1 upright, -1 hanging", low=-1.0, high=1.0),
            "force": Quantity(about="-1 to 1", low=-1.0, high=1.0),
        },
        observe=_swing,
        score="where(both(height > 0.9, abs(position) < 1), 1, 0)",
        scored="share",
        sparse="upright = 1 * where(both(height > 0.9, abs(position) < 1), 1, 0)",
        human="upright = 1 * height\ncentre = -0.1 * square(position)\nspin = -0.01 * square(spin)",
        command="bring height to 1; keep position at 0 weakly",
        settings=PPO,
    ),
    "reacher": Task(
        name="reacher",
        env="Reacher-v5",
        words="move the tip of the two-jointed arm to the target and keep it there",
        quantities={
            "to_target": Quantity(about="m, from the target to the tip, x and y", low=-0.3, high=0.3, size=2),
            "joint_speed": Quantity(about=_SPIN, low=-5.0, high=5.0, size=2),
            "torque": Quantity(about="-1 to 1, of each joint", low=-1.0, high=1.0, size=2),
        },
        observe=_reacher,
        score="where(norm(to_target) < 0.03, 1, 0)",
        scored="share",
        sparse="there = 1 * where(norm(to_target) < 0.03, 1, 0)",
        human="distance = -1 * norm(to_target)\ntorque = -0.1 * dot(torque, torque)",
        command="bring to_target to 0; keep torque at 0 weakly",
        settings={**PPO, "algo.discount": 0.95},
    ),
}
"""Those of the recipe."""


def task_of(name: str) -> Task:
    """A task by its name, or `file.py:callable` of a person's own that returns one.

    Raises:
        ConfigError: if there is none.
    """
    if name in TASKS:
        return TASKS[name]
    if ":" not in name:
        raise ConfigError(f"there is no task {name}{nearest_are(name, TASKS)}. There are {', '.join(TASKS)}")
    made = own_code(name, "task")()
    if not isinstance(made, Task):
        raise ConfigError(f"{name} returned a {type(made).__name__}, not an operant.design.Task")
    return made
