"""`operant solve`: a known model solved exactly, with its certificate, a picture, and a film of the sweeps."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from operant.cli.models import open_model
from operant.cli.say import say, tell
from operant.config.errors import ConfigError, DiskError, OperantError
from operant.config.streams import Lenient, steerable
from operant.config.values import ENTRY, from_text
from operant.config.write import json_text
from operant.run.folder import RunFolder, now, provenance
from operant.run.progress import sparkline
from operant.run.schemas import decode_number, decoded
from operant.view import solutions
from operant.view.formatting import number, short_duration

if TYPE_CHECKING:
    from rich.text import Text

    from operant.mdp.model import MDP
    from operant.mdp.solution import Solution
    from operant.view.grid_layout import Layout
    from operant.view.sweep_video import Sweeps

LINE_EVERY = 5.0
"""Seconds between two lines where standard error is no terminal."""


def verb(args: argparse.Namespace) -> None:
    """Open a model, solve it, and say what is known for sure of the answer."""
    options = {key.removeprefix("env.kwargs."): from_text(ENTRY, text) for key, text in args.overrides.items()}
    if "env.kwargs" in options:
        whole: Any = options.pop("env.kwargs")
        if not isinstance(whole, dict):
            raise ConfigError("--env.kwargs takes a table, as in '{map_name = \"8x8\"}'.")
        options = whole | options
    name, mdp, assumed = open_model(args.model, options, args.discount)
    for sentence in assumed:
        say(sentence)
    mdp = _asked(mdp, args)
    say(f"{name}: {mdp}")
    sweeps = _sweeps(mdp) if args.video else None
    with _Line(name, args.epsilon) as line:
        solution = _solve(mdp, args, line, sweeps)
    folder, record = _keep(solution, name, args)
    if args.json:
        tell(json_text(decoded(dict(record.about)) | {"folder": str(record.path)}))
    else:
        tell("\n".join(told(record)))
    _show(folder, solution, name, sweeps)
    say(f"Report: {record.path / 'report.html'}")
    say(f"Next: operant report {record.path} --open, or operant compare with another solution of it")


def told(record: solutions.Record) -> list[str]:
    """The answer in sentences, with the policy as arrows where it fits a terminal."""
    about = record.about
    times = about["iterations"]
    lines = [
        f"{about['method']}: {times:,} iteration{'s' * (times != 1)} in {short_duration(about['seconds'])}",
        f"  why: {about['why']}",
        *certificate(about),
    ]
    if about.get("start_value") is not None:
        what = "Gain from the start" if about["model"]["criterion"] == "average" else "Value of the start"
        lines.append(f"{what}: {number(about['start_value'], 7)}")
    return [*lines, *_arrows(record)]


def certificate(about: Mapping[str, Any]) -> list[str]:
    """The certificate of `solution.json` in sentences."""
    known, average = about["certificate"], about["model"]["criterion"] == "average"
    gap, loss = decode_number(known["gap"]), decode_number(known["policy_loss"])
    if not math.isfinite(gap):
        return [f"Certificate: none ({known['why']})."]
    what = "the gain of every state" if average else "every value"
    found = [
        f"Certificate: {what} is within {number(gap / 2, 2)} of the optimum, and the policy loses at most "
        f"{number(loss, 2)}, rounding included",
        f"  by: {known['why']}",
    ]
    if max(gap / 2, loss) > about["epsilon"]:
        found.append(f"  This is more than the {about['epsilon']:g} that was asked for.")
    return found


def _asked(mdp: MDP, args: argparse.Namespace) -> MDP:
    """The model with the horizon and the criterion of the command line."""
    changes: dict[str, Any] = {}
    if args.horizon is not None:
        changes["horizon"] = args.horizon
    if args.criterion is not None:
        changes["criterion"] = args.criterion
    return mdp.replace(**changes) if changes else mdp


def _solve(mdp: MDP, args: argparse.Namespace, line: _Line, sweeps: Sweeps | None) -> Solution:
    from operant.mdp import solve
    from operant.mdp.build.forecast import require_solve

    require_solve(mdp)

    def watch(iteration: int, gap: float, values: Any) -> None:
        line(iteration, gap)
        if sweeps is not None:
            sweeps(iteration, gap, values)

    return solve(
        mdp,
        args.epsilon,
        args.method,
        watch=watch,
        threads=args.threads,
        max_iterations=args.max_iterations,
        must_terminate=args.must_terminate,
    )


def _sweeps(mdp: MDP) -> Sweeps:
    from operant.view.sweep_video import Sweeps

    return Sweeps(mdp)


def _keep(solution: Solution, name: str, args: argparse.Namespace) -> tuple[RunFolder, solutions.Record]:
    """Write the answer into a run folder of its own."""
    folder = RunFolder.make(args.runs, f"{name}-solve", ("videos",))
    folder.update(
        kind="solution",
        algorithm=solution.method,
        env=name,
        seed=None,
        steps=solution.iterations,
        seconds=solution.seconds,
        started=now(),
        **provenance(),
    )
    record = solutions.keep(solution, name, args.epsilon, folder)
    folder.update(status="finished", ended=now(), start_value=record.about["start_value"])
    return folder, record


def _show(folder: RunFolder, solution: Solution, name: str, sweeps: Sweeps | None) -> None:
    """The film, if there is to be one, and the page."""
    if sweeps is not None:
        try:
            say(f"Video: {sweeps.film(solution, name, folder.path / 'videos' / 'sweeps.mp4')}")
        except DiskError:
            raise
        except OperantError as problem:
            say(f"No video: {problem}")
    from operant.view.solve_report import write_solve_report

    write_solve_report(folder.path)


ARROWS = {
    (-1, 0): "↑", (1, 0): "↓", (0, -1): "←", (0, 1): "→", (-1, -1): "↖", (-1, 1): "↗", (1, -1): "↙", (1, 1): "↘",
    (0, 0): "•",
}  # fmt: skip


def _arrows(record: solutions.Record, width: int = 40, height: int = 24) -> list[str]:
    """The policy as a map of arrows; nothing where there is no map, or it is large."""
    layout = record.layout
    if layout is None or layout.states.shape[0] > height or layout.states.shape[1] > width:
        return []
    rows = [[_cell(record, layout, y, x) for x in range(layout.states.shape[1])] for y in range(len(layout.states))]
    wide = max(len(cell) for row in rows for cell in row)
    return ["Policy:", *("  " + " ".join(f"{cell:>{wide}}" for cell in row) for row in rows)]


def _cell(record: solutions.Record, layout: Layout, y: int, x: int) -> str:
    """The action that is taken in a cell, as an arrow where it has a direction, else by its name."""
    state = int(layout.states[y, x])
    if state < 0:
        return "#"
    action = int(record.policy[state])
    if action < 0:
        return layout.mark(y, x) or "·"
    move = layout.moves[action] if action < len(layout.moves) else None
    return record.actions[action] if move is None else ARROWS.get((int(move[0]), int(move[1])), "?")


@dataclass
class _Line(AbstractContextManager["_Line"]):
    """The certified gap as it falls: one live line on a terminal, a plain line now and then elsewhere."""

    name: str
    epsilon: float
    start: float = field(default_factory=time.monotonic)
    iteration: int = 0
    gap: float = math.inf
    logs: list[float] = field(default_factory=lambda: list[float]())
    said: float = field(default_factory=time.monotonic)
    live: Any = None

    def __enter__(self) -> _Line:
        if steerable(sys.stderr):
            from rich.console import Console
            from rich.live import Live

            file: Any = Lenient(sys.stderr)
            console = Console(file=file)
            self.live = Live(get_renderable=self.text, console=console, refresh_per_second=12, transient=True)
            self.live.__enter__()
        return self

    def __call__(self, iteration: int, gap: float) -> None:
        self.iteration, self.gap = iteration, gap
        if gap > 0.0 and math.isfinite(gap):
            self.logs.append(math.log10(gap))
            if len(self.logs) > 4096:
                del self.logs[::2]
        if self.live is None and time.monotonic() - self.said >= LINE_EVERY:
            self.said = time.monotonic()
            say(f"{self.name}: iteration {iteration:,}, certified gap {gap:.2e}, {self.said - self.start:.0f} s")

    def text(self) -> Text:
        """The line as it stands."""
        from rich.text import Text

        seconds = f"{time.monotonic() - self.start:.1f} s"
        if not self.iteration:
            return Text.assemble((self.name, "bold"), ("  preparing", "dim"), f"  {seconds}")
        gap = f"{self.gap:.1e}" if math.isfinite(self.gap) else "not bounded yet"
        return Text.assemble(
            (self.name, "bold"),
            f"  iteration {self.iteration:,}  gap {gap} ",
            (f"to {2 * self.epsilon:.0e}  ", "dim"),
            (sparkline(self.logs, 24), "blue"),
            (f"  {seconds}", "dim"),
        )

    def __exit__(self, *error: Any) -> None:
        if self.live is not None:
            self.live.__exit__(*error)
