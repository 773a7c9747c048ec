"""What a run begins with that samples a task's prompts: the task, the model, what samples and scores, and the job."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.distributed import all_reduce
from operant.language.episodes.episodes import Rollouts
from operant.language.episodes.evaluate import TaskAccuracy, rollout_rows, sampling_of
from operant.language.episodes.prompts import answerable
from operant.language.episodes.rollout_files import write_rollouts
from operant.language.episodes.task_scorer import StepScorer, Supervision, TaskScorer
from operant.language.learn.outlook import Outlook
from operant.language.learn.setup import job, model_of
from operant.language.model.language_model import LanguageModel
from operant.language.model.small_base import small_base
from operant.language.model.train_state import LanguageTrainState
from operant.language.sample.engine import Engine
from operant.language.sample.sampling import Prompts
from operant.language.settings.runs import LanguageRun
from operant.language.task.check import check_task
from operant.language.task.load import load_task
from operant.language.task.pool import pool_of
from operant.language.task.task import Task, example_at
from operant.language.text.conversation import Encoder
from operant.language.text.rendering import rendering_of
from operant.run.job import Job, Position, Say


@dataclass(kw_only=True)
class OnPolicy:
    """The parts of a run that samples a task's prompts; `generator` draws the order of the minibatches."""

    cfg: LanguageRun
    say: Say
    task: Task
    policy: LanguageModel
    collect: Rollouts
    scorer: TaskScorer
    generator: np.random.Generator

    def reference(self, beta: float) -> LanguageModel | None:
        """The model as it is named, frozen, where a divergence from it counts and no adapters can be left out."""
        if beta == 0.0 or self.policy.adapted:
            return None
        return task_model(self.cfg, self.task, self.say).requires_grad_(False)

    def job(self, loop: Iterator[Metrics], learned: LanguageTrainState, *, prompts: int = 0) -> Job:
        """The run: with the mean of each reward beside its metrics, and its completions values.

        Args:
            loop, learned: as in `setup.job`.
            prompts: of a step, for the plan that is said; 0 says none.
        """
        accuracy = TaskAccuracy(self.cfg, self.policy, self.task, self.collect.sampling)
        measure = Outlook(accuracy, self.cfg, prompts * self.collect.samples, self.say)
        return job(
            self.cfg, self._with_rewards(loop), learned, self.collect, measure, begin=self._begin, keep=self._keep
        )

    def _begin(self, at: Position) -> None:
        Streams(self.cfg.seed, at.seam).rekey(self.generator, "minibatch")
        self.collect.steps, self.collect.episodes = at.step, at.episodes

    def _with_rewards(self, loop: Iterator[Metrics]) -> Iterator[Metrics]:
        while True:
            self.scorer.forget()
            metrics = next(loop)
            values = [self.scorer.values.get((c.prompt.id, c.sample), ()) for c in self.collect.completions]
            for k, name in enumerate(self.task.rewards):
                given = [row[k] for row in values if len(row) > k and not math.isnan(row[k])]
                sums = torch.tensor([sum(given), len(given)], dtype=torch.float64)
                all_reduce([sums])
                metrics = metrics | {f"reward/{name}": sums[0] / sums[1].clamp(min=1)}
            yield metrics | {"train/return": metrics["reward/mean"]}

    def _keep(self, run: Path, step: int) -> None:
        """Write the completions of every `save.rollouts`-th step, each with the advantage it had in learning."""
        if not self.cfg.save.rollouts or step % self.cfg.save.rollouts:
            return
        collect, scorer = self.collect, self.scorer
        rows = rollout_rows(scorer, collect.completions, collect.scores, mode="sampled", values=scorer.values)
        if collect.advantages is not None:
            rows = [replace(r, advantage=a) for r, a in zip(rows, collect.advantages.tolist(), strict=True)]
        write_rollouts(run / "rollouts" / f"step-{step:08d}.parquet", step, rows)


def on_policy(
    cfg: LanguageRun,
    say: Say,
    *,
    samples: int,
    resample: int = 0,
    overlong: float = 0.0,
    supervision: Supervision = "outcome",
    steps: StepScorer | None = None,
    draw: Callable[..., Prompts] = Prompts,
) -> OnPolicy:
    """Everything but the loop and its optimiser, made from a config and its one seed.

    Args:
        cfg: the config.
        say: given a line for the person who waits.
        samples, resample, overlong: as in `Rollouts`.
        supervision, steps: as in `TaskScorer`.
        draw: makes, of the prompts' tokens and the seed, what they are drawn by.

    Raises:
        ConfigError: if the task or the model cannot be used.
    """
    task, policy = checked_task(cfg, say)
    Encoder(tokenizer=policy.tokenizer, length=policy.max_positions).prompt(task.train[0].prompt)  # warns, if need be
    train, name = task.train, f"{task.name}, train"
    prompts = draw(_Prompts(train, name, policy.tokenizer), seed=cfg.seed)
    scorer = TaskScorer(
        task,
        policy.tokenizer,
        lambda i: example_at(train, prompts.example(i), name),
        supervision=supervision,
        steps=steps,
        pool=pool_of(cfg.task),
    )
    streams = Streams(cfg.seed)
    engine = Engine(policy, seed=streams.integer("sampler"), slots=cfg.sampling.slots)
    sampling = sampling_of(cfg, policy, task)
    collect = Rollouts(engine, prompts, scorer, sampling, samples=samples, resample=resample, overlong=overlong)
    return OnPolicy(
        cfg=cfg, say=say, task=task, policy=policy, collect=collect, scorer=scorer, generator=streams.numpy("minibatch")
    )


def checked_task(cfg: LanguageRun, say: Say) -> tuple[Task, LanguageModel]:
    """The task that a config names, checked, without prompts that the model cannot answer, and the model."""
    torch.set_num_threads(cfg.threads)
    task = load_task(cfg.task.id, cfg.task.options)
    policy = task_model(cfg, task, say)
    with pool_of(cfg.task, workers=1) as judge:
        check_task(task, judge=judge, encode=lambda text: policy.tokenizer(text, add_special_tokens=False)["input_ids"])
    limit, encode = sampling_of(cfg, policy, task).max_tokens, rendering_of(policy.tokenizer).prompt
    return answerable(task, "train", encode, positions=policy.max_positions, limit=limit), policy


def task_model(cfg: LanguageRun, task: Task, say: Say) -> LanguageModel:
    """The model that a config names; the small base of the task where it names none.

    Raises:
        ConfigError: if it cannot be read, or none is named and the task has nothing to make a base from.
    """
    if cfg.model.path:
        return model_of(cfg)
    about = {"id": Path(cfg.task.id).name, "options": cfg.task.options}  # a task's file may lie anywhere
    return model_of(cfg, str(small_base(task, cfg.base, about, say=say)))


class _Prompts(Sequence[Sequence[int]]):
    """The prompts of examples as tokens, made when asked for."""

    def __init__(self, examples: Sequence[Any], name: str, tokenizer: Any) -> None:
        self.examples, self.name, self.tokenizer = examples, name, tokenizer

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Any) -> Any:
        return rendering_of(self.tokenizer).prompt(example_at(self.examples, index, self.name).prompt)
