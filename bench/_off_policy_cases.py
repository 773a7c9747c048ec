"""What `off_policy.py` compares: the setting of each case. Imports nothing, so that any peer can read it.

The two of HalfCheetah are the presets of `operant train`, for returns beside each other (docs/evidence/off_policy.py).
"""

from __future__ import annotations

from typing import Any

DQN: dict[str, Any] = {
    "env": "CartPole-v1", "hidden": (64, 64), "batch": 32, "lr": 1e-3, "discount": 0.99, "train_freq": 4,
    "capacity": 100_000, "learning_starts": 1_000, "target_every": 500, "final_epsilon": 0.05, "fraction": 0.2,
}  # fmt: skip
"""Rectified units; one update every four steps; the target is copied every 500 steps; ε falls from 1 to 0.05."""
CONTINUOUS: dict[str, Any] = {
    "env": "Pendulum-v1", "hidden": (256, 256), "batch": 256, "discount": 0.99, "train_freq": 1, "capacity": 100_000,
    "learning_starts": 256, "tau": 0.005,
}  # fmt: skip
"""Rectified units in all three networks, two critics, one update a step."""
CHEETAH: dict[str, Any] = CONTINUOUS | {"env": "HalfCheetah-v5", "lr": 3e-4, "capacity": 1_000_000}

CASES: dict[str, dict[str, Any]] = {
    "dqn-cartpole": DQN | {"method": "dqn"},
    "qr-dqn-cartpole": DQN | {"method": "qr-dqn", "quantiles": 200},
    "sac-pendulum": CONTINUOUS | {"method": "sac", "lr": 3e-4},
    "td3-pendulum": CONTINUOUS | {"method": "td3", "lr": 1e-3, "noise": 0.1, "policy_every": 2},
    "sac-HalfCheetah": CHEETAH | {"method": "sac", "learning_starts": 10_000},
    "td3-HalfCheetah": CHEETAH | {"method": "td3", "learning_starts": 25_000, "noise": 0.1, "policy_every": 2},
}
"""By name."""
