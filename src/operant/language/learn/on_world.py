"""What a run begins with that plays episodes of a world: the world, the model, what plays and measures, and the job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from operant.config.errors import OperantError
from operant.config.values import duration
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.rollout_files import write_rollouts
from operant.language.episodes.runner import Runner
from operant.language.episodes.world import World, load_world
from operant.language.episodes.world_files import episode_rows
from operant.language.episodes.world_rollouts import WorldRollouts
from operant.language.episodes.world_success import WorldSuccess, runner_of
from operant.language.learn.oracle import world_base
from operant.language.learn.outlook import LEARNING
from operant.language.learn.setup import job, model_of
from operant.language.model.language_model import LanguageModel
from operant.language.model.train_state import LanguageTrainState
from operant.language.settings.worlds import WorldRun
from operant.run.evaluate import Evaluation
from operant.run.job import Job, Position, Say

RATIO = 1e-5
"""How far from 1 a ratio may be before the first gradient step, for the proof to say that it is 1."""


@dataclass(kw_only=True)
class OnWorld:
    """The parts of a run in a world; `generator` draws the order of the minibatches."""

    cfg: WorldRun
    say: Say
    world: World
    policy: LanguageModel
    runner: Runner
    collect: WorldRollouts
    generator: np.random.Generator

    def learned(
        self, optimizer: torch.optim.Optimizer, modules: Mapping[str, nn.Module] | None = None
    ) -> LanguageTrainState:
        """What a checkpoint keeps: the model, its optimiser, and how many scenarios were drawn."""
        prompts = self.collect.prompts

        def restore(counters: Mapping[str, Any]) -> None:
            prompts.drawn = int(counters["drawn"])

        return LanguageTrainState(
            self.policy, optimizer, counters=lambda: {"drawn": prompts.drawn}, restore=restore, modules=modules
        )

    def job(self, learning: Iterator[Metrics], learned: LanguageTrainState, *, episodes: int) -> Job:
        """The run: its first step proves the masks.

        Args:
            learning, learned: as in `setup.job`.
            episodes: of a step, for the plan that is said.
        """
        success = WorldSuccess(self.cfg, self.policy, self.world)
        measure = _Planned(success, self.cfg, episodes, self.say)
        return job(self.cfg, self._proved(learning), learned, self.collect, measure, begin=self._begin, keep=self._keep)

    def _begin(self, at: Position) -> None:
        Streams(self.cfg.seed, at.seam).rekey(self.generator, "minibatch")
        self.collect.steps, self.collect.episodes = at.step, at.episodes

    def _proved(self, learning: Iterator[Metrics]) -> Iterator[Metrics]:
        """The loop's metrics, each step's masks counted against what was sampled; the first step says so."""
        first = True
        while True:
            drawn = self.runner.engine.tokens
            metrics = next(learning)
            sampled = sum(turn.tokens for p in self.collect.learnt for turn in p.turns)
            trained = sum(sum(c.acted) for c in self.collect.completions)
            if sampled != trained:
                raise OperantError(
                    f"{trained} tokens would be trained, but {sampled} were sampled. This is a fault of operant"
                )
            if first:
                self.say(_proof(metrics, sampled, self.runner.engine.tokens - drawn, self.collect))
                first = False
            yield metrics | {"train/return": metrics["reward/mean"]}

    def _keep(self, run: Path, step: int) -> None:
        """Write the episodes of every `save.rollouts`-th step, each with its advantage."""
        if not self.cfg.save.rollouts or step % self.cfg.save.rollouts:
            return
        advantages = self.collect.by_episode()
        rows = episode_rows(self.collect.played, mode="sampled", learnt=self.collect.learnt, advantages=advantages)
        write_rollouts(run / "rollouts" / f"step-{step:08d}.parquet", step, rows)


class _Planned:
    """Measures like a `WorldSuccess`, and after the evaluation before training says what will be done."""

    def __init__(self, measure: WorldSuccess, cfg: WorldRun, per_step: int, say: Say) -> None:
        self.measure, self.cfg, self.per_step, self.say = measure, cfg, per_step, say

    def __call__(self, episodes: int) -> Evaluation:
        return self.measure(episodes)

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """As the measure does; at step 0 with a plan."""
        kept = self.measure.keep(run, step)
        if step == 0 and self.cfg.eval.before and self.measure.pace:
            during = 0 if self.cfg.eval.every is None else self.cfg.total_steps // self.cfg.eval.every
            measured = during * self.cfg.eval.during + self.cfg.eval.episodes
            about = self.measure.pace * (LEARNING * self.cfg.total_steps * self.per_step + measured)
            steps = f"{self.cfg.total_steps:,} step{'s' * (self.cfg.total_steps > 1)}"
            self.say(f"Plan: {steps} of {self.per_step:,} episodes each, about {duration(about)}.")
        return kept

    def close(self) -> None:
        """Free what worlds wait on."""
        self.measure.close()


def on_world(cfg: WorldRun, say: Say, *, samples: int) -> OnWorld:
    """Everything but the loop and its optimiser, made from a config and its one seed.

    Args:
        cfg: the config.
        say: given a line for the person who waits.
        samples: episodes of each scenario.

    Raises:
        ConfigError: if the world or the model cannot be used.
    """
    torch.set_num_threads(cfg.threads)
    world = load_world(cfg.task.id, cfg.task.options)
    policy = world_model(cfg, world, say)
    streams = Streams(cfg.seed)
    runner = runner_of(cfg, policy, world, seed=streams.integer("sampler"))
    collect = WorldRollouts(runner, seed=cfg.seed, samples=samples)
    return OnWorld(
        cfg=cfg, say=say, world=world, policy=policy, runner=runner, collect=collect,
        generator=streams.numpy("minibatch"),
    )  # fmt: skip


def world_model(cfg: WorldRun, world: World, say: Say) -> LanguageModel:
    """The model that a config names; a small one cloned on the world's oracle where it names none.

    Raises:
        ConfigError: if it cannot be read, or none is named and the world has no oracle.
    """
    if cfg.model.path:
        return model_of(cfg)
    return model_of(cfg, str(world_base(world, cfg, say)))


def _proof(metrics: Metrics, trained: int, drawn: int, collect: WorldRollouts) -> str:
    """What was checked in a step, in a line."""
    off = float(metrics.get("sampler/mismatch_max", torch.tensor(float("nan"))))
    within = "no gradient step was taken" if off != off else f"each ratio before it within 1 ± {off:.1g}"
    wide = f", above {RATIO:g}: sampler and trainer round differently" if off > RATIO else ""
    return (
        f"Masks: {len(collect.learnt)} episodes in {len(collect.completions)} rows, every token as it was fed; "
        f"{drawn:,} tokens sampled, {trained:,} of them trained, and none besides; {within}{wide}."
    )
