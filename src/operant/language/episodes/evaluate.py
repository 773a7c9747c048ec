"""How a language model is measured: right answers on held-out prompts, or the likelihood of held-out texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from operant.config.errors import ConfigError
from operant.data.jsonl import is_jsonl
from operant.language.episodes.episodes import Score, total_score
from operant.language.episodes.prompts import answerable
from operant.language.episodes.rollout_files import RolloutRow, write_rollouts
from operant.language.episodes.task_scorer import TaskScorer, greedy, prompts_of, talks
from operant.language.model.language_model import LanguageModel, ends
from operant.language.sample.engine import Engine
from operant.language.sample.sampling import Completion, Sampling
from operant.language.settings.runs import ConstitutionalRun, JudgedRun, LanguageRun
from operant.language.task.load import load_task
from operant.language.task.pool import pool_of
from operant.language.task.task import Task, example_at
from operant.language.text.conversation import Encoded, Encoder, plain
from operant.language.text.rendering import rendering_of
from operant.run.evaluate import Evaluation
from operant.run.progress import advance

MAX_TOKENS = 256
"""The limit on a completion where neither the settings nor the task name one; half of what a small model can hold."""


def measure_of(cfg: LanguageRun, policy: LanguageModel) -> TaskAccuracy:
    """The evaluation of a run's model outside of training.

    Raises:
        ConfigError: if the run imitated a file, so that there is nothing to be right at.
    """
    if isinstance(cfg, JudgedRun | ConstitutionalRun):
        raise ConfigError(
            f"a run of {cfg.algorithm} judges or is judged in training: there is no task to measure it on"
        )
    if is_jsonl(cfg.task.id):
        raise ConfigError(f"this run imitated {cfg.task.id}: there is no task to measure it on")
    task = load_task(cfg.task.id, cfg.task.options)
    return TaskAccuracy(cfg, policy, task, sampling_of(cfg, policy, task))


def sampling_of(cfg: LanguageRun, policy: LanguageModel, task: Task | None) -> Sampling:
    """How completions are drawn: the settings, and the stops of the model and the task, if there is one."""
    own = cfg.sampling
    chat = policy.tokenizer.chat_template is not None if task is None else talks(task)
    stop = {*ends(policy, chat=chat)}
    for text in () if task is None else task.stop:
        tokens = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(tokens) != 1:
            raise ConfigError(
                f"task {cfg.task.id}: the stop text {text!r} is {len(tokens)} tokens of this model; give one of one"
            )
        stop.add(int(tokens[0]))
    return Sampling(
        temperature=own.temperature,
        top_k=own.top_k,
        top_p=own.top_p,
        min_p=own.min_p,
        max_tokens=own.max_tokens or (task and task.max_tokens) or min(MAX_TOKENS, policy.max_positions // 2),
        stop=tuple(sorted(stop)),
    )


class TaskAccuracy:
    """Accuracy on held-out prompts: greedily decoded, and sampled.

    Args:
        cfg: the protocol.
        policy: what is measured, as it stands at each call.
        task: the test examples and the rewards; those that the model cannot answer are left out.
        sampling: the limits; the temperature of the samples (1 where that is 0), from the whole vocabulary or not.

    Attributes:
        pace: seconds that a sample took in the last call, with its reward; 0 if none was drawn.
    """

    def __init__(self, cfg: LanguageRun, policy: LanguageModel, task: Task, sampling: Sampling) -> None:
        encode = rendering_of(policy.tokenizer).prompt
        task = answerable(task, "test", encode, positions=policy.max_positions, limit=sampling.max_tokens)
        self.cfg, self.policy, self.task, self.sampling = cfg, policy, task, sampling
        self.scorer = TaskScorer(
            task, policy.tokenizer, lambda i: example_at(task.test, i, f"{task.name}, test"), pool=pool_of(cfg.task)
        )
        self.rows: list[RolloutRow] = []
        self.sampled: Evaluation | None = None
        self.pace = 0.0

    def __call__(self, episodes: int, *, seed: int | None = None, deterministic: bool | None = None) -> Evaluation:
        """The metric of the first `episodes` test prompts under greedy decoding; samples of them beside it."""
        encoder = Encoder(tokenizer=self.policy.tokenizer, length=self.policy.max_positions)
        examples = self.task.test[: min(episodes, len(self.task.test))]
        prompts = prompts_of(examples, encoder)
        engine = Engine(self.policy, seed=self.cfg.eval.seed if seed is None else seed, slots=self.cfg.sampling.slots)
        self.rows, self.sampled, self.pace = [], None, 0.0
        tell = partial(advance, unit="completions")
        best = self._judge(engine.generate(prompts, greedy(self.sampling), tell=tell), "greedy")
        if self.cfg.eval.samples:
            began, sampling = time.perf_counter(), stochastic(self.sampling)
            done = engine.generate(prompts, sampling, samples=self.cfg.eval.samples, tell=tell)
            self.sampled = self._judge(done, "sampled")
            self.pace = (time.perf_counter() - began) / max(1, len(done))
        wanted = self.cfg.eval.deterministic if deterministic is None else deterministic
        return best if wanted or self.sampled is None else self.sampled

    def close(self) -> None:
        """End the worker processes of the rewards."""
        self.scorer.close()

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """Write the last measurement's completions; the accuracies as metrics."""
        write_rollouts(run / "rollouts" / f"eval-step-{step:08d}.parquet", step, self.rows)
        return accuracies(self.rows, self.task.metric)

    def _judge(self, completions: Sequence[Completion], mode: str) -> Evaluation:
        scores = self.scorer.scores(completions)
        metric = scores.values[:, scores.names.index(self.task.metric)]
        values = {
            (c.prompt.id, c.sample): np.where(bad, np.nan, row).tolist()
            for c, row, bad in zip(completions, scores.values, scores.failed, strict=True)
        }
        totals = [float(x) if ok else None for x, ok in zip(scores.total, scores.judged, strict=True)]
        self.rows += rollout_rows(self.scorer, completions, totals, mode=mode, values=values)
        return Evaluation(metric, np.array([len(c.tokens) for c in completions]))


