"""Text in observations: its words or characters have codes, and a row of numbers holds these.

The table of codes is part of the space, so it stands in `policy.json` and goes wherever the policy goes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.config.errors import EnvError

NOTHING, UNKNOWN = 0, 1
"""Codes of a place behind the last word, and of a word that is not in the table; those of the table follow."""
LONGEST = 2**14
"""Codes of the longest text that is read: a policy reads all places of a row."""
KEPT = 2**16
"""Texts whose codes are kept at hand."""
_LANGUAGE = """
    go to pick up open put next the a and then after you in front of behind on your left right , red green blue purple
    yellow grey object ball box key door
"""
BABYAI = tuple(_LANGUAGE.split())
"""The words of BabyAI's instructions, whose own space does not tell them (Chevalier-Boisvert et al. 2019, table 2)."""
BABYAI_LENGTH = 48
"""Four descriptions with a place each, put next to one another before and after, are 47 words."""


class Words(gymnasium.Space[str]):
    """Sentences of at most `length` words; what stands in `words` has a code of its own, all else one in common.

    Capitals count for nothing, and a sign of punctuation is a word.

    Args:
        words: the table, without repetition.
        length: the most words of a sentence, 1 or more.
        seed: of `sample`.

    Raises:
        ValueError: for another length, or a table that repeats a word or holds none.
    """

    def __init__(self, words: Sequence[str], length: int, seed: int | None = None) -> None:
        self.words, self.length = tuple(words), int(length)
        if len({*self.words}) < len(self.words) or any(words_of(str(word)) != [word] for word in self.words):
            raise ValueError(f"a table of words holds each once, in small letters, and nothing else: {self.words}")
        if not self.words or self.length < 1:
            raise ValueError(f"{len(self.words)} words and a length of {length}: give at least one, and 1")
        super().__init__(None, str, seed)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Some of its words, one after the other; nothing can be masked."""
        return " ".join(self.np_random.choice(self.words, self.np_random.integers(1, self.length + 1)))

    def contains(self, x: Any) -> bool:
        """Whether it is a sentence that is not too long, whatever its words."""
        return isinstance(x, str) and len(words_of(x)) <= self.length

    @property
    def is_np_flattenable(self) -> bool:
        """False: codes are given by `Observations`."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Words) and (self.words, self.length) == (other.words, other.length)

    def __repr__(self) -> str:
        return f"Words({len(self.words)}, {self.length})"


TEXT = (Words, spaces.Text)


class Codes:
    """From texts to rows of codes, of words or, for Gymnasium's own `Text`, of characters.

    Attributes:
        length: L, numbers of a row; a shorter text is followed by `NOTHING`.
        count: how many codes there are.
    """

    def __init__(self, space: Words | spaces.Text) -> None:
        self._by_word = isinstance(space, Words)
        table = space.words if isinstance(space, Words) else sorted(space.character_set)
        self.length = space.length if isinstance(space, Words) else int(space.max_length)
        if self.length > LONGEST:
            raise EnvError(f"a text of up to {self.length:,} codes is observed, at most {LONGEST:,}: say its length")
        self.count = len(table) + 2
        self._table, self._code = table, {part: k + 2 for k, part in enumerate(table)}
        self._kept: dict[str, NDArray[np.float32]] = {}

    def of(self, text: str) -> NDArray[np.float32]:
        """[L]. Raises ValueError for a text that is too long."""
        row = self._kept.get(text)
        if row is None:
            parts = words_of(text) if self._by_word else text
            if len(parts) > self.length:
                raise ValueError(f"of {len(parts)} {'words' if self._by_word else 'characters'}")
            row = np.zeros(self.length, np.float32)
            row[: len(parts)] = [self._code.get(part, UNKNOWN) for part in parts]
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[text] = row
        return row

    def text(self, row: NDArray[Any]) -> str:
        """A text with these codes, [L]; "?" where it was no known word."""
        return "".join(self.pieces(row)).rstrip(" " if self._by_word else "")

    def pieces(self, row: NDArray[Any]) -> list[str]:
        """What each code of [L] stands for until the text ends: a word and a blank, or a character."""
        behind = " " if self._by_word else ""
        return [("?" if code == UNKNOWN else self._table[int(code) - 2]) + behind for code in row if code != NOTHING]


def words_of(text: str) -> list[str]:
    """The words and signs of a text, in small letters."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def words_in(space: gymnasium.Space[Any]) -> Words | None:
    """The sentences of a space that tells its words, as those of MiniGrid and BabyAI; None for another."""
    if isinstance(space, Words):
        return space
    if type(space).__name__ == "BabyAIMissionSpace":
        return Words(BABYAI, BABYAI_LENGTH)
    tells: Any = getattr(space, "mission_func", None)
    if tells is None:
        return None
    each: Any = getattr(space, "ordered_placeholders", None) or []
    found = [words_of(tells(*chosen)) for chosen in product(*each)]
    return Words(sorted({word for sentence in found for word in sentence}), max(map(len, found)))
