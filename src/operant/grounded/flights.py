"""Rounds in which somebody who wants something of a flight speaks of three of them: people's, or of a grammar."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.bounded import load_json
from operant.config.errors import ConfigError, read_as
from operant.data.jsonl import lines

Array = NDArray[np.float64]
FEATURES = ("arrival", "american", "delta", "jetblue", "southwest", "longest stop", "stops", "price")
LEVELS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
"""What a weight may be."""


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """What was said, [K, 8] the options that were seen, which is best, and the weights [8] of who spoke."""

    text: str
    options: Array
    best: int
    weights: Array


Game = list[Round]
"""Rounds of one speaker."""


def people(folder: str | Path = "") -> tuple[list[Round], list[Game]]:
    """Rounds to learn from, and games to test on, without rounds in which nothing was said (Lin et al. 2022).

    Args:
        folder: with train.jsonl and eval.json; `$OPERANT_DATA/flightpref` if empty.

    Raises:
        ConfigError: if the files are missing, or are not these.
    """
    if not folder and "OPERANT_DATA" not in os.environ:
        raise ConfigError("people's words on flights need their files: set OPERANT_DATA to the folder of flightpref")
    place = Path(folder or Path(os.environ["OPERANT_DATA"]) / "flightpref")
    with read_as("the rounds of FlightPref", place):
        taught = [_round(row, row["reward_weights"]) for _, row in lines(place / "train.jsonl")]
        games = [
            [_round(row, game["reward_function"]) for row in game["rounds"] if row["utterance"]]
            for game in load_json(place / "eval.json")
        ]
    return taught, [game for game in games if game]


def _round(row: Any, weights: Any) -> Round:
    options = np.array(row["options"], np.float64)
    if options.ndim != 2 or options.shape[1] != len(FEATURES) or len(weights) != len(FEATURES):
        raise ValueError("options are [K, 8], weights [8]")
    found = Round(str(row["utterance"]), options, int(row["optimal_index"]), np.array(weights, np.float64))
    if not (0 <= found.best < len(options) and np.isfinite(options).all() and np.isfinite(found.weights).all()):
        raise ValueError("optimal_index is none of the options, or a number is not finite")
    return found


def menu(rng: np.random.Generator, k: int = 3) -> Array:
    """[K, 8]: times, stops and prices of 0 to 1, and one airline each."""
    options = rng.random((k, len(FEATURES)))
    options[:, 1:5] = np.eye(4)[rng.integers(4, size=k)]
    options[:, 6] = rng.integers(0, 5, k) / 4
    return options.round(2)


def spoken(rng: np.random.Generator, weights: Array) -> Round:
    """A round of a grammar: half of what is said points at the best option, half says what counts for the speaker."""
    while True:
        options = menu(rng)
        worth = options @ weights
        if np.sort(worth)[-1] - np.sort(worth)[-2] > 0.05:
            break
    best = int(worth.argmax())
    if rng.random() < 0.5:  # the feature in which it differs most from the others
        gap = options[best] - np.delete(options, best, 0).mean(0)
        k = int(abs(gap).argmax())
        text = _said(k, float(gap[k]), rng, ("the {} one", "i take the {} flight", "{} please"))
    else:
        k = int(rng.choice(np.flatnonzero(abs(weights) == abs(weights).max())))
        text = _said(k, float(weights[k]), rng, ("i like {}", "{} matters to me", "i always want {}"))
    return Round(text, options, best, weights)


_WORDS = {
    0: ("late", "early"), 5: ("long layover", "short layover"), 6: ("more stops", "nonstop"),
    7: ("expensive", "cheap"),
}  # fmt: skip


def _said(k: int, sign: float, rng: np.random.Generator, frames: Sequence[str]) -> str:
    high, low = _WORDS.get(k, (FEATURES[k], f"not {FEATURES[k]}"))
    return str(rng.choice(frames)).format(high if sign > 0 else low)


def grammar(rng: np.random.Generator, rounds: int, games: int, length: int = 6) -> tuple[list[Round], list[Game]]:
    """Rounds to learn from, and games of so many rounds to test on."""

    def weights() -> Array:
        drawn = rng.choice(LEVELS, len(FEATURES))
        return drawn if abs(drawn).max() > 0 else weights()

    return [spoken(rng, weights()) for _ in range(rounds)], [
        [spoken(rng, each) for _ in range(length)] for each in (weights() for _ in range(games))
    ]
