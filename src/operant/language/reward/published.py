"""Rewards as they were published, holes and all: to show what a policy makes of them, and never to train one for use.

Each names the hole, and what stands in its place here. Definitions after the public code of each system; none of it is
copied.
"""

from __future__ import annotations

import math
import re
from typing import Any

from operant.config.bounded import loads
from operant.language.reward.detection import WHAT, matches, mean_precision
from operant.language.reward.number import number
from operant.language.reward.places import box as read_box
from operant.language.reward.places import detections, golden, iou, point
from operant.language.reward.spatial import call_worth, calls_of, inside
from operant.language.reward.trace import Trace, reward


def tagged_or_whole(text: str) -> str:
    """What stands in the first <answer>, or everything."""
    found = re.search(r"<answer>(.*?)</answer>", text, re.DOTALL)
    return (found[1] if found else text).strip()


def _read(trace: Trace) -> Any:
    try:
        return loads(tagged_or_whole(trace.completion)[:20_000])
    except ValueError:
        return None


@reward(pure=True)
def substring_both_ways(trace: Trace) -> float:
    """Visual-RFT's classification: the answer may hold the gold, or the gold the answer. An empty answer, a letter and
    a list of all classes are right. Here: `Exact`."""
    answer, gold = tagged_or_whole(trace.completion).lower(), str(trace.gold).lower()
    return float(answer in gold or gold in answer)


@reward(pure=True)
def number_anywhere(trace: Trace) -> float:
    """R1-V's and CLS-RL's accuracy: the whole completion is searched before its tag is looked at. Here: `Numeric`."""
    return float(str(trace.gold) in re.findall(r"\d+", trace.completion))


@reward(pure=True)
def unparsable_gold_pays(trace: Trace) -> float:
    """MM-Eureka's accuracy: a gold that cannot be parsed gives 1 to everything. Here: `Numeric`, which raises."""
    gold = number(str(trace.gold))
    return 1.0 if gold is None else float(number(tagged_or_whole(trace.completion)) == gold)


@reward(best=None, pure=True)
def overwritten_cosine(trace: Trace) -> float:
    """VLM-R1's cosine reward: right is set to 1 before it is asked for, so that wrong answers have the schedule of
    right ones, up to 100 tokens. Here: `CosineLength`."""
    return 0.75 + 0.25 * math.cos(math.pi * min(len(trace.tokens) / 100, 1.0))


@reward(best=None, pure=True)
def steps_pay_the_wrong(trace: Trace) -> float:
    """R1-VL's accuracy: 1 for the answer, and 0.1 of the key steps it names, right or not. With 1 for a valid layout a
    stuffed wrong answer outranks a right one. Here: `KeySteps`."""
    steps = [str(s) for s in trace.metadata["key_steps"]]
    named = sum(s.lower() in trace.completion.lower() for s in steps) / len(steps)
    return float(tagged_or_whole(trace.completion) == str(trace.gold)) + 0.1 * named


@reward(pure=True)
def plain_mean_precision(trace: Trace) -> float:
    """mAP alone: boxes after the last right one cost nothing, so that many are listed. Here: `MeanPrecision`."""
    gold, found = golden(trace, detections, WHAT), detections(_read(trace))
    if not gold or not found:
        return float(not gold and found == [])
    return mean_precision(found, gold)


@reward(best=None, pure=True)
def mean_confidence(trace: Trace) -> float:
    """Visual-RFT's detection without its format term: Σ IoU / max(found, there), and the mean of c where a box is
    matched and of 1 - c where not, so that boxes that are made up with c = 0 are paid. Here: `Detection`."""
    gold, found = golden(trace, detections, WHAT), detections(_read(trace))
    if not found or not gold:
        return float(not gold and found == [])
    matched = matches(found, gold, 0.5)
    sure = sum(f.confidence if m else 1 - f.confidence for f, m in zip(found, matched, strict=True)) / len(found)
    return sum(matched) / max(len(gold), len(found)) + sure


@reward(best=None, pure=True)
def keys_by_prefix(trace: Trace) -> float:
    """Seg-Zero's sum without its thinking term, at a side of 840: layout takes any key that begins with "bbox" and
    "point", accuracy reads "points" alone, and layout is paid however wrong the rest. Here: `BoxAndPoints`."""
    told = _read(trace)
    if not isinstance(told, dict):
        return 0.0
    names: list[str] = [str(k) for k in told]  # pyright: ignore[reportUnknownArgumentType]
    laid_out = any(n.startswith("bbox") for n in names) and any(n.startswith("point") for n in names)
    gold: Any = trace.gold
    place = read_box(told.get("bbox"))
    points = [point(p) for p in told.get("points") or []]
    total = float(laid_out)
    if place is not None:
        total += float(iou(place, tuple(gold["box"])) > 0.5)
        total += float(sum(abs(a - b) for a, b in zip(place, gold["box"], strict=True)) / 4 < 10)
        kept = [p for p in points if p is not None and inside(p, place)]
        if len(kept) == 2:
            pairs = ((kept, gold["points"]), (kept, gold["points"][::-1]))
            total += float(min(sum(math.dist(p, q) for p, q in zip(a, b, strict=True)) / 2 for a, b in pairs) < 100)
    return total


@reward(best=None, pure=True)
def calls_paid_again(trace: Trace) -> float:
    """Calls that are each held against all of the gold, summed over the number of the gold alone: one right call said
    twice is paid twice. Here: `Calls`."""
    gold = calls_of(trace.gold) or []
    found = calls_of([c for c in re.split(r"[;\n]", tagged_or_whole(trace.completion)) if c.strip()]) or []
    return sum(max(call_worth(f, g) for g in gold) for f in found) / max(len(gold), 1)


@reward(best=None, pure=True)
def type_pays_alone(trace: Trace) -> float:
    """UI-R1's sum without its form: 1 for the action, 1 for a point in the box, each whatever the other is, so that a
    wrong action is paid for its place, and any place for its action. Here: `Acted`."""
    told, gold = _read(trace), trace.gold
    if not isinstance(told, dict):
        return 0.0
    at = point(told.get("point"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    acted = float(told.get("action") == gold["action"])  # pyright: ignore[reportUnknownMemberType]
    return acted + float("box" not in gold or (at is not None and inside(at, tuple(gold["box"]))))


@reward(pure=True)
def criteria_summed(trace: Trace) -> float:
    """Vision-R1's criteria as a mean of recall, precision and fit at a threshold of ½: boxes everywhere are paid their
    recall. Here: `Criteria`."""
    gold, found = golden(trace, detections, WHAT), detections(_read(trace))
    if not gold or not found:
        return float(not gold and found == [])
    matched = matches(found, gold, 0.5)
    hit = sum(m > 0 for m in matched)
    return (hit / len(gold) + hit / len(found) + sum(matched) / len(found)) / 3
