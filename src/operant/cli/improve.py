"""Builders of runs that imitate what a model itself wrote: expert iteration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from operant.algo.expert_iteration import expert_iteration, keep
from operant.cli.language import Say, adam, begun, rollouts_of, told
from operant.cli.measure import Measure, rows_of
from operant.config.models import ExpertIterationRun
from operant.data.streams import Streams
from operant.training.language import Language
from operant.training.rollouts import write_rollouts
from operant.training.run import Job, Position


def build_expert_iteration(cfg: ExpertIterationRun, env: object, say: Say = lambda line: None) -> Job:
    """Everything that expert iteration needs, made from a config and one seed."""
    task, policy = begun(cfg, say)
    settings = cfg.algo
    collect, judge = rollouts_of(cfg, task, policy, samples=settings.samples)
    optimizer = adam([policy], settings.lr, settings.weight_decay)
    measure = Measure(cfg, policy, task, collect.sampling)

    def restore(counters: Mapping[str, Any]) -> None:
        collect.prompts.drawn = int(counters["drawn"])

    def begin(at: Position) -> None:
        collect.steps, collect.episodes = at.step, at.episodes

    def write(run: Path, step: int) -> None:
        if cfg.save.rollouts and step % cfg.save.rollouts == 0:
            rows = rows_of(judge, collect.completions, collect.scores, mode="sampled", values=judge.values)
            kept = {(c.prompt.id, c.sample) for c in keep(settings, collect.completions, collect.scores)}
            write_rollouts(
                run / "rollouts" / f"step-{step:08d}.parquet",
                step,
                [replace(row, advantage=float((row.prompt_id, row.sample) in kept)) for row in rows],
            )

    loop = expert_iteration(settings, collect, policy, optimizer, Streams(cfg.seed))
    return Job(
        algorithm=told(loop, collect, judge),
        learned=Language(policy, optimizer, counters=lambda: {"drawn": collect.prompts.drawn}, restore=restore),
        counter=collect,
        begin=begin,
        evaluate=measure,
        keep=write,
        keep_evaluation=measure.keep,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )
