"""Chains of additions and subtractions, and worked examples that make a systematic mistake.

`12+34-5=` is answered `41`, with `steps` `46-5=41`: the chain is written again after every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.reward.steps import ExactSteps
from operant.language.reward.verifiable import Exact
from operant.language.task.generated import make_task
from operant.language.task.task import Task


@dataclass(frozen=True, slots=True)
class _Chain:
    """first ± second ± … ; operators[i] stands before numbers[i + 1]."""

    numbers: tuple[int, ...]
    operators: str


def arithmetic(
    *,
    digits: int = 2,
    terms: int = 2,
    operators: str = "+",
    steps: bool = False,
    units_first: bool = False,
    forgets_carry: float = 0.0,
    train: int = 100_000,
    test: int = 200,
    demonstrations: int = 20_000,
    seed: int = 0,
) -> Task:
    """The task.

    A demonstration with noise forgets the carry out of the units in its first sum that has one. With
    `forgets_carry=0.6` a model that has learnt the demonstrations is wrong on such problems when it decodes greedily
    (0.45 of all sums of two uniform numbers have one), and right in 0.4 of its samples: something to learn by reward.

    Args:
        digits: of every number; the first digit is not 0 unless it is the only one.
        terms: how many numbers, 2 or more.
        operators: drawn from, "+", "-" or "+-". A difference may be negative.
        steps: whether the completion works the chain out term by term. The reward judges the last number alone, the
            step reward every rewriting.
        units_first: whether numbers are written from the units on in prompt and completion, as sums are computed.
        forgets_carry: probability that a demonstration forgets a carry.
        train, test, demonstrations: how many. The problems of `test` occur in neither of the others.
        seed: of all three.

    Raises:
        ConfigError: for settings that make no task.
    """
    if not (1 <= digits <= 18 and terms >= 2 and operators and {*operators} <= {"+", "-"}):
        raise ConfigError('arithmetic needs digits in 1 … 18, terms ≥ 2 and operators "+", "-" or "+-"')

    def problem(random: np.random.Generator) -> _Chain:
        low = 10 ** (digits - 1) if digits > 1 else 0
        numbers = random.integers(low, 10**digits, terms)
        signs = random.integers(len(operators), size=terms - 1)
        return _Chain(tuple(map(int, numbers)), "".join(operators[int(i)] for i in signs))

    return make_task(
        "arithmetic",
        Streams(seed),
        problem,
        prompt=lambda chain: _write(chain, units_first) + "=",
        gold=lambda chain: _write(_value(chain), units_first),
        solution=lambda chain: _worked(chain, steps, units_first, None),
        mistaken=lambda chain: _worked(chain, steps, units_first, _first_carry(chain)),
        mistakes=forgets_carry,
        rewards={"correct": Exact(answer=("after:=", "whole") if steps else ("whole",))},
        sizes=(train, test, demonstrations),
        max_tokens=_longest(digits, terms, steps),
        step_reward=ExactSteps() if steps else None,
    )


def _apply(chain: _Chain, slip: bool = False) -> _Chain:
    """The chain after its first operation, the carry out of the units forgotten on a slip."""
    a, b = chain.numbers[:2]
    result = a - b if chain.operators[0] == "-" else a + b - (10 if slip else 0)
    return _Chain((result, *chain.numbers[2:]), chain.operators[1:])


def _value(chain: _Chain) -> _Chain:
    while chain.operators:
        chain = _apply(chain)
    return chain


def _first_carry(chain: _Chain) -> int | None:
    """Which operation is the first that carries out of the units: a sum of two numbers that are not negative."""
    step = 0
    while chain.operators:
        a, b = chain.numbers[:2]
        if chain.operators[0] == "+" and a >= 0 and a % 10 + b % 10 >= 10:
            return step
        chain, step = _apply(chain), step + 1
    return None


def _worked(chain: _Chain, steps: bool, units_first: bool, slip: int | None) -> str:
    """The completion, with the carry of operation `slip` forgotten."""
    written: list[str] = []
    step = 0
    while chain.operators:
        chain, step = _apply(chain, slip == step), step + 1
        written.append(_write(chain, units_first))
    return "=".join(written) if steps else written[-1]


def _write(chain: _Chain, units_first: bool) -> str:
    def write(number: int) -> str:
        text = str(abs(number))
        return ("-" if number < 0 else "") + (text[::-1] if units_first else text)

    first, *rest = chain.numbers
    return write(first) + "".join(o + write(n) for o, n in zip(chain.operators, rest, strict=True))


def _longest(digits: int, terms: int, steps: bool) -> int:
    """Characters of the longest completion, and one for the stop token."""
    number = 1 + digits + len(str(terms))
    if not steps:
        return number + 1
    return sum(number + (digits + 1) * left + 1 for left in range(terms - 1)) + 1
