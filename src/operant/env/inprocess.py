"""Copies of an environment stepped one after the other in this process, reset inside the step that ends them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from operant.config.errors import EnvError, raised, user_code
from operant.env.spaces import Actions, Observations
from operant.env.vector import Step

Env = gymnasium.Env[Any, Any]


class InProcess:
    """A `VectorEnv` of Gymnasium environments. Copy i is seeded with `seed + i`; later episodes go on from there.

    Raises EnvError, naming the environment, the copy and the step, when a copy raises or answers with the wrong shape.
    `name` and the number of the `first` copy stand in the messages.
    """

    backend = "inprocess"

    def __init__(self, envs: Sequence[Env], name: str, first: int = 0) -> None:
        self.num = len(envs)
        self.name = name
        self.first = first
        spaces = [(_space(env, "observation_space", name), _space(env, "action_space", name)) for env in envs]
        self.observation_space, self.action_space = spaces[0]
        for index, its in enumerate(spaces):
            if its != spaces[0]:
                raise EnvError(
                    f"{name}: copy {first + index} has other spaces than copy {first}: all copies must have the same"
                )
        try:
            self._observations = Observations(self.observation_space)
            self._actions = Actions(self.action_space)
        except EnvError as error:
            raise EnvError(f"{name}: {error}") from error
        self.obs_dim = self._observations.dim
        self.action_width = self._actions.width
        self._envs = tuple(envs)
        self.steps = 0

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Start every copy anew, copy i with `seed + i`; returns [N, D]."""
        self.steps = 0
        obs = np.empty((self.num, self.obs_dim), dtype=np.float32)
        for index in range(self.num):
            self._reset(index, obs[index], int(seed) + index)
        return obs

    def step(self, action: NDArray[Any]) -> Step:
        """Step every copy; one that ends is reset at once and its last state stands in `final_obs`."""
        decoded = self._actions.decode(action)
        actions: Any = [*decoded] if self._actions.kind == "discrete" else decoded  # numbers as the space samples them
        num, write = self.num, self._observations.write
        obs = np.empty((num, self.obs_dim), dtype=np.float32)
        reward = np.empty(num, dtype=np.float32)
        terminated = np.zeros(num, dtype=np.bool_)
        truncated = np.zeros(num, dtype=np.bool_)
        final_obs = None
        self.steps += 1
        for index, env in enumerate(self._envs):
            try:
                answer: Any = env.step(actions[index])
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                raise self._raised("step()", index, error) from error
            try:
                state, gain, over, out_of_time, _ = answer
                write(state, obs[index])
                if gain is None:  # NumPy would make it NaN
                    raise TypeError("the reward is None")
                reward[index] = gain
                if over:
                    terminated[index] = True
                elif out_of_time:
                    truncated[index] = True
                else:
                    continue
            except Exception as error:
                raise self._malformed(index, answer, error) from error
            if final_obs is None:
                final_obs = np.zeros_like(obs)
            final_obs[index] = obs[index]
            self._reset(index, obs[index], None)
        return Step(obs, reward, terminated, truncated, np.ones(num, dtype=np.bool_), final_obs)

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture of copy 0, [H, W, 3] uint8, or None when it was made without `render_mode="rgb_array"`."""
        if self._envs[0].render_mode is None:
            return None
        with user_code(f"{self.name} cannot be drawn here: render()", EnvError):
            frame: Any = self._envs[0].render()
        return frame if isinstance(frame, np.ndarray) else None

    @property
    def fps(self) -> int:
        """Pictures that make a second."""
        return int(self._envs[0].metadata.get("render_fps") or 30)

    def close(self) -> None:
        """Close every copy."""
        for env in self._envs:
            close(env, self.name)

    def _reset(self, index: int, out: NDArray[np.float32], seed: int | None) -> None:
        try:
            answer: Any = self._envs[index].reset(seed=seed)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._raised("reset()", index, error) from error
        if not (isinstance(answer, tuple) and len(answer) == 2):  # pyright: ignore[reportUnknownArgumentType]
            raise EnvError(
                f"{self._where(index)}: reset() returned {describe(answer)} instead of (observation, info), "
                "the form since Gymnasium 0.26: return both"
            )
        try:
            self._observations.write(answer[0], out)
        except ValueError as error:
            raise EnvError(f"{self._where(index)}: after reset(), {error}") from error

    def _where(self, index: int) -> str:
        return f"{self.name}, copy {self.first + index}, step {self.steps}"

    def _raised(self, what: str, index: int, error: BaseException) -> EnvError:
        said = raised(error)
        hint = ": define reset(self, *, seed=None, options=None)" if "keyword argument 'seed'" in said else ""
        return EnvError(f"{self._where(index)}: {what} {said}{hint}")

    def _malformed(self, index: int, answer: Any, error: Exception) -> EnvError:
        if not (isinstance(answer, tuple) and len(answer) == 5):  # pyright: ignore[reportUnknownArgumentType]
            return EnvError(
                f"{self._where(index)}: step() returned {describe(answer)} instead of "
                "(observation, reward, terminated, truncated, info), the form since Gymnasium 0.26: return these five"
            )
        return EnvError(f"{self._where(index)}: after step(), {error}")


def _space(env: Env, which: str, name: str) -> gymnasium.Space[Any]:
    with user_code(f"{name}: set self.{which} in __init__: reading it", EnvError):
        space: Any = getattr(env, which)
    if not isinstance(space, gymnasium.Space):
        raise EnvError(f"{name}: its {which} is {describe(space)}, not a gymnasium.Space: set self.{which} in __init__")
    return space  # pyright: ignore[reportUnknownVariableType]


def close(env: Any, name: str) -> None:
    """Close an environment; what it raises then is warned of, as there is nothing left to lose."""
    try:
        env.close()
    except (Exception, SystemExit) as error:
        warnings.warn(f"{name}: close() {raised(error)}", stacklevel=2)


def describe(value: Any) -> str:
    """Say in a few words what a value is: "a tuple of 4", "an array of shape (3,)", "a dict"."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return "None" if value is None else f"a {type(value).__name__}"
