"""The 2×2×2 cube, solved exactly: the fewest turns from every one of its 3,674,160 states.

The corner at the back, on the left, below stays where it is, so that turns of three faces, up, right and front, are all
there are. A state is 729 k + t: k the number of one of 7! permutations of the other corners, t their twists, 3⁶ of
them, as the last follows from the others. 0 is solved.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

FACES = ("U", "R", "F")
_MOVED = ((3, 0, 1, 2, 4, 5, 6), (4, 1, 2, 0, 6, 5, 3), (1, 5, 2, 3, 0, 4, 6))
"""Of each face, at each place the place whose corner comes there: above front right, front left, back left, back
right, below front right, front left, back right."""
_TWISTED = ((0, 0, 0, 0, 0, 0, 0), (2, 0, 0, 1, 1, 0, 2), (1, 2, 0, 0, 2, 1, 0))
"""And by how many thirds it is twisted there."""
TWISTS = 3**6
STATES = 5040 * TWISTS


class Cube:
    """Turns and the fewest of them; `half` counts a half turn as one, else quarter turns alone are turns."""

    def __init__(self, half: bool = False) -> None:
        self.half = half
        self.place, self.twist = _tables()
        self.depth = np.empty(STATES, np.uint8)
        kernels: Any = import_module("operant.robots.cube_kernels")
        kernels.search(self.place, self.twist, half, self.depth)

    def turned(self, state: int, face: int, quarters: int) -> int:
        """The state after so many quarter turns, clockwise, of a face."""
        k, t = divmod(state, TWISTS)
        for _ in range(quarters % 4):
            k, t = int(self.place[k, face]), int(self.twist[t, face])
        return k * TWISTS + t

    def solution(self, state: int) -> list[tuple[int, int]]:
        """A shortest way to the solved state: faces, each with 1 or 3 quarter turns, or 2 where these count as one."""
        found = list[tuple[int, int]]()
        while self.depth[state]:
            for face, quarters in product(range(3), (1, 2, 3) if self.half else (1, 3)):
                after = self.turned(state, face, quarters)
                if self.depth[after] < self.depth[state]:
                    found.append((face, quarters))
                    state = after
                    break
        return found

    def scramble(self, turns: int, rng: np.random.Generator) -> int:
        """A state that needs exactly so many turns, all alike."""
        return int(rng.choice(np.flatnonzero(self.depth == turns)))


@cache
def _tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[7!, 3] and [3⁶, 3]: what a quarter turn of each face makes of a permutation, and of twists."""
    orders = [*permutations(range(7))]
    number = {order: k for k, order in enumerate(orders)}
    place = np.array([[number[tuple(order[j] for j in moved)] for moved in _MOVED] for order in orders])
    twists = np.array([*product(range(3), repeat=6)])
    whole = np.column_stack([twists, -twists.sum(1) % 3])
    weights = 3 ** np.arange(5, -1, -1)
    each = [(whole[:, moved] + np.array(by)) % 3 for moved, by in zip(_MOVED, _TWISTED, strict=True)]
    return place, np.column_stack([x[:, :6] @ weights for x in each])
