"""The Python API: train a policy, open a run, measure it, watch it. The command line calls nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from operant.config.errors import DiskError, OperantError
from operant.config.registry import builder_of, refuse_exchanged
from operant.config.resolve import Resolved, resolve
from operant.config.schema import RunConfig
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.env.live import makers
from operant.opened import Run as Run
from operant.run import launch
from operant.run.actor import Policy
from operant.run.begin import begin_from, named
from operant.run.drain import timed
from operant.run.find import find as find
from operant.run.find import list_runs as list_runs
from operant.run.find import trained
from operant.run.folder import RunFolder
from operant.run.job import Say, silent
from operant.run.progress import working
from operant.run.schemas import settings
from operant.run.sources import absolute, located
from operant.run.stop import OnMetrics


def train(
    algorithm: str,
    env: EnvLike,
    *,
    seed: int | None = None,
    total_steps: int | None = None,
    runs: Path | str = "runs",
    quiet: bool = False,
    on_metrics: OnMetrics | None = None,
    **overrides: Any,
) -> Run:
    """Train a policy and return its run.

    Args:
        algorithm: "ppo"; `operant list algorithms` names them all.
        env: a Gymnasium id, "module:callable", or a callable that returns an environment; of one that `gymnasium.make`
            made, copies are made.
        seed: the one seed of the run; 1 unless a preset says otherwise.
        total_steps: environment steps of training.
        runs: where the run folder is made.
        quiet: show no progress.
        on_metrics: called with each row of metrics, a dictionary with "step" and "time" among its names. Where it
            returns False (as callbacks of Stable-Baselines3 do) or raises `operant.StopTraining`, training ends there:
            the run is saved, measured and reported as finished. What else it raises is told once as a warning with its
            file and line; it is not called again then, and training goes on.
        overrides: `init_from=RUN` begins from the weights of a run: its folder, name, "last", or a `Run`; of a policy
            that ships, its name. Others are dotted settings as on the command line, `**{"algo.discount": 0.95}`.

    Raises:
        ConfigError: if a setting is unknown or out of range; the nearest name is suggested.
        EnvError: if the environment cannot be made or breaks its contract.
        NonFiniteError: if training diverged.
        KeyboardInterrupt: on Ctrl-C, after what is there was saved.
    """
    settings = overrides | {k: v for k, v in {"seed": seed, "total_steps": total_steps}.items() if v is not None}
    resolved, env = _resolved(algorithm, env, named(settings, runs), "operant.train")
    return start(resolved, env=env, runs=runs, quiet=quiet, on_metrics=on_metrics)


def start(
    resolved: Resolved,
    *,
    env: EnvLike | None = None,
    runs: Path | str = "runs",
    quiet: bool = False,
    say: Say = silent,
    began: float | None = None,
    on_metrics: OnMetrics | None = None,
) -> Run:
    """Train what a resolved config says, film it, write its report, return its run. `began`: see `launch.resume`."""
    resolved, env = located(resolved), absolute(env)  # files are the same ones wherever an environment moves to
    finish = _finisher(resolved.config, env, say, quiet=quiet)
    folder = launch.start(
        resolved, env=env, runs=runs, quiet=quiet, say=say, finish=finish, began=began, on_metrics=on_metrics
    )
    return Run(folder.path, env=env or resolved.config.env.id, trust=True)


def resume(
    run: Path | str,
    *,
    fork: bool = False,
    to: int | None = None,
    env: EnvLike | None = None,
    trust: bool = False,
    quiet: bool = False,
    say: Say = silent,
    began: float | None = None,
    on_metrics: OnMetrics | None = None,
) -> Run:
    """Go on with a run from its newest valid checkpoint; arguments and errors as `operant.run.launch.resume`."""
    env = None if env is None else absolute(makers(env)[0])
    finish = _finisher(settings(trained(run).path, trust=trust), env, say, quiet=quiet)
    folder = launch.resume(
        run, fork=fork, to=to, env=env, trust=trust, quiet=quiet, say=say, finish=finish, began=began,
        on_metrics=on_metrics,
    )  # fmt: skip
    return Run(folder.path, env=env, trust=trust)


def _finisher(cfg: RunConfig, env: EnvLike | None, say: Say, *, quiet: bool) -> launch.Finish:
    """What follows training: the last policy filmed, and the report."""

    def finish(folder: RunFolder, status: str, phases: dict[str, float]) -> None:
        run = Run(folder.path, env=env or cfg.env.id, trust=True)  # what was just trained here
        if cfg.save.videos and status == "finished":
            with timed(phases, "film"), working("film", quiet=quiet):
                try:
                    say(f"Video: {run.play()[0]}")
                except DiskError:
                    raise
                except OperantError as problem:
                    say(f"No video: {problem}")
        if cfg.save.report:
            with timed(phases, "report"):
                say(f"Report: {run.report()}")

    return finish


def loop(algorithm: str, env: EnvLike, **overrides: Any) -> tuple[Iterator[Metrics], Policy]:
    """The algorithm itself, to be driven by hand: an endless iterator of metrics, and the agent it trains.

    Nothing is written to disk. Arguments and errors are those of `train`.
    """
    resolved, env = _resolved(algorithm, env, named(overrides, "runs"), "operant.loop")
    cfg = resolved.config
    job = builder_of(algorithm)(cfg, env, silent)
    if cfg.init_from:
        begin_from(job, cfg.init_from, silent)
    return job.algorithm, job.agent


def _resolved(algorithm: str, env: EnvLike, overrides: Mapping[str, Any], asked: str) -> tuple[Resolved, EnvLike]:
    """The settings, and what makes the environment."""
    refuse_exchanged(algorithm, env, asked)
    env, its = makers(env)
    name = env if isinstance(env, str) else getattr(env, "__qualname__", type(env).__name__)
    return resolve(algorithm, name, overrides={**its, **overrides}, source="argument"), env
