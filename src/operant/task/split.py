"""Problems drawn from seeded streams, with a tenth of all problems held out for testing.

Whether a problem is held out is a hash of its prompt and the seed, so that train and test cannot meet however many of
either are drawn, and no list of problems is kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams

TESTED = 10
"""One in so many problems is held out."""

PATIENCE = 1000
"""Draws for one problem before it is concluded that there are too few."""

Problem = TypeVar("Problem")


def held_out(prompt: str, seed: int) -> bool:
    """Whether the problem with this prompt belongs to the test set."""
    return zlib.crc32(f"{seed}/{prompt}".encode()) % TESTED == 0


def draw(
    streams: Streams,
    name: str,
    index: int,
    problem: Callable[[np.random.Generator], Problem],
    prompt: Callable[[Problem], str],
) -> Problem:
    """The problem number `index` of a stream for training: the first draw that is not held out."""
    random = streams.numpy(f"task/{name}", index)
    for _ in range(PATIENCE):
        if not held_out(prompt(made := problem(random)), streams.seed):
            return made
    raise ConfigError(f"no problem for training was found in {PATIENCE} draws: make the task larger")


def distinct(
    streams: Streams,
    count: int,
    problem: Callable[[np.random.Generator], Problem],
    prompt: Callable[[Problem], str],
    task: str,
) -> list[Problem]:
    """`count` different problems for testing.

    Raises:
        ConfigError: if there are not so many.
    """
    random = streams.numpy("task/test")
    found: dict[str, Problem] = {}
    misses = 0
    while len(found) < count:
        made = problem(random)
        text = prompt(made)
        if text in found or not held_out(text, streams.seed):
            misses += 1
            if misses > PATIENCE:
                raise ConfigError(
                    f"{task}: only {len(found)} different test problems were found: ask for fewer (test={len(found)}), "
                    "or make the problems larger"
                )
            continue
        found[text], misses = made, 0
    return list(found.values())
