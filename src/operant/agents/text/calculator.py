"""`text/calculator`: two turns, the shortest episode that needs more than one: ask the calculator, then answer."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from operant.agents.options import number
from operant.agents.text.session import Game, LineWorld, seed_of, split_of
from operant.language.episodes.world import Observation, Scenario
from operant.language.reward.exact import UnreadableError
from operant.language.reward.expression import expression, rational

GOODS = ("cups", "plates", "ropes", "lamps", "books", "chairs", "coats", "drums")
NUMBER = re.compile(r"[+-]?\d{1,30}")
LARGEST = 10**30


@dataclass(frozen=True, slots=True)
class Sum:
    """A question, the expression that answers it, and its value."""

    template: str
    question: str
    expression: str
    value: int


@dataclass(kw_only=True)
class Calculator(LineWorld):
    """The world: reward 1 for the right answer.

    Args:
        train, test: scenarios of each split; no question is in both.
        digits: of the numbers in a question.
    """

    digits: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        number("digits", self.digits, 1, 9, whole=True)

    name = "text/calculator"
    system = (
        "You answer a question with a number. First ask the calculator, then answer.\n"
        "Say one line: calc EXPRESSION, or: answer NUMBER."
    )
    turns = 2
    templates = ("product", "products", "shop")

    def scenario(self, split: str, number: int) -> Scenario:
        """The scenario of a number in a split."""
        seed = seed_of(split, number)
        made = _draw(self.templates[number % 3], seed, self.digits, split == "test")
        return Scenario(id=number, template=made.template, seed=seed, instruction=made.question)

    def game(self, scenario: Scenario) -> Game:
        """The game of a scenario, at its beginning."""
        return _Game(self._sum(scenario))

    def oracle(self, scenario: Scenario) -> Sequence[str]:
        """One question to the calculator, and the answer."""
        made = self._sum(scenario)
        return [f"calc {made.expression}", f"answer {made.value}"]

    def _sum(self, scenario: Scenario) -> Sum:
        return _draw(scenario.template, scenario.seed, self.digits, split_of(scenario.seed) == "test")


def _draw(template: str, seed: int, digits: int, test: bool) -> Sum:
    """A question; one in five of all questions is kept for testing."""
    rng = random.Random(seed)
    while True:
        made = _question(template, rng, digits)
        if (crc32(made.question.encode()) % 5 == 0) == test:
            return made


def _question(template: str, rng: random.Random, digits: int) -> Sum:
    a, b, c, d = (rng.randrange(10 ** (digits - 1) + 1, 10**digits) for _ in range(4))
    if template == "product":
        return Sum(template, f"What is {a} times {b}?", f"{a} * {b}", a * b)
    if template == "products":
        return Sum(template, f"What is {a} times {b} plus {c} times {d}?", f"{a} * {b} + {c} * {d}", a * b + c * d)
    one, other = rng.sample(GOODS, 2)
    question = f"{one.capitalize()} cost {a} each and {other} cost {b} each. What do {c} {one} and {d} {other} cost?"
    return Sum(template, question, f"{a} * {c} + {b} * {d}", a * c + b * d)


class _Game:
    def __init__(self, made: Sum) -> None:
        self.made = made
        self.seen = re.findall(r"\d+", made.question)

    def begin(self) -> Observation:
        return Observation(text=self.made.question, state="asked")

    def do(self, command: str) -> Observation:
        verb, _, rest = command.partition(" ")
        if verb.lower() == "calc":
            return self._calculate(rest.strip())
        if verb.lower() != "answer":
            return _error("PARSE say calc EXPRESSION, or answer NUMBER")
        if NUMBER.fullmatch(rest.strip()) is None:
            return _error("PARSE the answer is a whole number")
        right = int(rest) == self.made.value
        return Observation(text="Right." if right else "Wrong.", reward=float(right), terminated=True, state="answered")

    def commands(self) -> Sequence[str]:
        pairs = [(a, b) for a in self.seen for b in self.seen]
        return [f"calc {a} {op} {b}" for a, b in pairs for op in "+-*"] + [f"answer {n}" for n in self.seen]

    def _calculate(self, text: str) -> Observation:
        try:
            value = rational(expression(text))
        except (UnreadableError, ArithmeticError, RecursionError) as error:
            return _error(f"PARSE the calculator cannot read it: {error}")
        if value is None or max(abs(value.numerator), value.denominator) > LARGEST:
            return _error("PARSE the calculator knows numbers of up to 30 digits, + - * / and brackets")
        self.seen.append(str(value))
        return Observation(text=f"= {value}", state=f"= {value}")


def _error(text: str) -> Observation:
    return Observation(text=text, error=text, state="asked")
