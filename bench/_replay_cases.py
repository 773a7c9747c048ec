"""What both sides of `replay.py` store and draw."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np

CASES: dict[str, dict[str, Any]] = {
    "vectors": {"shape": (17,), "dtype": "float32", "action": 6, "size": 1_000_000, "batch": 256},
    "vectors-32": {"shape": (4,), "dtype": "float32", "action": 0, "size": 1_000_000, "batch": 32},
    "vectors-priority": {"shape": (17,), "dtype": "float32", "action": 6, "size": 1_000_000, "batch": 256},
    "vectors-n-step": {"shape": (17,), "dtype": "float32", "action": 6, "size": 1_000_000, "batch": 256},
    "frames": {"shape": (4, 84, 84), "dtype": "uint8", "action": 0, "size": 20_000, "batch": 32},
}
"""An `action` of so many numbers, or one of two with 0."""
EPISODE = 200
"""Steps of an episode."""
SINGLE = 2000
"""Steps that are stored one by one against the clock."""


def frames(seed: int, count: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """So many single states or frames of noise."""
    rng = np.random.default_rng(seed)
    one = shape[1:] if dtype == "uint8" else shape
    if dtype == "uint8":
        return rng.integers(0, 256, (count, *one), dtype=np.uint8)
    return rng.standard_normal((count, *one), dtype=np.float32)


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
