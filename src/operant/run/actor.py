"""What can be measured, filmed and kept, whatever it was learnt by."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np


class Policy(Protocol):
    """What a checkpoint holds: it writes itself into `model.safetensors` and `policy.json`, and perhaps more."""

    def save(self, folder: Path) -> None:
        """Write its files into `folder`."""
        ...


class Actor(Policy, Protocol):
    """A policy that acts on observations as environments give them."""

    def act(self, obs: np.ndarray, *, generator: np.random.Generator | None = None) -> np.ndarray:
        """The action for each of [N, D] observations: the policy's mode, or a sample where `generator` is given."""
        ...

    def value(self, obs: np.ndarray) -> np.ndarray:
        """V of each of [N, D] observations, in the units of the environment's reward."""
        ...
