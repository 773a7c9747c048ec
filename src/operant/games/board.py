"""Games of two players on a board: one record for all, N positions at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.config.suggest import did_you_mean, nearest
from operant.games import kernels
from operant.games.kernels import ACTIONS, DROP, FIRST, GO, HEX, LAST, LIMIT, OVER, PLACE, PLY, SECOND, SEEN, States

STONES = ".", "X", "O"


@dataclass(frozen=True, eq=False)
class Board:
    """The rules of one game, and what is done with its positions, `[N, S]` int64 (`operant.games.kernels`).

    The player who moves first has X, the other O, and they move in turn. A value is +1 where the player that it is seen
    by wins, −1 where it loses, 0 for a draw.

    - Connect-4: six rows of seven, a stone falls down its column, four in a row win.
    - Tic-tac-toe and Gomoku: a stone anywhere; three, or five or more, in a row win.
    - Hex: rows lean to the right, so a cell touches those up, up right, left, right, down left and down. X joins top
      and bottom, O left and right; there are no draws. No swap after the first move.
    - Go: Tromp and Taylor's area scoring; suicide is not legal; nor is a stone that makes again any position of the
      board that was there before (positional superko), whoever moves. Two passes end a game, or `limit` plies, and
      then it is scored as it stands. The second player has `komi` points more.

    Args:
        name: of the game.
        rules: as the kernels take them.
    """

    name: str
    rules: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Rows of the board."""
        return int(self.rules[kernels.ROWS])

    @property
    def columns(self) -> int:
        """Columns of the board."""
        return int(self.rules[kernels.COLUMNS])

    @property
    def actions(self) -> int:
        """How many actions there are: a column or a cell each; in Go the last is to pass."""
        return int(self.rules[ACTIONS])

    @property
    def limit(self) -> int:
        """The most plies of a game."""
        return int(self.rules[LIMIT])

    @property
    def kind(self) -> int:
        """DROP, PLACE, GO or HEX."""
        return int(self.rules[kernels.KIND])

    @property
    def planes(self) -> int:
        """Planes of `encode`."""
        return 4 if self.kind == GO else 3

    def start(self, count: int = 1) -> States:
        """[N, S], so many games at their beginning."""
        states = np.zeros((count, SEEN + (self.limit + 1 if self.kind == GO else 0)), np.int64)
        states[:, LAST] = -1
        return states

    def legal(self, states: States) -> NDArray[np.bool_]:
        """[N, A]; all False where a game is over."""
        out = np.empty((len(states), self.actions), np.bool_)
        kernels.legal_rows(self.rules, states, out)
        return out

    def play(self, states: States, actions: Any) -> States:
        """[N, S], the positions after an action [N] in each; those that are given stay as they are.

        Raises:
            ValueError: if an action is not legal; says which.
        """
        after, chosen = states.copy(), np.asarray(actions, np.int64)
        bad = kernels.play_rows(self.rules, after, chosen)
        if bad >= 0:
            raise ValueError(f"action {chosen[bad]} is not legal in game {bad}:\n{self.text(states[bad])}")
        return after

    def over(self, states: States) -> NDArray[np.bool_]:
        """[N], whether a game has ended."""
        return states[:, OVER] != 0

    def outcome(self, states: States) -> NDArray[np.float64]:
        """[N], +1 where the first player won, −1 where the second did, 0 for a draw or an open game."""
        won = states[:, OVER]
        return (won == 1).astype(np.float64) - (won == 2)

    def mover(self, states: States) -> NDArray[np.int64]:
        """[N], +1 where the first player is to move, −1 where the second is."""
        return 1 - 2 * (states[:, PLY] & 1)

    def encode(self, states: States) -> NDArray[np.float32]:
        """[N, P, R, C]: own stones, the other's, ones where the first player moves; in Go ones after a pass."""
        out = np.empty((len(states), self.planes, self.rows, self.columns), np.float32)
        kernels.encode_rows(self.rules, states, out)
        return out

    def playouts(self, states: States, generator: np.random.Generator) -> NDArray[np.float64]:
        """[N], outcomes of games played on at random, each legal action as likely as another."""
        ended = states.copy()
        kernels.playout_rows(self.rules, ended, np.uint64(generator.integers(2**63)))
        return self.outcome(ended)

    @cached_property
    def symmetries(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[G, R·C] and [G, A]: what looks the same looks so in G ways, the first as it is.

        In way g, cell i shows what stood on cell `cells[g, i]`, and action i is what was `actions[g, i]`.
        """
        grid = np.arange(self.rows * self.columns).reshape(self.rows, self.columns)
        if self.kind == DROP:
            ways = [grid, grid[:, ::-1]]
        elif self.kind == HEX:
            ways = [grid, grid[::-1, ::-1]]
        else:
            ways = [np.rot90(flipped, k) for flipped in (grid, grid.T) for k in range(4)]
        cells = np.stack([way.ravel() for way in ways])
        if self.kind == DROP:
            return cells, np.stack([np.arange(self.columns), np.arange(self.columns)[::-1]])
        extra = np.full((len(cells), self.actions - cells.shape[1]), cells.shape[1])
        return cells, np.concatenate([cells, extra], axis=1)

    def cells(self, state: NDArray[np.int64]) -> NDArray[np.int8]:
        """[R, C] of one position [S]: 1 and 2 for the players' stones, 0 where there is none."""
        bit = np.arange(self.rows)[:, None] * (self.columns + 1) + np.arange(self.columns)
        return ((state[FIRST] >> bit & 1) + 2 * (state[SECOND] >> bit & 1)).astype(np.int8)

    def text(self, state: NDArray[np.int64]) -> str:
        """One position drawn in letters, with the names of rows and columns."""
        letters = "".join(LETTERS[: self.columns])
        head = " ".join(str(c + 1) for c in range(self.columns)) if self.kind == DROP else " ".join(letters)
        lines: list[str] = []
        for r, row in enumerate(self.cells(state)):
            name = "" if self.kind == DROP else f"{r + 1:>2} "
            lines.append(" " * (r if self.kind == HEX else 0) + name + " ".join(STONES[x] for x in row))
        return "\n".join([*lines, head] if self.kind == DROP else ["   " + head, *lines])

    def name_of(self, action: int) -> str:
        """An action as it is typed: a column from 1 on, or a letter and a row as in `c4`; `pass`."""
        if self.kind == DROP:
            return str(action + 1)
        if action == self.rows * self.columns:
            return "pass"
        return f"{LETTERS[action % self.columns]}{action // self.columns + 1}"

    def read(self, text: str, state: NDArray[np.int64]) -> int:
        """The action that is typed.

        Raises:
            ConfigError: if it names none or one that is not legal; says which there are.
        """
        word = text.strip().lower()
        names = {self.name_of(a): a for a in range(self.actions)}
        legal = self.legal(state[None])[0]
        if word not in names:
            can = [self.name_of(int(a)) for a in np.flatnonzero(legal)]
            some = ", ".join(can if len(can) <= 12 else [*can[:3], "…", can[-1]])
            raise ConfigError(f"{text.strip()!r} is no move: type one of {some}")
        if not legal[names[word]]:
            why = "its column is full" if self.kind == DROP else "it is taken, or the rules forbid it"
            raise ConfigError(f"{word} is not legal here: {why}")
        return names[word]

    def told(self, state: NDArray[np.int64]) -> str:
        """How one position stands, in words."""
        match int(state[OVER]):
            case 1:
                return "X has won"
            case 2:
                return "O has won"
            case 3:
                return "drawn"
            case _:
                return "X to move" if state[PLY] % 2 == 0 else "O to move"


LETTERS = "abcdefghij"

_SHAPES: dict[str, tuple[int, int, int, int]] = {
    "tictactoe": (PLACE, 3, 3, 3),
    "connect4": (DROP, 6, 7, 4),
    "gomoku7": (PLACE, 7, 7, 5),
    "go5": (GO, 5, 5, 0),
    "hex3": (HEX, 3, 3, 0),
    "hex5": (HEX, 5, 5, 0),
    "hex7": (HEX, 7, 7, 0),
}
GAMES = tuple(_SHAPES)
"""The names of the games."""


def game(name: str, *, komi: float | None = None) -> Board:
    """A game by its name.

    Args:
        name: one of `GAMES`.
        komi: points that the second player has more in Go; 0.5 if not given. (The first one, who begins in the centre,
            can take all 25 points of five times five: van der Werf, 2003.)

    Raises:
        ConfigError: if there is no such game, or komi is no half of a whole number, or the game is not Go.
    """
    if name not in _SHAPES:
        raise ConfigError(f"there is no game {name!r}: {', '.join(GAMES)}.{did_you_mean(nearest(name, GAMES))}")
    kind, rows, columns, length = _SHAPES[name]
    if komi is not None and kind != GO:
        raise ConfigError(f"{name} has no komi: leave it out")
    twice = 2.0 * (0.5 if komi is None else float(komi))
    if not twice.is_integer() or abs(twice) > 100:
        raise ConfigError(f"komi is {komi}: expected a half of a whole number, from -50 to 50")
    cells = rows * columns
    limit, actions = (2 * cells, cells + 1) if kind == GO else (cells, columns if kind == DROP else cells)
    rules = [kind, rows, columns, length, int(twice) if kind == GO else 0, limit, actions]
    return Board(name, np.array(rules, np.int64))
