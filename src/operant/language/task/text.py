"""Small tasks on strings: reverse a text, sort numbers."""

from __future__ import annotations

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.reward.verifiable import Exact
from operant.language.task.generated import make_task
from operant.language.task.task import Task

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def reverse(
    *,
    shortest: int = 3,
    longest: int = 8,
    letters: str = LETTERS,
    forgets_last: float = 0.0,
    train: int = 100_000,
    test: int = 200,
    demonstrations: int = 20_000,
    seed: int = 0,
) -> Task:
    """`abcd=` is answered `dcba`.

    Args:
        shortest, longest: letters in a text, drawn uniformly.
        letters: drawn from.
        forgets_last: probability that a demonstration leaves out the last letter of the reversed text.
        train, test, demonstrations: how many. The texts of `test` occur in neither of the others.
        seed: of all three.

    Raises:
        ConfigError: for settings that make no task.
    """
    if not 2 <= shortest <= longest or len({*letters}) < 2 or "=" in letters:
        raise ConfigError("reverse needs 2 ≤ shortest ≤ longest, and two different letters, none of them =")

    def problem(random: np.random.Generator) -> str:
        size = int(random.integers(shortest, longest + 1))
        return "".join(letters[int(i)] for i in random.integers(len(letters), size=size))

    return make_task(
        "reverse",
        Streams(seed),
        problem,
        prompt=lambda text: f"{text}=",
        gold=lambda text: text[::-1],
        mistaken=lambda text: text[:0:-1],
        mistakes=forgets_last,
        rewards={"correct": Exact()},
        sizes=(train, test, demonstrations),
        max_tokens=longest + 1,
    )


def sort(
    *,
    count: int = 5,
    digits: int = 1,
    forgets_last: float = 0.0,
    train: int = 100_000,
    test: int = 200,
    demonstrations: int = 20_000,
    seed: int = 0,
) -> Task:
    """`4 1 3=` is answered `1 3 4`; numbers may be equal.

    Args:
        count: how many numbers.
        digits: of every number; smaller ones are written with leading zeros.
        forgets_last: probability that a demonstration sorts all but the last number, and leaves that at the end.
        train, test, demonstrations: how many. The lists of `test` occur in neither of the others.
        seed: of all three.

    Raises:
        ConfigError: for settings that make no task.
    """
    if count < 2 or not 1 <= digits <= 18:
        raise ConfigError("sort needs count ≥ 2 and digits in 1 … 18")

    def problem(random: np.random.Generator) -> tuple[int, ...]:
        return tuple(map(int, random.integers(10**digits, size=count)))

    def written(numbers: tuple[int, ...] | list[int]) -> str:
        return " ".join(f"{n:0{digits}d}" for n in numbers)

    return make_task(
        "sort",
        Streams(seed),
        problem,
        prompt=lambda numbers: written(numbers) + "=",
        gold=lambda numbers: written(sorted(numbers)),
        mistaken=lambda numbers: written([*sorted(numbers[:-1]), numbers[-1]]),
        mistakes=forgets_last,
        rewards={"correct": Exact()},
        sizes=(train, test, demonstrations),
        max_tokens=count * (digits + 1) + 1,
    )
