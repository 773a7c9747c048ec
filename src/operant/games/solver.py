"""Who should win: Connect-4 solved exactly, and players that look some plies ahead in any of the games."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.games import kernels, solver_kernels
from operant.games.board import Board
from operant.games.kernels import States

TABLE = 2**22 + 15
"""Positions that the table holds, a prime: 42 MB."""


class Solver:
    """Connect-4's exact scores. One that is kept remembers what it has seen, and is faster the more it is asked.

    From ply 20 on a position takes milliseconds, from ply 12 on a few tenths of a second; the empty board takes long.

    Source: Pons (2015), Solving Connect 4: how to build a perfect AI; Allis (1988), A knowledge-based approach of
    connect-four, for the game's value: who begins in the centre wins.
    """

    def __init__(self) -> None:
        self._keys, self._bounds = np.zeros(TABLE, np.int64), np.zeros((TABLE, 2), np.int8)

    def scores(self, states: States, *, exact: bool = False) -> NDArray[np.float64]:
        """[N, 7] what each action is worth to the mover: 1, 0 or −1, NaN where it is not legal.

        With `exact`, 22 less the stones that the winner will have set, negative for the loser: the sooner win is more.
        """
        out = np.empty((len(states), 7))
        solver_kernels.score_rows(states, exact, self._keys, self._bounds, out)
        return out


def alpha_beta(board: Board, states: States, depth: int, *, most: int = 100_000_000) -> NDArray[np.float64]:
    """[N, A] what each action is worth to the mover by a search of `depth` plies; NaN where it is not legal.

    ±(1 − plies/1000) for a game that is won or lost within them, so that it takes the sooner win and the later loss;
    else 0. A search to a game's end is exact.

    Raises:
        ConfigError: if the depth is below 1, or a position takes more than `most` nodes.
    """
    if depth < 1:
        raise ConfigError(f"depth is {depth}: give at least 1")
    values = np.empty((len(states), board.actions))
    for n, state in enumerate(states):
        if kernels.alpha_beta_rows(board.rules, state, depth, values[n], most) < 0:
            raise ConfigError(f"a search of {depth} plies takes more than {most:,} nodes in {board.name}: give fewer")
    return values


def best_of(values: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.int64]:
    """[N] an action of the highest value in each row [N, A], drawn among those that are equal; NaN is none."""
    top = values == np.nanmax(values, axis=1, keepdims=True)
    return np.where(top, generator.random(values.shape), -1.0).argmax(1)
