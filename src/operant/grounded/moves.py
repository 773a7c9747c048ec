"""A table of blocks and a sentence that says which one goes where: people's scenes and words, or a grammar's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.bounded import load_json
from operant.config.errors import ConfigError, EnvError, read_as
from operant.config.suggest import nearest_are
from operant.env.text import Words, words_of
from operant.grounded.batched import Batched, Rows, Seen
from operant.grounded.pictures import Mark

BLOCKS, LONGEST, LENGTH, STEP = 20, 40, 0.1524, 0.1524
"""Blocks of a table, words of a sentence, a block's side, and how far a move goes, in units of half a table."""
WAYS = np.array([(0.0, STEP), (STEP, 0.0), (0.0, -STEP), (-STEP, 0.0)])
CELLS = 15
"""Blocks that a picture of a table is wide."""
STOP, ACTIONS = 4 * BLOCKS, 4 * BLOCKS + 1
SIDES = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}
FILES = {"train": "trainset", "dev": "devset", "test": "testset"}


@dataclass(frozen=True, slots=True, eq=False)
class Tasks:
    """D tasks: where the blocks are, [D, 20, 2], those that are not there at NaN; which one moves, where to, and what
    is said."""

    at: NDArray[np.float32]
    block: NDArray[np.int64]
    to: NDArray[np.float32]
    texts: tuple[str, ...]


@cache
def people(split: str, folder: str = "") -> Tasks:
    """Single moves of the scenes of Bisk et al. (2016) in people's words, but for those of more than 40.

    Args:
        split: "train", "dev" or "test".
        folder: with trainset.json and the others; `$OPERANT_DATA/blocks` if empty.

    Raises:
        ConfigError: if the files are missing, or are not these.
    """
    if not folder and "OPERANT_DATA" not in os.environ:
        raise ConfigError("people's words on blocks need their files: set OPERANT_DATA to the folder of blocks")
    place = Path(folder or Path(os.environ["OPERANT_DATA"]) / "blocks") / f"{FILES[split]}.json"
    found: list[tuple[NDArray[np.float32], int, NDArray[np.float32], str]] = []
    with read_as("the scenes of blocks", place):
        for scene in load_json(place):
            for note in scene["notes"]:
                before, after = (_laid(scene["states"][note[when]]) for when in ("start", "finish"))
                moved = np.flatnonzero(np.hypot(*(after - before).T) > 1e-3)
                if note["type"] == "A0" and len(moved) == 1:
                    said = [text for text in note["notes"] if 0 < len(words_of(text)) <= LONGEST]
                    found += [(before, int(moved[0]), after[moved[0]], text) for text in said]
        return _tasks(found)


def _laid(state: Any) -> NDArray[np.float32]:
    at = np.full((BLOCKS, 2), np.nan, np.float32)
    at[: len(state)] = np.array(state, np.float32)[:BLOCKS, ::2]
    return at


@cache
def grammar(split: str, number: int = 6, tasks: int = 4_000) -> Tasks:
    """Scenes of so many blocks, and "move block 3 north of block 5": beside it, a block's side apart."""
    rng = np.random.default_rng([*FILES].index(split))
    frames = ("move block {} {} of block {}", "put block {} to the {} of block {}", "block {} goes {} of block {}")
    found: list[tuple[NDArray[np.float32], int, NDArray[np.float32], str]] = []
    while len(found) < tasks:
        at = np.full((BLOCKS, 2), np.nan, np.float32)
        at[:number] = rng.uniform(-0.8, 0.8, (number, 2))
        block, other = rng.choice(number, 2, replace=False)
        side = str(rng.choice([*SIDES]))
        to = at[other] + 1.2 * LENGTH * np.array(SIDES[side], np.float32)
        away = np.hypot(*(at[:number, None] - at[:number]).T) + 9 * np.eye(number)
        if (abs(to) < 1).all() and away.min() > LENGTH:
            found.append(
                (at, int(block), to.astype(np.float32), str(rng.choice(frames)).format(block + 1, side, other + 1))
            )
    return _tasks(found)


def _tasks(found: list[tuple[NDArray[np.float32], int, NDArray[np.float32], str]]) -> Tasks:
    at, block, to, texts = zip(*found, strict=True)
    return Tasks(np.stack(at), np.array(block), np.stack(to), texts)


