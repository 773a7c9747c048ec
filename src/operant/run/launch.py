"""Start a run, or go on with one: build it, drain it into its folder, then evaluate."""

from __future__ import annotations

import re
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError, DiskError, OperantError
from operant.config.registry import builder_of
from operant.config.resolve import Resolved, dump
from operant.config.schema import RunConfig
from operant.config.text import absolute_path
from operant.config.values import duration
from operant.env import EnvLike
from operant.run import checkpoint, interrupt
from operant.run.attempt import Clock, parting, truthful
from operant.run.backend import as_it_was, picked
from operant.run.begin import begin_from
from operant.run.disk import preflight
from operant.run.drain import drain, every, record_evaluation, timed
from operant.run.find import trained
from operant.run.folder import RunFolder, now, provenance
from operant.run.job import Job, Position, Say, silent
from operant.run.made_here import consented, mark
from operant.run.mode import falls_behind
from operant.run.progress import measured, progress, working
from operant.run.schemas import position, settings
from operant.run.sources import (
    ChangedWarning,
    absolute,
    differences,
    of_folder,
    require_env,
    short,
    sources,
    told,
)
from operant.run.stop import OnMetrics, StopAt, Told, Watch
from operant.run.track import mirrored, require

Finish = Callable[[RunFolder, str, dict[str, float]], None]
"""What follows an attempt at training, told the folder, the status ("finished" or "interrupted") and the phases."""


def _nothing(folder: RunFolder, status: str, phases: dict[str, float]) -> None:
    """Nothing follows."""


def start(
    resolved: Resolved,
    *,
    env: EnvLike | None = None,
    runs: Path | str = "runs",
    quiet: bool = False,
    say: Say = silent,
    finish: Finish = _nothing,
    began: float | None = None,
    on_metrics: OnMetrics | None = None,
) -> RunFolder:
    """Train what a config says, whose files are named by absolute paths (`located`), in a new run folder; return it.

    `began`: see `resume`.
    """
    began = time.monotonic() if began is None else began
    runs = absolute_path(runs)
    resolved = replace(resolved, config=picked(resolved.config, env or resolved.config.env.id))
    cfg = resolved.config
    require(cfg.track)
    with interrupt.listening():
        job = builder_of(cfg.algorithm)(cfg, env or cfg.env.id, say)
        if cfg.init_from:
            begin_from(job, cfg.init_from, say)
        interrupt.check()
        names = {"env": short(cfg.env.id), "algorithm": short(cfg.algorithm)}
        with interrupt.held():  # from here on the folder says how it stands
            folder = RunFolder.create(runs, **names, seed=cfg.seed)
            with truthful(folder), interrupt.let_through():
                (folder.path / "config.toml").write_text(dump(resolved), encoding="utf-8")
                folder.update(
                    **names,
                    seed=cfg.seed,
                    total_steps=cfg.total_steps,
                    started=now(),
                    preset=resolved.preset,
                    parameters=job.learned.parameters,
                    attempts=[],
                    **mark(cfg),
                    sources=sources(cfg, env) | of_folder(folder.path),
                    **provenance(),
                )
                say(f"Run folder: {folder.path}")
                watch = _watch(cfg, folder, job.at, on_metrics)
                _attempt(job, folder, cfg, quiet=quiet, say=say, finish=finish, began=began, watch=watch)
    return folder


INEXACT = (
    "\nIt was interrupted between checkpoints, is asynchronous, or has left its replay out of them, so it will differ "
    "from a run that was not."
)
"""Said of a run that goes on, and not as it would have gone."""


