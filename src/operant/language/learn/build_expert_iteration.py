"""Builders of runs that imitate what a model itself wrote: expert iteration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operant.data.streams import Streams
from operant.language.episodes.evaluate import Measure
from operant.language.learn.builders import Say, adam, begun, keep_sampled, rollouts_of, told
from operant.language.learn.expert_iteration import expert_iteration, keep
from operant.language.model.train_state import Language
from operant.language.settings.runs import ExpertIterationRun
from operant.run.job import Job, Position


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

    def kept() -> list[float]:
        those = {(c.prompt.id, c.sample) for c in keep(settings, collect.completions, collect.scores)}
        return [float((c.prompt.id, c.sample) in those) for c in collect.completions]

    loop = expert_iteration(settings, collect, policy, optimizer, Streams(cfg.seed))
    return Job(
        algorithm=told(loop, collect, judge),
        learned=Language(policy, optimizer, counters=lambda: {"drawn": collect.prompts.drawn}, restore=restore),
        counter=collect,
        begin=begin,
        evaluate=measure,
        keep=keep_sampled(cfg, collect, judge, kept),
        keep_evaluation=measure.keep,
        measure_first=cfg.eval.before,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )
