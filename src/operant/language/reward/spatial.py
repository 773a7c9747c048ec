"""Rewards for one place: a box, a point, a span, a box with points in it; and for numbers and calls that are near.

Each reads a whole answer or none, so that a list of guesses is no answer, and raises GoldError for a gold it cannot
read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

from operant.config.errors import ConfigError
from operant.language.reward.answer import answer_of, check_places
from operant.language.reward.number import number
from operant.language.reward.places import Box, Pair, answered, box, golden, iou, point, span
from operant.language.reward.trace import GoldError, Trace
from operant.language.reward.verifiable import gold_number


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxOverlap:
    """IoU of the answer [x0, y0, x1, y1] with the gold. (VLM-R1's referring expressions, arXiv:2504.07615.)

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.
        threshold: where given, 1 for an IoU above it, else 0.
    """

    answer: tuple[str, ...] = ("whole",)
    threshold: float | None = None

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise ConfigError(f"BoxOverlap needs 0 ≤ threshold < 1, not {self.threshold}")

    def __call__(self, trace: Trace) -> float:
        gold, found = golden(trace, box, "a box [x0, y0, x1, y1]"), answered(trace, self.answer, box)
        overlap = 0.0 if found is None else iou(found, gold)
        return overlap if self.threshold is None else float(overlap > self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanOverlap:
    """IoU of the span [start, end] with the gold, in time or in frames. (Time-R1, arXiv:2503.13377.)

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.
        threshold: where given, 1 for an IoU above it, else 0.
    """

    answer: tuple[str, ...] = ("whole",)
    threshold: float | None = None

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise ConfigError(f"SpanOverlap needs 0 ≤ threshold < 1, not {self.threshold}")

    def __call__(self, trace: Trace) -> float:
        gold, found = golden(trace, span, "a span [start, end]"), answered(trace, self.answer, span)
        if found is None:
            return 0.0
        overlap = iou((found[0], 0.0, found[1], 1.0), (gold[0], 0.0, gold[1], 1.0))
        return overlap if self.threshold is None else float(overlap > self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointInBox:
    """1 when the answer [x, y] lies in the gold box, left and top edge within, else 0. (UI-R1, arXiv:2503.21620.)

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.
    """

    answer: tuple[str, ...] = ("whole",)

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)

    def __call__(self, trace: Trace) -> float:
        gold, found = golden(trace, box, "a box [x0, y0, x1, y1]"), answered(trace, self.answer, point)
        return float(found is not None and inside(found, gold))


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What is done on a screen, and where: 1 for the action in its place, ½ for the action beside it, else 0.

    The answer is a table {"action": name, "point": [x, y]}, the gold {"action": name, "box": [x0, y0, x1, y1]}, whose
    box is left out where nothing is pointed at: then a point is one too many, and the value 0. (UI-R1,
    arXiv:2503.21620, pays the action and the place apart, so that a place is paid that another action is done at, and
    an action without a place is paid as much as one in the wrong place.)

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.
    """

    answer: tuple[str, ...] = ("whole",)

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)

    def __call__(self, trace: Trace) -> float:
        what = 'a table {"action": name, "box": [x0, y0, x1, y1]}'
        (action, place), found = golden(trace, partial(_action, "box", box), what), answered(
            trace, self.answer, partial(_action, "point", point)
        )  # fmt: skip
        if found is None or found[0] != action or (place is None) != (found[1] is None):
            return 0.0
        return 1.0 if place is None or inside(cast(Pair, found[1]), cast(Box, place)) else 0.5


