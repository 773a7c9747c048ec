"""What our vector environments have in common: N copies stepped together, each begun anew in the step that ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray


class BatchedEnv(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """N copies.

    Args:
        num_envs: N.
        observation, action: the spaces of one copy.
        fps: pictures that make a second.
        render_mode: "rgb_array" for pictures of the first copy, where there are some.
    """

    def __init__(
        self, num_envs: int, observation: gymnasium.Space[Any], action: gymnasium.Space[Any], *, fps: int = 4,
        render_mode: str | None = None,
    ) -> None:  # fmt: skip
        self.metadata = {
            "autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP, "render_modes": ["rgb_array"],
            "render_fps": fps,
        }  # fmt: skip
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_observation_space, self.single_action_space = observation, action
        self.observation_space, self.action_space = batch_space(observation, num_envs), batch_space(action, num_envs)

    def seeds(self, first: int) -> NDArray[np.uint64]:
        """[N], that of copy i is first + i."""
        return np.arange(self.num_envs, dtype=np.uint64) + np.uint64(first % 2**64)

    def last_seen(self, ended: NDArray[np.bool_], of: Callable[[int], Any]) -> dict[str, Any]:
        """The infos of a step: what the copies that `ended` [N] observed last; nothing where none did."""
        if not ended.any():
            return {}
        final = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(ended):
            final[i] = of(int(i))
        return {"final_obs": final}
