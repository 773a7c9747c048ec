"""What can be measured, filmed and kept, whatever it was learnt by."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np


class Actor(Protocol):
    """Acts on observations as environments give them, and writes itself into two files."""

    def act(self, obs: np.ndarray, *, generator: np.random.Generator | None = None) -> np.ndarray:
        """The action for each of [N, D] observations: the policy's mode, or a sample where `generator` is given."""
        ...

    def value(self, obs: np.ndarray) -> np.ndarray:
        """V of each of [N, D] observations, in the units of the environment's reward."""
        ...

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `policy.json` into `folder`."""
        ...
