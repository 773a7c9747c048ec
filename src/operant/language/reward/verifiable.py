"""Rewards that compare an answer with the gold: frozen settings that are called with a trace. All linear in its length.

Each gives 0 to what has no answer, raises `GoldError` for a gold it cannot read, and never searches the completion
for the gold or the gold for the completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any, ClassVar

from operant.config.errors import ConfigError
from operant.language.reward.answer import answer_of, check_places
from operant.language.reward.number import number
from operant.language.reward.trace import GoldError, Reward, Trace, best, is_pure, prepare


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """1 when the completion is <a>…</a><b>…</b> for the tags in order, else 0.

    Every tag once, none empty, none inside another, nothing but blanks outside them. (The format reward of
    DeepSeek-R1, arXiv:2501.12948, section 2.2.2, which leaves these cases open.)
    """

    tags: tuple[str, ...] = ("think", "answer")

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.tags, str) or not self.tags or len({*self.tags}) < len(self.tags):
            raise ConfigError(f"Format needs different tags, as ('think', 'answer'), not {self.tags!r}")

    def __call__(self, trace: Trace) -> float:
        rest = trace.completion
        for tag in self.tags:
            if trace.completion.count(f"<{tag}>") != 1 or trace.completion.count(f"</{tag}>") != 1:
                return 0.0
        for tag in self.tags:
            before, opening, rest = rest.partition(f"<{tag}>")
            inside, closing, rest = rest.partition(f"</{tag}>")
            if before.strip() or not (opening and closing) or not inside.strip():
                return 0.0
            if any(f"<{other}>" in inside or f"</{other}>" in inside for other in self.tags):
                return 0.0
        return float(not rest.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """1 when the answer equals the gold character for character, runs of blanks counting as one, else 0.

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.
        case: whether capitals matter.
    """

    answer: tuple[str, ...] = ("whole",)
    case: bool = True

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)

    def __call__(self, trace: Trace) -> float:
        gold = self._plain(str(gold_of(trace)))
        answer = answer_of(trace, self.answer)
        return float(answer is not None and self._plain(answer) == gold)

    def _plain(self, text: str) -> str:
        text = " ".join(text.split())
        return text if self.case else text.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """1 when the answer is one number y with |y - gold| ≤ max(absolute, relative · |gold|), else 0; exact arithmetic.

    What counts as one number: `operant.language.reward.number.number`. "45%" is 0.45 on both sides, so that 45 is
    wrong there.

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.
        absolute, relative: how far off it may be.
        units: what may follow the number, as ("cm", "dollars"). They are not converted. Where none are given, a common
            one may follow the answer (`operant.language.reward.units`), and none the gold.
    """

    answer: tuple[str, ...] = ("whole",)
    absolute: float = 0.0
    relative: float = 0.0
    units: tuple[str, ...] = ()

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)
        if not (0 <= self.absolute < float("inf") and 0 <= self.relative < 1):
            raise ConfigError("Numeric needs 0 ≤ absolute < ∞ and 0 ≤ relative < 1")

    def __call__(self, trace: Trace) -> float:
        gold = gold_number(trace, self.units)
        answer = answer_of(trace, self.answer)
        value = None if answer is None else number(answer, self.units)
        if value is None:
            return 0.0
        return float(abs(value - gold) <= max(Fraction(self.absolute), Fraction(self.relative) * abs(gold)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeAccuracy:
    """Mean relative accuracy: mean over θ in 0.50, 0.55 … 0.95 of 1[|y - gold| / |gold| ≤ 1 - θ].

    A graded reward in tenths. For gold 0 it is 1 for y = 0 and 0 otherwise. (VSI-Bench, arXiv:2412.14171.)

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.
        units: what may follow the number.
    """

    answer: tuple[str, ...] = ("whole",)
    units: tuple[str, ...] = ()

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)

    def __call__(self, trace: Trace) -> float:
        gold = gold_number(trace, self.units)
        answer = answer_of(trace, self.answer)
        value = None if answer is None else number(answer, self.units)
        if value is None:
            return 0.0
        if gold == 0:
            return float(value == 0)
        off = abs(value - gold) / abs(gold)
        return sum(off <= 1 - Fraction(percent, 100) for percent in range(50, 100, 5)) / 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """The product of rewards: of 1 or 0 each, 1 where all are. (Vision-R1's hard reward, arXiv:2503.06749.)

    Args:
        rewards: two or more.
    """

    rewards: tuple[Reward, ...]

    def __post_init__(self) -> None:
        if len(self.rewards) < 2:
            raise ConfigError(f"Every needs two rewards or more, not {len(self.rewards)}")

    @property
    def pure(self) -> bool:
        """Whether all of them are."""
        return all(map(is_pure, self.rewards))

    @property
    def best(self) -> float | None:
        """The product of theirs; None where one has none."""
        tops = [best(each) for each in self.rewards]
        return None if None in tops else prod(top for top in tops if top is not None)

    def prepare(self) -> None:
        """Have them load what they need."""
        for each in self.rewards:
            prepare(each)

    def __call__(self, trace: Trace) -> float:
        return prod(each(trace) for each in self.rewards)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByKind:
    """Of several rewards the one of the example's kind, `metadata["kind"]`: a task of questions of several kinds.

    Args:
        rewards: by kind.
    """

    rewards: Mapping[str, Reward]

    @property
    def pure(self) -> bool:
        """Whether all of them are."""
        return all(map(is_pure, self.rewards.values()))

    @property
    def best(self) -> float | None:
        """What all of them give a right solution; None where they differ."""
        tops = {best(each) for each in self.rewards.values()}
        return tops.pop() if len(tops) == 1 else None

    def prepare(self) -> None:
        """Have them load what they need."""
        for each in self.rewards.values():
            prepare(each)

    def __call__(self, trace: Trace) -> float:
        kind = str(trace.metadata.get("kind"))
        if kind not in self.rewards:
            raise GoldError(f'the example\'s metadata["kind"] is {kind!r:.40}: give one of {", ".join(self.rewards)}')
        return self.rewards[kind](trace)


def gold_of(trace: Trace) -> Any:
    """The gold. Raises GoldError where there is none: an empty gold would equal an empty answer."""
    if trace.gold is None or not str(trace.gold).strip():
        raise GoldError("the gold answer is empty: give the example one")
    return trace.gold


def gold_number(trace: Trace, units: tuple[str, ...] = ()) -> Fraction:
    """The gold as a number. Raises GoldError where it is none."""
    gold = gold_of(trace)
    value = number(str(gold), units, strict=True)
    if value is None or isinstance(gold, bool):
        raise GoldError(f"the gold answer {gold!r} is not one number: mend the example, name its unit, or use Exact")
    return value
