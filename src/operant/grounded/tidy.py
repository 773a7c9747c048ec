"""A house of four rooms in which things are to be brought to coordinates, and the errand that this is made of."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from operant.grounded.batched import Batched, Rows, Seen
from operant.grounded.pictures import Mark

SIDE, INTERACT = 9, 4
WAYS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
WALLS = np.zeros((SIDE, SIDE), np.bool_)
WALLS[SIDE // 2], WALLS[:, SIDE // 2] = True, True
for door in ((4, 1), (4, 7), (1, 4), (7, 4)):
    WALLS[door] = False
FLOOR = np.argwhere(~WALLS)
HOUSE = [Mark((x, y), "", "wall") for x, y in np.argwhere(WALLS).tolist()]
Array = NDArray[np.int64]


def _distances() -> Array:
    """[S², S²], steps from each cell to each, through the doors."""
    beside = np.abs(FLOOR[:, None] - FLOOR).sum(-1) == 1
    found, cells = np.full((SIDE**2, SIDE**2), SIDE**2), FLOOR @ (SIDE, 1)
    found[np.ix_(cells, cells)] = shortest_path(beside, unweighted=True)
    return found


AWAY = _distances()


def away(a: Array, b: Array) -> Array:
    """Steps from cells [..., 2] to cells [..., 2]."""
    return AWAY[a @ (SIDE, 1), b @ (SIDE, 1)]


class Tidied(Batched):
    """N houses of nine by nine cells: walk north, east, south, west, or take or lay down what is here.

    Each of `things` is to lie where it belongs: 1 at the last one, ½ for each that is taken and for each that is laid
    where it belongs, 0.02 for each step nearer to what is to be done next. Seen are walls, who walks, and of each thing
    where it lies, where it belongs and whether one has it.

    Args:
        num_envs: N.
        things: how many.
        limit: steps of an episode.
        render_mode: "rgb_array" for pictures of the first house.

    Source: Szot et al. (2022), The Habitat rearrangement challenge; success is all things within a cell of theirs.
    """

    def __init__(
        self, num_envs: int = 1, things: int = 2, limit: int = 120, *, render_mode: str | None = None
    ) -> None:  # fmt: skip
        view = spaces.Box(0.0, 1.0, (SIDE, SIDE, 2 + 3 * things), np.float32)
        super().__init__(num_envs, {"view": view}, INTERACT + 1, limit, side=SIDE, render_mode=render_mode)
        self.here = np.zeros((num_envs, 2), np.int64)
        self.at, self.to = np.zeros((2, num_envs, things, 2), np.int64)
        self.has = np.full(num_envs, -1)

    def begin(self, rows: Rows) -> None:
        """Draw where things lie and belong, and who walks."""
        k = self.at.shape[1]
        for i in rows:
            cells = FLOOR[self.rng.permutation(len(FLOOR))[: 2 * k + 1]]
            self.at[i], self.to[i], self.here[i], self.has[i] = cells[:k], cells[k:-1], cells[-1], -1

    def next(self) -> tuple[Array, Array]:
        """The plan: which thing [N], and the cell [N, 2] to go to: where it lies, or where the one in hand belongs."""
        wrong = (self.at != self.to).any(2)
        thing = np.where(self.has >= 0, self.has, wrong.argmax(1))
        cells = np.where((self.has >= 0)[:, None], self.to[self.all, thing], self.at[self.all, thing])
        return thing, cells

    def anywhere(self) -> Array:
        """[N, 2], a cell that has nothing to do with the plan, another one every fifteen steps."""
        return FLOOR[(11 * self.to[:, 0] @ (3, 5) + 17 * (self.elapsed // 15)) % len(FLOOR)]

    def move(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Walk, take or lay down."""
        thing, cell = self.next()
        before = away(self.here, cell)
        walked(self.here, actions)
        lies = (self.at == self.here[:, None]).all(2) & (np.arange(self.at.shape[1]) != self.has[:, None])
        hands = actions == INTERACT
        taking = np.flatnonzero(hands & (self.has < 0) & lies.any(1))
        laying = np.flatnonzero(hands & (self.has >= 0) & ~lies.any(1))
        paid = 0.02 * (before - away(self.here, cell))
        wanted = thing[taking]
        wrong = (self.at[taking, wanted] != self.to[taking, wanted]).any(1)  # it does not lie where it belongs
        paid[taking] += 0.5 * (wrong & (lies[taking].argmax(1) == wanted))
        paid[laying] += 0.5 * (self.here[laying] == self.to[laying, self.has[laying]]).all(1)
        self.has[taking], self.has[laying] = lies[taking].argmax(1), -1
        held = np.flatnonzero(self.has >= 0)
        self.at[held, self.has[held]] = self.here[held]
        done = (self.at == self.to).all((1, 2)) & (self.has < 0)
        return np.where(done, 1.0, np.minimum(paid, 0.9) - (self.elapsed + 1 >= self.limit)), done

    def marks(self) -> list[Mark]:
        """Walls, where things belong and lie, and who walks with what is in hand."""
        names, held = [f"thing {k + 1}" for k in range(self.at.shape[1])], int(self.has[0])
        belong = [Mark((x, y), name, "place") for (x, y), name in zip(self.to[0].tolist(), names, strict=True)]
        lie = [Mark((x, y), names[k]) for k, (x, y) in enumerate(self.at[0].tolist()) if k != held]
        return [*HOUSE, *belong, *lie, Mark(tuple(self.here[0].tolist()), names[held] if held >= 0 else "", "me")]

    def see(self) -> Seen:
        """The house."""
        k = self.at.shape[1]
        view = np.zeros((self.num_envs, SIDE, SIDE, 2 + 3 * k), np.float32)
        view[..., 0] = WALLS
        view[self.all, self.here[:, 0], self.here[:, 1], 1] = 1.0
        for j in range(k):
            for plane, cells in ((2 + j, self.at[:, j]), (2 + k + j, self.to[:, j])):
                view[self.all, cells[:, 0], cells[:, 1], plane] = 1.0
            view[..., 2 + 2 * k + j] = (self.has == j)[:, None, None]
        return {"view": view}