def resume(
    path: Path | str,
    *,
    fork: bool = False,
    to: int | None = None,
    env: EnvLike | None = None,
    trust: bool = False,
    quiet: bool = False,
    say: Say = silent,
    finish: Finish = _nothing,
    began: float | None = None,
    on_metrics: OnMetrics | None = None,
) -> RunFolder:
    """Go on with a run from its newest valid checkpoint: the result is that of a run never stopped.

    Args:
        path: the run folder.
        fork: go on in a new folder beside it, which holds a copy of what came before.
        to: environment steps to train to, if not those of the run.
        env: the environment, where the run was made with a callable instead of a name.
        trust: import the Python code that the run names as its algorithm or network; take the models and servers that
            it names, though it was not made here.
        quiet: show no progress.
        say: told where things lie.
        finish: what follows training.
        began: `time.monotonic()` when the command began, from which its wall time counts; now if None.
        on_metrics: given each row of metrics; may end training (`operant.train`).

    Warns:
        ChangedWarning: if what the run was started with (files, settings, packages, processor) differs; names each.

    Raises:
        ConfigError: if another process writes the run, it has no valid checkpoint, or its steps are done.
    """
    began = time.monotonic() if began is None else began
    folder = trained(path)
    cfg = consented(folder.path, settings(folder.path, trust=trust), env=env, trust=trust)
    then = folder.info()
    stopped = then.get("stopped") if to is None else None
    cfg = cfg if to is None else _longer(cfg, to, bounded=not then.get("stopped"))
    found, state = checkpoint.newest(folder.path)
    at = position(Position, state, found / "state.json")
    _refuse_done(folder, cfg, at, stopped)
    if fork:
        folder = _fork(folder, cfg)
    with interrupt.listening(), folder.locked():
        env = _env(cfg, env)
        job = builder_of(cfg.algorithm)(as_it_was(cfg, env or cfg.env.id), env or cfg.env.id, say)
        changed = _changed(folder, then, cfg, env)
        checkpoint.load(found, job.learned)
        if to is not None:
            _set_steps(folder, cfg)
        _stand(job, at, then, done=bool(stopped))
        folder.update(total_steps=cfg.total_steps, stopped=stopped)
        interrupt.check()
    exact = "" if at.exact else INEXACT
    say(f"Going on from step {at.step:,} ({found.name}) in {folder.path}{exact}")
    watch = _watch(cfg, folder, at, on_metrics)
    _attempt(job, folder, cfg, quiet=quiet, say=say, finish=finish, began=began, changed=changed, watch=watch)
    return folder


def _longer(cfg: RunConfig, to: int, *, bounded: bool) -> RunConfig:
    """The same settings with other steps to train to, without `stop_at` unless it is `bounded` by it still.

    The schedule of the seams stays as it was.
    """
    interval = every(cfg.save.every, cfg.total_steps)
    cfg = cfg.model_copy(update={"total_steps": to, "save": cfg.save.model_copy(update={"every": interval})})
    return cfg if bounded else cfg.model_copy(update={"stop_at": None})


def _refuse_done(folder: RunFolder, cfg: RunConfig, at: Position, stopped: Mapping[str, Any] | None) -> None:
    """Raises ConfigError where there is nothing to go on with; says how to train on."""
    if folder.info()["status"] != "finished":
        return
    if stopped:
        raise ConfigError(
            f"{folder.path.name} was stopped at step {at.step:,}: {stopped.get('why')}. To train on, without that "
            f"bound: operant resume {folder.path} --to {cfg.total_steps}"
        )
    if at.step >= cfg.total_steps:
        raise ConfigError(
            f"{folder.path.name} has done its {at.step:,} steps. To train on: operant resume {folder.path} "
            f"--to {2 * at.step}"
        )


def _stand(job: Job, at: Position, then: Mapping[str, Any], *, done: bool) -> None:
    """Let a job stand where a run goes on; where its training is `done`, what is left is to measure it."""
    job.at = at
    job.total_steps = at.step if done else job.total_steps
    job.phases.update(then.get("phases") or {})
    job.begin(at)


def _watch(cfg: RunConfig, folder: RunFolder, at: Position, on_metrics: OnMetrics | None) -> list[Watch]:
    """What may end training before its steps are done."""
    watch: list[Watch] = []
    if cfg.stop_at is not None:
        bar = StopAt(cfg.stop_at)
        if at.step:
            bar.recall(folder.path, at.step)
        watch.append(bar)
    return [*watch, Told(on_metrics)] if on_metrics is not None else watch


def _attempt(
    job: Job,
    folder: RunFolder,
    cfg: RunConfig,
    *,
    quiet: bool,
    say: Say,
    finish: Finish,
    began: float,
    changed: Sequence[Mapping[str, Any]] = (),
    watch: Sequence[Watch] = (),
) -> None:
    """Hold the folder, train, note how it ended, and finish what follows training."""
    with interrupt.listening(), folder.locked():
        training, first = time.monotonic(), job.at.step
        then = folder.info()
        attempts: list[dict[str, Any]] = then.get("attempts") or []
        this = {"attempt": len(attempts) + 1, "from_step": first, "started": now(), "ended": None}
        this |= {"changed": [*changed]} if changed else {}
        error, status, stop = None, "failed", None
        clock = Clock(folder, job, began, then)
        try:
            folder.update(status="started", error=None, attempts=[*attempts, this])
            if warning := preflight(folder.path, checkpoint.room(job.learned, cfg.save.keep)):
                say(warning)
            title = f"{short(cfg.algorithm)} {short(cfg.env.id)}"
            with folder.traced(f"attempt-{this['attempt']}"), mirrored(folder, cfg.track, first):
                if job.measure_first and first == 0:
                    _measure(job, folder, say, "Before", quiet=quiet)
                with progress(title, cfg.total_steps, first=first, quiet=quiet) as tell:
                    status = drain(job, folder, tell, watch)
                say(_trained(folder, job.counter.steps - first, time.monotonic() - training))
                if status == "finished":
                    interrupt.check()
                    _measure(job, folder, say, quiet=quiet)
        except KeyboardInterrupt as reason:
            done, stop = status == "finished", reason
            status, error = ("finished", "its evaluation was interrupted") if done else ("interrupted", "interrupted")
        except OperantError as reason:
            error, status = str(reason), "failed"
            if job.kept:
                say(f"Kept: step {job.kept:,}. Once what follows is mended: operant resume {folder.path}")
            raise
        finally:
            this["ended"] = now()
            last = {"status": status, "error": error, "seconds": job.at.seconds, "attempts": [*attempts, this]}
            with interrupt.shielded(), suppress(*(DiskError,) * (status == "failed")):  # the first error is shown
                folder.update(**last, ended=this["ended"], **clock())
                folder.writer.close()
            job.close()
        try:
            if stop is None:
                finish(folder, status, job.phases)
        except KeyboardInterrupt as reason:
            stop = reason
        with interrupt.shielded():
            folder.update(**(times := clock()))
        if status == "interrupted" or stop is not None:
            raise parting(folder, job.counter.steps, status, stop)
        say(clock.told(times["wall"]))


