"""Several seeds of one configuration side by side, each in a process of its own, without oversubscribing the cores."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import IO, Any

from operant.cli import compare
from operant.cli.say import say, tell
from operant.config.resolve import Resolved
from operant.config.streams import Lenient, steerable
from operant.config.text import command
from operant.config.values import duration
from operant.config.write import toml_value
from operant.run import interrupt
from operant.run.folder import RunFolder
from operant.workers.kept import end_kept, start_kept
from operant.workers.pool import cores

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
POLL = 0.2
"""Seconds between two looks at the processes."""
LINE_EVERY = 30.0
"""Seconds between two lines of progress where standard error is no terminal."""
INTERRUPTED = 130


@dataclass
class Seed:
    """One run of the fleet. `code` is its exit code once it has ended, 0 for success."""

    seed: int
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None  # what it wrote to standard error
    code: int | None = None
    path: Path | None = None  # its run folder, once it has named it
    step: int = 0
    recent: float | None = None  # the latest training return
    env: str = ""  # where runs of several environments stand side by side
    total: int = 0  # steps of the run, where they differ

    @property
    def error(self) -> str:
        """The last line that it said, which names the error where there was one."""
        lines = [line for line in self.said().splitlines() if line.strip()]
        return (lines[-1].removeprefix("error: ") if lines else "it said nothing").strip()

    @property
    def score(self) -> float | None:
        """Mean return of the final evaluation; None unless it finished."""
        if self.path is None or self.code != 0:
            return None
        evaluation = RunFolder(self.path).info().get("evaluation")
        return float(evaluation["mean"]) if evaluation else None

    def said(self) -> str:
        """Its standard error so far, read without moving the position at which it writes."""
        if self.log is None:
            return ""
        return os.pread(self.log.fileno(), 1_000_000, 0).decode("utf-8", "replace")

    def look(self) -> None:
        """Read how far it is, and whether it has ended."""
        assert self.process is not None
        code = self.process.poll()
        self.code = code if code is None or code >= 0 else 128 - code  # ended by a signal: as a shell says it
        if self.path is None:
            whole = [line for line in self.said().splitlines(keepends=True) if line.endswith("\n")]
            named = [line.strip() for line in whole if line.startswith("Run folder: ")]
            self.path = Path(named[0].removeprefix("Run folder: ")) if named else None
        if self.path is not None:
            for row in _tail(self.path / "metrics" / "live.jsonl"):
                self.step = max(self.step, int(row.get("step", 0)))
                value = row.get("train/return")
                self.recent = float(value) if isinstance(value, int | float) else self.recent


@dataclass
class Fleet:
    """Runs of several seeds, at most `workers` at a time, each with `threads` threads."""

    seeds: list[Seed]
    workers: int
    threads: int
    waiting: deque[Seed] = field(init=False)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.waiting = deque(self.seeds)

    @property
    def running(self) -> list[Seed]:
        """Those whose process goes on."""
        return [each for each in self.seeds if each.process is not None and each.code is None]

    def run(self, watch: Callable[[Fleet], None]) -> None:
        """Run all to their end; `watch(self)` is called a few times a second and may call `stop`.

        The first Ctrl-C (or SIGTERM) stops all, each of which saves what it learnt; so does the second, at once. If
        this process fails, none is left behind.
        """
        with _forwarded(self.stop):
            try:
                while self.waiting or self.running:
                    while self.waiting and len(self.running) < self.workers:
                        self._start(self.waiting.popleft())
                    time.sleep(POLL)
                    for each in self.running:
                        each.look()
                    watch(self)
            finally:
                for each in self.running:
                    assert each.process is not None
                    end_kept(each.process)

    def stop(self) -> None:
        """Interrupt all that run, and start no other."""
        self.stopped = True
        self.waiting.clear()
        for each in self.running:
            assert each.process is not None
            each.process.send_signal(signal.SIGINT)

    def _start(self, each: Seed) -> None:
        each.log = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
        each.process = start_kept(  # in its own session: a Ctrl-C reaches it through `stop` alone, and once
            each.command,
            stdout=each.log,
            stderr=each.log,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(self.threads)),
        )


def fleet(
    algorithm: str,
    env: str,
    *,
    file: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    seeds: Sequence[int],
    runs: Path | str = "runs",
    threads: int = 1,
) -> Fleet:
    """The processes that train these seeds; each is the command that a person would type for one of them."""
    words = [algorithm, *([env] if env else []), *([f"@{file}"] if file is not None else [])]
    given = {key: value for key, value in (overrides or {}).items() if key != "seed"}
    flags = [f"--{key}={value if isinstance(value, str) else toml_value(value)}" for key, value in given.items()]
    start = [sys.executable, "-m", "operant.cli.main", "train", *words, *flags, "--runs", str(runs)]
    found = [Seed(seed, [*start, "--seed", str(seed)]) for seed in seeds]
    return Fleet(found, workers=max(1, min(len(found), cores() // threads)), threads=threads)


def train_seeds(
    algorithm: str,
    env: str,
    *,
    seeds: Sequence[int],
    file: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    runs: Path | str = "runs",
    threads: int = 1,
    total_steps: int = 0,
    quiet: bool = False,
) -> list[Seed]:
    """Train several seeds side by side and return them, each with its exit code, run folder and score.

    A seed that fails leaves the others alone. After an interruption those not started have no process.

    Args:
        algorithm: as `operant.train`.
        env: a Gymnasium id, or "module:callable".
        seeds: which.
        file: a TOML file of settings.
        overrides: dotted settings; a seed among them is left out.
        runs: where the run folders are made.
        threads: of each process; as many processes run together as the cores hold.
        total_steps: of one run, to tell the time left.
        quiet: show no progress.
    """
    all_of_them = fleet(algorithm, env, file=file, overrides=overrides, seeds=seeds, runs=runs, threads=threads)
    line = Line(total_steps, quiet=quiet)
    all_of_them.run(line)
    line.end()
    return all_of_them.seeds


def verb(args: argparse.Namespace, resolved: Resolved) -> int:
    """`operant train ... --seeds N`: train, say how each ended, and the score over seeds."""
    cfg = resolved.config
    numbers = range(cfg.seed, cfg.seed + args.seeds)
    say(f"Seeds {numbers[0]} to {numbers[-1]}, {min(len(numbers), cores() // cfg.threads) or 1} at a time.")
    seeds = train_seeds(
        args.algorithm,
        args.env,
        seeds=numbers,
        file=args.file,
        overrides=args.overrides,
        runs=args.runs,
        threads=cfg.threads,
        total_steps=cfg.total_steps,
    )
    for each in seeds:
        say(f"Seed {each.seed}: {_ending(each)}")
    scores = [score for each in seeds if (score := each.score) is not None]
    if scores:
        from operant.cli.compare import interval
        from operant.view.compare import score

        tell(f"interquartile mean of the final evaluation {interval(score(scores))}")
    if paths := [each.path for each in seeds if each.path is not None]:
        say(f"Next: {command('compare', *paths)}")
    return exit_code(seeds)


def several(args: argparse.Namespace, each: Sequence[Resolved]) -> int:
    """`operant train ALGO A B C [--seeds N]`: train side by side, say how each ended, and compare those that did."""
    threads, runs = max(one.config.threads for one in each), list[Seed]()
    for env, one in zip(args.envs, each, strict=True):
        numbers = range(one.config.seed, one.config.seed + (args.seeds or 1))
        made = fleet(args.algorithm, env, file=args.file, overrides=args.overrides, seeds=numbers, runs=args.runs)
        runs += [replace(seed, env=env, total=one.config.total_steps) for seed in made.seeds]
    together = Fleet(runs, workers=max(1, min(len(runs), cores() // threads)), threads=threads)
    say(f"{len(runs)} runs of {len(each)} environments, {together.workers} at a time.")
    line = Line(0, quiet=False)
    together.run(line)
    line.end()
    for run in runs:
        say(f"{run.env}, seed {run.seed}: {_ending(run)}")
    if done := [str(run.path) for run in runs if run.code == 0]:
        compare.verb(argparse.Namespace(run=done, runs=args.runs, out=None, json=False))
    return exit_code(runs)


def exit_code(seeds: Sequence[Seed]) -> int:
    """128 + the signal that ended them if any was interrupted or never started, else of the first failure, else 0."""
    codes = [INTERRUPTED if each.code is None else each.code for each in seeds]
    if INTERRUPTED in codes:
        return 128 + (interrupt.received() or signal.SIGINT)
    return next((code for code in codes if code), 0)


def _ending(each: Seed) -> str:
    from operant.view.formatting import number

    if each.process is None:
        return "not started."
    if each.code == 0:
        return f"return {number(each.score)} in {each.path}"
    where = f" in {each.path}" if each.path is not None else ""
    if each.code == INTERRUPTED:
        return each.error if where else "interrupted before it began."
    return f"failed with exit code {each.code}{where}: {each.error}"


class Line:
    """One line of progress for all: rewritten in place on a terminal, now and then elsewhere."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self.total, self.quiet = total, quiet
        self.begun = self.last = time.monotonic()
        self.file = Lenient(sys.stderr)
        self.terminal = steerable(sys.stderr)
        self.width = 0

    def __call__(self, running: Fleet) -> None:
        every = 1.0 if self.terminal else LINE_EVERY
        if self.quiet or time.monotonic() - self.last < every:
            return
        self.last = time.monotonic()
        text = self.text(running)
        if self.terminal:
            self.file.write("\r" + text.ljust(self.width))
            self.width = len(text)
            self.file.flush()
        else:
            say(text)

    def text(self, running: Fleet) -> str:
        """`2 of 5 seeds done: 41 % of all steps, 12,300 steps/s, return 231.4 (interquartile mean), 40 s left`."""
        from operant.data.stats import iqm

        seeds = running.seeds
        done = sum(each.code is not None for each in seeds)
        totals = [each.total or self.total for each in seeds]
        steps = sum(of if s.code is not None else min(s.step, of) for s, of in zip(seeds, totals, strict=True))
        speed = sum(each.step for each in seeds) / max(time.monotonic() - self.begun, 1e-9)
        mixed, share = any(each.env for each in seeds), 100 * steps / max(1, sum(totals))  # of several environments
        parts = [f"{done} of {len(seeds)} {'runs' if mixed else 'seeds'} done: {share:.0f} % of all steps"]
        parts += [f"{speed:,.0f} steps/s"] if speed else []
        recent = [each.recent for each in seeds if each.recent is not None]
        parts += [f"return {iqm(recent):.1f} (interquartile mean)"] if recent and not mixed else []
        if speed:
            parts.append(f"{duration((sum(totals) - steps) / speed)} left")
        return ", ".join(parts) + (", stopping" if running.stopped else "")

    def end(self) -> None:
        """Leave the line clear."""
        if self.width:
            self.file.write("\r" + " " * self.width + "\r")


def _tail(path: Path) -> list[dict[str, Any]]:
    """The last whole rows of a file of JSON lines; none where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    rows: list[dict[str, Any]] = []
    for line in lines:
        with suppress(json.JSONDecodeError):
            row = json.loads(line)
            rows += [row] if isinstance(row, dict) else []
    return rows


@contextmanager
def _forwarded(stop: Callable[[], None]) -> Generator[None]:
    """Call `stop` at every Ctrl-C, SIGTERM or hang-up instead of ending this process; only a main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        interrupt.note(number)
        stop()

    ignored = {each for each in interrupt.ASKS if each != signal.SIGINT and signal.getsignal(each) is signal.SIG_IGN}
    before = {each: signal.signal(each, handle) for each in interrupt.ASKS if each not in ignored}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
