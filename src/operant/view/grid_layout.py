"""Where the states of a model stand on a grid, and where its actions point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from operant.mdp.model import MDP

Move = tuple[float, float]
"""Where an action points: (rows down, columns right)."""

NAMES: dict[str, Move] = {
    "up": (-1, 0), "north": (-1, 0), "n": (-1, 0), "u": (-1, 0), "↑": (-1, 0),
    "down": (1, 0), "south": (1, 0), "s": (1, 0), "d": (1, 0), "↓": (1, 0),
    "left": (0, -1), "west": (0, -1), "w": (0, -1), "l": (0, -1), "←": (0, -1),
    "right": (0, 1), "east": (0, 1), "e": (0, 1), "r": (0, 1), "→": (0, 1),
    "up-left": (-1, -1), "northwest": (-1, -1), "nw": (-1, -1), "↖": (-1, -1),
    "up-right": (-1, 1), "northeast": (-1, 1), "ne": (-1, 1), "↗": (-1, 1),
    "down-left": (1, -1), "southwest": (1, -1), "sw": (1, -1), "↙": (1, -1),
    "down-right": (1, 1), "southeast": (1, 1), "se": (1, 1), "↘": (1, 1),
    "stay": (0, 0), "stop": (0, 0), "wait": (0, 0), "noop": (0, 0), "none": (0, 0),
}  # fmt: skip
"""Actions that say by their name where they point."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Where the states of a model stand.

    `marks` is a letter a cell: S start, G goal, H hole, C or X cliff; others are written as they are, blank, . and F
    (frozen) are not.
    `moves` says where each action points, (0, 0) for staying; one that is None is written by its name instead.
    """

    states: NDArray[np.int64]  # [H, W]  the state of each cell, -1 where there is none: a wall
    marks: Sequence[str] = ()  # H texts of W letters, or none
    moves: Sequence[Move | None] = ()  # [A]
    names: Sequence[str] = field(default=())  # [A]

    def mark(self, row: int, column: int) -> str:
        """The letter of a cell, "" where it has none."""
        letter = self.marks[row][column] if row < len(self.marks) and column < len(self.marks[row]) else ""
        return letter.strip(" .F").upper()


def layout(states: Any, *, marks: Sequence[str] = (), actions: Sequence[str] = ()) -> Layout:
    """The layout of states [H, W], -1 for a wall; actions point where their names say (`NAMES`)."""
    import numpy as np

    moves = [NAMES.get(name.lower().replace("_", "-").replace(" ", "-")) for name in actions]
    return Layout(states=np.asarray(states, dtype=np.int64), marks=tuple(marks), moves=moves, names=tuple(actions))


def layout_of(mdp: MDP) -> Layout | None:
    """Where the states of a model stand by its own account (`mdp.grid`); of several in one cell the first is shown.

    Where the model says how an episode begins, a state that nothing leads to is left out, as the cells of a cliff are.
    Where it has no map but its states are named by two whole numbers, as (cars here, cars there), they are row and
    column. None where it has neither, or most of its states share their cells.
    """
    import numpy as np

    grid = mdp.grid
    if grid is None:
        return _by_name(mdp)
    places = grid.cell[grid.cell >= 0]
    if len(np.unique(places)) * 2 < mdp.num_states:
        return None
    height, width = grid.shape
    states = np.full(height * width, -1)
    drawn = grid.cell >= 0
    if mdp.start is not None:
        entered = mdp.start > 0
        entered[mdp.rows.indices] = True
        drawn &= entered
    placed = np.flatnonzero(drawn)[::-1]
    states[grid.cell[placed]] = placed
    names = [str(name) for name in mdp.actions or ()]
    return Layout(states=states.reshape(height, width), marks=grid.lines, moves=grid.moves, names=names)


def _by_name(mdp: MDP) -> Layout | None:
    import numpy as np

    names: list[Any] = list(mdp.states or ())
    if not names or not all(isinstance(n, tuple) and len(n) == 2 and {type(n[0]), type(n[1])} == {int} for n in names):
        return None
    at = np.asarray(names)
    height, width = (at.max(axis=0) + 1).tolist()
    if at.min() < 0 or 2 * len(names) < height * width:
        return None
    states = np.full((height, width), -1)
    states[at[:, 0], at[:, 1]] = np.arange(len(names))
    return layout(states, actions=[str(name) for name in mdp.actions or ()])


def actions_taken(mdp: MDP, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which actions of each state are taken, [S, A], of which rows of the model are, [L]."""
    import numpy as np

    chosen = np.zeros((mdp.num_states, max(mdp.num_actions, 1)), dtype=bool)
    chosen[mdp.row_state[taken], mdp.rows.action[taken]] = True
    return chosen
