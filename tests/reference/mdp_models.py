"""Models larger than a page, made with NumPy."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from operant.mdp import MDP


def grid(side: int, discount: float) -> MDP:
    """A square grid with slips, random step costs and one goal."""
    rng = np.random.default_rng(0)
    y, x = np.divmod(np.arange(side * side), side)
    moved = np.stack(
        [
            np.clip(y + dy, 0, side - 1) * side + np.clip(x + dx, 0, side - 1)
            for dy, dx in ((-1, 0), (0, 1), (1, 0), (0, -1))
        ],
        axis=1,
    )
    to = np.stack([moved, np.roll(moved, 1, axis=1), np.roll(moved, -1, axis=1)], axis=2)
    P = sp.coo_array(
        (np.tile([0.8, 0.1, 0.1], 4 * side * side), (np.repeat(np.arange(4 * side * side), 3), to.ravel()))
    )
    pairs = np.divmod(np.arange(4 * side * side), 4)
    return MDP(P, -rng.uniform(0.5, 1.5, size=4 * side * side), discount, pairs=pairs, terminal=[side * side - 1])


def line(states: int, back: float, discount: float) -> MDP:
    """A walk to the end, with a chance to fall back one state."""
    here = np.arange(states - 1)
    to = np.stack([np.maximum(here - 1, 0), here + 1], axis=1)
    P = sp.coo_array(
        (np.tile([back, 1 - back], states - 1), (np.repeat(here, 2), to.ravel())), shape=(states - 1, states)
    )
    return MDP(P, -np.ones(states - 1), discount, pairs=(here, np.zeros(states - 1, int)), terminal={states - 1: 5.0})
