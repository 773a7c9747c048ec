"""Holds spaces, and what reset() and step() return, against the contract of Gymnasium."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces

from operant.config.errors import EnvError
from operant.env.findings import Report
from operant.env.inprocess import Env, describe
from operant.env.interface import pixels
from operant.env.spaces import Actions, Observations

_FORM = "(observation, reward, terminated, truncated, info)"


def check_spaces(env: Env, report: Report) -> None:
    """Note what is wrong with the spaces. Raises Fatal where they cannot be used."""
    for name, reader in (("observation_space", Observations), ("action_space", Actions)):
        space: Any = getattr(env, name, None)
        if not isinstance(space, gymnasium.Space):
            what = f"there is no {name}" if space is None else f"{name} is {describe(space)}, not a gymnasium.Space"
            raise report.fatal(what, name, f"set self.{name} in __init__, for example to gymnasium.spaces.Box(...)")
        try:
            reader(cast(Any, space))
        except EnvError as error:
            what, _, fix = str(error).partition(": ")
            raise report.fatal(what, name, fix) from error
    if seen := pixels(env.observation_space):
        fix = "train with --policy.network nature-cnn or another that sees, or observe what is in the pictures"
        report.warning(f"it observes pictures, {seen}, which a perceptron does not see", "observation_space", fix)
    if isinstance(env.action_space, spaces.Box):
        low, high = env.action_space.low, env.action_space.high
        fix = "make it Box(-1, 1) and rescale inside the environment, or wrap it with gymnasium.wrappers.RescaleAction"
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            report.warning("the action space is unbounded: a policy cannot know the scale", "action_space", fix)
        elif not np.array_equal(low, -high):
            report.warning(f"the action space is not symmetric: {env.action_space}", "action_space", fix)
        elif not np.allclose(high, 1.0):
            report.warning(f"the action space is not on the scale of [-1, 1]: {env.action_space}", "action_space", fix)


def check_answer(env: Env, answer: Any, where: str, report: Report) -> tuple[Any, float, bool, bool]:
    """Note what is wrong with what step() returned; gives it back as (observation, reward, terminated, truncated)."""
    if not isinstance(answer, tuple) or len(cast(Any, answer)) != 5:
        old = isinstance(answer, tuple) and len(cast(Any, answer)) == 4
        what = f"step() returned {describe(answer)}, not {_FORM}" + (": the form of Gym before 0.26" if old else "")
        fix = (
            "split done into terminated (the task ended) and truncated (the time ran out)" if old else "return the five"
        )
        raise report.fatal(what, where, fix)
    obs, reward, terminated, truncated, info = cast(tuple[Any, ...], answer)
    check_observation(env.observation_space, obs, where, report)
    number = float("nan")
    if isinstance(reward, bool | int | float | np.number | np.bool_):
        try:
            number = float(cast(Any, reward))
        except OverflowError:  # a whole number beyond all others
            number = float("inf")
        if not np.isfinite(number):
            report.error(f"the reward is {number}", where, "look for a division by zero or an overflow", "reward")
    else:
        report.error(f"the reward is {describe(reward)}, not one number", where, "return float(reward)", "reward")
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            report.error(f"{name} is {describe(flag)}, not a bool", where, f"return bool({name})", name)
    if not isinstance(info, dict):
        report.error(f"the info of step() is {describe(info)}, not a dict", where, "return {} as the fifth value")
    over, out_of_time = _any(terminated), _any(truncated)
    if over and out_of_time:
        what = "terminated and truncated are both True; terminated wins"
        report.warning(what, where, "set truncated only where the task itself has not ended")
    return obs, number, over, out_of_time


def _any(flag: Any) -> bool:
    try:
        return bool(np.any(flag))
    except Exception:
        return False


def check_observation(space: Any, value: Any, where: str, report: Report, path: str = "") -> None:
    """Compare one observation with its space, component by component."""
    name = f"the observation{path and ' at ' + path}"
    if isinstance(space, spaces.Dict):
        if not isinstance(value, dict) or set(cast(Any, value)) != set(space.spaces):
            got = f"has the keys {sorted(map(str, cast(Any, value)))}" if isinstance(value, dict) else describe(value)
            raise report.fatal(
                f"{name}: {got}; the space says {sorted(space.spaces)}", where, "return a dict with these keys"
            )
        for key, inner in space.spaces.items():
            check_observation(inner, value[key], where, report, f"{path}[{key!r}]")
    elif isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple) or len(cast(Any, value)) != len(space.spaces):
            what = f"{name} is {describe(value)}; the space says a tuple of {len(space.spaces)}"
            raise report.fatal(what, where, "return such a tuple")
        for index, (inner, part) in enumerate(zip(space.spaces, cast(Any, value), strict=True)):
            check_observation(inner, part, where, report, f"{path}[{index}]")
    elif isinstance(space, spaces.Box):
        _check_box(space, value, where, report, name)
    elif not _contained(space, value):
        fix = "return what the space says, or make the space say what is returned"
        report.error(f"{name} is {value!r}, outside its space {space}", where, fix, f"outside{path}")


def _contained(space: Any, value: Any) -> bool:
    try:
        return bool(space.contains(value))
    except Exception:
        return False


def _check_box(space: spaces.Box, value: Any, where: str, report: Report, name: str) -> None:
    if not isinstance(value, np.ndarray):
        fix = f"return np.array(..., dtype=np.{space.dtype})"
        raise report.fatal(f"{name} is {describe(value)}, not a NumPy array", where, fix)
    array = cast("np.ndarray[Any, Any]", value)
    if array.shape != space.shape:
        what = f"{name} has shape {array.shape}; the space says {space.shape}"
        raise report.fatal(what, where, "make the two agree")
    if array.dtype.kind not in "fiub":
        raise report.fatal(f"{name} is of type {array.dtype}", where, f"return it with dtype=np.{space.dtype}")
    if array.dtype != space.dtype:
        fix = f"return obs.astype(np.{space.dtype})"
        report.warning(f"{name} is of type {array.dtype}; the space says {space.dtype}", where, fix)
    for wrong, what, fix in (
        (np.isnan(array), "is NaN", "look for a division by zero or a square root of a negative number"),
        (np.isinf(array), "is infinite", "look for a division by zero or an overflow"),
        ((array < space.low) | (array > space.high), "is outside the space", "widen the space's bounds or clip there"),
    ):
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            bounds = f" [{space.low[at]}, {space.high[at]}]" if what.endswith("space") else ""
            shown = f"component {at[0] if len(at) == 1 else at}"
            report.error(f"{name}, {shown}, {what}{bounds}: {array[at]}", where, fix, f"{name} {what}")
            return
