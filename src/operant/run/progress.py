"""What a person sees while a run goes on: a live panel on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from operant.config.streams import Lenient, say, steerable
from operant.config.text import clean
from operant.config.values import duration

SHOWN = (
    ("KL", "policy/kl"),
    ("entropy", "policy/entropy"),
    ("value", "value/explained_variance"),
    ("ε", "policy/epsilon"),
    ("change", "value/change"),
    ("loss", "loss/nll"),
    ("loss", "loss/preference"),
    ("length", "completion/length"),
    ("cut", "completion/truncated"),
    ("mismatch", "sampler/mismatch"),
    ("greedy", "eval/accuracy_greedy"),
    ("sampled", "eval/accuracy_sampled"),
)
"""Metrics that the panel shows where they are measured, and what it calls them."""

RECENT = {"reward/mean": "reward", "train/return": "return", "loss/nll": "loss", "loss/preference": "loss"}
"""What a plain line tells, the first that is measured, and what it calls it."""

LINE_EVERY = 30.0
"""Seconds between the plain lines."""


class Progress(Protocol):
    """Told after every iteration how the run stands."""

    def __call__(self, step: int, metrics: Mapping[str, float], phases: Mapping[str, float]) -> None:
        """`step` steps are done, `metrics` were measured, `phases` seconds were spent in each phase so far."""
        ...


def progress(title: str, total_steps: int, *, first: int = 0, quiet: bool = False) -> AbstractContextManager[Progress]:
    """The panel where standard error is a terminal, lines where it is not, nothing where `quiet`.

    `first` steps were done before.
    """
    if quiet:
        return _Silent()
    clock = _Clock(total_steps, first)
    return _Panel(title, clock) if steerable(sys.stderr) else _Lines(title, clock)


def advance(done: int, total: int, unit: str) -> None:
    """Say how far an evaluation, a film or an export is, to whoever shows it: `done` of `total` of a `unit`."""
    if (shown := _shown.get()) is not None:
        shown(done, total, unit)


@contextmanager
def working(what: str, *, quiet: bool = False) -> Generator[None]:
    """Show what `advance` says inside: one line drawn anew on a terminal, a plain one now and then elsewhere."""
    if quiet:
        yield
        return
    began = said = time.monotonic()
    live: Live | None = None
    if steerable(sys.stderr):
        live = Live(Text(what, style="dim"), console=_console(), refresh_per_second=4, transient=True)

    def show(done: int, total: int, unit: str) -> None:
        nonlocal said
        text = f"{what}: {done:,} of {total:,} {unit}"
        if live is not None:
            live.update(Text(text, style="dim"))
        elif time.monotonic() - said >= LINE_EVERY:
            said = time.monotonic()
            left = (said - began) * (total / max(done, 1) - 1)
            say(f"{text}, {duration(left)} left" if done else text)

    with _showing(show), live or nullcontext():
        yield


@contextmanager
def _showing(show: Callable[[int, int, str], None]) -> Generator[None]:
    token = _shown.set(show)
    try:
        yield
    finally:
        _shown.reset(token)


_shown: ContextVar[Callable[[int, int, str], None] | None] = ContextVar("shown", default=None)


def _console() -> Console:
    """Standard error for rich, which nothing that becomes of it can make fail."""
    file: Any = Lenient(sys.stderr)
    return Console(file=file)


class _Silent(AbstractContextManager[Progress]):
    def __enter__(self) -> Progress:
        return lambda step, metrics, phases: None

    def __exit__(self, *error: object) -> None:
        return None


class _Clock:
    """Speed and time left, from the steps of this process."""

    def __init__(self, total: int, first: int = 0) -> None:
        self.total, self.first = total, first
        self.start = time.monotonic()

    def __call__(self, step: int) -> tuple[float, str]:
        speed = (step - self.first) / max(time.monotonic() - self.start, 1e-9)
        left = max(0, self.total - step) / max(speed, 1e-9)
        return speed, duration(left)


class _Lines(AbstractContextManager[Progress]):
    def __init__(self, title: str, clock: _Clock) -> None:
        self.title, self.total, self.clock = title, clock.total, clock
        self.last = time.monotonic()
        self.recent = "nothing measured yet"

    def __enter__(self) -> Progress:
        return self.tell

    def tell(self, step: int, metrics: Mapping[str, float], phases: Mapping[str, float]) -> None:
        if (named := next((name for name in RECENT if name in metrics), None)) is not None:
            self.recent = f"{RECENT[named]} {metrics[named]:.{1 if named == 'train/return' else 3}f}"
        if time.monotonic() - self.last >= LINE_EVERY:
            self.last = time.monotonic()
            speed, left = self.clock(step)
            done = f"{step:,} of {self.total:,} steps, {rate(speed)} steps/s, {self.recent}, {left} left"
            say(f"{self.title}: {done}")

    def __exit__(self, *error: object) -> None:
        return None


class _Panel(AbstractContextManager[Progress]):
    def __init__(self, title: str, clock: _Clock) -> None:
        self.title, self.total, self.clock = title, clock.total, clock
        self.returns: list[float] = []
        self.live = Live(console=_console(), refresh_per_second=4, transient=True)
        self.last: tuple[int, Mapping[str, float], Mapping[str, float]] = (clock.first, {}, {})
        self.showing = _showing(self.advance)

    def __enter__(self) -> Progress:
        self.live.__enter__()
        self.showing.__enter__()
        return self.tell

    def advance(self, done: int, total: int, unit: str) -> None:
        """Show how far an evaluation in training is."""
        self.live.update(self.panel(*self.last, beside=(done, total, unit)))

    def tell(self, step: int, metrics: Mapping[str, float], phases: Mapping[str, float]) -> None:
        if "train/return" in metrics:
            self.returns.append(metrics["train/return"])
        self.last = step, metrics, phases
        self.live.update(self.panel(step, metrics, phases))

    def panel(
        self,
        step: int,
        metrics: Mapping[str, float],
        phases: Mapping[str, float],
        beside: tuple[int, int, str] | None = None,
    ) -> Panel:
        speed, left = self.clock(step)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_row("steps", f"{step:,}", ProgressBar(total=self.total, completed=min(step, self.total), width=40))
        grid.add_row("speed", f"{rate(speed)}/s", f"[dim]{left} left[/]")
        if self.returns:
            grid.add_row("return", f"{self.returns[-1]:.1f}", sparkline(self.returns, 40))
        for label, name in SHOWN:
            if name in metrics:
                grid.add_row(label, f"{metrics[name]:.4f}", f"[dim]{name}[/]")
        if beside is not None:
            done, total, unit = beside
            grid.add_row("evaluation", f"{done:,}", f"[dim]of {total:,} {unit}[/]")
        spent = max(sum(phases.values()), 1e-9)
        shares = "  ".join(f"{k} {v / spent:.0%}" for k, v in phases.items() if v)
        grid.add_row("time", "", Text(clean(shares, lines=False), style="dim"))
        title = Text(clean(self.title, lines=False), style="bold")
        return Panel(grid, title=title, title_align="left", border_style="dim", width=78)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.showing.__exit__(kind, error, trace)
        self.live.__exit__(kind, error, trace)


def rate(speed: float) -> str:
    """A speed: whole from ten on, with two digits after the point below."""
    return f"{speed:,.0f}" if speed >= 10.0 else f"{speed:.2f}"


def sparkline(values: list[float], width: int) -> str:
    """The values as a line of block characters, the latest on the right; groups are averaged down to `width`."""
    finite = [v for v in values if v == v and abs(v) != float("inf")]
    if not finite:
        return ""
    groups = max(1, -(-len(finite) // width))
    means = [sum(g) / len(g) for g in (finite[i : i + groups] for i in range(0, len(finite), groups))]
    low, high = min(means), max(means)
    scale = 7 / (high - low) if high > low else 0.0
    return "".join("▁▂▃▄▅▆▇█"[round((m - low) * scale)] for m in means)


def percent(share: float) -> str:
    """97.5 %."""
    return f"{100 * share:.1f} %"


def measured(found: Mapping[str, Any]) -> str:
    """What an evaluation found, in words: right answers or agreement where it counted them, otherwise the return."""
    if "agreement" in found:
        return f"agrees with {percent(found['agreement'])} of {found['episodes']} held-out judgements"
    if "accuracy_greedy" in found:
        sampled = f", {percent(found['accuracy_sampled'])} sampled" if "accuracy_sampled" in found else ""
        right = f"{percent(found['accuracy_greedy'])} of {found['episodes']} held-out prompts right"
        return f"{right} under greedy decoding{sampled}"
    how = "the policy's mode" if found["deterministic"] else "sampled actions"
    return (
        f"return {found['mean']:.2f} ± {found['std']:.2f} (mean and deviation over {found['episodes']} episodes), "
        f"interquartile mean {found['iqm']:.2f}; {how}{cut_in_words(found)}"
    )


def cut_in_words(found: Mapping[str, Any]) -> str:
    """ "; 3 of 4 episodes had not ended after 27,000 steps and were cut (max_steps)", or nothing where all ended."""
    cut, most = found.get("cut"), found.get("max_steps")
    if not isinstance(cut, int) or not isinstance(most, int) or not cut:
        return ""
    return f"; {cut} of {found.get('episodes')} episodes had not ended after {most:,} steps and were cut (max_steps)"
