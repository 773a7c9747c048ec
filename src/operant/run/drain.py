"""Drain an algorithm into a run folder: log, check, evaluate, save."""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from operant.config.errors import DiskError, NonFiniteError
from operant.config.schema import EvalConfig
from operant.data.stats import iqm
from operant.run import checkpoint, interrupt, nonfinite
from operant.run.evaluate import Evaluation, NoCopies
from operant.run.folder import RunFolder, write_json
from operant.run.job import Job
from operant.run.progress import Progress
from operant.run.stop import Watch


def drain(job: Job, folder: RunFolder, tell: Progress, watch: Sequence[Watch] = ()) -> str:
    """Run a job until its steps are done or a person interrupts; returns the status, "finished" or "interrupted".

    Each of `watch` is given each row of metrics; where one says why, training ends there, finished.

    After every iteration the metrics are written; a checkpoint is saved when one is due, when an evaluation was the
    best so far, and when the run ends, also when it fails or is interrupted: the first signal
    (`operant.run.interrupt`) ends the run after the iteration under way, the second at once. A checkpoint is a seam:
    the run that goes on does what a resumed run must do, so that both execute the same instructions from there.

    Raises:
        NonFiniteError: if a metric, a parameter or the optimiser's state is NaN or infinite. The row is written and the
            batch is kept (see `operant.run.nonfinite`), no checkpoint is.
    """
    at, counter, before = job.at, job.counter, job.at.seconds
    job.kept, clock, stopped = at.step, time.monotonic(), ""
    guard = nonfinite.Guard(job, folder)
    with interrupt.held() as interrupted, _saved_if_it_fails(job, folder), guard.kept():
        while counter.steps < job.total_steps and not interrupted.is_set():
            metrics = _iterate(job)
            at.step, at.episodes, at.seconds = counter.steps, counter.episodes, before + time.monotonic() - clock
            guard.check(metrics)
            best = _evaluate_if_due(job, folder, metrics)
            folder.writer.write(at.step, at.seconds, metrics)
            if bad := nonfinite.not_finite(metrics):
                raise nonfinite.metric_fault(bad, at.step)
            if job.keep is not None:
                job.keep(folder.path, at.step)
            tell(at.step, metrics, job.phases)
            row = {"step": at.step, "time": at.seconds, **metrics} if watch else {}
            stopped = next(filter(None, [each(row) for each in watch]), "")
            if at.step >= job.total_steps or interrupted.is_set() or stopped:
                break
            if best or at.step // every(job.save.every, job.total_steps) > at.saved:
                snapshot(job, folder)
                job.begin(at)
        finished = counter.steps >= job.total_steps
        if counter.steps > job.kept:
            at.exact = at.exact and finished
            snapshot(job, folder)
        if stopped and not finished:
            folder.update(stopped={"step": at.step, "why": stopped})
    at.seconds = before + time.monotonic() - clock
    return "finished" if finished or stopped else "interrupted"


def snapshot(job: Job, folder: RunFolder) -> None:
    """Write a checkpoint at a new seam; `best` follows where the last evaluation was the best."""
    job.at.seam += 1
    job.kept = job.at.step
    job.at.saved = job.at.step // every(job.save.every, job.total_steps)
    with timed(job.phases, "save"):
        path = checkpoint.save(folder.path, job.learned, asdict(job.at), keep=job.save.keep, nth=job.save.nth)
        if job.at.best_step == job.at.step:
            checkpoint.point(path.with_name("best"), path)
        differs = {} if job.at.exact else {"exact": False}
        folder.update(steps=job.at.step, seconds=job.at.seconds, phases=job.phases, **differs)


@contextmanager
def _saved_if_it_fails(job: Job, folder: RunFolder) -> Generator[None]:
    """Save what was learnt before the iteration that raises; a disk or numbers that are no good are not asked again."""
    try:
        yield
    except (NonFiniteError, DiskError):
        raise
    except BaseException:
        if job.at.step > job.kept and job.learned.finite():
            job.at.exact = False
            with interrupt.shielded(), suppress(DiskError):  # the first error is shown
                snapshot(job, folder)
        raise


def every(interval: int | None, total_steps: int) -> int:
    """Steps between checkpoints: as set, or a tenth of the run but not so often that seams cut most episodes short."""
    return interval or max(50_000, total_steps // 10)


def _iterate(job: Job) -> dict[str, float]:
    """One iteration of the algorithm, with its speed."""
    start, collected, steps = time.perf_counter(), job.counter.seconds, job.counter.steps
    metrics = {name: float(value) for name, value in next(job.algorithm).items()}
    took, collecting = time.perf_counter() - start, job.counter.seconds - collected
    job.phases["collect"] += collecting
    job.phases["learn"] += took - collecting
    return metrics | {"phase/learn": took - collecting, "speed/steps_per_second": (job.counter.steps - steps) / took}


def _evaluate_if_due(job: Job, folder: RunFolder, metrics: dict[str, float]) -> bool:
    """Add an evaluation to `metrics` where one is due; says whether it was the best so far."""
    at = job.at
    if job.eval.every is None or at.step // job.eval.every <= at.evaluated:
        return False
    at.evaluated = at.step // job.eval.every
    try:
        with timed(job.phases, "evaluate"):
            result = job.evaluate(job.eval.during)
    except NoCopies as error:
        warnings.warn(
            f"not evaluated at step {at.step:,}: {error}. The environments of training are open meanwhile: where there "
            "can be but one, leave eval.every unset; the policy is measured when training is done",
            stacklevel=2,
        )
        return False
    more = job.keep_evaluation(folder.path, at.step) if job.keep_evaluation is not None else {}
    record_evaluation(folder, at.step, result, job.eval, more)
    metrics |= more | summary(result, prefix="eval/return_")
    metrics |= {"eval/length": float(result.lengths.mean()), "eval/episodes": float(len(result.returns))}
    if result.cut:
        metrics["eval/cut"] = float(result.cut)
    if at.best is not None and metrics["eval/return_mean"] <= at.best:
        return False
    at.best, at.best_step = metrics["eval/return_mean"], at.step
    return True


def summary(result: Evaluation, prefix: str = "") -> dict[str, float]:
    """Mean, standard deviation over episodes and interquartile mean of the returns."""
    returns = result.returns
    values = {"mean": returns.mean(), "std": returns.std(), "iqm": iqm(returns)}
    return {prefix + name: float(value) for name, value in values.items()}


def record_evaluation(
    folder: RunFolder, step: int, result: Evaluation, protocol: EvalConfig, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write every return, and `more`, into `evals/`, in a file that names step and protocol; returns the summary."""
    beside = {name.removeprefix("eval/"): value for name, value in (more or {}).items()}
    short: dict[str, Any] = (
        summary(result)
        | result.marks(protocol)
        | beside
        | {
            "episodes": len(result.returns),
            "deterministic": protocol.deterministic,
            "seed": protocol.seed,
        }
    )
    full = {"step": step, **short, "returns": result.returns.tolist(), "lengths": result.lengths.tolist()}
    how = "mode" if protocol.deterministic else "sampled"
    name = f"step-{step:08d}-{how}-{len(result.returns)}-s{protocol.seed}.json"
    write_json(folder.path / "evals" / name, full)
    return short


@contextmanager
def timed(phases: dict[str, float], name: str) -> Generator[None]:
    """Add the wall time of a block, in seconds, to a phase."""
    start = time.perf_counter()
    try:
        yield
    finally:
        phases[name] = phases.get(name, 0.0) + time.perf_counter() - start
