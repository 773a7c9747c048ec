"""Whether two mathematical answers are equal: read by a grammar of our own, compared exactly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from operant.language.reward.answer import answer_of, check_places
from operant.language.reward.mathematics import LONGEST, read, unit_of
from operant.language.reward.number import number
from operant.language.reward.sameness import same
from operant.language.reward.spelling import balanced, spelt
from operant.language.reward.trace import GoldError, Trace
from operant.language.reward.verifiable import gold_of


@dataclass(frozen=True, slots=True, kw_only=True)
class MathEquivalence:
    r"""1 when the answer equals the gold as mathematics (1/2 and 0.5, x^2-1 and (x-1)(x+1), sets in any order), else 0.

    The answer is taken from its place first and read alone, so that nothing else in the completion can score. Numbers
    are compared exactly: 0.333 is not 1/3, and 50\\% is 0.5 and not 50. Lists, sets, tuples and intervals are not each
    other. A chain of equations counts as its last link where all links are equal, and else as nothing. What cannot be
    read (an integral, a sentence) equals only itself. `docs/language/answers.md` says what is equal and why.

    Reading and comparing are bounded: an answer longer than 400 characters, deeper or with larger numbers than
    `operant.language.reward.exact` allows, scores 0. It runs in a worker process all the same.

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.

    Raises:
        GoldError: when called, if the gold is no mathematics.
    """

    answer: tuple[str, ...] = ("boxed",)

    pure: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_places(self.answer)

    def prepare(self) -> None:
        """Load what works out irrational numbers."""
        equivalent("x", "\\sqrt{2}")

    def __call__(self, trace: Trace) -> float:
        gold = str(gold_of(trace))
        if not balanced(gold) or not re.search(r"[^\W_]", gold):
            raise GoldError(f"the gold answer {gold!r:.80} cannot be parsed as mathematics: mend the example")
        text = answer_of(trace, self.answer)
        return float(text is not None and equivalent(gold, text))


def equivalent(gold: str, text: str) -> bool:
    """Whether an answer equals the gold; see `MathEquivalence`. What is too long, or cannot be read, does not."""
    if len(text) > LONGEST or not balanced(text):
        return False
    one, other = spelt(gold), spelt(text)
    units = unit_of(one), unit_of(other)
    right, given = number(units[0].text, ("",), strict=True), number(units[1].text, ("",))
    if right is not None and given is not None:
        return right == given and (units[0].unit == units[1].unit or not (units[0].unit and units[1].unit))
    try:
        wanted = read(gold)
    except Exception:  # whatever a stranger writes, it ends no verifier
        return re.sub(r"\s", "", one) == re.sub(r"\s", "", other)
    try:
        return same(wanted, read(text))
    except Exception:
        return False
