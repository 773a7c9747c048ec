"""Copies of an environment stepped one after the other in this process, reset inside the step that ends them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from operant.config.errors import EnvError, is_ctrl_c, place_of, raised, said, shown, user_code
from operant.config.undisturbed import undisturbed
from operant.env.masks import INFO, KEY
from operant.env.snapshot import Snapshot, restore, save
from operant.env.spaces import Actions, Observations
from operant.env.vector import Step, cost_of

Env = gymnasium.Env[Any, Any]


class InProcess:
    """A `VectorEnv` of Gymnasium environments. Copy i is seeded with `seed + i`; later episodes go on from there.

    Raises EnvError, naming the environment, the copy and the step, when a copy raises or answers with the wrong shape.
    `name` and the number of the `first` copy stand in the messages; `action_mask` says where action masks come from.
    """

    backend = "inprocess"

    def __init__(self, envs: Sequence[Env], name: str, first: int = 0, action_mask: str = "") -> None:
        self.num = len(envs)
        self.name = name
        self.first = first
        spaces = [(_space(env, "observation_space", name), _space(env, "action_space", name)) for env in envs]
        self.observation_space, self.action_space = spaces[0]
        for index, its in enumerate(spaces):
            with user_code(f"{name}: comparing its spaces", EnvError):
                same = its == spaces[0]
            if not same:
                raise EnvError(
                    f"{name}: copy {first + index} has other spaces than copy {first}: all copies must have the same"
                )
        try:
            self.observations = Observations(self.observation_space, self.action_space, action_mask)
            self._actions = Actions(self.action_space)
        except EnvError as error:
            raise EnvError(f"{name}: {error}") from error
        self.obs_dim = self.observations.dim
        self.action_width = self._actions.width
        self._envs = self._open = tuple(envs)
        self._last: NDArray[np.uint8] | None = None  # the picture of copy 0 when its episode ended in this step
        self.steps = 0
        self._unasked = not action_mask  # whether masks that nobody asked for are still to be told of

    def reset(self, seed: int) -> NDArray[Any]:
        """Start every copy anew, copy i with `seed + i`; returns [N, D]."""
        self.steps, self._last = 0, None
        obs = np.empty((self.num, self.obs_dim), self.observations.dtype)
        with undisturbed():
            for index in range(self.num):
                self._reset(index, obs[index], int(seed) + index)
        return obs

    def step(self, action: NDArray[Any]) -> Step:
        """Step every copy; one that ends is reset at once and its last state stands in `final_obs`."""
        decoded = self._actions.decode(action)
        actions: Any = [*decoded] if self._actions.kind == "discrete" else decoded  # numbers as the space samples them
        num, write, masked = self.num, self.observations.write, self.observations.mask > 0
        obs = np.empty((num, self.obs_dim), self.observations.dtype)
        reward = np.empty(num, dtype=np.float32)
        terminated = np.zeros(num, dtype=np.bool_)
        truncated = np.zeros(num, dtype=np.bool_)
        final_obs = cost = None
        self.steps, self._last = self.steps + 1, None
        for index, env in enumerate(self._envs):
            try:
                answer: Any = env.step(actions[index])
            except BaseException as error:
                raise self._raised("step()", index, error) from error
            try:
                state, gain, over, out_of_time, info = answer
                write(state, obs[index])
                if masked:
                    self.observations.write_mask(state, info, bool(over or out_of_time), obs[index])
                try:
                    reward[index] = gain if gain is not None else _no_number()  # NumPy would make None NaN
                except (TypeError, ValueError, ArithmeticError) as error:
                    raise ValueError(f"the reward is {shown(gain)}, not one number ({said(error)})") from error
                if isinstance(info, dict) and "cost" in info:
                    cost = np.full(num, np.nan, np.float32) if cost is None else cost
                    cost[index] = cost_of(info["cost"])
                if over:
                    terminated[index] = True
                elif out_of_time:
                    truncated[index] = True
                else:
                    continue
            except BaseException as error:
                raise self._malformed("step()", index, answer, 5, error) from error
            if final_obs is None:
                final_obs = np.zeros_like(obs)
            final_obs[index] = obs[index]
            if index == 0:
                with suppress(EnvError):  # what cannot be drawn at its end was drawn until then
                    self._last = self.render()
            self._reset(index, obs[index], None)
        return Step(obs, reward, terminated, truncated, np.ones(num, dtype=np.bool_), final_obs, cost)

    def save(self) -> list[Snapshot]:
        """Keep where every copy stands. Raises EnvError where one cannot be copied."""
        return [save(env, self.name) for env in self._envs]

    def restore(self, snapshots: Sequence[Snapshot]) -> None:
        """Go back to where every copy stood; what they draw from then on is what they drew then."""
        pairs = zip(self._envs, snapshots, strict=True)
        self._envs = tuple(restore(env, snapshot, self.name) for env, snapshot in pairs)

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture of copy 0, [H, W, 3] uint8, or None when it was made without `render_mode="rgb_array"`.

        After a step that ended an episode of copy 0, that of its last state.
        """
        if self._last is not None:
            return self._last
        with user_code(f"{self.name} cannot be drawn here: render()", EnvError):
            frame: Any = None if self._envs[0].render_mode is None else self._envs[0].render()
        return frame if isinstance(frame, np.ndarray) else None

    @property
    def fps(self) -> int:
        """Pictures that make a second."""
        return pictures_per_second(self._envs[0])

    def close(self) -> None:
        """Close every copy."""
        for env in self._open:
            close(env, self.name)
        self._open = ()

    def _reset(self, index: int, out: NDArray[Any], seed: int | None) -> None:
        try:
            answer: Any = self._envs[index].reset(seed=seed)
        except BaseException as error:
            raise self._raised("reset()", index, error) from error
        try:
            parts: Any = answer if isinstance(answer, tuple) else ()
            obs, info = parts
            self.observations.write(obs, out)
            self.observations.write_mask(obs, info, False, out)
            if self._unasked:
                self._unasked = not unasked(self.name, self.observation_space, info)
        except BaseException as error:
            raise self._malformed("reset()", index, answer, 2, error) from error

    def _where(self, index: int) -> str:
        return f"{self.name}, copy {self.first + index}, step {self.steps}"

    def _raised(self, what: str, index: int, error: BaseException) -> EnvError:
        told = raised(error)
        hint = ": define reset(self, *, seed=None, options=None)" if "keyword argument 'seed'" in told else ""
        return EnvError(f"{self._where(index)}: {what} {told}{hint}")

    def _malformed(self, what: str, index: int, answer: Any, parts: int, error: BaseException) -> EnvError:
        """The error for what step() or reset() returned: it has other parts, or one of them cannot be read."""
        if place_of(error) is not None or is_ctrl_c(error):  # it came from a method of what was returned
            return self._raised(f"{what} returned what cannot be read: it", index, error)
        if isinstance(answer, tuple) and len(answer) == parts:  # pyright: ignore[reportUnknownArgumentType]
            return EnvError(f"{self._where(index)}: after {what}, {said(error)}")
        form, each = (
            ("(observation, info)", "both")
            if parts == 2
            else ("(observation, reward, terminated, truncated, info)", "these five")
        )
        return EnvError(
            f"{self._where(index)}: {what} returned {describe(answer)} instead of {form}, the form since Gymnasium "
            f"0.26: return {each}"
        )


