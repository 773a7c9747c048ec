"""`operant sweep`: a search for settings with Optuna, in a journal, so that a call goes on where the last stopped."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operant.cli.say import cell, say, show, tell
from operant.cli.seeds import Fleet, Line, Seed, fleet
from operant.cli.space import Space, read_space
from operant.config.errors import ConfigError, DiskError, EnvError
from operant.config.resolve import resolve
from operant.config.schema import RunConfig
from operant.config.text import command
from operant.config.write import toml_document
from operant.run.disk import mending
from operant.run.interrupt import Interrupted, received
from operant.run.schemas import measures

STOPPING = {3: EnvError, 5: DiskError}
"""Exit codes of a run after which no other trial could do better, and the error that they are."""


@dataclass
class Sweep:
    """A search for the settings whose runs score most.

    A trial trains `seeds` seeds side by side; its value is the interquartile mean of their final evaluations. While the
    first wave of seeds trains, the interquartile mean of their evaluations is held against the median of the earlier
    trials at that step, and a trial below it is pruned. Each suggestion of the sampler depends on `seed` and on the
    trials that have ended, on nothing else, so that an interrupted search goes on as it would have gone.

    Raises:
        ConfigError: if Optuna is missing, or `folder` holds another search.
    """

    space: Space
    algorithm: str
    env: str
    folder: Path
    seeds: int = 3
    seed: int = 1
    quiet: bool = False
    study: Any = field(init=False)
    base: RunConfig = field(init=False)

    def __post_init__(self) -> None:
        try:
            import optuna
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend
        except ImportError as error:
            raise ConfigError('a sweep needs Optuna, which is not installed: pip install "operant[sweep]"') from error
        self.base = resolve(self.algorithm, self.env, overrides=self.space.fixed, source=str(self.space.path)).config
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(f"cannot make {self.folder}: {error.strerror}. Choose another --dir.") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(
            study_name="sweep",
            storage=JournalStorage(JournalFileBackend(str(self.folder / "journal.log"))),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
            direction="maximize",
            load_if_exists=True,
        )
        self._agree()

    def _agree(self) -> None:
        """Refuse to go on with another search, and put back the trials that a kill left open."""
        what = {"space": self.space.digest, "algorithm": self.algorithm, "env": self.env}
        what |= {"seeds": self.seeds, "seed": self.seed}
        before = self.study.user_attrs.get("what", what)
        if before != what:
            changed = ", ".join(key for key in what if before.get(key) != what[key])
            raise ConfigError(
                f"{self.folder} holds a sweep with another {changed}. Name another folder with --dir, or remove it."
            )
        self.study.set_user_attr("what", what)
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state.name == "RUNNING":
                self._put_back(trial.number, trial.params)

    @property
    def ended(self) -> list[Any]:
        """The trials that came to an end of their own: complete, pruned or failed."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if "ended" in trial.user_attrs]

    @property
    def best(self) -> Any | None:
        """The complete trial of the highest value, the first of equals."""
        complete = [trial for trial in self.ended if trial.state.name == "COMPLETE"]
        return max(complete, key=lambda trial: trial.value, default=None)

    def run(self, trials: int) -> None:
        """Go on until so many trials have ended, those of earlier calls included; `best.toml` follows the best.

        Raises:
            KeyboardInterrupt: on Ctrl-C, after the trial under way was put back.
            EnvError: if the environment cannot be made.
            DiskError: if the disk is full.
        """
        import optuna

        while (done := len(self.ended)) < trials:
            self.study.sampler = optuna.samplers.TPESampler(seed=_key(self.seed, done))
            self._trial(self.study.ask())
            self._write_best()

    def overrides(self, values: dict[str, object]) -> dict[str, object]:
        """The settings that lead to the result of these values: fixed, searched, and evaluation to prune by."""
        every = {} if self.base.eval.every is not None else {"eval.every": max(1, self.base.total_steps // 10)}
        return every | dict(self.space.fixed) | values

    def _trial(self, trial: Any) -> None:
        from operant.data.stats import iqm

        values = {axis.key: axis.suggest(trial) for axis in self.space.axes}
        settings = {"save.videos": False, "save.report": False} | self.overrides(values)
        runs = fleet(
            self.algorithm,
            self.env,
            overrides=settings,
            seeds=range(self.seed, self.seed + self.seeds),
            runs=self.folder / "trials" / f"{trial.number:04d}",
            threads=self.base.threads,
        )
        watch = _Watch(trial, Line(self.base.total_steps, quiet=self.quiet), self.base.total_steps)
        runs.run(watch)
        watch.line.end()
        failed = watch.failed
        scores = [score for each in runs.seeds if (score := each.score) is not None]
        value = iqm(scores) if len(scores) == len(runs.seeds) else math.nan
        if failed is not None and failed.code is not None and failed.code in STOPPING:
            self._put_back(trial.number, trial.params)
            raise STOPPING[failed.code](failed.error)
        if failed is None and runs.stopped and not watch.pruned:
            self._put_back(trial.number, trial.params)
            raise Interrupted(
                f"interrupted in trial {trial.number}; {len(self.ended)} have ended. To go on: the same command",
                received() or signal.SIGINT,
            )
        trial.set_user_attr("scores", scores)
        if failed is not None or (not watch.pruned and not math.isfinite(value)):
            error = "its final evaluation is missing or not finite" if failed is None else failed.error
            trial.set_user_attr("error", error)
            self._end(trial, "FAIL", None)
        elif watch.pruned:
            self._end(trial, "PRUNED", None)
        else:
            self._end(trial, "COMPLETE", value)

    def _end(self, trial: Any, state: str, value: float | None) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr("ended", state.lower())
        self.study.tell(trial, values=value, state=TrialState[state])
        if not self.quiet:
            row = rows([self.study.get_trials(deepcopy=False)[trial.number]])[0]
            say("trial " + ", ".join(f"{name} {text}" if name else text for name, text in row.items() if text))

    def _put_back(self, number: int, params: dict[str, Any]) -> None:
        """Leave a trial that did not come to its end, and queue its values again."""
        from optuna.trial import TrialState

        self.study.tell(number, state=TrialState.FAIL)
        if params:
            self.study.enqueue_trial(params)

    def _write_best(self) -> None:
        best = self.best
        if best is None:
            return
        settings = self.overrides(self._values(best))
        searched = {axis.key for axis in self.space.axes}
        notes = {key: "held fixed" if key in self.space.fixed else "to prune by" for key in settings}
        notes |= dict.fromkeys(searched, f"trial {best.number}")
        text = toml_document({tuple(key.split(".")): value for key, value in settings.items()}, notes)
        seeds = f"{self.seeds} seeds from {self.seed}"
        head = f"# Trial {best.number} of a sweep: interquartile mean {best.value:.6g} over {seeds}."
        path = self.folder / "best.toml"
        try:
            path.with_suffix(".tmp").write_text(f"{head}\n{text}", encoding="utf-8")
            path.with_suffix(".tmp").replace(path)
        except OSError as error:
            raise DiskError(f"cannot write {path}: {error.strerror}. {mending(error)}.") from error

    def _values(self, trial: Any) -> dict[str, object]:
        """The searched settings of a trial; a choice stands in the journal as its text."""
        import optuna

        fixed = optuna.trial.FixedTrial(trial.params)
        return {axis.key: axis.suggest(fixed) for axis in self.space.axes}


@dataclass
class _Watch:
    """Looks at a trial's first wave of seeds and prunes it where its evaluations fall below the median."""

    trial: Any
    line: Line
    total_steps: int
    pruned: bool = False
    failed: Seed | None = None  # the first seed that failed
    told: int = 0  # the last step reported

    def __call__(self, runs: Fleet) -> None:
        from operant.data.stats import iqm

        self.line(runs)
        if runs.stopped:
            return
        self.failed = next((each for each in runs.seeds if each.code not in (None, 0)), None)
        if self.failed is not None:  # the others cannot mend it
            runs.stop()
            return
        wave = [_evaluations(each.path) for each in runs.seeds[: runs.workers]]
        for step in sorted(set.intersection(*(set(found) for found in wave))):
            if self.told < step < self.total_steps:
                self.told = step
                self.trial.report(iqm([measures(json.loads(found[step].read_text()))["mean"] for found in wave]), step)
                if self.trial.should_prune():
                    self.pruned = True
                    runs.stop()
                    return


def _evaluations(path: Path | None) -> dict[int, Path]:
    return {} if path is None else {int(file.stem[5:13]): file for file in (path / "evals").glob("step-*.json")}


def _key(seed: int, done: int) -> int:
    """32 bits that name the sampler of one suggestion."""
    return int.from_bytes(hashlib.sha256(f"{seed}/sweep/{done}".encode()).digest()[:4], "little")


def rows(trials: Sequence[Any]) -> list[dict[str, str]]:
    """Trials as a table: number, how each ended, its value and interval, its settings, its error."""
    from operant.data.stats import bootstrap_ci
    from operant.view.formatting import number

    found: list[dict[str, str]] = []
    for trial in trials:
        scores: list[float] = trial.user_attrs.get("scores", [])
        complete = trial.state.name == "COMPLETE"
        interval = bootstrap_ci(scores) if complete and len(scores) > 1 else None
        row = {"": str(trial.number), "ended": trial.user_attrs["ended"]}
        row["IQM"] = number(trial.value) if complete else ""
        row["95 % interval"] = f"{number(interval[0])} to {number(interval[1])}" if interval else ""
        row |= {
            key.removeprefix("algo."): f"{value:.4g}" if isinstance(value, float) else str(value)
            for key, value in trial.params.items()
        }
        found.append(row | {"error": trial.user_attrs.get("error", "")})
    return found


def verb(args: argparse.Namespace) -> None:
    """Search, then print the trials and where the best settings lie."""
    space = read_space(args.space, args.algorithm, args.env)
    slug = f"{args.space.stem}-{args.env}-{args.algorithm}".replace("/", "_").replace(":", "_")
    folder = args.dir or Path("sweeps") / slug
    sweep = Sweep(space, args.algorithm, args.env, folder, seeds=args.seeds, seed=args.seed)
    done = len(sweep.ended)
    say(f"Sweep of {len(space.axes)} settings in {folder}: {done} of {args.trials} trials have ended.")
    sweep.run(args.trials)
    _print(sweep)
    if sweep.best is None:
        say("No trial was completed. The errors are in the table.")
        return
    fresh = ("--seed", args.seed + args.seeds, "--seeds", 5)
    then = command("train", args.algorithm, args.env, f"@{folder / 'best.toml'}", *fresh)
    say(f"Next: {then}  (seeds not searched on)")


def _print(sweep: Sweep) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    shown = rows(sweep.ended)
    names = [
        name for name in dict.fromkeys(name for row in shown for name in row) if any(row.get(name) for row in shown)
    ]
    for name in names:
        table.add_column(cell(name), justify="left" if name in ("ended", "error") else "right", overflow="fold")
    best = sweep.best
    for row in shown:
        chosen = best is not None and row[""] == str(best.number)
        table.add_row(*(cell(row.get(name, "")) for name in names), style="bold" if chosen else None)
    show(table)
    if best is not None:
        tell(f"best: {sweep.folder / 'best.toml'} (trial {best.number}, interquartile mean {best.value:.6g})")
