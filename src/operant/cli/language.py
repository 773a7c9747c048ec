"""Builders of runs on language models, and how a language model is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from operant.algo.grpo import group_advantages, grpo
from operant.algo.penalty import Penalty
from operant.algo.sft import sft
from operant.config.errors import ConfigError
from operant.config.models import GRPORun, LanguageRun, SFTRun
from operant.data.conversation import Encoded, Encoder
from operant.data.order import Shuffled
from operant.data.pairs import read_conversations
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.policy.language import LanguageModel
from operant.policy.lora import LoraSpec
from operant.rollout.engine import Engine
from operant.rollout.episodes import Prompts, Rollouts, Score, episodes, total_of
from operant.rollout.evaluate import Evaluation
from operant.rollout.judged import Judged, Stepwise, Supervision, greedy, prompts_of
from operant.rollout.sampling import Completion, Sampling
from operant.task.check import check_task
from operant.task.load import load_task
from operant.task.task import Task
from operant.training.language import Language
from operant.training.rollouts import Row, write_rollouts
from operant.training.run import Job, Position

MAX_TOKENS = 256
"""The limit on a completion where neither the settings nor the task name one."""

Say = Callable[[str], None]


def build_grpo(cfg: GRPORun, env: object, say: Say = lambda line: None) -> Job:
    """Everything that GRPO needs, made from a config and one seed."""
    torch.set_num_threads(cfg.threads)
    task = load_task(cfg.task.id, cfg.task.options)
    policy = model_of(cfg, task, say)
    check_task(task, encode=lambda text: policy.tokenizer(text, add_special_tokens=False)["input_ids"])
    settings = cfg.algo
    collect, judge = rollouts_of(
        cfg, task, policy, samples=settings.samples, resample=settings.resample, overlong=settings.overlong,
        supervision=settings.supervision,
    )  # fmt: skip
    prompts, sampling = collect.prompts, collect.sampling
    reference = None
    if settings.beta > 0.0 and not policy.adapted:
        reference = model_of(cfg, task, say)
        reference.requires_grad_(False)
    optimizer = adam([policy], settings.lr, settings.weight_decay)
    order = Streams(cfg.seed).numpy("minibatch")
    penalty = Penalty(settings.beta, settings.beta_schedule, settings.kl_target, settings.kl_horizon)
    measure = Measure(cfg, policy, task, sampling)

    def restore(counters: Mapping[str, Any]) -> None:
        prompts.drawn, penalty.value = int(counters["drawn"]), float(counters["beta"])

    def begin(at: Position) -> None:
        Streams(cfg.seed, at.seam).rekey(order, "minibatch")
        collect.steps, collect.episodes = at.step, at.episodes

    def keep(run: Path, step: int) -> None:
        if cfg.save.rollouts and step % cfg.save.rollouts == 0:
            made = episodes(collect.completions, collect.scores)
            adv = group_advantages(settings, made, torch.zeros_like(made.traj.reward))
            rows = rows_of(judge, collect.completions, collect.scores, mode="sampled", values=judge.values)
            last = [float(a[own][-1]) if bool(own.any()) else 0.0 for a, own in zip(adv, made.traj.acted, strict=True)]
            write_rollouts(
                run / "rollouts" / f"step-{step:08d}.parquet",
                step,
                [_with(row, advantage=a) for row, a in zip(rows, last, strict=True)],
            )

    loop = grpo(
        settings, collect, policy, optimizer, order, total_steps=cfg.total_steps, reference=reference, penalty=penalty
    )
    return Job(
        algorithm=told(loop, collect, judge),
        learned=Language(
            policy,
            optimizer,
            counters=lambda: {"drawn": prompts.drawn, "beta": penalty.value},
            restore=restore,
            reference=reference if settings.reference_every else None,
        ),
        counter=collect,
        begin=begin,
        evaluate=measure,
        keep=keep,
        keep_evaluation=measure.keep,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )


def rollouts_of(
    cfg: LanguageRun,
    task: Task,
    policy: LanguageModel,
    *,
    samples: int,
    resample: int = 0,
    overlong: float = 0.0,
    supervision: Supervision = "outcome",
    steps: Stepwise | None = None,
) -> tuple[Rollouts, Judged]:
    """What samples and scores the task's prompts, and its judge."""
    encoder = Encoder(tokenizer=policy.tokenizer, length=policy.max_positions)
    prompts = Prompts(_Prompts(task.train, encoder), seed=cfg.seed)
    judge = Judged(
        task, policy.tokenizer, lambda i: task.train[prompts.example(i)], supervision=supervision, steps=steps
    )
    engine = Engine(policy, seed=Streams(cfg.seed).integer("sampler"), slots=cfg.sampling.slots)
    collect = Rollouts(
        engine,
        prompts,
        judge,
        sampling_of(cfg, policy, task),
        samples=samples,
        resample=resample,
        overlong=overlong,
    )
    return collect, judge


def build_sft(cfg: SFTRun, env: object, say: Say = lambda line: None) -> Job:
    """Everything that supervised fine-tuning needs, made from a config and one seed."""
    torch.set_num_threads(cfg.threads)
    from_file = cfg.task.id.endswith(".jsonl")
    task = None if from_file else load_task(cfg.task.id, cfg.task.options)
    policy = model_of(cfg, task, say)
    encoder = Encoder(tokenizer=policy.tokenizer, length=min(cfg.algo.length, policy.max_positions))
    held: list[Encoded] = []
    if task is None:
        examples = read_conversations(cfg.task.id, encoder, learn=cfg.algo.learn)
        count = max(1, min(cfg.eval.episodes, len(examples) // 10)) if len(examples) > 1 else 0
        if not count:
            raise ConfigError(f"{cfg.task.id} has too few texts to learn from and to hold one out: give two or more")
        examples, held = examples[: len(examples) - count], examples[len(examples) - count :]
    else:
        examples = imitated(task, encoder)
    data = Shuffled(examples, Streams(cfg.seed))
    optimizer = adam([policy], cfg.algo.lr, cfg.algo.weight_decay)
    measure: Measure | Likelihood
    measure = Likelihood(policy, held) if task is None else Measure(cfg, policy, task, sampling_of(cfg, policy, task))

    def begin(at: Position) -> None:
        data.steps = at.step

    return Job(
        algorithm=sft(cfg.algo, data, policy, optimizer, total_steps=cfg.total_steps),
        learned=Language(policy, optimizer),
        counter=data,
        begin=begin,
        evaluate=measure,
        keep_evaluation=measure.keep,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )


def model_of(cfg: LanguageRun, task: Task | None, say: Say = lambda line: None) -> LanguageModel:
    """The model that a config names, on its device; the small base of the task where it names none.

    Raises:
        ConfigError: if it cannot be read, or none is named and the task has nothing to make a base from.
    """
    from transformers.utils import logging

    from operant.cli.control import device

    logging.disable_progress_bar()
    where = str(device(cfg))
    path = cfg.model.path
    if not path:
        from operant.recipes.base import fresh, small_base

        if task is None:
            raise ConfigError(f"{cfg.task.id} needs a model to fine-tune: --model DIR")
        if isinstance(cfg, SFTRun):
            texts = [f"{d.prompt}{d.completion}" for d in task.demonstrations[:5000]]
            return fresh(cfg.base, texts or [f"{e.prompt}{e.solution}" for e in task.train[:5000]]).to(where)
        path = str(small_base(task, cfg.base, {"id": cfg.task.id, "options": cfg.task.options}, say=say))
    lora = LoraSpec(r=cfg.model.lora_rank, alpha=cfg.model.lora_alpha) if cfg.model.lora_rank else None
    return LanguageModel.load(path, dtype=getattr(torch, cfg.model.dtype), device=where, lora=lora)


def measure_of(cfg: LanguageRun, policy: LanguageModel) -> Measure:
    """The evaluation of a run's model outside of training.

    Raises:
        ConfigError: if the run imitated a file, so that there is nothing to be right at.
    """
    if cfg.task.id.endswith(".jsonl"):
        raise ConfigError(f"this run imitated {cfg.task.id}: there is no task to measure it on")
    task = load_task(cfg.task.id, cfg.task.options)
    return Measure(cfg, policy, task, sampling_of(cfg, policy, task))


def sampling_of(cfg: LanguageRun, policy: LanguageModel, task: Task) -> Sampling:
    """How completions are drawn: the settings, and the stops of the model and the task."""
    own = cfg.sampling
    ends = getattr(policy.base.generation_config, "eos_token_id", None)
    stop: set[Any] = {policy.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    for text in task.stop:
        tokens = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(tokens) != 1:
            raise ConfigError(
                f"task {task.name}: the stop text {text!r} is {len(tokens)} tokens of this model; give one that is one"
            )
        stop.add(tokens[0])
    return Sampling(
        temperature=own.temperature,
        top_k=own.top_k,
        top_p=own.top_p,
        min_p=own.min_p,
        max_tokens=own.max_tokens or task.max_tokens or MAX_TOKENS,
        stop=tuple(sorted(int(token) for token in stop)),
    )


def imitated(task: Task, encoder: Encoder) -> list[Encoded]:
    """A task's demonstrations, or its solutions where it has none, as examples to imitate."""
    pairs = [(d.prompt, d.completion) for d in task.demonstrations] or [(e.prompt, e.solution) for e in task.train]
    return [encoder.completion(p, c, f"{task.name}, demonstration {i}") for i, (p, c) in enumerate(pairs)]


class Measure:
    """Accuracy on held-out prompts: greedily decoded, and sampled.

    Args:
        cfg: the protocol.
        policy: what is measured, as it stands at each call.
        task: the test examples and the rewards.
        sampling: the limits; the temperature of the samples (1 where that is 0), from the whole vocabulary or not.
    """

    def __init__(self, cfg: LanguageRun, policy: LanguageModel, task: Task, sampling: Sampling) -> None:
        self.cfg, self.policy, self.task, self.sampling = cfg, policy, task, sampling
        self.judge = Judged(task, policy.tokenizer, lambda i: task.test[i])
        self.rows: list[Row] = []
        self.sampled: Evaluation | None = None

    def __call__(self, episodes: int, *, seed: int | None = None, deterministic: bool | None = None) -> Evaluation:
        """The metric of the first `episodes` test prompts under greedy decoding; samples of them beside it."""
        encoder = Encoder(tokenizer=self.policy.tokenizer, length=self.policy.max_positions)
        examples = self.task.test[: min(episodes, len(self.task.test))]
        prompts = prompts_of(examples, encoder)
        engine = Engine(self.policy, seed=self.cfg.eval.seed if seed is None else seed, slots=self.cfg.sampling.slots)
        self.rows, self.sampled = [], None
        best = self._judge(engine.generate(prompts, greedy(self.sampling)), "greedy")
        if self.cfg.eval.samples:
            warm = self.sampling if self.sampling.temperature > 0.0 else _warm(self.sampling)
            done = engine.generate(prompts, warm, samples=self.cfg.eval.samples)
            self.sampled = self._judge(done, "sampled")
        wanted = self.cfg.eval.deterministic if deterministic is None else deterministic
        return best if wanted or self.sampled is None else self.sampled

    def close(self) -> None:
        """End the worker processes of the rewards."""
        self.judge.close()

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """Write the last measurement's completions; the accuracies as metrics."""
        write_rollouts(run / "rollouts" / f"eval-step-{step:08d}.parquet", step, self.rows)
        return accuracies(self.rows, self.task.metric)

    def _judge(self, completions: Sequence[Completion], mode: str) -> Evaluation:
        scores = self.judge.scores(completions)
        metric = scores.values[:, scores.names.index(self.task.metric)]
        values = {
            (c.prompt.id, c.sample): np.where(bad, np.nan, row).tolist()
            for c, row, bad in zip(completions, scores.values, scores.failed, strict=True)
        }
        totals = [float(x) if ok else None for x, ok in zip(scores.total, scores.judged, strict=True)]
        self.rows += rows_of(self.judge, completions, totals, mode=mode, values=values)
        return Evaluation(metric, np.array([len(c.tokens) for c in completions]))


class Likelihood:
    """Mean log-likelihood per token of texts held out, where there is no task to be right at."""

    def __init__(self, policy: LanguageModel, examples: Sequence[Encoded]) -> None:
        self.policy, self.examples = policy, examples

    @torch.no_grad()
    def __call__(self, episodes: int) -> Evaluation:
        """Of each of the first `episodes` texts."""
        found: list[float] = []
        for e in self.examples[:episodes]:
            tokens = torch.tensor([e.tokens], device=self.policy.device)
            acted = torch.tensor([e.acted], device=self.policy.device)
            found.append(float(self.policy.evaluate(tokens, acted)[0].sum() / acted.sum()))
        return Evaluation(np.array(found), np.array([len(e.tokens) for e in self.examples[:episodes]]))

    def keep(self, run: Path, step: int) -> dict[str, float]:
        """Nothing besides."""
        return {}


def accuracies(rows: Sequence[Row], metric: str) -> dict[str, float]:
    """The mean of the metric by mode; what could not be judged counts as wrong."""
    found: dict[str, float] = {}
    for mode in ("greedy", "sampled"):
        values = [row.rewards[metric] for row in rows if row.mode == mode]
        if values:
            found[f"eval/accuracy_{mode}"] = float(np.nan_to_num(values).mean())
    return found


def rows_of(
    judge: Judged,
    completions: Sequence[Completion],
    totals: Sequence[Score],
    *,
    mode: str,
    values: Mapping[tuple[int, int], Sequence[float]],
) -> list[Row]:
    """Completions as they are kept."""
    metric = judge.task.metric
    names, shown = [*judge.task.rewards], {c.prompt.id: judge.example(c.prompt.id) for c in completions}
    return [
        Row(
            prompt_id=c.prompt.id,
            sample=c.sample,
            prompt=_text(shown[c.prompt.id].prompt),
            completion=judge.text(c),
            gold=str(shown[c.prompt.id].gold),
            finish=c.finish,
            mode=mode,
            rewards=_first(metric, dict(zip(names, values.get((c.prompt.id, c.sample), ()), strict=False))),
            reward=total_of(total),
            advantage=None,
            tokens=c.tokens,
            logp=c.logp,
        )
        for c, total in zip(completions, totals, strict=True)
    ]


def _first(metric: str, rewards: dict[str, float]) -> dict[str, float]:
    """The same with the metric first."""
    return {metric: rewards[metric], **rewards} if metric in rewards else rewards


def told(loop: Iterator[Metrics], collect: Rollouts, judge: Judged) -> Iterator[Metrics]:
    """The loop, with the mean of each reward beside its metrics."""
    while True:
        judge.forget()
        metrics = next(loop)
        kept = [judge.values.get((c.prompt.id, c.sample), ()) for c in collect.completions]
        for k, name in enumerate(judge.task.rewards):
            known = [row[k] for row in kept if len(row) > k and not math.isnan(row[k])]
            metrics = metrics | {f"reward/{name}": torch.tensor(sum(known) / max(len(known), 1))}
        yield metrics | {"train/return": metrics["reward/mean"]}


class _Prompts(Sequence[Sequence[int]]):
    """The prompts of examples as tokens, made when asked for."""

    def __init__(self, examples: Sequence[Any], encoder: Encoder) -> None:
        self.examples, self.encoder = examples, encoder

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Any) -> Any:
        return self.encoder.prompt(self.examples[index].prompt)


def adam(modules: Sequence[torch.nn.Module], lr: float, decay: float) -> torch.optim.AdamW:
    """AdamW on what is trainable in some modules."""
    trained = [p for module in modules for p in module.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=lr, weight_decay=decay)


def _warm(sampling: Sampling) -> Sampling:
    return Sampling(temperature=1.0, max_tokens=sampling.max_tokens, stop=sampling.stop)


def _with(row: Row, *, advantage: float) -> Row:
    from dataclasses import replace

    return replace(row, advantage=advantage)


def _text(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(f"{m['role']}: {m['content']}" for m in prompt)