class Errand(Batched):
    """N houses with one cell to go to, and to take or lay down there: 1 for that; elsewhere it costs 0.05.

    Seen are walls, who walks, and the cell.
    """

    def __init__(self, num_envs: int = 1, limit: int = 40, *, render_mode: str | None = None) -> None:
        view = spaces.Box(0.0, 1.0, (SIDE, SIDE, 3), np.float32)
        super().__init__(num_envs, {"view": view}, INTERACT + 1, limit, side=SIDE, render_mode=render_mode)
        self.here, self.cell = np.zeros((2, num_envs, 2), np.int64)

    def begin(self, rows: Rows) -> None:
        """Draw both places."""
        for i in rows:
            self.here[i], self.cell[i] = FLOOR[self.rng.integers(len(FLOOR), size=2)]

    def move(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Walk, or do it."""
        before = away(self.here, self.cell)
        walked(self.here, actions)
        hands, there = actions == INTERACT, (self.here == self.cell).all(1)
        paid = 0.02 * (before - away(self.here, self.cell)) - 0.05 * (hands & ~there)
        return np.where(hands & there, 1.0, paid - (self.elapsed + 1 >= self.limit)), hands & there

    def marks(self) -> list[Mark]:
        """Walls, the cell, and who walks."""
        return [
            *HOUSE,
            Mark(tuple(self.cell[0].tolist()), "here", "place"),
            Mark(tuple(self.here[0].tolist()), "", "me"),
        ]

    def see(self) -> Seen:
        """The house and the cell."""
        return {"view": errand_view(self.here, self.cell)}


def errand_view(here: Array, cell: Array) -> NDArray[np.float32]:
    """[N, S, S, 3], of who is here and is to go to that cell, [N, 2] each."""
    rows, view = np.arange(len(here)), np.zeros((len(here), SIDE, SIDE, 3), np.float32)
    view[..., 0] = WALLS
    for plane, at in ((1, here), (2, cell)):
        view[rows, at[:, 0], at[:, 1], plane] = 1.0
    return view


def walked(here: Array, actions: NDArray[np.int64]) -> None:
    """Move those [N, 2] who walk, where no wall is."""
    to = (here + WAYS[actions % INTERACT] * (actions < INTERACT)[:, None]).clip(0, SIDE - 1)
    free = ~WALLS[to[:, 0], to[:, 1]]
    here[free] = to[free]
