"""What stands between an environment and a policy of plain arrays, and what such a policy cannot see."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from operant.config.errors import EnvError
from operant.env.spaces import Actions, Observations, decode_space, encode_space, leaves


class Interface:
    """Between an environment and a policy of plain arrays: raw observations in, the environment's actions out."""

    def __init__(self, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> None:
        self.observations, self.actions = Observations(observation_space), Actions(action_space)

    def encoded(self) -> dict[str, dict[str, Any]]:
        """Both spaces as JSON holds them; neither where one has keys that cannot be written down."""
        try:
            spaces = {"observation_space": self.observations.space, "action_space": self.actions.space}
            return {name: encode_space(space) for name, space in spaces.items()}
        except EnvError:
            return {}

    @classmethod
    def decoded(cls, observation_space: dict[str, Any] | None, action_space: dict[str, Any] | None) -> Interface | None:
        """That of spaces as a `policy.json` holds them; None where it holds none.

        Raises:
            ValueError: if they are no spaces.
        """
        if observation_space is None or action_space is None:
            return None
        try:
            return cls(decode_space(observation_space), decode_space(action_space))
        except (EnvError, AssertionError) as error:
            raise ValueError(f"policy.json: {error}") from error


def pixels(space: gymnasium.Space[Any]) -> str | None:
    """The pictures in an observation space, in words: bytes from 0 to 255, or shares of 1, over a plane; else None.

    A plane has two sides of 8 or more for bytes, and for shares of 1 three axes and two sides of 32 or more, so that
    boards and small grids are not taken for pictures.
    """
    for path, _, inner in leaves(space):
        if isinstance(inner, spaces.Box) and len(inner.shape) >= 2 and min(inner.shape) > 0:
            low, high, side = inner.low.min(), inner.high.max(), sorted(inner.shape)[-2]
            drawn = inner.dtype == np.uint8 and side >= 8
            scaled = inner.dtype.kind == "f" and high in (1.0, 255.0) and len(inner.shape) >= 3 and side >= 32
            if low == 0 and (scaled or (drawn and high == 255)):
                return f"{path and path + ': '}Box({low:g}, {high:g}, {inner.shape}, {inner.dtype})"
    return None
