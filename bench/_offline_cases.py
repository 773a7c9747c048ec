"""What `offline.py` compares: the setting of each case, and its data. Imports NumPy alone, so that any peer can."""

from __future__ import annotations

from typing import Any

import numpy as np

EPISODES, LENGTH, OBS, ACTS = 50, 1_000, 11, 3
"""As many numbers as Hopper-v5 has; what they say does not matter to the time of a step."""
COMMON: dict[str, Any] = {
    "env": "Hopper-v5", "hidden": (256, 256), "batch": 256, "discount": 0.99, "tau": 0.005, "lr": 3e-4,
    "critic_lr": 3e-4,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "td3-bc": COMMON | {"alpha": 2.5, "policy_every": 2},
    "iql": COMMON | {"expectile": 0.7, "inverse_temperature": 3.0},
    "cql": COMMON | {"lr": 1e-4, "samples": 10},
    "bc": {"env": "Hopper-v5", "hidden": (32, 32), "activation": "tanh", "batch": 32, "lr": 1e-3},
}
"""By the name of the method; that of cloning is the default of the package `imitation`."""


def data() -> dict[str, Any]:
    """Observations [E, T + 1, 11], actions in [-1, 1] [E, T, 3] and rewards [E, T] of episodes that were cut."""
    generator = np.random.default_rng(0)
    return {
        "observations": generator.standard_normal((EPISODES, LENGTH + 1, OBS)).astype(np.float64),
        "actions": generator.uniform(-1, 1, (EPISODES, LENGTH, ACTS)).astype(np.float32),
        "rewards": generator.standard_normal((EPISODES, LENGTH)).astype(np.float64),
    }
