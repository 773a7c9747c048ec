"""What `on_policy.py` compares: environments that both sides make, and the setting of each case.

Imports gymnasium and NumPy alone, so that a peer in an environment of its own can read it.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

PPO: dict[str, Any] = {"num": 8, "horizon": 256, "batch": 256, "epochs": 10, "lr": 3e-4, "width": 64}
"""Eight copies, two separate perceptrons of two layers, Adam at a constant rate, no normalisation."""

CASES: dict[str, dict[str, Any]] = {
    "a2c-cartpole": PPO | {"env": "CartPole-v1", "horizon": 5, "lr": 7e-4},
    "ppo-cartpole": PPO | {"env": "CartPole-v1"},
    "recurrent": PPO | {"env": "unseen", "horizon": 128, "lstm": 64},
    "masked": PPO | {"env": "masked"},
    "pixels": PPO | {"env": "ALE/Pong-v5", "horizon": 128, "epochs": 4, "lr": 2.5e-4},
    "pixels-env": PPO | {"env": "ALE/Pong-v5"},
}
"""By name. `lstm`: units of the recurrent layer that actor and critic have each, with two layers behind it."""


class Unseen(gymnasium.ObservationWrapper[Any, Any, Any]):
    """CartPole whose velocities are not observed."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        space: Any = env.observation_space
        self.observation_space = gymnasium.spaces.Box(space.low[::2], space.high[::2], dtype=np.float32)

    def observation(self, observation: Any) -> Any:
        return observation[::2]


class Masked(gymnasium.Env[Any, Any]):
    """Sixteen actions of which four are legal, drawn anew each step; the one of the observed rank is right."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (20,), np.float32)
    action_space = gymnasium.spaces.Discrete(16)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._time = 0
        return self._drawn()

    def step(self, action: Any) -> Any:
        if not self._mask[action]:
            raise ValueError(f"the action {action} is not legal")
        reward, self._time = float(action == self._right), self._time + 1
        seen, info = self._drawn()
        return seen, reward, False, self._time == 50, info

    def action_masks(self) -> Any:
        """As sb3-contrib asks for them."""
        return self._mask

    def _drawn(self) -> Any:
        legal = np.sort(self.np_random.permutation(16)[:4])
        rank = int(self.np_random.integers(4))
        self._mask = np.zeros(16, np.int8)
        self._mask[legal] = 1
        self._right = legal[rank]
        seen = np.zeros(20, np.float32)
        seen[:16], seen[16 + rank] = self._mask, 1.0
        return seen, {"action_mask": self._mask}


def unseen() -> Any:
    """CartPole-v1 without its velocities."""
    return Unseen(gymnasium.make("CartPole-v1"))


def masked() -> Any:
    """See `Masked`."""
    return Masked()
