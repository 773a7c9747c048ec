"""Drain an algorithm into a run folder: log, check, evaluate, save."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

import torch

from operant.config.errors import NonFiniteError
from operant.config.schema import EvalConfig, SaveConfig
from operant.data.stats import iqm
from operant.data.trajectory import Metrics
from operant.policy.agent import Agent
from operant.rollout.evaluate import Evaluation
from operant.training import checkpoint
from operant.training.folder import RunFolder, write_json
from operant.training.progress import Progress


class Counter(Protocol):
    """Whatever counts the environment's steps; a collector does."""

    steps: int
    seconds: float


@dataclass
class Job:
    """One training run: an algorithm and all that it changes.

    `algorithm` is any iterator of metrics; the drain does not know which. `evaluate(episodes)` measures the agent as it
    stands, under the protocol `eval`. `phases` counts the seconds spent in each phase.
    """

    algorithm: Iterator[Metrics]
    agent: Agent
    optimizer: torch.optim.Optimizer
    counter: Counter
    evaluate: Callable[[int], Evaluation]
    total_steps: int
    eval: EvalConfig
    save: SaveConfig
    phases: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("collect", "learn", "evaluate", "save"), 0.0)
    )


def drain(job: Job, folder: RunFolder, tell: Progress) -> str:
    """Run a job until its steps are done or a person interrupts; returns the status, "finished" or "interrupted".

    After every iteration the metrics are written; a checkpoint is saved when it is due and when the run ends, also
    when it is interrupted: the first Ctrl-C ends the run after the iteration under way, the second at once.

    Raises:
        NonFiniteError: if a metric is NaN or infinite. The row is written, no checkpoint is.
    """
    phases = job.phases
    start = time.monotonic()
    best, evaluated, saved = -math.inf, 0, 0

    def snapshot() -> None:
        with timed(phases, "save"):
            state = {"step": job.counter.steps, "seconds": time.monotonic() - start}
            checkpoint.save(folder.path, job.agent, job.optimizer, state, keep=job.save.keep)
            folder.update(steps=job.counter.steps, seconds=time.monotonic() - start, phases=phases)

    with _interruptible() as interrupted:
        while job.counter.steps < job.total_steps and not interrupted.is_set():
            before, collected, steps = time.perf_counter(), job.counter.seconds, job.counter.steps
            metrics = {name: float(value) for name, value in next(job.algorithm).items()}
            took, collecting = time.perf_counter() - before, job.counter.seconds - collected
            phases["collect"] += collecting
            phases["learn"] += took - collecting
            step = job.counter.steps
            metrics |= {"phase/learn": took - collecting, "speed/steps_per_second": (step - steps) / took}
            if job.eval.every and step // job.eval.every > evaluated:
                evaluated = step // job.eval.every
                with timed(phases, "evaluate"):
                    result = job.evaluate(job.eval.during)
                record_evaluation(folder, step, result, job.eval)
                metrics |= summary(result, prefix="eval/return_")
                metrics |= {"eval/length": float(result.lengths.mean()), "eval/episodes": len(result.returns)}
            folder.writer.write(step, time.monotonic() - start, metrics)
            _check(metrics, step)
            tell(step, metrics, phases)
            if job.save.every and step // job.save.every > saved:
                saved = step // job.save.every
                snapshot()
            if metrics.get("eval/return_mean", -math.inf) > best:
                best = metrics["eval/return_mean"]
                snapshot()
                last = (folder.path / "checkpoints" / "latest").resolve()
                checkpoint.point(folder.path / "checkpoints" / "best", last)
        snapshot()
        return "finished" if job.counter.steps >= job.total_steps else "interrupted"


def summary(result: Evaluation, prefix: str = "") -> dict[str, float]:
    """Mean, standard deviation over episodes and interquartile mean of the returns."""
    returns = result.returns
    values = {"mean": returns.mean(), "std": returns.std(), "iqm": iqm(returns)}
    return {prefix + name: float(value) for name, value in values.items()}


def record_evaluation(folder: RunFolder, step: int, result: Evaluation, protocol: EvalConfig) -> dict[str, Any]:
    """Write `evals/step-<8 digits>.json` with every return, and note the summary in `run.json`; returns the summary."""
    short: dict[str, Any] = summary(result) | {
        "episodes": len(result.returns),
        "deterministic": protocol.deterministic,
        "seed": protocol.seed,
    }
    full = {"step": step, **short, "returns": result.returns.tolist(), "lengths": result.lengths.tolist()}
    write_json(folder.path / "evals" / f"step-{step:08d}.json", full)
    folder.update(evaluation=short)
    return short


def _check(metrics: Mapping[str, float], step: int) -> None:
    # The variance explained is 0/0 where all targets are equal, as in an environment of constant reward.
    bad = [k for k, v in metrics.items() if not math.isfinite(v) and k != "value/explained_variance"]
    if bad:
        raise NonFiniteError(
            f"{', '.join(bad)} became non-finite at step {step}; the parameters cannot be trusted from here and were "
            "not saved. Lower algo.lr, or set policy.normalize_obs and policy.normalize_reward."
        )


@contextmanager
def timed(phases: dict[str, float], name: str) -> Generator[None]:
    """Add the wall time of a block, in seconds, to a phase."""
    start = time.perf_counter()
    yield
    phases[name] += time.perf_counter() - start


@contextmanager
def _interruptible() -> Generator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets; the second interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
