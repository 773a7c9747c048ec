"""What stands between an environment and a policy of plain arrays, and what such a policy cannot see."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium import spaces

from operant.config.errors import EnvError
from operant.env.encoded import decode_space, encode_space
from operant.env.leaf import drawn, leaves
from operant.env.spaces import Actions, Observations
from operant.env.vector import VectorEnv


class Interface:
    """Between an environment and a policy of plain arrays: raw observations in, the environment's actions out.

    Args:
        observation_space: of one copy.
        action_space: of one copy.
        action_mask: where the action masks come from, as `Observations` has it.
    """

    def __init__(
        self, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any], action_mask: str = ""
    ) -> None:
        self.observations = Observations(observation_space, action_space, action_mask)
        self.actions = Actions(action_space)

    @classmethod
    def of(cls, env: VectorEnv) -> Interface:
        """That of an environment."""
        return cls(env.observation_space, env.action_space, env.observations.action_mask)

    def encoded(self) -> dict[str, Any]:
        """Both spaces as JSON holds them, and `action_mask` where there is one; nothing where one has keys that cannot
        be written down.
        """
        seen = self.observations
        try:
            spaces = {"observation_space": seen.space, "action_space": self.actions.space}
            mask = {"action_mask": seen.action_mask} if seen.action_mask else {}
            return {name: encode_space(space) for name, space in spaces.items()} | mask
        except EnvError:
            return {}

    @classmethod
    def decoded(
        cls, observation_space: dict[str, Any] | None, action_space: dict[str, Any] | None, action_mask: str = ""
    ) -> Interface | None:
        """That of spaces as a `policy.json` holds them; None where it holds none.

        Raises:
            ValueError: if they are no spaces, or have no such mask.
        """
        if observation_space is None or action_space is None:
            return None
        try:
            return cls(decode_space(observation_space), decode_space(action_space), action_mask)
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
            scaled = inner.dtype.kind == "f" and high in (1.0, 255.0) and len(inner.shape) >= 3 and side >= 32
            if drawn(inner) or (low == 0 and scaled):
                return f"{path and path + ': '}Box({low:g}, {high:g}, {inner.shape}, {inner.dtype})"
    return None
