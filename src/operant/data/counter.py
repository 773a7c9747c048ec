"""Random numbers by their place, in compiled code: a hash of seed, row and position; no order of drawing matters.

The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators).
"""

from __future__ import annotations

import numpy as np

from operant.data.compiled import inner

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@inner
def mix(x: np.uint64) -> np.uint64:
    """64 bits to 64 bits, one to one."""
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))


@inner
def uniform_at(key: np.uint64, position: np.uint64) -> np.float64:
    """A number in [0, 1), a multiple of 2⁻⁵³."""
    return np.float64(mix(key + position * GOLDEN) >> np.uint64(11)) * 2.0**-53
