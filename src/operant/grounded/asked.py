"""Houses of four rooms in which a question is asked about a thing: walk up to it, stop, and answer."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

from operant.config.errors import EnvError
from operant.config.suggest import nearest_are
from operant.env.text import Words
from operant.grounded.batched import Batched, Rows, Seen, one_hot
from operant.grounded.pictures import Mark

SIDE, VIEW = 9, 7
FORWARD, LEFT, RIGHT, STOP = range(4)
WAYS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
"""Where one looks, 0 to 3, as cells x and y."""
COLOURS, THINGS, MARKS = (
    ("red", "green", "blue", "yellow", "purple"),
    ("ball", "box"),
    ("key", "lamp", "plant", "clock"),
)
KINDS = {"wall": 2, "ball": 6, "box": 7, "key": 5, "lamp": 10, "plant": 11, "clock": 12}
"""By name the number that MiniGrid's kernels see, which look through everything but a wall; the last three are ours."""
QUESTIONS = [*product(THINGS, MARKS)]
WORDS = Words(sorted({"what", "colour", "is", "the", "in", "room", "with", *THINGS, *MARKS}), 11)
DOORS = [*product(range(4), repeat=4)]
HOUSES = {
    "train": [doors for doors in DOORS if sum(doors) % 5],
    "test": [doors for doors in DOORS if sum(doors) % 5 == 0],
}  # fmt: skip
"""Where the four doors are; houses of the test are none of those of training."""
PROGRESS = 0.05
Array = NDArray[np.int64]


@cache
def ways(doors: tuple[int, ...]) -> tuple[NDArray[np.int32], Array, NDArray[np.float64]]:
    """A house: cells [S, S] as kernels see them; the state [4 S², 3] after each action; and the steps [4 S², S²] to
    where one stands before a cell and looks at it, ∞ where one cannot.

    A state is 4 (S x + y) + where one looks.
    """
    middle = SIDE // 2
    walls = np.zeros((SIDE, SIDE), np.bool_)
    walls[middle], walls[:, middle] = True, True
    for x, y in ((middle, doors[0]), (middle, 5 + doors[1]), (doors[2], middle), (5 + doors[3], middle)):
        walls[x, y] = False
    state = np.arange(4 * SIDE**2)
    cell, looks = np.divmod(state, 4)
    ahead = np.column_stack(np.divmod(cell, SIDE)) + WAYS[looks]
    inside = ((ahead >= 0) & (ahead < SIDE)).all(1)
    facing = np.where(inside, ahead @ (SIDE, 1), cell)
    free = ~walls.ravel()
    onward = np.where(inside & free[facing], 4 * facing + looks, state)
    after = np.column_stack([onward, 4 * cell + (looks + 3) % 4, 4 * cell + (looks + 1) % 4])
    graph = coo_array((np.ones(after.size), (state.repeat(3), after.ravel())), shape=(len(state),) * 2)
    apart = shortest_path(graph.tocsr(), unweighted=True)
    steps = np.full((len(state), SIDE**2), np.inf)
    for s in state[free[cell] & inside]:
        steps[:, facing[s]] = np.minimum(steps[:, facing[s]], apart[:, s])
    steps[~free[cell]] = np.inf
    return np.where(walls, KINDS["wall"], 1).astype(np.int32), after, steps


