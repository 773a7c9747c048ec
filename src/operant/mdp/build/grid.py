"""Grid worlds from a text map: walls, slip, living reward, terminal cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import scipy.sparse as sp

from operant.mdp.model import MDP
from operant.mdp.rows import Floats, Grid, ModelError
from operant.mdp.validate import public

MOVES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
"""The four moves, as (rows down, columns right), in the order of their action labels."""


@public()
def grid_world(
    text: str,
    *,
    discount: float,
    rewards: Mapping[str, float] | None = None,
    terminal: str = "",
    living_reward: float = 0.0,
    slip: float = 0.0,
    reward_on: Literal["enter", "leave"] = "enter",
    walls: str = "#",
    start: str = "S",
    horizon: int | None = None,
) -> MDP:
    """A grid world drawn as text, one character per cell.

    Every cell but the walls is a state, numbered row by row from the top left; its name is (row, column). The actions
    are 0 up, 1 right, 2 down, 3 left. A move happens as meant with probability 1 - slip and to either side of it with
    probability slip / 2; a move into a wall or off the map stays.

    Args:
        text: the map; empty lines before and after it are ignored, and so is indentation that all lines share.
        discount: γ.
        rewards: reward of the cells with a character; `living_reward` is that of all others.
        terminal: the characters of terminal cells.
        living_reward: reward of a cell that `rewards` does not name.
        slip: probability of not moving as meant. Russell and Norvig's 4×3 world has 0.2, slippery FrozenLake 2/3.
        reward_on: "enter": r(s, a, s') is the reward of the cell s' that is entered, or stayed in, and a terminal state
            is worth 0 (Sutton and Barto; Russell and Norvig, 4th edition; Gymnasium). "leave": r(s) is that of the cell
            s, and a terminal state is worth the reward of its cell (Russell and Norvig, 3rd edition). The two differ by
            where γ stands.
        walls: the characters of walls.
        start: the characters of the cells where episodes start, each equally likely; if the map has none of them,
            the model has no start distribution.
        horizon: number of decisions, or None.

    Raises:
        ModelError: if the map is not a rectangle or has no state, or a character that an option names is not on it.
    """
    lines = _lines(text)
    width = len(lines[0])
    flat = np.array(list("".join(lines)))
    cell = np.flatnonzero(~np.isin(flat, list(walls)))  # [S]
    rewards = dict(rewards or {})
    _check_options(cell, flat, {"rewards": rewards, "terminal": terminal}, slip, reward_on)
    worth = np.array([rewards.get(c, living_reward) for c in flat[cell].tolist()])  # [S]
    matrix = _matrix(cell, len(lines), width, slip)
    states = len(cell)
    first = np.isin(flat[cell], list(start))
    return MDP(
        matrix,
        worth if reward_on == "leave" else _entering(matrix, worth),
        discount,
        pairs=(np.repeat(np.arange(states), 4), np.tile(np.arange(4), states)),
        terminal=np.flatnonzero(np.isin(flat[cell], list(terminal))),
        start=first / first.sum() if first.any() else None,
        horizon=horizon,
        states=[(int(c) // width, int(c) % width) for c in cell],
        actions=tuple(MOVES),
        grid=Grid(lines=lines, cell=cell, moves=tuple(MOVES.values())),
    )


def _check_options(
    cell: np.ndarray, flat: np.ndarray, named: Mapping[str, Iterable[str]], slip: float, reward_on: str
) -> None:
    """Has the map a cell, are the characters that options name on it, and are the others of what they may be?"""
    if len(cell) == 0:
        raise ModelError("the map has no cell but walls: draw at least one other.")
    for what, characters in named.items():
        missing = [c for c in characters if c not in flat]
        if missing:
            raise ModelError(f"{what} names {missing[0]!r}, which is not on the map: draw it, or leave it out.")
    if not 0.0 <= slip <= 1.0:
        raise ModelError(f"slip is {slip}: a probability lies in [0, 1].")
    if reward_on not in ("enter", "leave"):
        raise ModelError(f'reward_on is {reward_on!r}: it is "enter" or "leave".')


def _entering(matrix: sp.csr_array, worth: Floats) -> sp.csr_array:
    return sp.csr_array((worth[matrix.indices], matrix.indices, matrix.indptr), shape=matrix.shape)


def _lines(text: str) -> tuple[str, ...]:
    """The lines of the map, all of one width."""
    lines = text.expandtabs().split("\n")
    while lines and not lines[0].strip():
        lines.pop(0)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ModelError("the map is empty: draw at least one cell.")
    indent = min(len(line) - len(line.lstrip(" ")) for line in lines)
    lines = [line[indent:].rstrip("\r") for line in lines]
    for number, line in enumerate(lines, start=1):
        if len(line) != len(lines[0]):
            raise ModelError(
                f"line {number} of the map has {len(line)} characters, the first has {len(lines[0])}: draw a rectangle."
            )
    return tuple(lines)


def _matrix(cell: np.ndarray, height: int, width: int, slip: float) -> sp.csr_array:
    """The transitions [4 S, S], rows in order of state and action; entries may repeat (two moves that both stay)."""
    states = len(cell)
    number = np.full(height * width, -1)
    number[cell] = np.arange(states)
    y, x = np.divmod(cell, width)
    reached = np.empty((states, 4), dtype=np.int64)  # where each direction leads
    for a, (down, right) in enumerate(MOVES.values()):
        to_y, to_x = y + down, x + right
        inside = (to_y >= 0) & (to_y < height) & (to_x >= 0) & (to_x < width)
        to = number[np.where(inside, to_y * width + to_x, cell)]
        reached[:, a] = np.where(to >= 0, to, np.arange(states))
    successor = np.stack([reached, np.roll(reached, 1, axis=1), np.roll(reached, -1, axis=1)], axis=2)  # [S, 4, 3]
    probability = np.broadcast_to([1.0 - slip, slip / 2, slip / 2], successor.shape)
    indptr = 3 * np.arange(4 * states + 1)
    return sp.csr_array((probability.ravel(), successor.ravel(), indptr), shape=(4 * states, states))
