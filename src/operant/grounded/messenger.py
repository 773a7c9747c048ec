"""Messenger: who is the enemy, the message and the goal is told by descriptions, people's or of a grammar."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from operant.config.bounded import load_json
from operant.config.errors import ConfigError, EnvError, read_as
from operant.env.text import Words, words_of
from operant.grounded.batched import Rows
from operant.grounded.quest import WAYS, Quest

NAMES = ("airplane", "ball", "bird", "dog", "fish", "mage", "queen", "robot", "scientist", "ship", "sword", "thief")
ROLES = ("enemy", "message", "goal")


@dataclass(frozen=True, slots=True)
class Book:
    """Which three play enemy, message and goal, and what is said of each, by name and role."""

    games: tuple[tuple[str, ...], ...]
    said: Mapping[tuple[str, str], tuple[str, ...]]


@cache
def people(split: str, folder: str = "") -> Book:
    """Games and people's descriptions of what stands still, by split (Hanjie, Zhong and Narasimhan 2021).

    Args:
        split: "train" or "test".
        folder: with games.json and text_train.json; `$OPERANT_DATA/messenger` if empty.

    Raises:
        ConfigError: if the files are missing, or are not these.
    """
    if not folder and "OPERANT_DATA" not in os.environ:
        raise ConfigError("people's descriptions need their files: set OPERANT_DATA to the folder of messenger")
    place = Path(folder or Path(os.environ["OPERANT_DATA"]) / "messenger")
    with read_as("the descriptions of Messenger", place):
        games = load_json(place / "games.json")["train_multi_comb" if split == "train" else "test"]
        texts = load_json(place / f"text_{split}.json")
        said = {(name, role): tuple(texts[name][role]["immovable"]) for name in texts for role in ROLES}
        whole = [tuple(g) for g in games if all(said.get(pair) for pair in zip(g, ROLES, strict=True))]
    return Book(tuple(whole), {pair: each for pair, each in said.items() if each})


_SAID = {
    "enemy": ("the {} is a deadly enemy", "beware of the {} , it is dangerous", "the {} will harm you"),
    "message": ("the {} holds the secret message", "the report is with the {}", "the {} carries the document"),
    "goal": ("bring it to the {} , the target", "the {} is the goal", "the {} waits for it , that is the aim"),
}


@cache
def grammar(split: str) -> Book:
    """All games of three, a sixth of them to test on; sentences of a grammar."""
    every = [*permutations(NAMES, 3)]
    games = [g for k, g in enumerate(every) if (k % 6 == 0) == (split == "test")]
    return Book(tuple(games), {(n, r): tuple(s.format(n) for s in _SAID[r]) for n in NAMES for r in ROLES})


class Messenger(Quest):
    """Three things stand two cells away, one is the enemy, one has the message, one is whom it is for.

    Who has no message is to get it (1), who has it is to bring it to the goal (1); to meet another thing pays −1. One
    sees what the things are, whether one has the message, and the `manual`: a description of each, in any order.

    Args:
        num_envs: N.
        words: "people" or "grammar".
        split: "train" or "test".
        noise: sentences about things that are not there, among the others.
        blind: whether the manual is that of another game.
        render_mode: "rgb_array" for pictures of the first board.

    Raises:
        EnvError: for other words or splits.
        ConfigError: where people's words are not at hand.

    Source: Hanjie, Zhong and Narasimhan (2021), Grounding language to entities and dynamics for generalization in
    reinforcement learning, stage 1.
    """

    def __init__(
        self, num_envs: int = 1, words: str = "grammar", split: str = "train", *, noise: int = 0, blind: bool = False,
        render_mode: str | None = None,
    ) -> None:  # fmt: skip
        books = {"people": people, "grammar": grammar}
        if words not in books or split not in ("train", "test"):
            raise EnvError(f"there are no words {words}, {split}: use people or grammar, train or test")
        self.book, taught = books[words](split), books[words]("train")
        lengths = [len(words_of(s)) for book in (self.book, taught) for each in book.said.values() for s in each]
        said = {word for each in taught.said.values() for text in each for word in words_of(text)}
        manual = Words(sorted(said | {"."}), (max(lengths) + 1) * (3 + noise))
        super().__init__(num_envs, {"manual": manual}, side=5, things=3, features=len(NAMES), has=1, limit=8,
                         render_mode=render_mode)  # fmt: skip
        self.noise, self.blind = noise, blind

    def begin(self, rows: Rows) -> None:
        """Draw a game, where its things stand, and what is said."""
        for i in rows:
            game = self.book.games[int(self.rng.integers(len(self.book.games)))]
            told = self.book.games[int(self.rng.integers(len(self.book.games)))] if self.blind else game
            absent = [pair for pair in self.book.said if pair[0] not in (*game, *told)]
            pairs = [
                *zip(told, ROLES, strict=True),
                *(absent[k] for k in self.rng.permutation(len(absent))[: self.noise]),
            ]
            lines = [str(self.rng.choice(self.book.said[pair])).rstrip(". ") + " ." for pair in pairs]
            self.texts["manual"][i] = " ".join(self.rng.permutation(lines))
            self.features[i] = [[name == each for each in NAMES] for name in game]
            self.here[i], self.has[i] = 2, self.rng.integers(2)
            self.at[i] = 2 + 2 * WAYS[self.rng.permutation(4)[:3]]

    def called(self, features: NDArray[np.bool_]) -> str:
        """A thing's name."""
        return NAMES[int(features.argmax())]

    def holds(self, has: NDArray[np.bool_]) -> str:
        """The message."""
        return "message" * bool(has[0])

    def touch(self, rows: Rows, things: NDArray[np.int64]) -> NDArray[np.float64]:
        """Thing 1 is the message, 2 the goal."""
        return np.where(things == 1 + self.has[rows, 0], 1.0, -1.0)
