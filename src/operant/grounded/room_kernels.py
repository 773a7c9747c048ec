"""A room of things compiled by Numba: how it is laid, what an action does, and what is seen.

A cell holds a thing's number, or EMPTY. The agent is x, y and where it looks: 0 right, 1 down, 2 left, 3 up. All that
an episode draws is a hash of its copy's seed, its number and the draw's place.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from operant.data.compiled import inner, outer
from operant.data.counter import GOLDEN, mix, uniform_at

Array = np.ndarray

EMPTY = -1
LEFT, RIGHT, FORWARD = range(3)
exact: Any = partial(outer, flags=frozenset[str]())


@inner
def pick(allowed: Array, key: np.uint64, at: int) -> int:
    """One of the places that are allowed, all alike; EMPTY where none is."""
    count = 0
    for k in range(len(allowed)):
        count += allowed[k]
    left = int(uniform_at(key, np.uint64(at)) * count)
    for k in range(len(allowed)):
        if allowed[k]:
            if left == 0:
                return k
            left -= 1
    return EMPTY


@inner
def lay(
    i: int, cells: Array, agent: Array, meant: Array, seed: Array, episode: Array, targets: Array, alike: Array,
    order: Array, size: Array, number: int, misled: bool, allowed: Array, free: Array,
) -> None:  # fmt: skip
    """Begin an episode of copy i. meant[i] becomes the instruction, what is said, and the thing that is right.

    Beside that thing stand others, of its class none, or, where the largest is meant, smaller ones.
    """
    key = mix(mix(seed[i] * GOLDEN) + episode[i] * GOLDEN)
    side, drawn = cells.shape[1], 3
    said = int(uniform_at(key, np.uint64(0)) * len(targets))
    other = int(uniform_at(key, np.uint64(1)) * len(targets))
    for place in range(len(free)):
        cells[i, place // side, place % side], free[place] = EMPTY, True
    for k in range(len(allowed)):
        allowed[k] = targets[said, k]
    right = pick(allowed, key, 2)
    for k in range(len(allowed)):
        allowed[k] = not alike[said, k] or order[said] * (size[right] - size[k]) > 0
    thing = right
    for _ in range(number):
        if thing == EMPTY:
            break
        place = pick(free, key, drawn)
        cells[i, place // side, place % side] = thing
        free[place] = allowed[thing] = False
        thing = pick(allowed, key, drawn + 1)
        drawn += 2
    place = pick(free, key, drawn)
    agent[i, 0], agent[i, 1] = place // side, place % side
    agent[i, 2] = int(uniform_at(key, np.uint64(drawn + 1)) * 4)
    meant[i, 0], meant[i, 1], meant[i, 2] = said, other if misled else said, right


@inner
def look(i: int, cells: Array, agent: Array, properties: Array, view: Array) -> None:
    """view[i], [V, V, P + 1]: what lies ahead, the agent in the middle of the last row; the last plane is walls."""
    size, side, walls = view.shape[1], cells.shape[1], view.shape[3] - 1
    x, y, looks = agent[i]
    dx, dy = (looks == 0) - (looks == 2), (looks == 1) - (looks == 3)
    for row in range(size):
        for column in range(size):
            ahead, aside = size - 1 - row, column - size // 2
            at_x, at_y = x + ahead * dx - aside * dy, y + ahead * dy + aside * dx
            inside = 0 <= at_x < side and 0 <= at_y < side
            thing = cells[i, at_x, at_y] if inside else EMPTY
            for k in range(walls):
                view[i, row, column, k] = properties[thing, k] if thing != EMPTY else 0.0
            view[i, row, column, walls] = 0.0 if inside else 1.0


@inner
def oversee(i: int, cells: Array, agent: Array, properties: Array, view: Array) -> None:
    """view[i], [S, S, P + 4]: the whole room, rows from above; the last planes are where the agent is and looks."""
    kinds = properties.shape[1]
    for x in range(cells.shape[1]):
        for y in range(cells.shape[2]):
            for k in range(kinds):
                view[i, y, x, k] = properties[cells[i, x, y], k] if cells[i, x, y] != EMPTY else 0.0
            for k in range(4):
                view[i, y, x, kinds + k] = 0.0
    view[i, agent[i, 1], agent[i, 0], kinds + agent[i, 2]] = 1.0


@inner
def see(i: int, cells: Array, agent: Array, properties: Array, whole: bool, view: Array) -> None:
    """view[i]: the whole room, or what lies ahead."""
    if whole:
        oversee(i, cells, agent, properties, view)
    else:
        look(i, cells, agent, properties, view)


@exact
def observe(cells: Array, agent: Array, properties: Array, whole: bool, view: Array) -> None:
    """Write what every copy sees."""
    for i in range(len(cells)):
        see(i, cells, agent, properties, whole, view)


@exact
def begin(
    cells: Array, agent: Array, meant: Array, elapsed: Array, seed: Array, episode: Array, targets: Array, alike: Array,
    order: Array, size: Array, number: int, misled: bool,
) -> None:  # fmt: skip
    """Begin the first episode of every copy."""
    allowed, free = np.empty(targets.shape[1], np.bool_), np.empty(cells.shape[1] * cells.shape[2], np.bool_)
    for i in range(len(cells)):
        elapsed[i], episode[i] = 0, 0
        lay(i, cells, agent, meant, seed, episode, targets, alike, order, size, number, misled, allowed, free)


@exact
def step(
    cells: Array, agent: Array, meant: Array, elapsed: Array, seed: Array, episode: Array, targets: Array, alike: Array,
    order: Array, size: Array, number: int, misled: bool, properties: Array, whole: bool, limit: int, wrong: float,
    action: Array, view: Array, last: Array, reward: Array, terminated: Array, truncated: Array,
) -> None:  # fmt: skip
    """Step every copy. One whose episode ends is seen as it ended in `last`, and begins another one."""
    allowed, free = np.empty(targets.shape[1], np.bool_), np.empty(cells.shape[1] * cells.shape[2], np.bool_)
    side = cells.shape[1]
    for i in range(len(cells)):
        x, y, looks = agent[i]
        reward[i], terminated[i] = 0.0, False
        elapsed[i] += 1
        if action[i] == LEFT:
            agent[i, 2] = (looks + 3) % 4
        elif action[i] == RIGHT:
            agent[i, 2] = (looks + 1) % 4
        else:
            x, y = x + (looks == 0) - (looks == 2), y + (looks == 1) - (looks == 3)
            if 0 <= x < side and 0 <= y < side:
                agent[i, 0], agent[i, 1] = x, y
                if cells[i, x, y] != EMPTY:
                    terminated[i] = True
                    reward[i] = 1.0 if cells[i, x, y] == meant[i, 2] else wrong
        truncated[i] = not terminated[i] and elapsed[i] >= limit
        if terminated[i] or truncated[i]:
            see(i, cells, agent, properties, whole, last)
            elapsed[i] = 0
            episode[i] += np.uint64(1)
            lay(i, cells, agent, meant, seed, episode, targets, alike, order, size, number, misled, allowed, free)
        see(i, cells, agent, properties, whole, view)
