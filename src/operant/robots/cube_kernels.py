"""Every state of the 2×2×2 cube by breadth-first search, compiled by Numba."""

from __future__ import annotations

import numpy as np

from operant.data.compiled import outer

Array = np.ndarray
UNSEEN = 255


def _search(place: Array, twist: Array, half: bool, depth: Array) -> None:
    """Fill depth, [P T] bytes, with the fewest turns to state 0; state = T place + twist.

    Args:
        place: [P, 3], what a quarter turn of each face makes of where the corners are.
        twist: [T, 3], and of how they are turned.
        half: whether a half turn is one turn.
        depth: written.
    """
    queue, size = np.empty(len(depth), np.int64), len(twist)
    depth[:] = UNSEEN
    depth[0], queue[0], last = 0, 0, 1
    for at in range(len(depth)):
        state = queue[at]
        for face in range(3):
            p, t = state // size, state % size
            for quarters in range(1, 4):
                p, t = place[p, face], twist[t, face]
                to = p * size + t
                if (half or quarters != 2) and depth[to] == UNSEEN:
                    depth[to] = depth[state] + 1
                    queue[last] = to
                    last += 1


search = outer(_search, frozenset[str]())
