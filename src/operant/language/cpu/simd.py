"""Functions that the kernels of language models share: vectorised, counting no references."""

from __future__ import annotations

from typing import Any

import numpy as np

from operant.data.compiled import FAST, F, inner

Array = np.ndarray


def _exact(function: F) -> F:
    return inner(function, frozenset({"contract"}))


def _loose(function: F) -> F:  # for a maximum alone: which of NaN it is does not matter
    return inner(function, FAST | {"nnan"})


@_exact
def exp(x: Any) -> Any:
    """e^x to 2e-7 of itself, for x in [-87, 88] (clamped): Cephes' `expf`, without a branch."""
    x = np.float32(-87.0) if x < np.float32(-87.0) else x  # written so that NaN passes
    x = np.float32(88.0) if x > np.float32(88.0) else x
    n = np.floor(x * np.float32(1.44269504088896341) + np.float32(0.5))
    r = x - n * np.float32(0.693359375)
    r = r + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * (r * r) + r + np.float32(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@_loose
def largest(x: Array, n: int) -> Any:
    """The largest of x[:n]."""
    found = x[0]
    for i in range(n):
        found = max(found, x[i])
    return found
