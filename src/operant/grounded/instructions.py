"""Things with properties, and sentences that say which of them is meant; some of the sentences are held out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.bounded import decoded, load_json, read_bytes
from operant.config.errors import ConfigError, read_as
from operant.env.text import Words, words_of


@dataclass(frozen=True, slots=True)
class Thing:
    """What may stand in a room. `height` is "" where the thing has none; `size` only orders things."""

    kind: str
    colour: str
    height: str
    size: float


@dataclass(frozen=True, slots=True)
class Instruction:
    """A sentence, and the things that it may mean, by their place in the language.

    Attributes:
        text: the sentence.
        targets: what may be meant; one of these stands in the room.
        order: 1 where it is the largest of its class that is meant, -1 the smallest, 0 where all do that fit.
        alike: the class; of these nothing else stands in the room, but for smaller ones where the largest is meant.
    """

    text: str
    targets: tuple[int, ...]
    order: int = 0
    alike: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Language:
    """Things, and instructions by split; the table of words is that of the instructions to train on."""

    things: tuple[Thing, ...]
    splits: Mapping[str, tuple[Instruction, ...]]

    @property
    def words(self) -> Words:
        """Sentences as a policy reads them: a word that is held out has the code of all unknown ones."""
        said = [words_of(each.text) for each in self.splits["train"]]
        length = max(len(words_of(each.text)) for split in self.splits.values() for each in split)
        return Words(sorted({word for sentence in said for word in sentence}), length)

    @property
    def properties(self) -> NDArray[np.float32]:
        """[K, P], of each thing its kind, colour and height, one-hot, and its length as a share of the longest."""
        named = ([thing.kind for thing in self.things], [thing.colour for thing in self.things],
                 [thing.height for thing in self.things])  # fmt: skip
        planes = [[[name == one for one in sorted({*names} - {""})] for name in names] for names in named]
        length = np.sqrt([thing.size for thing in self.things])
        return np.hstack([*planes, (length / length.max())[:, None]]).astype(np.float32)


KINDS, COLOURS, HEIGHTS = (
    ("ball", "box", "key", "lamp"),
    ("red", "green", "blue", "yellow", "purple"),
    ("small", "large"),
)
FRAMES = ("go to the {}", "find the {}", "walk over to the {}")
PARAPHRASES = ("the {} is what you should find", "please go and find the {}", "over to the {}")
"""Other sentences for the same; some of their words are in no instruction to train on."""
SYNONYMS = {"red": "crimson", "blue": "azure", "ball": "sphere", "box": "crate", "large": "big"}


def templates() -> Language:
    """Forty things, and the sentences of a grammar: FRAME the [HEIGHT] [COLOUR] KIND, where a kind may be "thing".

    Splits: "train"; "combinations", whose colour and kind never stand together there (one pair for each kind);
    "paraphrases", the frames of `PARAPHRASES` around descriptions to train on; "words", a synonym in place of one word.
    """
    things = tuple(
        Thing(kind, colour, height, float(height == "large"))
        for kind, colour, height in product(KINDS, COLOURS, HEIGHTS)
    )
    splits: dict[str, list[Instruction]] = {"train": [], "combinations": [], "paraphrases": [], "words": []}
    for height, colour, kind in product(("", *HEIGHTS), ("", *COLOURS), ("thing", *KINDS)):
        meant = tuple(
            k for k, thing in enumerate(things)
            if height in ("", thing.height) and colour in ("", thing.colour) and kind in ("thing", thing.kind)
        )  # fmt: skip
        if len(meant) == len(things):
            continue
        what = " ".join(word for word in (height, colour, kind) if word)
        held = colour and kind != "thing" and COLOURS.index(colour) == KINDS.index(kind)
        splits["combinations" if held else "train"] += _said(FRAMES, what, meant)
        if held:
            continue
        splits["paraphrases"] += _said(PARAPHRASES, what, meant)
        for word in what.split():
            if word in SYNONYMS:
                splits["words"] += _said(FRAMES, what.replace(word, SYNONYMS[word]), meant)
    return Language(things, {name: tuple(split) for name, split in splits.items()})


def _said(frames: Sequence[str], what: str, meant: tuple[int, ...]) -> list[Instruction]:
    return [Instruction(frame.format(what), meant, 0, meant) for frame in frames]


_NAMED = {"Torch": "torch", "Column": "pillar", "Card": "keycard", "Skull": "skullkey", "Armor": "armor"}
_PAINTED = {"BlueArmor": "red"}
"""What the data calls otherwise than its name says."""


def vizdoom(folder: str | Path = "") -> Language:
    """The 18 things and 55 + 15 instructions of gated attention: splits "train" and "test" (Chaplot et al. 2018).

    Args:
        folder: with instructions_train.json, instructions_test.json and object_sizes.txt;
            `$OPERANT_DATA/vizdoom_instructions` if empty.

    Raises:
        ConfigError: if the files are missing, or are not these.
    """
    if not folder and "OPERANT_DATA" not in os.environ:
        raise ConfigError("these instructions need their files: set OPERANT_DATA to the folder of vizdoom_instructions")
    place = Path(folder or Path(os.environ["OPERANT_DATA"]) / "vizdoom_instructions")
    with read_as("the instructions of gated attention", place):
        sizes = {words[1]: float(words[2]) for words in map(str.split, _lines(place / "object_sizes.txt"))}
        read = {name: load_json(place / f"instructions_{name}.json") for name in ("train", "test")}
        names = sorted({target for split in read.values() for each in split for target in each["targets"]})
        things = tuple(_thing(name, sizes[name]) for name in names)
        splits = {name: tuple(_instruction(each, names, things) for each in split) for name, split in read.items()}
    return Language(things, splits)


def _lines(path: Path) -> list[str]:
    return decoded(read_bytes(path)).splitlines()


def _thing(name: str, size: float) -> Thing:
    """Out of a name like ShortRedTorch: torches and pillars are short or tall, tall where nothing is said."""
    kind = next(word for end, word in _NAMED.items() if name.endswith(end))
    colour = _PAINTED.get(name) or next(c for c in ("red", "green", "blue", "yellow") if c.title() in name)
    height = ("short" if name.startswith("Short") else "tall") if kind in ("torch", "pillar") else ""
    return Thing(kind, colour, height, size)


def _instruction(row: Mapping[str, Any], names: Sequence[str], things: Sequence[Thing]) -> Instruction:
    """With all that its words fit as its class: the data names for "the largest object" only some of the things."""
    words = words_of(row["instruction"])
    order = ("largest" in words) - ("smallest" in words)
    alike = tuple(
        k for k, thing in enumerate(things)
        if all(word in words for word in (thing.colour,) if {*words} & _colours(things))
        and ("object" in words or thing.kind in words) and (thing.height in words or not {"short", "tall"} & {*words})
    )  # fmt: skip
    return Instruction(row["instruction"], tuple(names.index(target) for target in row["targets"]), order, alike)


def _colours(things: Sequence[Thing]) -> set[str]:
    return {thing.colour for thing in things}
