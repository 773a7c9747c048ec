"""The environments a person may train on, described in a few words without starting the heavy ones."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from operant.env import imitated, memory, probe
from operant.env.classic import has_compiled
from operant.env.make import has_native
from operant.workers.resolve import needs, withdrawn

_HEAVY = {  # what a package would have to be loaded for: (numbers observed, action)
    "Ant": (105, "8 in [-1, 1]"),
    "BipedalWalker": (24, "4 in [-1, 1]"),
    "BipedalWalkerHardcore": (24, "4 in [-1, 1]"),
    "CarRacing": (27648, "3 numbers"),
    "HalfCheetah": (17, "6 in [-1, 1]"),
    "Hopper": (11, "3 in [-1, 1]"),
    "Humanoid": (348, "17 in [-0.4, 0.4]"),
    "HumanoidStandup": (348, "17 in [-0.4, 0.4]"),
    "InvertedDoublePendulum": (9, "1 in [-1, 1]"),
    "InvertedPendulum": (4, "1 in [-3, 3]"),
    "LunarLander": (8, "one of 4"),
    "LunarLanderContinuous": (8, "2 in [-1, 1]"),
    "Pusher": (23, "7 in [-2, 2]"),
    "Reacher": (10, "2 in [-1, 1]"),
    "Swimmer": (8, "2 in [-1, 1]"),
    "Walker2d": (17, "6 in [-1, 1]"),
}
_OWN = (
    probe.identity, probe.four_state, probe.constant, probe.seen, probe.delayed, probe.chosen, probe.matched,
    memory.repeat_previous, memory.t_maze, memory.cartpole_positions, imitated.tree, imitated.lane,
)  # fmt: skip


def registered() -> list[dict[str, Any]]:
    """List the newest version of every registered environment, sorted by id, and our own.

    Keys: "id", "backend" ("compiled", "native" or "inprocess": what "auto" picks), "needs" (the extra to install, or
    None), "time_limit" (steps, or None), "observation" and "action" (a few words, or None where nothing is known
    without loading it).
    """
    newest: dict[tuple[str | None, str], EnvSpec] = {}
    for spec in gymnasium.registry.values():
        key = (spec.namespace, spec.name)
        if not withdrawn(spec) and (key not in newest or (spec.version or 0) > (newest[key].version or 0)):
            newest[key] = spec
    rows = [_row(spec) for spec in sorted(newest.values(), key=lambda spec: (spec.namespace or "", spec.id))]
    return rows + [_own_row(maker) for maker in _OWN]


def describe_space(space: gymnasium.Space[Any]) -> str:
    """Describe a space in a few words: "4 numbers", "one of 2", "6 in [-1, 1]", "3 x 3 choices", "5 bits"."""
    if isinstance(space, spaces.Discrete):
        return f"one of {space.n}"
    if isinstance(space, spaces.MultiDiscrete):
        return f"{' x '.join(str(n) for n in space.nvec.ravel())} choices"
    if isinstance(space, spaces.MultiBinary):
        return f"{int(np.prod(space.shape))} bits"
    if isinstance(space, spaces.Box):
        low, high = float(space.low.min()), float(space.high.max())
        size = "x".join(str(n) for n in space.shape)
        same = bool((space.low == low).all() and (space.high == high).all()) and np.isfinite([low, high]).all()
        return f"{size} in [{low:.3g}, {high:.3g}]" if same else f"{size} numbers"
    if isinstance(space, spaces.Dict):
        return ", ".join(f"{key}: {describe_space(inner)}" for key, inner in space.spaces.items())
    if isinstance(space, spaces.Tuple):
        return ", ".join(describe_space(inner) for inner in space.spaces)
    return type(space).__name__


def _row(spec: EnvSpec) -> dict[str, Any]:
    extra = needs(spec)
    observation, action = None, None
    if spec.name in _HEAVY:
        size, action = _HEAVY[spec.name]
        observation = f"{size} numbers"
    elif extra is None and isinstance(spec.entry_point, str) and spec.entry_point.startswith("gymnasium.envs."):
        env = spec.make(disable_env_checker=True)
        observation, action = describe_space(env.observation_space), describe_space(env.action_space)
        env.close()
    return {
        "id": spec.id,
        "backend": "compiled" if has_compiled(spec, {}) else "native" if has_native(spec, {}) else "inprocess",
        "needs": extra,
        "time_limit": spec.max_episode_steps,
        "observation": observation,
        "action": action,
    }


def _own_row(maker: Any) -> dict[str, Any]:
    env = maker()
    limits = [p.default for p in inspect.signature(maker).parameters.values() if p.name in ("length", "limit")]
    return {
        "id": f"{maker.__module__}:{maker.__name__}",
        "backend": "inprocess",
        "needs": None,
        "time_limit": limits[0] if limits else None,
        "observation": describe_space(env.observation_space),
        "action": describe_space(env.action_space),
    }
