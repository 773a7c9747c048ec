"""What an attempt at training leaves said: how long it took, how the run stands, and how to go on with it."""

from __future__ import annotations

import shlex
import signal
import time
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from operant.config.errors import DiskError, OperantError
from operant.config.schema import EvalConfig
from operant.config.values import duration
from operant.run import interrupt
from operant.run.disk import FORBIDDEN
from operant.run.drain import record_evaluation, summary
from operant.run.evaluate import Evaluation
from operant.run.folder import RunFolder, now
from operant.run.interrupt import Interrupted
from operant.run.job import Job
from operant.run.mode import falls_behind


class Clock:
    """The wall time of a run, all its commands together, and how it divides into phases."""

    def __init__(self, folder: RunFolder, job: Job, began: float, then: Mapping[str, Any]) -> None:
        self.phases, self.began = job.phases, began
        self.before: float = then.get("wall") or then.get("seconds") or 0.0
        self.phases["set up"] = self.phases.get("set up", 0.0) + time.monotonic() - began
        self.first = dict(then.get("phases") or {})

    def __call__(self) -> dict[str, Any]:
        """`wall` and `phases` of run.json as they stand."""
        return {"wall": self.before + time.monotonic() - self.began, "phases": self.phases}

    def told(self, wall: float) -> str:
        """What this command took, by phase."""
        its = {name: seconds - float(self.first.get(name, 0.0)) for name, seconds in self.phases.items()}
        whole = wall - self.before
        its["else"] = whole - sum(its.values())
        shown = ", ".join(f"{name} {duration(s, 1)}" for name, s in its.items() if s >= max(0.05, 0.01 * whole))
        return f"Took {duration(whole, 1)} in all: {shown}."


@contextmanager
def truthful(folder: RunFolder) -> Generator[None]:
    """A run that ends before it is under way says so."""
    try:
        yield
    except BaseException as reason:
        with interrupt.shielded(), suppress(OperantError):
            if folder.info()["status"] == "started":
                stopped = isinstance(reason, KeyboardInterrupt)
                folder.update(status="interrupted" if stopped else "failed", ended=now(), error=str(reason) or None)
        raise


def parting(folder: RunFolder, step: int, status: str, stop: KeyboardInterrupt | None) -> Interrupted:
    """What to say of a run that a signal ended: whether training is done, what is kept, and how to go on."""
    number = getattr(stop, "number", None) or interrupt.received() or signal.SIGINT
    run, info = shlex.quote(str(folder.path)), folder.info()
    if status == "finished":
        left = "" if info.get("evaluation") else f"operant eval {run}, "
        what = "what follows it" if info.get("evaluation") else "its evaluation"
        text = f"Training is done, {step:,} steps, and is kept in {folder.path}; {what} was interrupted. "
        return Interrupted(f"{text}To go on: {left}operant report {run}", number)
    saved = info.get("steps") or 0
    if not saved:
        text = f"interrupted at step {step:,}, before anything was saved in {folder.path}. "
        return Interrupted(f"{text}To begin again: the same command", number)
    until = "" if saved == step else f"until step {saved:,} "
    text = f"interrupted at step {step:,}; training is not done. What was learnt {until}is in {folder.path}. "
    return Interrupted(f"{text}To go on: operant resume {run}", number)


def keep_evaluation(
    folder: RunFolder, step: int, result: Evaluation, protocol: EvalConfig, more: Mapping[str, Any], final: EvalConfig
) -> dict[str, Any]:
    """Keep an evaluation in `evals/`, where this user may write there; returns its summary.

    One of the end of a run, under the protocol `final`, stands for the final evaluation where that was interrupted.

    Warns:
        UserWarning: that it is not kept, or that the mode falls far behind what training returned.
    """
    try:
        short = record_evaluation(folder, step, result, protocol, more)
        info, full = folder.info(), (len(result.returns), protocol) == (final.episodes, final)
        if full and info["status"] == "finished" and info.get("steps") == step and not info.get("evaluation"):
            folder.update(evaluation=short, error=None)
        if protocol.deterministic and info.get("steps") == step and (note := falls_behind(folder.path, result, more)):
            warnings.warn(note, stacklevel=3)
        return short
    except DiskError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in FORBIDDEN:
            raise
        warnings.warn(f"the result is not kept: {error}", stacklevel=3)
        about = protocol.model_dump(include={"deterministic", "seed"})
        return {**summary(result), **result.marks(protocol), **about, **more, "episodes": len(result.returns)}