def _trained(folder: RunFolder, steps: int, seconds: float) -> str:
    """How much was trained, and why it ended before all steps were done, where it did."""
    stopped = folder.info().get("stopped")
    why = f"; stopped at step {stopped['step']:,}: {stopped['why']}" if stopped else ""
    return f"Trained {steps:,} steps in {duration(seconds)}{why}."


def _measure(job: Job, folder: RunFolder, say: Say, when: str = "", *, quiet: bool) -> None:
    """The final evaluation; of a language model also the first, `when` it is before training."""
    if not when:
        job.trained()
    with timed(job.phases, "evaluate"), working("evaluation", quiet=quiet):
        result = job.evaluate(job.eval.episodes)
    step = job.counter.steps
    more = job.keep_evaluation(folder.path, step) if job.keep_evaluation is not None else {}
    short = record_evaluation(folder, step, result, job.eval, more)
    if more:
        folder.writer.write(step, job.at.seconds, more)
    folder.update(**{"phases": job.phases, ("evaluation_before" if when else "evaluation"): short})
    say(f"{when or 'After'}: {measured(short)}.")
    if not when and job.eval.deterministic and (note := falls_behind(folder.path, result, more)) is not None:
        folder.update(note=note)
        say(f"warning: {note}")


def _fork(source: RunFolder, cfg: RunConfig) -> RunFolder:
    """A new folder beside `source` with its settings, metrics, evaluations and checkpoints."""
    info = source.info()
    names = {"env": short(cfg.env.id), "algorithm": short(cfg.algorithm)}
    folder = RunFolder.create(source.path.parent, **names, seed=cfg.seed)
    for name in ("metrics", "evals", "checkpoints"):
        shutil.copytree(source.path / name, folder.path / name, symlinks=True, dirs_exist_ok=True)
    shutil.copy2(source.path / "config.toml", folder.path / "config.toml")
    folder.update(**(info | {"id": folder.path.name, "parent": source.path.name, "started": now()} | provenance()))
    return folder


def _env(cfg: RunConfig, env: EnvLike | None) -> EnvLike | None:
    """The environment that was given, by its whole path. Raises EnvError if none was and the run's own is gone."""
    require_env(cfg, env)
    return absolute(env)


def _changed(folder: RunFolder, then: Mapping[str, Any], cfg: RunConfig, env: EnvLike | None) -> list[dict[str, Any]]:
    """What a run that goes on does not find as `then` recorded it, said as a warning."""
    changed = differences(then, cfg, env, provenance() | {"sources": of_folder(folder.path)})
    if changed:
        warnings.warn(f"{folder.path} does not go on as it began: {told(changed)}", ChangedWarning, stacklevel=3)
    return changed


def _set_steps(folder: RunFolder, cfg: RunConfig) -> None:
    """Change `total_steps`, `save.every` and `stop_at` in a run's config.toml, and say that a resume did."""
    path = folder.path / "config.toml"
    text = path.read_text(encoding="utf-8")
    bar = () if cfg.stop_at is not None else (("stop_at", '"none"'),)
    for key, value in (("total_steps", cfg.total_steps), ("every", cfg.save.every), *bar):
        section = text.index("[save]") if key == "every" else 0
        line = re.compile(rf"^{key} = .*$", re.MULTILINE)
        text = text[:section] + line.sub(f"{key} = {value}  # resume --to", text[section:], count=1)
    path.write_text(text, encoding="utf-8")
    folder.update(sources=(folder.info().get("sources") or {}) | of_folder(folder.path))
