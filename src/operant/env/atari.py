"""Atari's own vector form, which plays the wrappers "atari" in C++ threads."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator

from operant.config.errors import ConfigError, EnvError, user_code
from operant.config.undisturbed import undisturbed
from operant.config.wrappers import parsed
from operant.env.gymvector import GymVector
from operant.env.vector import Step
from operant.workers.resolve import needs

BENEATH = {"frameskip": 1, "obs_type": "grayscale"}
"""Settings of an Atari game beneath the wrappers "atari", which skip frames themselves and see no colours."""
NOOPS = int(next(wrapper.numbers[0] for wrapper in parsed(["atari"]) if wrapper.name == "noop-start"))
_OWN = {
    *("batch_size", "autoreset_mode", "img_height", "img_width", "grayscale", "stack_num", "frameskip", "maxpool"),
    *("noop_max", "episodic_life", "life_loss_info", "reward_clipping", "use_fire_reset"),
}


def beneath(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a game under the wrappers "atari".

    Raises:
        ConfigError: if one was set otherwise.
    """
    for name, value in BENEATH.items():
        if kwargs.get(name, value) != value:
            raise ConfigError(
                f"env.kwargs.{name} is {kwargs[name]!r}, and the wrappers atari skip frames and grey them: "
                "leave it out, or spell the wrappers that you want"
            )
    return {**kwargs, **BENEATH}


def expresses(spec: EnvSpec, kwargs: Mapping[str, Any], measured: bool) -> bool:
    """Whether the vector form plays a game as the wrappers "atari" do, with these settings."""
    if needs(spec) != "atari" or spec.vector_entry_point is None or measured:
        return False
    kwargs = {name: value for name, value in kwargs.items() if BENEATH.get(name, ...) != value}
    entry = spec.vector_entry_point
    takes = inspect.signature(entry if callable(entry) else load_env_creator(entry)).parameters
    return set(kwargs) <= set(takes) - _OWN


class AtariVector(GymVector):
    """A `VectorEnv` around ale-py's `AtariVectorEnv`: no-ops, fire, 4 frames' maximum, grey 84x84, stack, lives, signs.

    It says that a life was lost and goes on in the same game (`life_loss_info`; its `episodic_life` would begin a new
    one). What it then calls the last state is of other frames: it is the state itself, from which play goes on.
    """

    foreign = False

    def __init__(self, spec: EnvSpec, num: int, kwargs: Mapping[str, Any]) -> None:
        options = {name: value for name, value in kwargs.items() if name not in BENEATH}
        with undisturbed(), user_code(f"{spec.id}: making it", EnvError):
            made = gymnasium.make_vec(
                spec, num_envs=num, vectorization_mode="vector_entry_point", autoreset_mode="SameStep",
                frameskip=4, noop_max=NOOPS, life_loss_info=True, reward_clipping=True, use_fire_reset=True, **options,
            )  # fmt: skip
        super().__init__(made, spec.id, "native")
        self._frame = np.zeros(num, np.int64)  # of each copy's game

    def _step(self, action: Any) -> Step:
        step = super()._step(action)
        frame = np.asarray(self._infos["episode_frame_number"], np.int64)
        if step.final_obs is not None:
            goes_on = step.terminated & (frame > self._frame)
            step.final_obs[goes_on] = step.obs[goes_on]
        self._frame = frame
        return step
