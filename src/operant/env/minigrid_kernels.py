"""MiniGrid's rules compiled by Numba: what an action does to a grid, and what is seen of it.

A cell is one number: 4 bits each for what is there, its colour and its state, as MiniGrid encodes them, and above these
the same three of what a box holds. Cells are [N, W, H], the agent [N, 3] is x, y and where it looks (0 right, 1 down,
2 left, 3 up).

Source: Chevalier-Boisvert et al. (2023), Minigrid & Miniworld, and its package, whose grids these are.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from operant.data.compiled import inner, outer

Array = np.ndarray

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
EMPTY, WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA = 1, 2, 3, 4, 5, 6, 7, 8, 9
OPEN, CLOSED, LOCKED = range(3)
OUTSIDE = np.int32(WALL | 5 << 4)  # a grey wall, all that is seen beyond the edge
HELD = 12
"""Bits below what a box holds."""
FINE, NO_ACTION, OFF_THE_GRID = range(3)
"""What became of a step."""

exact: Any = partial(outer, flags=frozenset[str]())
"""No reordering: a reward is Python's to the last bit."""


@inner
def kind(cell: Any) -> Any:
    """What is in a cell."""
    return cell & 15


@inner
def shut(cell: Any) -> Any:
    """Whether it is a door that is not open."""
    return kind(cell) == DOOR and (cell >> 8) & 15 != OPEN


@inner
def enters(cell: Any) -> Any:
    """Whether the agent can go there."""
    what = kind(cell)
    return what in (EMPTY, FLOOR, GOAL, LAVA) or (what == DOOR and not shut(cell))


@inner
def toggled(cell: Any, carried: Any) -> Any:
    """What an action on it makes of a cell: a box becomes what it holds, a locked door wants the key of its colour."""
    what, colour, state = kind(cell), (cell >> 4) & 15, (cell >> 8) & 15
    if what == BOX:
        return cell >> HELD
    if what != DOOR or (state == LOCKED and (kind(carried) != KEY or (carried >> 4) & 15 != colour)):
        return cell
    return DOOR | colour << 4 | (CLOSED if state == OPEN else OPEN) << 8


@inner
def act(cells: Array, agent: Array, carried: Array, i: int, action: int) -> Any:
    """Change copy i; returns what became of it, and what was entered: EMPTY where the agent did not move."""
    x, y, looks = agent[i]
    ahead_x, ahead_y = x + (looks == 0) - (looks == 2), y + (looks == 1) - (looks == 3)
    if not (0 <= ahead_x < cells.shape[1] and 0 <= ahead_y < cells.shape[2]):
        return OFF_THE_GRID, EMPTY
    ahead = cells[i, ahead_x, ahead_y]
    if action == LEFT:
        agent[i, 2] = (looks + 3) % 4
    elif action == RIGHT:
        agent[i, 2] = (looks + 1) % 4
    elif action == FORWARD and enters(ahead):
        agent[i, 0], agent[i, 1] = ahead_x, ahead_y
        return FINE, kind(ahead)
    elif action == PICKUP and kind(ahead) in (KEY, BALL, BOX) and carried[i] == EMPTY:
        carried[i], cells[i, ahead_x, ahead_y] = ahead, EMPTY
    elif action == DROP and ahead == EMPTY and carried[i] != EMPTY:
        cells[i, ahead_x, ahead_y], carried[i] = carried[i], EMPTY
    elif action == TOGGLE:
        cells[i, ahead_x, ahead_y] = toggled(ahead, carried[i])
    return FINE, EMPTY


@inner
def look(cells: Array, agent: Array, carried: Array, i: int, see_through: bool, seen: Array, image: Array) -> None:
    """image[i], [V, V, 3] bytes: what lies ahead, the agent in the middle of the last row, what it cannot see 0.

    Sight goes from the agent row by row, to either side and aslant, through what does not stand in its way.
    """
    size = image.shape[1]
    x, y, looks = agent[i]
    dx, dy = (looks == 0) - (looks == 2), (looks == 1) - (looks == 3)
    for column in range(size):
        for row in range(size):
            ahead, aside = size - 1 - row, column - size // 2
            at_x, at_y = x + ahead * dx - aside * dy, y + ahead * dy + aside * dx
            cell = OUTSIDE
            if 0 <= at_x < cells.shape[1] and 0 <= at_y < cells.shape[2]:
                cell = cells[i, at_x, at_y]
            seen[column, row] = see_through
            for k in range(3):
                image[i, column, row, k] = (cell >> 4 * k) & 15
    if not see_through:
        spread(image, i, seen)
    for column in range(size):
        for row in range(size):
            if not seen[column, row]:
                for k in range(3):
                    image[i, column, row, k] = 0
    for k in range(3):  # in its own place is what it carries
        image[i, size // 2, size - 1, k] = (carried[i] >> 4 * k) & 15


@inner
def spread(image: Array, i: int, seen: Array) -> None:
    """Mark what is seen: row by row from the agent's, to the right and then to the left."""
    size = image.shape[1]
    seen[size // 2, size - 1] = True
    for row in range(size - 1, -1, -1):
        for way in (1, -1):
            for step in range(size - 1):
                column = step if way == 1 else size - 1 - step
                what = image[i, column, row, 0]
                if not seen[column, row] or what == WALL or (what == DOOR and image[i, column, row, 2] != OPEN):
                    continue
                seen[column + way, row] = True
                if row > 0:
                    seen[column + way, row - 1] = seen[column, row - 1] = True


@exact
def step(
    cells: Array, agent: Array, carried: Array, elapsed: Array, limit: int, see_through: bool,
    action: Array, image: Array, reward: Array, terminated: Array, truncated: Array,
) -> Any:  # fmt: skip
    """Step every copy; returns what became of it, and the copy where that is not FINE."""
    seen = np.empty(image.shape[1:3], np.bool_)
    for i in range(len(action)):
        if not 0 <= action[i] <= DONE:
            return NO_ACTION, i
        code, entered = act(cells, agent, carried, i, action[i])
        if code != FINE:
            return code, i
        elapsed[i] += 1
        terminated[i] = entered in (GOAL, LAVA)
        truncated[i] = not terminated[i] and elapsed[i] >= limit
        reward[i] = 1.0 - 0.9 * (elapsed[i] / limit) if entered == GOAL else 0.0
        look(cells, agent, carried, i, see_through, seen, image)
    return FINE, 0


@exact
def observe(cells: Array, agent: Array, carried: Array, see_through: bool, copies: Array, image: Array) -> None:
    """Write what these copies see."""
    seen = np.empty(image.shape[1:3], np.bool_)
    for i in copies:
        look(cells, agent, carried, i, see_through, seen, image)