class Asked(Batched):
    """N houses: go on, turn left or right, or stop. What ends an episode is to stop.

    In each room stand a ball, a box and one of four other things; "what colour is the ball in the room with the key"
    is one of eight questions. Seen are the question and seven by seven cells ahead, through doors and not through
    walls. Each step nearer to where the thing stands in front of one's eyes pays 0.05, each step away costs that; what
    an answer is worth is for whoever gives it.

    Args:
        num_envs: N.
        split: "train" or "test", which houses.
        limit: steps of an episode.
        nearest, farthest: how many steps of a shortest way an episode begins away.
        render_mode: "rgb_array" for pictures of the first house.

    Attributes:
        answer: [N], the colour that is asked for.
        far, inside: [N], steps that were left after the last one, and whether it was in the room that is meant;
            another episode's beginning leaves them as they are.

    Raises:
        EnvError: for a split that there is not.

    Source: Das et al. (2018), Embodied question answering, sections 3 and 4.
    """

    def __init__(
        self, num_envs: int = 1, split: str = "train", limit: int = 40, nearest: int = 1, farthest: int = 99, *,
        render_mode: str | None = None,
    ) -> None:  # fmt: skip
        if split not in HOUSES:
            raise EnvError(f"there is no split {split}{nearest_are(split, HOUSES)}")
        planes = len(KINDS) + len(COLOURS) + 1
        view = spaces.Box(0.0, 1.0, (VIEW, VIEW, planes), np.float32)
        seen = {"question": WORDS, "view": view}
        super().__init__(num_envs, seen, STOP + 1, limit, side=SIDE, render_mode=render_mode)
        self.split, self.nearest, self.farthest = split, nearest, farthest
        self._kernels: Any = import_module("operant.env.minigrid_kernels")
        self.cells = np.zeros((num_envs, SIDE, SIDE), np.int32)
        self.after = np.zeros((num_envs, 4 * SIDE**2, 3), np.int64)
        self.steps = np.zeros((num_envs, 4 * SIDE**2))
        self.state, self.question, self.answer, self.room = np.zeros((4, num_envs), np.int64)
        self.far, self.inside = np.zeros(num_envs), np.zeros(num_envs, np.bool_)

    def begin(self, rows: Rows) -> None:
        """Draw a house, what stands where, a question, and where one begins."""
        for i in rows:
            while not len(starts := self._drawn(int(i))):
                pass
            self.state[i] = self.rng.choice(starts)

    def _drawn(self, i: int) -> Array:
        """The states from which an episode may begin, after all else was drawn."""
        houses = HOUSES[self.split]
        cells, self.after[i], steps = ways(houses[self.rng.integers(len(houses))])
        self.cells[i] = cells
        marks = self.rng.permutation(MARKS)
        self.room[i], meant = self.rng.integers(4), self.rng.integers(len(THINGS))
        self.question[i] = QUESTIONS.index((THINGS[meant], str(marks[self.room[i]])))
        for room, mark in enumerate(marks):
            spots, colours = self.rng.permutation(16)[:3], self.rng.integers(len(COLOURS), size=3)
            x, y = 5 * (room // 2) + spots // 4, 5 * (room % 2) + spots % 4
            self.cells[i, x, y] = np.array([KINDS[k] for k in (*THINGS, mark)]) | colours << 4
            if room == self.room[i]:
                self.answer[i], self.steps[i] = colours[meant], steps[:, x[meant] * SIDE + y[meant]]
        return np.flatnonzero((self.steps[i] >= self.nearest) & (self.steps[i] <= self.farthest))

    def left(self) -> NDArray[np.float64]:
        """[N], steps of a shortest way that are left."""
        return self.steps[self.all, self.state]

    def shortest(self) -> Array:
        """[N], the action of a shortest way, or to stop at its end."""
        tried = self.steps[self.all[:, None], self.after[self.all, self.state]]  # [N, 3]
        return np.where(self.left() == 0, STOP, tried.argmin(1))

    def move(self, actions: Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Walk, or stop."""
        before, stops = self.left(), actions == STOP
        walked = self.after[self.all, self.state, actions % STOP]
        self.state = np.where(stops, self.state, walked)
        self.far, self.inside = self.left(), self._rooms() == self.room
        return PROGRESS * (before - self.far), stops

    def _rooms(self) -> Array:
        """[N], in which of the four rooms one is; −1 in a door."""
        x, y = np.divmod(self.state // 4, SIDE)
        middle = SIDE // 2
        return np.where((x == middle) | (y == middle), -1, 2 * (x > middle) + (y > middle))

    def marks(self) -> list[Mark]:
        """Walls, things in their colours, and where one looks."""
        named, lie = {number: name for name, number in KINDS.items()}, list[Mark]()
        for (x, y), cell in np.ndenumerate(self.cells[0]):
            name = named.get(int(cell) & 15, "")
            if name == "wall":
                lie.append(Mark((y, x), kind="wall"))
            elif name:
                lie.append(Mark((y, x), name, "circle", COLOURS[int(cell) >> 4]))
        (x, y), looks = divmod(int(self.state[0]) // 4, SIDE), int(self.state[0]) % 4
        return [*lie, Mark((y, x), kind="me", looks=looks)]

    def see(self) -> Seen:
        """The question, and of each cell ahead what stands there, its colour, and whether it is seen at all."""
        cell, looks = np.divmod(self.state, 4)
        image = np.zeros((self.num_envs, VIEW, VIEW, 3), np.uint8)
        agent = np.column_stack([*np.divmod(cell, SIDE), looks])
        nothing = np.ones(self.num_envs, np.int32)
        self._kernels.observe(self.cells, agent, nothing, False, self.all, image)
        kind, colour = image[..., 0], image[..., 1].astype(np.int64)
        stands = (kind[..., None] == np.array([*KINDS.values()])).astype(np.float32)
        colour[kind <= KINDS["wall"]] = -1
        view = np.concatenate([stands, one_hot(colour, len(COLOURS)), (kind > 0)[..., None]], -1)
        return {"question": tuple(map(asked, self.question)), "view": view.astype(np.float32)}


def asked(question: int) -> str:
    """In words."""
    return "what colour is the {} in the room with the {}".format(*QUESTIONS[question])
