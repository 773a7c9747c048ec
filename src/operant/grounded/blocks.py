"""A table of blocks that are carried about, and sentences that say how two of them are to lie."""

from __future__ import annotations

from itertools import product

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError
from operant.config.suggest import nearest_are
from operant.env.text import Words
from operant.grounded.batched import Batched, Rows, Seen, one_hot
from operant.grounded.pictures import Mark

COLOURS, SHAPES, SIDES = ("red", "green", "blue"), ("circle", "square"), ("north", "east", "south", "west")
WAYS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
KINDS = [*product(range(len(COLOURS)), range(len(SHAPES)))]
SIDE, BLOCKS, INTERACT, TRIES = 5, 4, 4, 40
ORDERS = [(a, b, way) for a, b, way in product(range(len(KINDS)), range(len(KINDS)), range(4)) if a != b]
"""Which kind of block is to lie on which side of which."""
SPLITS = {
    "train": [k for k, (a, b, way) in enumerate(ORDERS) if (a + 2 * b + way) % 5],
    "held-out": [k for k, (a, b, way) in enumerate(ORDERS) if (a + 2 * b + way) % 5 == 0],
}
"""A fifth of the combinations is never said in training; each of their words is."""


def said(order: int) -> str:
    """In words: "red circle north of blue square"."""
    a, b, way = ORDERS[order]
    first, second = (f"{COLOURS[KINDS[k][0]]} {SHAPES[KINDS[k][1]]}" for k in (a, b))
    return f"{first} {SIDES[way]} of {second}"


WORDS = Words(sorted({*COLOURS, *SHAPES, *SIDES, "of"}), 6)


