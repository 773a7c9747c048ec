"""Trainings one after the other, each from the model of the last: stopped, they go on behind the last that is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from operant.api import Run
from operant.run.log import append_log, read_log
from operant.run.schemas import NUMBER

NOTE: dict[str, tuple[type, ...]] = {"model": (str,), "seconds": NUMBER}


def in_stages(notes: Path, count: int, base: str, one: Callable[[int, str], Run]) -> tuple[str, dict[str, float]]:
    """The last stage's model, and the numbers of all.

    What is finished is noted, a line each. What was stopped goes on behind its last note, and comes to the same: a
    stage is a function of the seed and of the model that it begins from.

    Args:
        notes: the file.
        count: of stages.
        base: the model that the first begins from.
        one: trains stage k, from a model.
    """
    model, numbers = base, dict[str, float]()
    done = read_log(notes, NOTE)
    for number in range(count):
        if number >= len(done):
            began, run = time.perf_counter(), one(number, model)
            note = {"model": str(run.path), "seconds": time.perf_counter() - began, **learnt(run)}
            append_log(notes, note)
            done.append(note)
        told = dict(done[number])
        model, seconds = str(told.pop("model")), numbers.get("seconds", 0.0) + told.pop("seconds")
        numbers |= told | {"seconds": seconds}
    return model, {"seconds": 0.0} | numbers


def learnt(run: Run) -> dict[str, float]:
    """Of a run by reward: the share of groups without a contrast, and of the entropy at its start what is left."""
    if "group/equal" not in run.metrics:
        return {}
    equal, entropy = (run.metrics[name].dropna().tolist() for name in ("group/equal", "policy/entropy"))
    return {"no contrast": fmean(equal), "entropy": entropy[-1] / entropy[0]}
