"""What is said of lists of boxes that models answer: how long they are, how precise, how honest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operant.config.bounded import loads
from operant.language.episodes.rollout_files import RolloutRow
from operant.language.reward.detection import matches, mean_precision
from operant.language.reward.places import Found, detections
from operant.language.task.task import Task
from operant.recipes.answers import answer
from operant.recipes.recipe import Numbers


def boxes(text: str | None) -> list[Found]:
    """The boxes of an answer; none where it is none."""
    try:
        return detections(loads(text or "")) or []
    except ValueError:
        return []


def listed(task: Task, rows: Sequence[RolloutRow]) -> Numbers:
    """Boxes said for each that is there, over all sampled answers, and the precision alone of greedy ones."""
    said, there, plain = 0, 0, list[float]()
    for row in rows:
        gold, found = task.test[row.prompt_id].gold, boxes(answer(task, row))
        if row.mode == "sampled":
            said, there = said + len(found), there + len(gold)
        elif gold:
            plain.append(mean_precision(found, detections(gold) or []) if found else 0.0)
    return {"boxes": said / max(there, 1), "precision": sum(plain) / max(len(plain), 1)}


def calibrated(task: Task, rows: Sequence[RolloutRow]) -> Numbers:
    """ECE of the boxes of sampled answers: Σ over ten bins of confidence n/N |mean confidence - share that is matched
    by an IoU above ½|; 1 where no box is said. (Guo et al. 2017, arXiv:1706.04599.)"""
    sure, hit = list[float](), list[bool]()
    for row in (r for r in rows if r.mode == "sampled"):
        found = boxes(answer(task, row))
        sure += [f.confidence for f in found]
        hit += [m > 0 for m in matches(found, detections(task.test[row.prompt_id].gold) or [], 0.5)]
    if not sure:
        return {"ece": 1.0}
    each = np.minimum((np.array(sure) * 10).astype(int), 9)
    off = [abs(np.mean(np.array(sure)[each == b]) - np.mean(np.array(hit)[each == b])) * np.mean(each == b)
           for b in set(each.tolist())]  # fmt: skip
    return {"ece": float(sum(off))}