class Blocks(Batched):
    """N tables of five by five cells: walk north, east, south, west, or take the block here, or lay it down.

    Four blocks of different kinds lie about, two of which the instruction names. Nothing ends an episode but its steps;
    each step after which the blocks lie as they should pays 1.

    Args:
        num_envs: N.
        split: which instructions are said.
        limit: steps of an episode.
        fixed: a colour whose blocks cannot be taken; such blocks are then named once at most.
        render_mode: "rgb_array" for pictures of the first table.

    Raises:
        EnvError: for a split that there is not.

    Source: Bahdanau et al. (2019), Learning to understand goal specifications by modelling reward, section 4
    (GridLU-Relations).
    """

    def __init__(
        self, num_envs: int = 1, split: str = "train", limit: int = 30, fixed: str = "", *,
        render_mode: str | None = None,
    ) -> None:  # fmt: skip
        if split not in SPLITS:
            raise EnvError(f"there is no split {split}{nearest_are(split, SPLITS)}")
        planes = len(COLOURS) + len(SHAPES)
        seen = {"instruction": WORDS, "view": spaces.Box(0.0, 1.0, (SIDE, SIDE, 2 * planes + 1), np.float32)}
        super().__init__(num_envs, seen, INTERACT + 1, limit, side=SIDE, render_mode=render_mode)
        self.fixed = COLOURS.index(fixed) if fixed else -1
        orders = np.array(ORDERS)
        colour = np.array(KINDS)[orders[:, :2], 0]
        self.orders = np.array([k for k in SPLITS[split] if (colour[k] != self.fixed).any()])
        self.order, self.carried = np.zeros(num_envs, np.int64), np.full(num_envs, -1)
        self.kind, self.at = np.zeros((num_envs, BLOCKS), np.int64), np.zeros((num_envs, BLOCKS, 2), np.int64)
        self.here = np.zeros((num_envs, 2), np.int64)

    def begin(self, rows: Rows) -> None:
        """Draw an instruction, blocks, and where they and the agent are, until the blocks do not lie as they should."""
        for i in rows:
            self._draw(int(i))
            while self.lies()[i]:
                self._draw(int(i))

    def _draw(self, i: int) -> None:
        self.order[i], self.carried[i] = self.rng.choice(self.orders), -1
        named = list(ORDERS[self.order[i]][:2])
        others = [k for k in range(len(KINDS)) if k not in named]
        self.kind[i] = [*named, *self.rng.choice(others, BLOCKS - 2, replace=False)]
        cells = self.rng.permutation(SIDE**2)[: BLOCKS + 1]
        self.at[i] = np.column_stack(np.divmod(cells[:BLOCKS], SIDE))
        self.here[i] = divmod(int(cells[-1]), SIDE)

    def lies(self) -> NDArray[np.bool_]:
        """[N], whether the first block lies on its side of the second, and neither is in somebody's hand."""
        ways = WAYS[np.array(ORDERS)[self.order, 2]]
        return (self.at[:, 0] == self.at[:, 1] + ways).all(1) & ~np.isin(self.carried, (0, 1))

    def move(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Walk, or take or lay down what one stands at."""
        walks, hands = actions < INTERACT, np.flatnonzero(actions == INTERACT)
        self.here = (self.here + WAYS[actions % INTERACT] * walks[:, None]).clip(0, SIDE - 1)
        lies = (self.at == self.here[:, None]).all(2) & (np.arange(BLOCKS) != self.carried[:, None])  # [N, B]
        loose = lies & (np.array(KINDS)[self.kind, 0] != self.fixed)
        taking = hands[(self.carried[hands] < 0) & loose[hands].any(1)]
        laying = hands[(self.carried[hands] >= 0) & ~lies[hands].any(1)]
        self.carried[taking], self.carried[laying] = loose[taking].argmax(1), -1
        held = np.flatnonzero(self.carried >= 0)
        self.at[held, self.carried[held]] = self.here[held]
        return self.lies(), np.zeros(self.num_envs, np.bool_)

    def marks(self) -> list[Mark]:
        """Blocks, and who walks with what is carried."""
        kinds = [(COLOURS[colour], SHAPES[shape]) for colour, shape in np.array(KINDS)[self.kind[0]]]
        held = int(self.carried[0])
        lie = [Mark(tuple(self.at[0, b].tolist()), "", "circle" if shape == "circle" else "square", colour)
               for b, (colour, shape) in enumerate(kinds) if b != held]  # fmt: skip
        return [*lie, Mark(tuple(self.here[0].tolist()), " ".join(kinds[held]) if held >= 0 else "", "me")]

    def see(self) -> Seen:
        """The instruction; of each cell the colour and the shape that lie there, who walks, and what is carried."""
        kinds = np.array(KINDS)[self.kind]  # [N, B, 2]
        planes = np.concatenate([one_hot(kinds[..., 0], len(COLOURS)), one_hot(kinds[..., 1], len(SHAPES))], -1)
        n, size = self.num_envs, planes.shape[-1]
        view = np.zeros((n, SIDE, SIDE, 2 * size + 1), np.float32)
        for b in range(BLOCKS):
            lies = np.flatnonzero(self.carried != b)
            view[lies, self.at[lies, b, 0], self.at[lies, b, 1], :size] = planes[lies, b]
        view[self.all, self.here[:, 0], self.here[:, 1], size] = 1.0
        held = np.flatnonzero(self.carried >= 0)
        view[held, :, :, size + 1 :] = planes[held, self.carried[held]][:, None, None]
        return {"instruction": tuple(said(k) for k in self.order.tolist()), "view": view}


def goal_states(n: int, split: str, rng: np.random.Generator) -> Seen:
    """n states in which the blocks lie as the instruction says, as they are seen, and no way there."""
    table = Blocks(n, split)
    table.rng = rng
    table.begin(table.all)
    while (wrong := np.flatnonzero(~table.lies())).size:
        for i in wrong:
            table._draw(int(i))  # pyright: ignore[reportPrivateUsage]
            to = table.at[i, 1] + WAYS[ORDERS[table.order[i]][2]]
            if ((to >= 0) & (to < SIDE)).all() and not (table.at[i, 1:] == to).all(1).any():
                table.at[i, 0] = to
    return table.see()
