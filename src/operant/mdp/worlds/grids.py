"""The grid worlds of the books. States are the free cells in reading order, named (row, column) from the top left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from operant.mdp.build.grid import MOVES, grid_world
from operant.mdp.model import MDP
from operant.mdp.rows import Grid
from operant.mdp.worlds.table import Outcome, table

Cell = tuple[int, int]
"""(row, column), from the top left, from 0."""

COMPASS: Mapping[str, Cell] = MOVES
KING: Mapping[str, Cell] = {
    **COMPASS,
    "up-right": (-1, 1),
    "down-right": (1, 1),
    "down-left": (1, -1),
    "up-left": (-1, -1),
}
KING_AND_STAY: Mapping[str, Cell] = {**KING, "stay": (0, 0)}

JUMPS_MAP = """
.A.B.
.....
...b.
.....
.a...
"""
CORNERS_MAP = """
G...
....
....
...G
"""
CLIFF_MAP = """
............
............
............
SCCCCCCCCCCG
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
EXITS_MAP = """
...+
.#.-
S...
"""


def cells(text: str, *, closed: str = "#") -> dict[Cell, str]:
    """The cells of a map that no sign of `closed` stands on, in reading order."""
    return {
        (row, column): sign
        for row, line in enumerate(text.strip().splitlines())
        for column, sign in enumerate(line)
        if sign not in closed
    }


def move(cell: Cell, by: Cell, free: Mapping[Cell, str]) -> Cell:
    """One step; a wall or the edge leaves the agent where it is."""
    to = (cell[0] + by[0], cell[1] + by[1])
    return to if to in free else cell


def _only(free: Mapping[Cell, str], sign: str) -> Cell:
    return next(cell for cell, marked in free.items() if marked == sign)


def _on_map(
    text: str,
    states: Sequence[Cell],
    step: Callable[[Cell, str], Iterable[Outcome[Cell]]],
    discount: float,
    moves: Mapping[str, Cell] = COMPASS,
) -> MDP:
    """The model of cells of a map, which starts at its S and ends at its G, if it has them."""
    lines, marked = tuple(text.strip().splitlines()), cells(text)
    where = np.array(states)
    return table(
        states,
        list(moves),
        step,
        discount,
        terminal={cell: 0.0 for cell, sign in marked.items() if sign == "G"},
        start=next((cell for cell, sign in marked.items() if sign == "S"), None),
        grid=Grid(lines=lines, cell=where[:, 0] * len(lines[0]) + where[:, 1], moves=tuple(moves.values())),
    )


def five_by_five(discount: float = 0.9) -> MDP:
    """The 5×5 grid world: any action in A pays 10 and leads to A', in B 5 and to B'; running into the edge costs 1.

    Continuing, no terminal state. A = (0, 1), A' = (4, 1), B = (0, 3), B' = (2, 3), on the map A, a, B, b.

    Source: Sutton & Barto (2018), examples 3.5 and 3.8 (figures 3.2 and 3.5).
    """
    free = cells(JUMPS_MAP)
    jumps = {_only(free, "A"): (_only(free, "a"), 10.0), _only(free, "B"): (_only(free, "b"), 5.0)}

    def step(cell: Cell, action: str) -> list[Outcome[Cell]]:
        if cell in jumps:
            to, reward = jumps[cell]
            return [(1.0, to, reward)]
        to = move(cell, COMPASS[action], free)
        return [(1.0, to, -1.0 if to == cell else 0.0)]

    return _on_map(JUMPS_MAP, list(free), step, discount)


def four_by_four(discount: float = 1.0) -> MDP:
    """The 4×4 grid world: every move costs 1 until one of two opposite corners is reached.

    Source: Sutton & Barto (2018), example 4.1.
    """
    return grid_world(CORNERS_MAP, discount=discount, terminal="G", living_reward=-1.0)


def cliff_walking(discount: float = 1.0) -> MDP:
    """The 4×12 cliff: every move costs 1, a move over the edge costs 100 and leads back to the start.

    37 cells and the goal; the ten cells of the cliff are never occupied and are no states.

    Source: Sutton & Barto (2018), example 6.6.
    """
    marked, free = cells(CLIFF_MAP), cells(CLIFF_MAP, closed="C")
    start = _only(free, "S")

    def step(cell: Cell, action: str) -> list[Outcome[Cell]]:
        to = move(cell, COMPASS[action], marked)
        return [(1.0, to, -1.0) if to in free else (1.0, start, -100.0)]

    return _on_map(CLIFF_MAP, list(free), step, discount)


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
        (row, column), (down, right) = cell, moves[action]
        for p, change in gusts if WIND[column] else ((1.0, 0),):
            to = (row + down - WIND[column] - change, column + right)
            yield p, (min(max(to[0], 0), height - 1), min(max(to[1], 0), width - 1)), -1.0

    return _on_map(WINDY_MAP, list(free), step, discount, moves)


def dyna_maze(discount: float = 0.95) -> MDP:
    """The 6×9 maze of Dyna-Q, 47 cells with the goal: reward 1 on reaching it; the shortest path has 14 steps.

    Source: Sutton & Barto (2018), example 8.1 (figure 8.2).
    """
    return grid_world(DYNA_MAP, discount=discount, rewards={"G": 1.0}, terminal="G")


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

    def model(text: str) -> MDP:
        free = cells(text)
        goal = _only(free, "G")

        def step(cell: Cell, action: str) -> list[Outcome[Cell]]:
            to = move(cell, COMPASS[action], free)
            return [(1.0, to, 1.0 if to == goal else 0.0)]

        return _on_map(text, ever, step, discount)

    before, after = (model(text) for text in maps)
    return before, after


def four_by_three(living: float = -0.04, *, paid_on: Literal["leave", "enter"] = "leave", discount: float = 1.0) -> MDP:
    """The 4×3 world: the intended move succeeds with .8 and slips to either side with .1; exits +1 and -1.

    Args:
        living: reward r of a step that does not end the episode.
        paid_on: "leave": R(s) for the state that is left, the exits' ±1 being the value of the exit (3rd edition);
            "enter": R(s, a, s') = ±1 into an exit and r otherwise (4th edition). The optimal policies are the same, and
            the values of "enter" are those of "leave" less r.

    Source: Russell & Norvig, Artificial Intelligence: A Modern Approach, chapter 17 (3rd edition) and 16 (4th edition).
    """
    return grid_world(
        EXITS_MAP,
        discount=discount,
        rewards={"+": 1.0, "-": -1.0},
        terminal="+-",
        living_reward=living,
        slip=0.2,
        reward_on=paid_on,
    )