class Moves(Batched):
    """N tables: an action moves one of twenty blocks by a side in one of four directions, or stops.

    One sees the sentence and where each block is, three numbers each: whether it is there, x and y. An episode ends by
    stopping, which pays 1 within half a block of where the block should be and −1 elsewhere; a move costs 0.02. With
    `distance` each step is paid how much nearer, in table halves, the block came; with `trajectory` 1 for the action of
    a shortest way from here, less what the step before had for that (Misra et al. 2017, section 4.2: F1 and F2).

    Args:
        num_envs: N.
        words: "people" or "grammar".
        split: "train", "dev" or "test"; the table of words is that of training.
        limit: steps of an episode.
        distance, trajectory: whether rewards are shaped by them.
        blind: whether sentences are those of other tasks.
        render_mode: "rgb_array" for pictures of the first table.

    Attributes:
        error: [N], how far the block is from where it should be after the last step, in blocks.

    Raises:
        EnvError: for words or a split that there are not.
        ConfigError: where people's words are not at hand.
    """

    def __init__(
        self, num_envs: int = 1, words: str = "grammar", split: str = "train", *, limit: int = 30,
        distance: bool = True, trajectory: bool = True, blind: bool = False, render_mode: str | None = None,
    ) -> None:  # fmt: skip
        kinds = {"people": people, "grammar": grammar}
        if words not in kinds or split not in FILES:
            raise EnvError(f"there are no words {words}, {split}{nearest_are(words, kinds)}")
        self.tasks, taught = kinds[words](split), kinds[words]("train")
        table = Words(sorted({word for text in taught.texts for word in words_of(text)}), LONGEST)
        seen = {"blocks": spaces.Box(-1.2, 1.2, (3 * BLOCKS,), np.float32), "instruction": table}
        super().__init__(num_envs, seen, ACTIONS, limit, side=CELLS, render_mode=render_mode)
        self.distance, self.trajectory, self.blind = distance, trajectory, blind
        self.task, self.said = np.zeros((2, num_envs), np.int64)
        self.at, self.error = np.zeros((num_envs, BLOCKS, 2), np.float32), np.zeros(num_envs)
        self.hinted = np.zeros(num_envs)

    def begin(self, rows: Rows) -> None:
        """Draw a task."""
        self.task[rows] = self.said[rows] = self.rng.integers(len(self.tasks.block), size=len(rows))
        if self.blind:
            self.said[rows] = self.rng.integers(len(self.tasks.block), size=len(rows))
        self.at[rows], self.hinted[rows] = self.tasks.at[self.task[rows]], 0.0

    def away(self) -> NDArray[np.float32]:
        """[N, 2], from the block that is meant to where it should be."""
        return self.tasks.to[self.task] - self.at[self.all, self.tasks.block[self.task]]

    def shortest(self) -> NDArray[np.int64]:
        """[N], the action of a shortest way: along the longer of two sides, until half a block is left."""
        x, y = self.away().T
        along = np.where(abs(x) > abs(y), np.where(x > 0, 1, 3), np.where(y > 0, 0, 2))
        near = np.maximum(abs(x), abs(y)) <= STEP / 2
        return np.where(near, STOP, 4 * self.tasks.block[self.task] + along)

    def move(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Move a block, or stop."""
        hint, before = (actions == self.shortest()).astype(float), np.hypot(*self.away().T)
        stops = actions == STOP
        block = np.where(stops, 0, actions // 4)
        to = self.at[self.all, block] + WAYS[actions % 4] * ~stops[:, None]
        self.at[self.all, block] = to.clip(-1.2, 1.2)
        after = np.hypot(*self.away().T)
        self.error = after / LENGTH
        paid = np.where(stops, np.where(self.error < 0.75, 1.0, -1.0), -0.02)
        paid += self.distance * (before - after) + self.trajectory * (hint - self.hinted)
        self.hinted = hint
        return paid, stops

    def marks(self) -> list[Mark]:
        """Blocks by their numbers, and where the one that is meant should be."""
        x, y = (CELLS - 1) / 2 + np.stack([self.at[0, :, 0], -self.at[0, :, 1]]) / LENGTH  # columns, rows
        to = (CELLS - 1) / 2 + self.tasks.to[self.task[0]] * (1, -1) / LENGTH
        lie = [Mark((float(y[b]), float(x[b])), str(b + 1)) for b in np.flatnonzero(~np.isnan(x)).tolist()]
        return [Mark((float(to[1]), float(to[0])), "", "place", "green"), *lie]

    def see(self) -> Seen:
        """Where the blocks are, and what is said."""
        there = ~np.isnan(self.at[..., :1])
        blocks = np.concatenate([there, np.where(there, self.at, 0.0)], -1).reshape(self.num_envs, -1)
        return {
            "blocks": blocks.astype(np.float32),
            "instruction": tuple(self.tasks.texts[k] for k in self.said.tolist()),
        }