class HeldOutLikelihood:
    """Mean log-likelihood per token of texts held out, where there is no task to be right at."""

    def __init__(self, policy: LanguageModel, held: Sequence[Encoded]) -> None:
        self.policy, self.held = policy, held

    @torch.no_grad()
    def __call__(self, episodes: int) -> Evaluation:
        """Of each of the first `episodes` texts."""
        means: list[float] = []
        held = self.held[:episodes]
        for done, e in enumerate(held):
            advance(done, len(held), "texts")
            tokens = torch.tensor([e.tokens], device=self.policy.device)
            acted = torch.tensor([e.acted], device=self.policy.device)
            means.append(float(self.policy.evaluate(tokens, acted)[0].sum() / acted.sum()))
        return Evaluation(np.array(means), np.array([len(e.tokens) for e in held]))

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """Nothing besides."""
        return {}


class PreferenceAccuracy:
    """The share of held-out judgements that the model agrees with: a return of 1 where its margin is above 0."""

    def __init__(self, held: Sequence[Any], margins: Callable[[Sequence[Any]], list[float]]) -> None:
        self.held, self.margins, self.share = held, margins, 0.0

    @torch.no_grad()
    def __call__(self, episodes: int) -> Evaluation:
        """Of the first `episodes`."""
        right = np.array([float(m > 0.0) for m in self.margins(self.held[:episodes])])
        self.share = float(right.mean())
        return Evaluation(right, np.ones(len(right), np.int64))

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """The share of the last measurement, as a metric."""
        return {"eval/agreement": self.share}


def accuracies(rows: Sequence[RolloutRow], metric: str) -> dict[str, float]:
    """The mean of the metric by mode; what could not be judged counts as wrong."""
    by_mode: dict[str, float] = {}
    for mode in ("greedy", "sampled"):
        values = [row.rewards[metric] for row in rows if row.mode == mode]
        if values:
            by_mode[f"eval/accuracy_{mode}"] = float(np.nan_to_num(values).mean())
    return by_mode


def rollout_rows(
    scorer: TaskScorer,
    completions: Sequence[Completion],
    totals: Sequence[Score],
    *,
    mode: str,
    values: Mapping[tuple[int, int], Sequence[float]],
) -> list[RolloutRow]:
    """Completions as they are kept."""
    metric = scorer.task.metric
    names, shown = [*scorer.task.rewards], {c.prompt.id: scorer.example(c.prompt.id) for c in completions}
    return [
        RolloutRow(
            prompt_id=c.prompt.id,
            sample=c.sample,
            prompt=plain(shown[c.prompt.id].prompt),
            completion=scorer.text(c),
            gold=_text(shown[c.prompt.id].gold),
            finish=c.finish,
            mode=mode,
            rewards=_first(metric, dict(zip(names, values.get((c.prompt.id, c.sample), ()), strict=False))),
            reward=total_score(total),
            advantage=None,
            tokens=c.tokens,
            logp=c.logp,
        )
        for c, total in zip(completions, totals, strict=True)
    ]


def _text(gold: object) -> str:
    try:
        return str(gold)
    except Exception:  # it is their class
        return f"a {type(gold).__name__}"


def _first(metric: str, rewards: dict[str, float]) -> dict[str, float]:
    """The same with the metric first."""
    return {metric: rewards[metric], **rewards} if metric in rewards else rewards


def stochastic(sampling: Sampling) -> Sampling:
    """The same, at temperature 1 where it is greedy."""
    if sampling.temperature > 0.0:
        return sampling
    return Sampling(temperature=1.0, max_tokens=sampling.max_tokens, stop=sampling.stop)
