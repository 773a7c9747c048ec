"""Screens of a game with a key and a door, cut into tasks; demonstrations of them, and sentences about these.

A task is a piece of a way through a screen: to a key and take it; from there to the door and open it; from there on to
a goal. What is seen are numbers alone: where one stands, what one has, whether the door is open. The sentence is no
part of it: it says which moves the way is made of, and is read by who shapes rewards.
"""

from __future__ import annotations

import heapq
from itertools import groupby
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.env.text import Words, words_of
from operant.grounded.batched import Batched, Rows, Seen, one_hot
from operant.grounded.pictures import Mark

MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
TAKE, OPEN, ACTIONS = 4, 5, 6
SIDE, PIECES = 11, 3
_SAID = (
    ("go up", "climb up", "walk upwards"), ("go right", "walk to the right", "move right"),
    ("go down", "climb down", "descend"), ("go left", "walk to the left", "move left"),
    ("take the key", "grab the key", "pick up the key"), ("open the door", "unlock the door", "use the key"),
)  # fmt: skip
_LINKS = (", then ", " and ", ", and after that ")
WORDS = Words(sorted({w for say in (*_SAID, ("far a bit",), _LINKS) for s in say for w in words_of(s)}), 50)


class Screen(NamedTuple):
    """Walls [S, S] bool, and where start, key, door and goal are, [4, 2]; the door is a gap in a wall."""

    walls: NDArray[np.bool_]
    at: NDArray[np.int64]

    def way(self, piece: int) -> list[int]:
        """The actions of a way from the beginning of a piece to its end, of few steps and turns."""
        walls = self.walls.copy()
        if piece < PIECES - 1:
            walls[tuple(self.at[2])] = True  # the door is shut
        start, end = self.at[piece].copy(), self.at[piece + 1]
        if piece == 1:
            return [*_shortest(walls, start, end - MOVES[1]), OPEN]
        if piece == PIECES - 1:
            start = self.at[2] - MOVES[1]
        return [*_shortest(walls, start, end), *[TAKE] * (piece == 0)]


def screen(rng: np.random.Generator) -> Screen:
    """Draw one: a wall with a door between two halves, a key in the left one and a goal in the right one."""
    while True:
        walls = rng.random((SIDE, SIDE)) < 0.12
        middle, row = SIDE // 2, int(rng.integers(1, SIDE - 1))
        walls[:, middle], walls[row, middle - 1 : middle + 2] = True, False
        left, right = (np.argwhere(~walls[:, half]) for half in (np.s_[: middle - 1], np.s_[middle + 2 :]))
        begin, key = rng.choice(left, 2, replace=False)
        at = np.array([begin, key, (row, middle), np.add(rng.choice(right), (0, middle + 2))])
        made = Screen(walls, at)
        try:
            ways = [made.way(k) for k in range(PIECES)]
        except LookupError:
            continue
        if all(len(way) >= 6 and len([*groupby(way)]) <= 6 for way in ways):  # and a sentence about it is short
            return made


def _shortest(walls: NDArray[np.bool_], start: NDArray[np.int64], end: NDArray[np.int64]) -> list[int]:
    """Moves from one place to another; a turn counts as two steps. Raises LookupError where there is no way."""
    queue, seen = [(0, tuple(start.tolist()), -1, [])], set[tuple[tuple[int, ...], int]]()
    while queue:
        cost, at, last, done = heapq.heappop(queue)
        if at == tuple(end.tolist()):
            return done
        if (at, last) in seen:
            continue
        seen.add((at, last))
        for move, (dx, dy) in enumerate(MOVES.tolist()):
            x, y = at[0] + dx, at[1] + dy
            if 0 <= x < SIDE and 0 <= y < SIDE and not walls[x, y]:
                heapq.heappush(queue, (cost + 1 + 2 * (move != last), (x, y), move, [*done, move]))
    raise LookupError("no way")


def told(way: list[int], rng: np.random.Generator) -> str:
    """A sentence about a way: what is done one after the other, in words that are drawn."""
    parts = list[str]()
    for action, same in groupby(way):
        said, n = str(rng.choice(_SAID[action])), len([*same])
        parts.append(said + (" far" if n >= 5 else " a bit" if n <= 2 else "") * (action < TAKE))
    return str(rng.choice(_LINKS)).join(parts)


def clip(rng: np.random.Generator, noise: float = 0.1) -> tuple[NDArray[np.int64], str]:
    """What somebody does on a piece of a screen that is drawn, some of it by mistake, and a sentence about it."""
    way = screen(rng).way(int(rng.integers(PIECES)))
    done = np.array(way)
    wrong = rng.random(len(done)) < noise
    done[wrong] = rng.integers(0, ACTIONS, wrong.sum())
    return done, told(way, rng)


class Screens(Batched):
    """N copies of one task: up, right, down, left, take what lies here, open the door beside; 1 at its end.

    Args:
        num_envs: N.
        task: of which screen, by the number that it is drawn from.
        piece: 0 to the key, 1 to the door, 2 to the goal.
        limit: steps of an episode.
        render_mode: "rgb_array" for pictures of the first screen.
    """

    def __init__(
        self, num_envs: int = 1, task: int = 0, piece: int = 0, limit: int = 60, *, render_mode: str | None = None
    ) -> None:  # fmt: skip
        state = spaces.Box(0.0, 1.0, (SIDE**2 + 2,), np.float32)
        super().__init__(num_envs, {"state": state}, ACTIONS, limit, side=SIDE, render_mode=render_mode)
        self.screen, self.piece = screen(np.random.default_rng(task)), piece
        self.at, self.has, self.open = np.zeros((num_envs, 2), np.int64), *np.zeros((2, num_envs), np.bool_)

    def begin(self, rows: Rows) -> None:
        """Stand where the piece begins; nothing is drawn."""
        self.at[rows] = self.screen.at[self.piece] - (MOVES[1] if self.piece == PIECES - 1 else 0)
        self.has[rows], self.open[rows] = self.piece > 0, self.piece > 1

    def move(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Walk, take or open."""
        key, door, goal = self.screen.at[1:]
        walks = actions < TAKE
        to = self.at + MOVES[actions % TAKE] * walks[:, None]
        free = ((to >= 0) & (to < SIDE)).all(1)
        x, y = to.clip(0, SIDE - 1).T
        free &= ~self.screen.walls[x, y] & (self.open | (to != door).any(1))
        self.at = np.where(free[:, None], to, self.at)
        self.has |= (actions == TAKE) & (self.at == key).all(1)
        self.open |= (actions == OPEN) & self.has & (np.abs(self.at - door).sum(1) == 1)
        done = (self.has, self.open, (self.at == goal).all(1))[self.piece].copy()
        return done, done

    def marks(self) -> list[Mark]:
        """Walls, key, door and goal, and who walks."""
        key, door, goal = self.screen.at[1:].tolist()
        walls = [Mark((x, y), "", "wall") for x, y in np.argwhere(self.screen.walls).tolist()]
        lie = [Mark((key[0], key[1]), "key", "circle", "yellow")] * (not self.has[0])
        lie += [Mark((door[0], door[1]), "door", "place" if self.open[0] else "square", "red")]
        lie += [Mark((goal[0], goal[1]), "goal", "square", "green")]
        return [*walls, *lie, Mark(tuple(self.at[0].tolist()), "key" * bool(self.has[0]), "me")]

    def see(self) -> Seen:
        """Where one stands, and the two bits."""
        here = one_hot(self.at @ (SIDE, 1), SIDE**2)
        return {"state": np.column_stack([here, self.has, self.open]).astype(np.float32)}