def unasked(name: str, space: gymnasium.Space[Any], info: Any) -> bool:
    """Say, if an environment gives action masks and nobody reads them, what to do; returns whether it does."""
    inside = isinstance(space, gymnasium.spaces.Dict) and KEY in space.spaces
    if not inside and not (isinstance(info, Mapping) and KEY in info):
        return False
    where, source = (f"obs[{KEY!r}]", KEY) if inside else (f"info[{KEY!r}]", INFO)
    warnings.warn(f"{name} gives action masks, {where}, which are not used: --env.action-mask {source}", stacklevel=2)
    return True


def _no_number() -> float:
    raise TypeError("it is None")


def _space(env: Env, which: str, name: str) -> gymnasium.Space[Any]:
    with user_code(f"{name}: set self.{which} in __init__: reading it", EnvError):
        space: Any = getattr(env, which)
    if not isinstance(space, gymnasium.Space):
        raise EnvError(f"{name}: its {which} is {describe(space)}, not a gymnasium.Space: set self.{which} in __init__")
    return space  # pyright: ignore[reportUnknownVariableType]


def close(env: Any, name: str) -> None:
    """Close an environment; what it raises then is warned of, as there is nothing left to lose."""
    try:
        with undisturbed():
            env.close()
    except BaseException as error:
        warnings.warn(f"{name}: close() {raised(error)}", stacklevel=2)


def pictures_per_second(env: Any) -> int:
    """What an environment's metadata say, or 30 where they say nothing that a film could have."""
    try:
        rate = int(env.metadata["render_fps"])
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        return 30
    return rate if 1 <= rate <= 1000 else 30


def describe(value: Any) -> str:
    """Say in a few words what a value is: "a tuple of 4", "an array of shape (3,)", "a dict"."""
    try:
        if isinstance(value, tuple | list):
            return f"a {type(value).__name__} of {len(value)}"  # pyright: ignore[reportUnknownArgumentType]
    except Exception:  # it is their class
        return f"a {type(value).__name__}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return "None" if value is None else f"a {type(value).__name__}"
