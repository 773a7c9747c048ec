"""The Python API: train a policy, open a run, measure it, watch it. The command line calls nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from operant.cli.registry import BUILD, EnvLike, Evaluator
from operant.config.errors import ConfigError, OperantError
from operant.config.resolve import Resolved, dump, load, resolve
from operant.config.schema import RunConfig
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.env import make
from operant.policy.agent import Agent
from operant.training import checkpoint
from operant.training.folder import RunFolder, now, provenance
from operant.training.progress import duration, progress
from operant.training.run import Job, drain, record_evaluation, timed

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """A run on disk and the agent it trained.

    Args:
        path: the run folder.
        name: which checkpoint, "latest", "best" or "step-<8 digits>".
        env: the environment, where the run was made with a callable instead of a name.

    Raises:
        ConfigError: if there is no run or no such checkpoint there.
    """

    def __init__(self, path: Path | str, *, name: str = "latest", env: EnvLike | None = None) -> None:
        self.folder = RunFolder(path)
        self.name = name
        self.config: RunConfig = load(self.folder.path / "config.toml")
        self._env = env or self.config.env.id

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @cached_property
    def _loaded(self) -> tuple[Agent, int]:
        return checkpoint.load_agent(self.path, self.name)

    @property
    def policy(self) -> Agent:
        """The agent: `policy.act(obs)` is the action, its `.policy` and `.critic` are torch modules."""
        return self._loaded[0]

    @property
    def step(self) -> int:
        """How many environment steps the agent had seen at this checkpoint."""
        return self._loaded[1]

    def value(self, obs: np.ndarray) -> np.ndarray:
        """V(obs) in the units of the environment's reward, [] for [D] and [N] for [N, D]."""
        return self.policy.value(obs)

    @property
    def metrics(self) -> pd.DataFrame:
        """Every metric row, by step."""
        return self.folder.metrics()

    def evaluate(
        self, episodes: int | None = None, *, seed: int | None = None, deterministic: bool | None = None
    ) -> dict[str, Any]:
        """Run whole episodes and keep the result in `evals/`.

        Returns mean, std, iqm, episodes, deterministic, seed, returns and lengths. What is left out is as the
        config says: by default 100 episodes of the policy's mode.
        """
        cfg = self.config.eval
        seed = cfg.seed if seed is None else seed
        deterministic = cfg.deterministic if deterministic is None else deterministic
        evaluator = Evaluator(self.config, self._env, self.policy)
        try:
            result = evaluator(episodes or cfg.episodes, seed=seed, deterministic=deterministic)
        finally:
            evaluator.close()
        protocol = cfg.model_copy(update={"seed": seed, "deterministic": deterministic})
        short = record_evaluation(self.folder, self.step, result, protocol)
        return short | {"returns": result.returns.tolist(), "lengths": result.lengths.tolist()}

    def play(self, *, episodes: int = 1, seed: int | None = None, show: bool = False) -> list[Path]:
        """Film the policy, an mp4 an episode in `videos/`; with `show`, open a window instead and write nothing."""
        from operant.view.play import Episode, film
        from operant.view.video import show as show_frames

        first = self.config.eval.seed if seed is None else seed
        noise = None if self.config.eval.deterministic else Streams(self.config.seed).numpy("play", first)
        if not show and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:
            os.environ.setdefault(
                "SDL_VIDEODRIVER", "dummy"
            )  # pictures are drawn in memory; SDL need not look for a screen
        copies = make(self._env, 1, backend="inprocess", kwargs=self.config.env.kwargs, render_mode="rgb_array")
        fps = copies.fps
        made: list[Path] = []
        try:
            for k in range(episodes):
                episode = Episode(
                    copies, lambda obs: self.policy.act(obs, generator=noise), self.config.env.id, first + k
                )
                if show:
                    show_frames(episode.frames(), fps, episode.caption)
                else:
                    made.append(film(episode, self.path / "videos", step=self.step, number=k + 1, fps=fps))
        finally:
            copies.close()
        return made

    def report(self) -> Path:
        """Write `report.html` anew and return its path."""
        from operant.view.report import write_report

        return write_report(self.path)


def train(
    algorithm: str,
    env: EnvLike,
    *,
    seed: int | None = None,
    total_steps: int | None = None,
    runs: Path | str = "runs",
    quiet: bool = False,
    **overrides: Any,
) -> Run:
    """Train a policy and return its run.

    Args:
        algorithm: "ppo"; `operant list algorithms` names them all.
        env: a Gymnasium id, "module:callable", or a callable that returns an environment.
        seed: the one seed of the run; 1 unless a preset says otherwise.
        total_steps: environment steps of training.
        runs: where the run folder is made.
        quiet: show no progress.
        overrides: dotted settings as on the command line, `**{"algo.discount": 0.95}`.

    Raises:
        ConfigError: if a setting is unknown or out of range; the nearest name is suggested.
        EnvError: if the environment cannot be made or breaks its contract.
        NonFiniteError: if training diverged.
        KeyboardInterrupt: on Ctrl-C, after what is there was saved.
    """
    settings = overrides | {k: v for k, v in {"seed": seed, "total_steps": total_steps}.items() if v is not None}
    resolved = resolve(algorithm, _env_name(env), overrides=settings, source="argument")
    return start(resolved, env=env, runs=runs, quiet=quiet)


