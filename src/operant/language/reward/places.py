"""Answers that are places: boxes, points and spans, written as JSON. What is not one whole answer is none.

A box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1, a point [x, y], a span [start, end] with start < end; all numbers
are finite, and the unit is whatever the gold is in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from operant.config.bounded import loads
from operant.language.reward.answer import answer_of
from operant.language.reward.trace import GoldError, Trace

Box = tuple[float, float, float, float]
Pair = tuple[float, float]
Read = TypeVar("Read")
LONGEST = 20_000
"""Characters of the longest answer that is read as JSON."""
MOST = 512
"""Boxes of an answer that are read; one with more is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that a detector says is there."""

    box: Box
    label: str = ""
    confidence: float = 1.0


def numbers(value: object, count: int) -> tuple[float, ...] | None:
    """So many finite numbers; None where it is anything else."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    items = cast(Sequence[object], value)
    if len(items) != count or any(isinstance(x, bool) or not isinstance(x, int | float) for x in items):
        return None
    try:
        found = tuple(float(cast(float, x)) for x in items)
    except OverflowError:
        return None
    return found if all(map(math.isfinite, found)) else None


def box(value: object) -> Box | None:
    """A box; None where it is none, or has no area."""
    found = numbers(value, 4)
    return None if found is None or not (found[0] < found[2] and found[1] < found[3]) else cast(Box, found)


def point(value: object) -> Pair | None:
    """A point; None where it is none."""
    return cast("Pair | None", numbers(value, 2))


def span(value: object) -> Pair | None:
    """A span; None where it is none, or has no length."""
    found = numbers(value, 2)
    return None if found is None or not found[0] < found[1] else cast(Pair, found)


def detections(value: object) -> list[Found] | None:
    """A list of boxes, or of tables with `box`, and perhaps `label` and `confidence` in [0, 1].

    None where anything in it is something else.
    """
    if not isinstance(value, list) or len(cast("list[object]", value)) > MOST:
        return None
    found: list[Found] = []
    for each in cast("list[object]", value):
        told: Mapping[str, Any] = cast("Mapping[str, Any]", each) if isinstance(each, Mapping) else {"box": each}
        place, label, sure = box(told.get("box")), told.get("label", ""), numbers([told.get("confidence", 1.0)], 1)
        if place is None or not isinstance(label, str) or sure is None or not 0 <= sure[0] <= 1:
            return None
        if {*told} - {"box", "label", "confidence"}:
            return None
        found.append(Found(box=place, label=label, confidence=sure[0]))
    return found


def answered(trace: Trace, places: Sequence[str], read: Callable[[object], Read | None]) -> Read | None:
    """The answer in a completion, read from JSON; None where it is none."""
    text = answer_of(trace, places)
    if text is None or len(text) > LONGEST:
        return None
    try:
        return read(loads(text))
    except (ValueError, RecursionError):
        return None


def golden(trace: Trace, read: Callable[[object], Read | None], what: str) -> Read:
    """The gold. Raises GoldError where it cannot be read."""
    found = read(trace.gold)
    if found is None:
        raise GoldError(f"the gold answer {trace.gold!r:.80} is not {what}: mend the example")
    return found


def iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    if wide <= 0 or high <= 0:
        return 0.0
    inside = wide * high
    return inside / (area(first) + area(second) - inside)


def area(of: Box) -> float:
    """Of a box."""
    return (of[2] - of[0]) * (of[3] - of[1])
