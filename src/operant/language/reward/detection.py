"""Rewards for detection: which things are there, and where. A box is paid for once, and what is not there costs.

The published forms stand in `operant.language.reward.published`, so that what they can be made to pay can be seen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from operant.config.errors import ConfigError
from operant.language.reward.answer import check_places
from operant.language.reward.places import Found, answered, detections, golden, iou
from operant.language.reward.trace import Trace

THRESHOLDS = tuple(t / 100 for t in range(50, 100, 5))
WHAT = "a list of boxes [x0, y0, x1, y1], or of tables with box, label and confidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lists(ABC):
    """A list of boxes against the gold one: unreadable is worth 0, nothing found where nothing is 1."""

    answer: tuple[str, ...] = ("whole",)

    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_places(self.answer)

    def __call__(self, trace: Trace) -> float:
        gold, found = golden(trace, detections, WHAT), answered(trace, self.answer, detections)
        if found is None:
            return 0.0
        return self.value(found, gold) if gold and found else float(len(gold) == len(found))

    @abstractmethod
    def value(self, found: Sequence[Found], gold: Sequence[Found]) -> float:
        """Of lists that are not empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matched(_Lists):
    """One whose boxes are matched by an IoU above `threshold`."""

    threshold: float = 0.5

    def __post_init__(self) -> None:
        _Lists.__post_init__(self)  # a dataclass with slots is a class anew, which `super()` does not know
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"{type(self).__name__} needs 0 ≤ threshold < 1, not {self.threshold}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection(_Matched):
    """Matched boxes and honest confidence: ½ (Σ IoU + max(0, Σ b)) / max(number found, number there).

    Boxes are matched in the order of their confidence, each to the gold of its label that it covers best, if by more
    than `threshold`. b is Brier's score of a box's confidence c, 1 - (1 - c)² where it is matched and -c² where not, so
    that it pays to be as sure as one is right. Nothing found where nothing is: 1. (Visual-RFT, arXiv:2503.01785, whose
    mean of c or 1 - c pays for boxes that are made up with c = 0.)

    Args:
        answer: where the answer stands, a JSON list; see `operant.language.reward.answer`.
        threshold: IoU that a match exceeds.
        confidence: whether it counts; else the value is Σ IoU / max(number found, number there).
    """

    confidence: bool = True

    def value(self, found: Sequence[Found], gold: Sequence[Found]) -> float:
        matched, most = matches(found, gold, self.threshold), max(len(found), len(gold))
        covered = sum(matched) / most
        if not self.confidence:
            return covered
        sure = sum(
            1 - (1 - f.confidence) ** 2 if overlap else -(f.confidence**2)
            for f, overlap in zip(found, matched, strict=True)
        )
        return (covered + max(0.0, sure / most)) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria(_Matched):
    """A list of boxes by three criteria: recall · ½ (precision + fit).

    A box counts where it is matched by an IoU above `threshold`: recall is matched / there, precision matched / found,
    the fit Σ IoU over those that are matched / found. Nothing found where nothing is: 1. (Vision-R1, arXiv:2503.18013,
    which raises the threshold while it learns, and sums the criteria, so that boxes everywhere are paid their recall.)

    Args:
        answer: where the answer stands, a JSON list; see `operant.language.reward.answer`.
        threshold: IoU that a match exceeds.
    """

    def value(self, found: Sequence[Found], gold: Sequence[Found]) -> float:
        matched = matches(found, gold, self.threshold)
        hit = sum(m > 0 for m in matched)
        return hit / len(gold) * (hit + sum(matched)) / len(found) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanPrecision(_Lists):
    """mAP · min(1, number there / number found): precision that no list of guesses raises.

    mAP is COCO's on one picture: over the labels that are there and IoU of 0.50, 0.55 … 0.95, the mean at 101 recalls
    of the best precision at that recall or a higher one, boxes in the order of their confidence. Nothing found where
    nothing is: 1. (VLM-R1's odLength reward, arXiv:2504.07615.)

    Args:
        answer: where the answer stands, a JSON list; see `operant.language.reward.answer`.
    """

    def value(self, found: Sequence[Found], gold: Sequence[Found]) -> float:
        return mean_precision(found, gold) * min(1.0, len(gold) / len(found))


def matches(found: Sequence[Found], gold: Sequence[Found], threshold: float) -> list[float]:
    """For each found box the IoU with the gold that it is matched to, 0 where it is to none."""
    left, matched = list(range(len(gold))), [0.0] * len(found)
    for i in sorted(range(len(found)), key=lambda i: -found[i].confidence):
        near = [(iou(found[i].box, gold[j].box), -j) for j in left if gold[j].label == found[i].label]
        best, j = max(near, default=(0.0, 0))
        if best > threshold:
            matched[i] = best
            left.remove(-j)
    return matched


def mean_precision(found: Sequence[Found], gold: Sequence[Found]) -> float:
    """COCO's mAP on one picture."""
    labels = sorted({g.label for g in gold})
    values = [
        _precision([f for f in found if f.label == label], [g for g in gold if g.label == label], threshold)
        for label in labels
        for threshold in THRESHOLDS
    ]
    return sum(values) / len(values)


def _precision(found: Sequence[Found], gold: Sequence[Found], threshold: float) -> float:
    """Average precision of one label at one threshold, by 101 recalls."""
    order = sorted(found, key=lambda f: -f.confidence)
    hit, points = 0, list[tuple[float, float]]()  # recall, precision after each box
    for k, overlap in enumerate(matches(order, gold, threshold - 1e-9)):
        hit += overlap > 0
        points.append((hit / len(gold), hit / (k + 1)))
    best = 0.0
    for k in reversed(range(len(points))):
        best = max(best, points[k][1])
        points[k] = points[k][0], best
    total, k = 0.0, 0
    for step in range(101):
        while k < len(points) and points[k][0] < step / 100 - 1e-12:
            k += 1
        total += points[k][1] if k < len(points) else 0.0
    return total / 101
