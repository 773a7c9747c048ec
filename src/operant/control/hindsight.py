"""Goals in hindsight for an environment: what is achieved and desired in its observations, and who judges it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError, EnvError, user_code
from operant.config.undisturbed import undisturbed
from operant.control.settings.replay import ReplayRun
from operant.data.hindsight import Hindsight, Judge
from operant.env import EnvLike, Part, VectorEnv, make_one
from operant.env.leaf import FLOAT

Array = NDArray[Any]


def hindsight(cfg: ReplayRun, env: EnvLike, copies: VectorEnv) -> Hindsight | None:
    """What the settings ask for, of an environment whose `compute_reward` judges goals as Gymnasium-Robotics has it.

    Raises:
        ConfigError: if it observes no goals, or judges none.
    """
    strategy = cfg.algo.hindsight
    if strategy == "none":
        return None
    parts = {part.keys: part for part in copies.observations.parts}
    achieved, desired = (parts.get((key,)) for key in ("achieved_goal", "desired_goal"))
    if achieved is None or desired is None or achieved.space.shape != desired.space.shape:
        raise ConfigError(
            f"algo.hindsight is {strategy}, and {cfg.env.id} observes {copies.observation_space}: it needs a Dict with "
            "achieved_goal and desired_goal, alike. --algo.hindsight none"
        )
    judge = make_one(env, cfg.env.kwargs, wrappers=cfg.env.wrappers)
    if not judge.has_wrapper_attr("compute_reward"):
        raise ConfigError(
            f"algo.hindsight is {strategy}, and {cfg.env.id} has no compute_reward(achieved_goal, desired_goal, info) "
            "that judges other goals than it pursued: give it one, or --algo.hindsight none"
        )
    return Hindsight(
        strategy=strategy,
        k=cfg.algo.hindsight_k,
        achieved=achieved.columns,
        desired=desired.columns,
        read=lambda rows: _goals(rows, achieved),
        reward=_judged(judge, "compute_reward", cfg.env.id),
        over=_judged(judge, "compute_terminated", cfg.env.id) if judge.has_wrapper_attr("compute_terminated") else None,
    )


def _goals(rows: Array, part: Part) -> Array:
    """Columns of rows [V, ...] as the goals [V, ...] that the environment knows."""
    numbers = rows if part.picture or rows.dtype != np.uint8 else np.ascontiguousarray(rows).view(FLOAT)
    return numbers.astype(part.space.dtype).reshape(len(rows), *(part.space.shape or ()))


def _judged(env: gymnasium.Env[Any, Any], name: str, of: str) -> Judge:
    """A function of the environment for goals [V, ...]: at once where it answers [V], else one by one."""
    function = env.get_wrapper_attr(name)

    def judge(achieved: Array, desired: Array) -> Array:
        with undisturbed(), user_code(f"{of}: {name}", EnvError):
            found = np.asarray(function(achieved, desired, {}))
            if found.shape != (len(achieved),):
                pairs = zip(achieved, desired, strict=True)
                found = np.array([function(a, d, {}) for a, d in pairs]).reshape(len(achieved))
        return found

    return judge