def _action(name: str, read: Callable[[object], Any], value: object) -> tuple[str, Any] | None:
    """An action and where it is done, if anywhere, from what JSON held; None where it is anything else."""
    told: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    where = read(told[name]) if name in told else None
    if not isinstance(told.get("action"), str) or {*told} - {"action", name} or (name in told and where is None):
        return None
    return told["action"], where


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxAndPoints:
    """A box and two points in it, for a segmenter that begins there: the mean of three terms.

    1[IoU > 0.5]; 1[mean |difference| of the box's numbers < 10]; 1[both points in both boxes, and on average nearer
    than 100 to those of the gold, whichever way they are paired]. The lengths are at a side of 840, and scaled by
    `side`. (Seg-Zero, arXiv:2503.06520, whose layout terms pay what is wrong throughout; take `Format` for layout.)

    Args:
        side: of the pictures.
        answer: where the answer stands, {"box": [x0, y0, x1, y1], "points": [[x, y], [x, y]]}; the gold is the same.
    """

    side: float
    answer: tuple[str, ...] = ("whole",)

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)
        if not 0 < self.side < math.inf:
            raise ConfigError(f"BoxAndPoints needs the side of the pictures, not {self.side}")

    def __call__(self, trace: Trace) -> float:
        what = 'a table {"box": [x0, y0, x1, y1], "points": [[x, y], [x, y]]}'
        read = read_box_and_points
        (place, ours), found = golden(trace, read, what), answered(trace, self.answer, read)
        if found is None:
            return 0.0
        (where, points), scale = found, self.side / 840
        near = sum(abs(a - b) for a, b in zip(where, place, strict=True)) / 4 < 10 * scale
        apart = min(sum(math.dist(p, q) for p, q in zip(points, o, strict=True)) / 2 for o in (ours, ours[::-1]))
        within = all(inside(p, where) and inside(p, place) for p in points)
        return (float(iou(where, place) > 0.5) + float(near) + float(within and apart < 100 * scale)) / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """1 for a number within `full` of the gold, relative to it, 0 beyond `none`, a half cosine between.

    For gold 0: 1 for 0, else 0. (Reason-RFT's reward for mathematics, arXiv:2503.20752.)

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.
        full, none: |y - gold| / |gold| up to which all, and from which nothing, is paid.
        units: what may follow the number.
    """

    answer: tuple[str, ...] = ("whole",)
    full: float = 0.05
    none: float = 0.2
    units: tuple[str, ...] = ()

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)
        if not 0 <= self.full < self.none < 1:
            raise ConfigError(f"Tolerance needs 0 ≤ full < none < 1, not full={self.full}, none={self.none}")

    def __call__(self, trace: Trace) -> float:
        gold, answer = gold_number(trace, self.units), answer_of(trace, self.answer)
        value = None if answer is None else number(answer, self.units)
        if value is None:
            return 0.0
        if gold == 0:
            return float(value == 0)
        far = (float(min(abs(value - gold) / abs(gold), 1)) - self.full) / (self.none - self.full)
        return 0.5 * (1.0 + math.cos(math.pi * min(max(far, 0.0), 1.0)))


CALL = re.compile(r"\s*([A-Za-z_]\w{0,40})\(([^()]{0,200})\)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How much of a sequence of calls is right: Σ over pairs / max(calls given, calls of the gold).

    Calls f(object, value), one a line or parted by semicolons, are paired with those of the gold, each once, so that
    the sum is the largest: 1 for the same call, ½ for the same function and object, ½ for the same function and value,
    ¼ for the function alone. Several calls of one kind are worth no more than the gold has of it. They are read, and
    never called. (Reason-RFT's spatial transformation, arXiv:2503.20752.)

    Args:
        answer: where the answer stands; see `operant.language.reward.answer`.
        graded: whether a call that is partly right is paid for.
    """

    answer: tuple[str, ...] = ("whole",)
    graded: bool = True

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)

    def __call__(self, trace: Trace) -> float:
        told = cast("Sequence[object]", trace.gold) if isinstance(trace.gold, list | tuple) else ()
        gold = calls_of([str(call) for call in told])
        if not gold:
            raise GoldError(f"the gold answer {trace.gold!r:.80} is no list of calls f(object, value): mend it")
        text = answer_of(trace, self.answer)
        found = calls_of([c for c in re.split(r"[;\n]", text) if c.strip()]) if text is not None else None
        if not found or len(found) > 16 * len(gold):
            return 0.0
        from scipy.optimize import linear_sum_assignment

        worth = [[call_worth(f, g, graded=self.graded) for g in gold] for f in found]
        rows, columns = linear_sum_assignment(worth, maximize=True)
        return sum(worth[i][j] for i, j in zip(rows, columns, strict=True)) / max(len(found), len(gold))


Call = tuple[str, tuple[str, ...]]


def calls_of(texts: Sequence[str]) -> list[Call] | None:
    """Calls from texts; None where one of them is none."""
    read = [CALL.fullmatch(t) for t in texts]
    if any(m is None for m in read):
        return None
    return [(m[1], tuple(a.strip() for a in m[2].split(","))) for m in read if m is not None]


def call_worth(found: Call, gold: Call, *, graded: bool = True) -> float:
    """What a call is worth in the place of another."""
    if found == gold:
        return 1.0
    if not graded or found[0] != gold[0]:
        return 0.0
    return 0.5 if found[1][:1] == gold[1][:1] or (len(gold[1]) > 1 and found[1][1:] == gold[1][1:]) else 0.25


def inside(of: Pair, place: Box) -> bool:
    """Whether a point lies in a box."""
    return place[0] <= of[0] < place[2] and place[1] <= of[1] < place[3]


def read_box_and_points(value: object) -> tuple[Box, list[Pair]] | None:
    """A box and two points from what JSON held; None where it is anything else."""
    told: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    given: object = told.get("points")
    place, points = (
        box(told.get("box")),
        [point(p) for p in cast("list[object]", given)] if isinstance(given, list) else [],
    )
    if {*told} != {"box", "points"} or place is None or len(points) != 2 or None in points:
        return None
    return place, cast("list[Pair]", points)
