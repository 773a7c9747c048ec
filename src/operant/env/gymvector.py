"""Gymnasium's own vector environments, in each of their three autoreset modes, as a `VectorEnv`."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from operant.config.errors import EnvError, raised, user_code
from operant.config.undisturbed import undisturbed
from operant.env.inprocess import close, pictures_per_second, unasked
from operant.env.masks import KEY, MaskError, one
from operant.env.spaces import Actions, Observations
from operant.env.vector import Step, cost_of


class GymVector:
    """A `VectorEnv` around a `gymnasium.vector.VectorEnv` that resets in any of Gymnasium's modes.

    NEXT_STEP: the step after an end resets, and is marked not acted. SAME_STEP: the last states come from
    `infos["final_obs"]`. DISABLED: ended copies are reset here at once, with `options={"reset_mask": ended}`.

    `foreign` says that it is a person's own code, and none of Gymnasium's.
    """

    foreign = True

    def __init__(self, env: Any, name: str, backend: str, action_mask: str = "") -> None:
        self.backend = backend
        self.name = name
        with user_code(f"{name}: reading its num_envs, spaces and metadata", EnvError):
            self.num = int(env.num_envs)
            self.observation_space: gymnasium.Space[Any] = env.single_observation_space
            self.action_space: gymnasium.Space[Any] = env.single_action_space
            self.observations = Observations(self.observation_space, self.action_space, action_mask)
            self._actions = Actions(self.action_space)
            self._mode = autoreset_mode(env, name)
        self.obs_dim = self.observations.dim
        self._env = env
        self._steps = 0
        self._closed = False
        self._ended = np.zeros(self.num, dtype=np.bool_)
        self._last: NDArray[np.uint8] | None = None  # the picture of copy 0 when its episode ended in this step
        self._gone = False
        self._unasked = not action_mask  # whether masks that nobody asked for are still to be told of

    def reset(self, seed: int) -> NDArray[Any]:
        """Start every copy anew; how `seed` is shared among them is the environment's own business. Returns [N, D]."""
        self._steps = 0
        self._ended = np.zeros(self.num, dtype=np.bool_)
        self._last, self._gone = None, False
        with undisturbed():
            return self._guarded("reset()", lambda: self._first(*self._env.reset(seed=int(seed))))

    def step(self, action: NDArray[Any]) -> Step:
        """Step every copy; see the class for what follows an end."""
        decoded = self._actions.decode_batch(action)
        self._steps += 1
        self._last, self._gone = None, False
        return self._guarded("step()", lambda: self._step(decoded))

    def _first(self, raw_obs: Any, infos: Any) -> NDArray[Any]:
        """First states [N, D]."""
        obs = self.observations.batch(raw_obs, self.num)
        self.observations.write_masks(raw_obs, infos, np.zeros(self.num, np.bool_), obs)
        if self._unasked:
            self._unasked = not unasked(self.name, self.observation_space, infos)
        return obs

    def _step(self, action: Any) -> Step:
        raw_obs, raw_reward, over, out_of_time, infos = self._env.step(action)
        self._infos: Any = infos
        read, num = self.observations, self.num
        obs = read.batch(raw_obs, num)
        reward = np.array(raw_reward, dtype=np.float32)
        terminated = np.array(over, dtype=np.bool_)
        truncated = np.array(out_of_time, dtype=np.bool_) & ~terminated
        cost = _costs(infos, self.num)
        if self._mode is AutoresetMode.NEXT_STEP:
            acted = ~self._ended
            reward[~acted] = 0.0
            terminated &= acted
            truncated &= acted
            self._ended = terminated | truncated
            read.write_masks(raw_obs, infos, self._ended, obs)
            return Step(obs, reward, terminated, truncated, acted, None, cost)
        acted = np.ones(self.num, dtype=np.bool_)
        ended = terminated | truncated
        again = self._mode is AutoresetMode.SAME_STEP  # an ended copy is reset already
        read.write_masks(raw_obs, infos, ended & (not again), obs)
        if not ended.any():
            return Step(obs, reward, terminated, truncated, acted, None, cost)
        if again:
            self._gone = bool(ended[0])  # what is drawn now is its next episode
            last, told = infos["final_obs"], infos.get("final_info")
            final_obs = read.rows((last[i] if ended[i] else None for i in range(num)), num)
            for i in np.flatnonzero(ended) if read.mask else ():
                read.write_mask(last[i], told and {KEY: one(told, int(i), KEY)}, True, final_obs[i])
            return Step(obs, reward, terminated, truncated, acted, final_obs, cost)
        self._last = self.render() if ended[0] else None
        raw_obs, infos = self._env.reset(options={"reset_mask": ended.copy()})
        first = read.batch(raw_obs, num)
        read.write_masks(raw_obs, infos, ~ended, first)
        first[~ended, read.features :] = obs[~ended, read.features :]  # what was not reset tells of no mask here
        return Step(first, reward, terminated, truncated, acted, obs, cost)

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture of copy 0, [H, W, 3] uint8, or None where there is none, or none any more."""
        if self._last is not None or self._gone:
            return self._last
        with user_code(f"{self.name} cannot be drawn here: render()", EnvError):
            frames = None if getattr(self._env, "render_mode", None) is None else self._env.render()
            return None if frames is None else np.asarray(frames[0])

    @property
    def fps(self) -> int:
        """Pictures that make a second."""
        return pictures_per_second(self._env)

    def close(self) -> None:
        """Close the environment."""
        if not self._closed:
            close(self._env, self.name)
        self._closed = True

    def _guarded(self, what: str, call: Any) -> Any:
        try:
            return call()
        except MaskError as error:
            copy = f"copy {error.row}" if error.row is not None else f"{self.num} copies"
            raise EnvError(f"{self.name}, {copy}, step {self._steps}: after {what}, {error}") from error
        except BaseException as error:
            where = f"{self.name}, {self.num} copies, step {self._steps}"
            raise EnvError(f"{where}: {what} {raised(error)}") from error


def _costs(infos: Any, num: int) -> NDArray[np.float32] | None:
    """`infos["cost"]`, [N]; of a copy that was reset inside its step the last one, which stands in `final_info`."""
    if not isinstance(infos, dict):
        return None
    now, last = _column(infos, num), _column(cast("dict[str, Any]", infos).get("final_info"), num)
    if now is None or last is None:
        return now if last is None else last
    return np.where(np.isnan(last), now, last)


def _column(infos: Any, num: int) -> NDArray[np.float32] | None:
    """The costs of those copies that gave one, NaN for the others; None where there are none."""
    if not isinstance(infos, dict) or "cost" not in infos:
        return None
    named = cast("dict[str, Any]", infos)
    values, given = named["cost"], named.get("_cost", np.ones(num, np.bool_))
    told = len(values) == len(given) == num if hasattr(values, "__len__") else False
    return np.array([cost_of(values[i]) if told and given[i] else np.nan for i in range(num)], np.float32)


def autoreset_mode(env: Any, name: str) -> AutoresetMode:
    """Return the autoreset mode a vector environment declares. Raises EnvError when it declares none."""
    declared = getattr(env.unwrapped, "autoreset_mode", None) or (env.metadata or {}).get("autoreset_mode")
    try:
        return AutoresetMode(declared)
    except ValueError as error:
        raise EnvError(
            f'{name}: the vector environment does not say how it resets: set metadata["autoreset_mode"] to one of '
            f"{', '.join('AutoresetMode.' + mode.name for mode in AutoresetMode)}"
        ) from error
