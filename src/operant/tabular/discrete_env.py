"""One environment of numbered states and actions, one step at a time: what a tabular learner walks through."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete

from operant.config.errors import EnvError, NonFiniteError, is_ctrl_c, place_of, raised, said, shown, user_code
from operant.env.inprocess import close, describe

TIMED = 16
"""One step in so many is timed, and stands for all: looking at the clock takes a share of a step."""


class DiscreteEnv:
    """A Gymnasium environment with Discrete spaces; counts its steps and episodes.

    States and actions are numbered from 0, whatever the spaces start at. An episode of `max_steps` is cut.

    Args:
        env: made by `make`.
        name: stands in messages.
        max_steps: of an episode.
        seed: of the first episode; later ones go on from there.

    Raises:
        EnvError: if a space is not Discrete; says what to do.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], name: str, *, max_steps: int, seed: int) -> None:
        self.name, self.max_steps = name, max_steps
        self.steps, self.episodes, self.seconds = 0, 0, 0.0
        self.returns: list[float] = []  # of the episodes that ended since `stats`
        self.lengths: list[int] = []
        self.begin(env, seed)

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        """Go on in another copy of the environment, with a new episode. What was counted stays."""
        self.env, self._open = env, True
        self._seed: int | None = int(seed)
        observations, actions = (
            discrete(env.observation_space, "state", self.name),
            discrete(env.action_space, "action", self.name),
        )
        self.states, self.actions = int(observations.n), int(actions.n)
        self._first_state = int(observations.start)
        self._given = [actions.dtype.type(actions.start + a) for a in range(self.actions)]  # as the space samples them
        self._step = env.step
        self.total, self.length = 0.0, 0

    def close(self) -> None:
        """Free the environment; the next `begin` brings another."""
        if self._open:
            close(self.env, self.name)
        self._open = False

    def reset(self) -> int:
        """Begin an episode; returns its first state."""
        with user_code(f"{self.name}: reset()", EnvError):
            answer: Any = self.env.reset(seed=self._seed)
            self._seed = None
            self.total, self.length = 0.0, 0
            if not (isinstance(answer, tuple) and len(answer) == 2):  # pyright: ignore[reportUnknownArgumentType]
                raise EnvError(f"{self.name}: reset() returned {describe(answer)} instead of (observation, info)")
            return self._state(answer[0])

    def step(self, action: int) -> tuple[int, float, bool, bool]:
        """Take an action: next state, reward, terminated, truncated (never both)."""
        timed = self.steps % TIMED == 0
        before = time.perf_counter() if timed else 0.0
        try:
            answer: Any = self._step(self._given[action])
        except BaseException as error:
            raise self._raised("step()", error) from error
        if timed:
            self.seconds += TIMED * (time.perf_counter() - before)
        try:
            obs, reward, terminated, truncated, _ = answer
            state, reward = int(obs) - self._first_state, float(reward)
            terminated, truncated = bool(terminated), bool(truncated)
            fits = 0 <= state < self.states and (type(obs) is int or bool(obs == state + self._first_state))
        except BaseException as error:
            if place_of(error) is not None or is_ctrl_c(error):  # it came from a method of what was returned
                raise self._raised("step() returned what cannot be read: it", error) from error
            raise EnvError(
                f"{self.name}, step {self.steps}: step() returned {describe(answer)}; expected (state, reward, "
                f"terminated, truncated, info) ({said(error)})"
            ) from error
        if not fits:
            raise EnvError(f"{self.name}, step {self.steps}: state {shown(obs)} is not in {self.env.observation_space}")
        if reward - reward != 0.0:
            raise NonFiniteError(f"{self.name}, step {self.steps}: the reward is {reward}, not finite")
        self.steps += 1
        self.total += reward
        self.length += 1
        if not terminated and not truncated and self.length < self.max_steps:
            return state, reward, False, False
        self.episodes += 1
        self.returns.append(self.total)
        self.lengths.append(self.length)
        return state, reward, terminated, not terminated

    def stats(self) -> dict[str, float]:
        """Mean return and length of the episodes that ended since the last call, if any did, and how many in all."""
        metrics = {"train/episodes": float(self.episodes)}
        if self.returns:
            metrics |= {"train/return": float(np.mean(self.returns)), "train/length": float(np.mean(self.lengths))}
        self.returns, self.lengths = [], []
        return metrics

    def _state(self, obs: Any) -> int:
        try:
            state = int(obs) - self._first_state
        except (TypeError, ValueError, ArithmeticError) as error:
            raise EnvError(f"{self.name}: the first state is {describe(obs)}, not a number") from error
        if not 0 <= state < self.states or obs != state + self._first_state:
            raise EnvError(f"{self.name}: state {shown(obs)} is not in {self.env.observation_space}")
        return state

    def _raised(self, what: str, error: BaseException) -> EnvError:
        return EnvError(f"{self.name}, step {self.steps}: {what} {raised(error)}")


def discrete(space: Any, what: str, name: str) -> Discrete:
    """The space itself, seen to be Discrete.

    Raises:
        EnvError: if it is not; says what to do.
    """
    if isinstance(space, Discrete):
        return space
    hint = (
        "wrap it so that states are numbered (gymnasium.wrappers.TransformObservation, bins for a Box)"
        if what == "state"
        else "wrap it so that actions are numbered (gymnasium.wrappers.TransformAction)"
    )
    raise EnvError(
        f"{name}: a table needs numbered {what}s, gymnasium.spaces.Discrete, but its {what}s are "
        f"{type(space).__name__}: {hint}, or train a network: operant train ppo {name}"
    )