def start(
    resolved: Resolved,
    *,
    env: EnvLike | None = None,
    runs: Path | str = "runs",
    quiet: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Train what a resolved config says, evaluate it, film it and write its report."""
    cfg = resolved.config
    job = BUILD[cfg.algorithm](cfg, env or cfg.env.id)
    folder = RunFolder.create(runs, env=cfg.env.id, algorithm=cfg.algorithm, seed=cfg.seed)
    (folder.path / "config.toml").write_text(dump(resolved))
    began, attempt = time.monotonic(), {"attempt": 1, "started": now(), "ended": None}
    folder.update(
        algorithm=cfg.algorithm,
        env=cfg.env.id,
        seed=cfg.seed,
        total_steps=cfg.total_steps,
        started=attempt["started"],
        preset=resolved.preset,
        parameters=sum(p.numel() for p in job.agent.parameters()),
        attempts=[attempt],
        **provenance(),
    )
    say(f"Run folder: {folder.path}")
    error: str | None = None
    status = "failed"
    try:
        with progress(f"{cfg.algorithm} {cfg.env.id}", cfg.total_steps, quiet=quiet) as tell:
            status = drain(job, folder, tell)
        say(f"Trained {job.counter.steps:,} steps in {duration(time.monotonic() - began)}.")
    except (OperantError, KeyboardInterrupt) as reason:
        error = str(reason) or "interrupted"
        status = "interrupted" if isinstance(reason, KeyboardInterrupt) else "failed"
        raise
    finally:
        ended = now()
        seconds = time.monotonic() - began
        folder.update(status=status, ended=ended, seconds=seconds, error=error, attempts=[attempt | {"ended": ended}])
        folder.writer.close()
    run = Run(folder.path, env=env)
    _finish(run, job, say, interrupted=status == "interrupted")
    return run


def _finish(run: Run, job: Job, say: Callable[[str], None], *, interrupted: bool) -> None:
    """What follows training: the final evaluation, the video, the report. An interrupted run gets its report only."""
    cfg = run.config
    if not interrupted:
        with timed(job.phases, "evaluate"):
            result = job.evaluate(cfg.eval.episodes)
        run.folder.update(phases=job.phases)
        short = record_evaluation(run.folder, job.counter.steps, result, cfg.eval)
        say(f"Return {short['mean']:.1f} ± {short['std']:.1f} over {short['episodes']} episodes.")
        if cfg.save.videos:
            try:
                say(f"Video: {run.play()[0]}")
            except OperantError as error:
                say(f"No video: {error}")
    if cfg.save.report:
        say(f"Report: {run.report()}")
    if interrupted:
        raise KeyboardInterrupt(f"interrupted at step {job.counter.steps:,}; what was learnt is in {run.path}")


def loop(algorithm: str, env: EnvLike, **overrides: Any) -> tuple[Iterator[Metrics], Agent]:
    """The algorithm itself, to be driven by hand: an endless iterator of metrics, and the agent it trains.

    Nothing is written to disk. Arguments and errors are those of `train`.
    """
    job = BUILD[algorithm](resolve(algorithm, _env_name(env), overrides=overrides, source="argument").config, env)
    return job.algorithm, job.agent


def find(run: str, runs: Path | str = "runs") -> Path:
    """The folder that a person means by `run`: a path, a unique beginning of a name under `runs`, or "last".

    Raises:
        ConfigError: if none or several fit; names what is there.
    """
    if (Path(run) / "run.json").is_file():
        return Path(run)
    there = list_runs(runs)
    if run == "last" and there:
        return Path(there[-1]["path"])
    fits = [Path(r["path"]) for r in there if str(r["id"]).startswith(run)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise ConfigError(
            f"'{run}' fits {len(fits)} runs: {', '.join(p.name for p in fits[:5])}. Give more of the name."
        )
    from difflib import get_close_matches

    near = get_close_matches(run, [str(r["id"]) for r in there], n=1, cutoff=0.3)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise ConfigError(f"no run '{run}' under {runs}.{hint} See `operant list runs --runs {runs}`.")


def list_runs(runs: Path | str = "runs") -> list[dict[str, Any]]:
    """The runs under a folder, oldest first: id, status, algorithm, env, seed, steps, seconds, mean return, path."""
    rows: list[dict[str, Any]] = []
    for file in Path(runs).glob("*/run.json"):
        info: Mapping[str, Any] = RunFolder(file.parent).info()
        row = {
            key: info.get(key) for key in ("id", "status", "algorithm", "env", "seed", "steps", "seconds", "started")
        }
        rows.append(row | {"return": (info.get("evaluation") or {}).get("mean"), "path": str(file.parent)})
    return sorted(rows, key=lambda row: (row["started"] or "", row["id"]))


def _env_name(env: EnvLike) -> str:
    return env if isinstance(env, str) else getattr(env, "__qualname__", type(env).__name__)
