"""Chains of operations modulo a number: as many steps in a row as the chain is deep, and no short cut.

`3*4+5*2=` modulo 7 is worked out from left to right: 5, 3, 6. A network of fixed depth that must answer at once has to
do all of it in its layers; one that writes the steps down (`5,3=6`) does one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.reward.verifiable import Exact
from operant.language.task.generated import make_task
from operant.language.task.task import Task


@dataclass(frozen=True, slots=True)
class _Chain:
    start: int
    operations: tuple[tuple[str, int], ...]


def modular(
    *,
    depth: int = 4,
    modulus: int = 7,
    steps: bool = False,
    forgets_last: float = 0.0,
    train: int = 100_000,
    test: int = 200,
    demonstrations: int = 20_000,
    seed: int = 0,
) -> Task:
    """The task. Guessing is right once in `modulus`.

    Args:
        depth: operations in a chain, each + or * with a number below the modulus (not 0 for *).
        modulus: 2 … 10, so that every number is one digit.
        steps: whether demonstrations and solutions write the values on the way. Only what follows the last = is judged.
        forgets_last: probability that a demonstration leaves the last operation out.
        train, test, demonstrations: how many. The chains of `test` occur in neither of the others.
        seed: of all three.

    Raises:
        ConfigError: for settings that make no task.
    """
    if depth < 1 or not 2 <= modulus <= 10:
        raise ConfigError("modular needs depth ≥ 1 and modulus in 2 … 10")

    def problem(random: np.random.Generator) -> _Chain:
        signs = random.integers(2, size=depth)
        operations = tuple(("+*"[int(s)], int(random.integers(int(s), modulus))) for s in signs)
        return _Chain(int(random.integers(modulus)), operations)

    def values(chain: _Chain) -> list[int]:
        path = [chain.start]
        for sign, number in chain.operations:
            path.append((path[-1] + number if sign == "+" else path[-1] * number) % modulus)
        return path

    def written(path: list[int]) -> str:
        on_the_way = ",".join(map(str, path[1:-1]))
        return f"{on_the_way}={path[-1]}" if steps and on_the_way else str(path[-1])

    return make_task(
        "modular",
        Streams(seed),
        problem,
        prompt=lambda chain: str(chain.start) + "".join(s + str(n) for s, n in chain.operations) + "=",
        gold=lambda chain: str(values(chain)[-1]),
        solution=lambda chain: written(values(chain)),
        mistaken=lambda chain: written(values(chain)[:-1]),
        mistakes=forgets_last,
        rewards={"correct": Exact(answer=("after:=", "whole"))},
        sizes=(train, test, demonstrations),
        max_tokens=2 * depth + 1,
    )
