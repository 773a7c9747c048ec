"""The grid worlds of the books. States are the free cells in reading order, named "row,column" from the top left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from operant.mdp.model import MDP, ModelError
from operant.mdp.worlds.table import Outcome, table

Cell = tuple[int, int]
"""(row, column), from the top left, from 0."""

COMPASS: Mapping[str, Cell] = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
KING: Mapping[str, Cell] = {
    **COMPASS,
    "up-right": (-1, 1),
    "down-right": (1, 1),
    "down-left": (1, -1),
    "up-left": (-1, -1),
}
KING_AND_STAY: Mapping[str, Cell] = {**KING, "stay": (0, 0)}

CLIFF_MAP = """
............
............
............
SxxxxxxxxxxG
"""
WINDY_MAP = """
..........
..........
..........
S......G..
..........
..........
..........
"""
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
DYNA_MAP = """
.......#G
..#....#.
S.#....#.
..#......
.....#...
.........
"""
BLOCKING_MAPS = (
    """
........G
.........
.........
########.
.........
...S.....
""",
    """
........G
.........
.........
.########
.........
...S.....
""",
)
SHORTCUT_MAPS = (
    """
........G
.........
.........
.########
.........
...S.....
""",
    """
........G
.........
.........
.#######.
.........
...S.....
""",
)
FOUR_BY_THREE_MAP = """
...+
.#.-
S...
"""


def cells(text: str) -> dict[Cell, str]:
    """The free cells of a map, every sign but a wall `#`, in reading order."""
    return {
        (row, column): sign
        for row, line in enumerate(text.strip().splitlines())
        for column, sign in enumerate(line)
        if sign != "#"
    }


def name(cell: Cell) -> str:
    """ "row,column", as every grid world names its states."""
    return f"{cell[0]},{cell[1]}"


def positions(mdp: MDP) -> NDArray[np.int64]:
    """Which state stands where, [H, W], -1 where none does, of a model whose states are named "row,column".

    Raises:
        ModelError: if the states have other names, or none.
    """
    try:
        at = np.array([[int(part) for part in word.split(",")] for word in mdp.states or ()]).reshape(-1, 2)
    except ValueError as error:
        raise ModelError('the states are not named "row,column": say yourself where they stand.') from error
    if not len(at):
        raise ModelError('the states have no names: name them "row,column", or say yourself where they stand.')
    found = np.full(at.max(axis=0) + 1, -1)
    found[at[:, 0], at[:, 1]] = np.arange(len(at))
    return found


def move(cell: Cell, by: Cell, free: Mapping[Cell, str]) -> Cell:
    """One step; a wall or the edge leaves the agent where it is."""
    to = (cell[0] + by[0], cell[1] + by[1])
    return to if to in free else cell


def _only(free: Mapping[Cell, str], sign: str) -> Cell:
    return next(cell for cell, found in free.items() if found == sign)


def five_by_five(discount: float = 0.9) -> MDP:
    """The 5×5 grid world: any action in A pays 10 and leads to A', in B 5 and to B'; running into the edge costs 1.

    Continuing, no terminal state. A = (0, 1), A' = (4, 1), B = (0, 3), B' = (2, 3).

    Source: Sutton & Barto (2018), examples 3.5 and 3.8 (figures 3.2 and 3.5).
    """
    free = cells("\n".join(["....."] * 5))
    jumps = {(0, 1): ((4, 1), 10.0), (0, 3): ((2, 3), 5.0)}

    def step(cell: Cell, action: str) -> list[Outcome[Cell]]:
        if cell in jumps:
            to, reward = jumps[cell]
            return [(1.0, to, reward)]
        to = move(cell, COMPASS[action], free)
        return [(1.0, to, -1.0 if to == cell else 0.0)]

    return table(list(free), list(COMPASS), step, discount, name=name)


def four_by_four(discount: float = 1.0) -> MDP:
    """The 4×4 grid world: every move costs 1 until one of two opposite corners is reached.

    Source: Sutton & Barto (2018), example 4.1.
    """
    free = cells("\n".join(["G...", "....", "....", "...G"]))

    def step(cell: Cell, action: str) -> list[Outcome[Cell]]:
        return [(1.0, move(cell, COMPASS[action], free), -1.0)]

    return table(list(free), list(COMPASS), step, discount, terminal={(0, 0): 0.0, (3, 3): 0.0}, name=name)


def cliff_walking(discount: float = 1.0) -> MDP:
    """The 4×12 cliff: every move costs 1, a move over the edge costs 100 and leads back to the start.

    37 cells and the goal; the ten cells of the cliff are never occupied and are no states.

    Source: Sutton & Barto (2018), example 6.6.
    """
    marked = cells(CLIFF_MAP)
    free = {cell: sign for cell, sign in marked.items() if sign != "x"}
    start, goal = _only(free, "S"), _only(free, "G")

    def step(cell: Cell, action: str) -> list[Outcome[Cell]]:
        to = move(cell, COMPASS[action], marked)
        return [(1.0, start, -100.0) if marked[to] == "x" else (1.0, to, -1.0)]

    return table(list(free), list(COMPASS), step, discount, terminal={goal: 0.0}, start=start, name=name)


def windy_grid(
    moves: Mapping[str, Cell] = COMPASS, *, gusts: Sequence[tuple[float, int]] = ((1.0, 0),), discount: float = 1.0
) -> MDP:
    """The 7×10 windy grid world: every move costs 1; the wind of the column that is left pushes upward as well.

    Args:
        moves: COMPASS (the example), KING or KING_AND_STAY (exercise 6.9).
        gusts: (probability, change of the wind) in columns that have wind; exercise 6.10 is
            `gusts=[(1/3, -1), (1/3, 0), (1/3, 1)]`.

    Source: Sutton & Barto (2018), example 6.5, exercises 6.9 and 6.10.
    """
    free = cells(WINDY_MAP)
    height, width = 1 + max(row for row, _ in free), 1 + max(column for _, column in free)

    def step(cell: Cell, action: str) -> Iterable[Outcome[Cell]]:
        row, column = cell
        for p, change in gusts if WIND[column] else ((1.0, 0),):
            down, right = moves[action]
            to = (row + down - WIND[column] - change, column + right)
            yield p, (min(max(to[0], 0), height - 1), min(max(to[1], 0), width - 1)), -1.0

    start, goal = _only(free, "S"), _only(free, "G")
    return table(list(free), list(moves), step, discount, terminal={goal: 0.0}, start=start, name=name)


def maze(text: str, discount: float = 0.95) -> MDP:
    """A maze from a map (`S` start, `G` goal, `#` wall): reward 1 on reaching the goal, 0 before."""
    free = cells(text)
    return _maze(free, list(free), discount)


def dyna_maze(discount: float = 0.95) -> MDP:
    """The 6×9 maze of Dyna-Q, 47 cells with the goal; the shortest path has 14 steps.

    Source: Sutton & Barto (2018), example 8.1 (figure 8.2).
    """
    return maze(DYNA_MAP, discount)


def blocking_maze(discount: float = 0.95) -> tuple[MDP, MDP]:
    """The maze before and after (1,000 steps later) the gap in its wall moves from the right to the left.

    Both have the same states, every cell that is free in one of them, so that a learner may live through the change.

    Source: Sutton & Barto (2018), example 8.2 (figure 8.4).
    """
    return _changing(BLOCKING_MAPS, discount)


def shortcut_maze(discount: float = 0.95) -> tuple[MDP, MDP]:
    """The maze before and after (3,000 steps later) a second, shorter way opens on the right.

    Both have the same states, every cell that is free in one of them, so that a learner may live through the change.

    Source: Sutton & Barto (2018), example 8.3 (figure 8.5).
    """
    return _changing(SHORTCUT_MAPS, discount)


def _changing(maps: tuple[str, str], discount: float) -> tuple[MDP, MDP]:
    ever = sorted(cells(maps[0]).keys() | cells(maps[1]).keys())
    before, after = (_maze(cells(text), ever, discount) for text in maps)
    return before, after


def _maze(free: Mapping[Cell, str], states: Sequence[Cell], discount: float) -> MDP:
    start, goal = _only(free, "S"), _only(free, "G")

    def step(cell: Cell, action: str) -> list[Outcome[Cell]]:
        to = move(cell, COMPASS[action], free)
        return [(1.0, to, 1.0 if to == goal else 0.0)]

    return table(states, list(COMPASS), step, discount, terminal={goal: 0.0}, start=start, name=name)


def four_by_three(living: float = -0.04, *, paid: Literal["in", "out"] = "in", discount: float = 1.0) -> MDP:
    """The 4×3 world: the intended move succeeds with .8 and slips to either side with .1; exits +1 and -1.

    Args:
        living: reward r of a step that does not end the episode.
        paid: "in": for being in a state, R(s), the exits' ±1 being the value of the exit (3rd edition);
            "out": for a transition, R(s, a, s') = ±1 into an exit and r otherwise (4th edition). The optimal policies
            are the same, and the values of "out" are those of "in" less r.

    Source: Russell & Norvig, Artificial Intelligence: A Modern Approach, chapter 17 (3rd edition) and 16 (4th edition).
    """
    free = cells(FOUR_BY_THREE_MAP)
    exits = {_only(free, "+"): 1.0, _only(free, "-"): -1.0}
    directions = list(COMPASS)

    def step(cell: Cell, action: str) -> Iterable[Outcome[Cell]]:
        at = directions.index(action)
        for p, turn in ((0.8, 0), (0.1, 1), (0.1, -1)):
            to = move(cell, COMPASS[directions[(at + turn) % 4]], free)
            yield p, to, exits[to] if paid == "out" and to in exits else living

    worth = exits if paid == "in" else dict.fromkeys(exits, 0.0)
    return table(list(free), directions, step, discount, terminal=worth, start=_only(free, "S"), name=name)
