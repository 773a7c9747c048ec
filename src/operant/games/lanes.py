"""Lanes: two teams of heroes, two lanes of creeps, two bases; a small substitute for Dota 2 in which all see little.

The rules are in `lanes_kernels.py`. A game ends when a base falls, or after 60 steps for the one of which more is left.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from operant.config.errors import EnvError

INK = {"board": (236, 226, 202), "line": (150, 138, 112), 0: (44, 92, 160), 1: (196, 72, 48), "hurt": (120, 120, 120)}
CELL = 48
UNAWARE = 16
"""The last numbers of an observation, which tell of creeps."""


class Told(NamedTuple):
    """What N games answered."""

    reward: NDArray[np.float64]  # [N, 2, K] what each hero is paid itself
    over: NDArray[np.bool_]  # [N]
    outcome: NDArray[np.int64]  # [N] 1 where team 0 won, -1 where team 1 did, 0 of a draw or an open game


class Lanes:
    """N games, stepped together; game i draws where heroes begin from `seed + i` and the number of its episode.

    Args:
        num: N.
        heroes: K of a team.

    Raises:
        EnvError: for less than one game or hero.
    """

    actions = 8

    def __init__(self, num: int, heroes: int = 2) -> None:
        if num < 1 or heroes < 1:
            raise EnvError(f"{num} games of {heroes} heroes: give 1 or more of both")
        self._kernels: Any = import_module("operant.games.lanes_kernels")
        self.num, self.heroes = num, heroes
        k = self._kernels
        self.obs_dim = k.OWN + k.MATE * (heroes - 1) + k.FOE * heroes + 4 * k.CREEP
        self.hero = np.zeros((num, 2, heroes, 4), np.int64)
        self.creep, self.base = np.zeros((num, 2, 2, 3), np.int64), np.zeros((num, 2), np.int64)
        self.time, self.episode = np.zeros((2, num), np.int64)
        self.seed = np.zeros(num, np.uint64)

    def reset(self, seed: int) -> None:
        """Begin all games anew."""
        self.seed[:] = (seed + np.arange(self.num)).astype(np.uint64)
        self.episode[:] = 0
        self._begin(np.ones(self.num, np.bool_))

    def step(self, action: NDArray[np.int64]) -> Told:
        """Every hero acts, [N, 2, K]; what has ended stays until `again`.

        Raises:
            EnvError: for actions of another shape, or that are none.
        """
        if action.shape != self.hero.shape[:3] or (action < 0).any() or (action >= self.actions).any():
            raise EnvError(f"actions {action.shape}: give whole numbers from 0 to 7, {self.hero.shape[:3]}")
        reward, over, outcome = np.empty(action.shape), np.empty(self.num, np.bool_), np.empty(self.num, np.int64)
        self._kernels.step(*self._state(), np.ascontiguousarray(action), reward, over, outcome)
        return Told(reward, over, outcome)

    def again(self, over: NDArray[np.bool_]) -> None:
        """Begin the next episode of the games where `over` [N] is True."""
        self.episode += over
        self._begin(over)

    def observe(self) -> NDArray[np.float32]:
        """[N, 2, K, D] what each hero sees, from its own side; a fresh array."""
        obs = np.empty((*self.hero.shape[:3], self.obs_dim), np.float32)
        self._kernels.observe(*self._state(), obs)
        return obs

    def picture(self, n: int = 0) -> NDArray[np.uint8]:
        """[H, W, 3] of a game: heroes are disks with their number, creeps triangles, bases squares; bars say what is
        left."""
        k = self._kernels
        drawn = Image.new("RGB", (k.COLUMNS * CELL, k.ROWS * CELL), INK["board"])
        pen = ImageDraw.Draw(drawn)
        for r in range(k.ROWS):
            for c in range(k.COLUMNS):
                pen.rectangle((c * CELL, r * CELL, (c + 1) * CELL, (r + 1) * CELL), outline=INK["line"])
        for m in range(2):
            x, y = m * (k.COLUMNS - 1) * CELL, k.MIDDLE * CELL
            pen.rectangle((x + 3, y + 3, x + CELL - 3, y + CELL - 3), outline=INK[m], width=3)
            _bar(pen, x + 6, y + CELL - 9, CELL - 12, max(int(self.base[n, m]), 0) / k.BASE_HP, INK[m])
            for lane in range(2):
                col, hp, wait = self.creep[n, m, lane].tolist()
                x, y = col * CELL + 4 + 24 * m, lane * (k.ROWS - 1) * CELL + 28
                if not wait:
                    pen.polygon(((x, y + 12), (x + 8, y), (x + 16, y + 12)), fill=INK[m])
                    _bar(pen, x, y + 14, 16, hp / k.CREEP_HP, INK[m])
            for j in range(self.heroes):
                row, col, hp, wait = self.hero[n, m, j].tolist()
                x, y = col * CELL + 4 + 22 * m, row * CELL + 3 + (12 * j) % 24
                if not wait:
                    pen.ellipse((x, y, x + 18, y + 18), fill=INK[m])
                    pen.text((x + 6, y + 3), str(j + 1), fill=INK["board"])
                    _bar(pen, x, y + 19, 18, hp / k.HERO_HP, INK[m])
        return np.asarray(drawn, np.uint8)

    def _begin(self, only: NDArray[np.bool_]) -> None:
        self._kernels.reset(*self._state(), self.seed, self.episode, only)

    def _state(self) -> tuple[NDArray[np.int64], ...]:
        return self.hero, self.creep, self.base, self.time


def _bar(pen: Any, x: int, y: int, width: int, share: float, ink: Any) -> None:
    pen.rectangle((x, y, x + width, y + 2), fill=INK["hurt"])
    if share > 0:
        pen.rectangle((x, y, x + round(width * share), y + 2), fill=ink)


def scripted(
    obs: NDArray[np.float32], heroes: int, generator: np.random.Generator, slip: float = 0.1
) -> NDArray[np.int64]:
    """A player made by hand, to measure others by: [R] actions of whole observations [R, D], a share `slip` of chance.

    It strikes the base, else an enemy, else a creep of theirs, where one is within reach; else it walks on, and at the
    other side to the middle row. Wounded it does not go back.
    """
    k: Any = import_module("operant.games.lanes_kernels")
    rows, cols = k.ROWS - 1, k.COLUMNS - 1

    def reached(first: int, count: int, each: int) -> NDArray[np.bool_]:
        seen = obs[:, first : first + count * each].reshape(len(obs), count, each)
        return ((seen[..., 0] > 0) & (np.abs(seen[..., 1] * rows) < 1.5) & (np.abs(seen[..., 2] * cols) < 1.5)).any(1)

    row, col = np.rint(obs[:, 1] * rows), np.rint(obs[:, 2] * cols)
    enemies = k.OWN + k.MATE * (heroes - 1)
    creeps = enemies + k.FOE * heroes + 2 * k.CREEP
    walk = np.where(col < cols - 1, k.ON, np.where(row < k.MIDDLE, k.DOWN, k.UP))
    done = np.where(reached(creeps, 2, k.CREEP), k.CLEAR, walk)
    done = np.where(reached(enemies, heroes, k.FOE), k.FIGHT, done)
    done = np.where((col >= cols - 1) & (np.abs(row - k.MIDDLE) <= 1), k.STORM, done)
    chance = generator.random(len(obs)) < slip
    return np.where(chance, generator.integers(k.ACTIONS, size=len(obs)), done).astype(np.int64)
