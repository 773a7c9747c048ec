"""Builders of runs on language models: GRPO, supervised fine-tuning, and what the others begin with too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.distributed import add_up
from operant.language.episodes.episodes import Prompts, Rollouts, episodes
from operant.language.episodes.evaluate import Likelihood, Measure, rows_of, sampling_of
from operant.language.episodes.rollout_files import write_rollouts
from operant.language.episodes.task_scorer import Judged, Stepwise, Supervision
from operant.language.learn.group_critic import group_advantages
from operant.language.learn.grpo import grpo
from operant.language.learn.judges import read_verifier
from operant.language.learn.kl_controller import Penalty
from operant.language.learn.multi_reward import apart
from operant.language.learn.sft import sft
from operant.language.model.language_model import LanguageModel
from operant.language.model.lora import LoraSpec
from operant.language.model.master_weights import MasterAdamW
from operant.language.model.train_state import Language
from operant.language.sample.engine import Engine
from operant.language.settings.learning import LearningConfig
from operant.language.settings.runs import GRPORun, LanguageRun, SFTRun
from operant.language.task.check import check_task
from operant.language.task.load import load_task
from operant.language.task.task import Task
from operant.language.text.conversation import Encoded, Encoder, Text
from operant.language.text.epochs import Shuffled
from operant.language.text.jsonl import is_jsonl
from operant.language.text.pairs import read_conversations
from operant.run.job import Job, Position

Say = Callable[[str], None]


def build_grpo(cfg: GRPORun, env: object, say: Say = lambda line: None) -> Job:
    """Everything that GRPO needs, made from a config and one seed."""
    task, policy = begun(cfg, say)
    settings = cfg.algo
    collect, judge = rollouts_of(
        cfg, task, policy, samples=settings.samples, resample=settings.resample, overlong=settings.overlong,
        supervision=settings.supervision, steps=_steps(cfg, policy),
    )  # fmt: skip
    prompts, sampling, one_by_one = collect.prompts, collect.sampling, apart(settings, judge)
    reference = reference_of(cfg, task, policy, settings.beta, say)
    optimizer = adam([policy], settings.lr, settings.weight_decay)
    order = Streams(cfg.seed).numpy("minibatch")
    penalty = Penalty(settings.beta, settings.beta_schedule, settings.kl_target, settings.kl_horizon)
    measure = Measure(cfg, policy, task, sampling)

    def restore(counters: Mapping[str, Any]) -> None:
        prompts.drawn, penalty.value = int(counters["drawn"]), float(counters["beta"])

    def begin(at: Position) -> None:
        Streams(cfg.seed, at.seam).rekey(order, "minibatch")
        collect.steps, collect.episodes = at.step, at.episodes

    def advantages() -> list[float]:
        made = episodes(collect.completions, collect.scores)
        rewards = None if one_by_one is None else one_by_one(collect.completions)
        adv = group_advantages(settings, made, torch.zeros_like(made.traj.reward), rewards)
        return [float(a[own][-1]) if bool(own.any()) else 0.0 for a, own in zip(adv, made.traj.acted, strict=True)]

    loop = grpo(
        settings, collect, policy, optimizer, order, total_steps=cfg.total_steps, reference=reference, penalty=penalty,
        apart=one_by_one,
    )  # fmt: skip
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
        keep=keep_sampled(cfg, collect, judge, advantages),
        keep_evaluation=measure.keep,
        measure_first=cfg.eval.before,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )


def _steps(cfg: GRPORun, policy: LanguageModel) -> Stepwise | None:
    """The process reward model that a config names."""
    if not cfg.process.model:
        return None
    if cfg.algo.supervision == "outcome":
        raise ConfigError("process.model judges steps, but algo.supervision is outcome: set it to process, or to both")
    return read_verifier(cfg.process.model, str(policy.device))


def begun(cfg: LanguageRun, say: Say) -> tuple[Task, LanguageModel]:
    """The task that a config names, checked, and the model."""
    torch.set_num_threads(cfg.threads)
    task = load_task(cfg.task.id, cfg.task.options)
    policy = model_of(cfg, task, say)
    check_task(task, encode=lambda text: policy.tokenizer(text, add_special_tokens=False)["input_ids"])
    return task, policy


def reference_of(cfg: LanguageRun, task: Task, policy: LanguageModel, beta: float, say: Say) -> LanguageModel | None:
    """The model as it is named, frozen, where a divergence from it counts and no adapters can be left out."""
    if beta == 0.0 or policy.adapted:
        return None
    return model_of(cfg, task, say).requires_grad_(False)


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
    from_file = is_jsonl(cfg.task.id)
    task = None if from_file else load_task(cfg.task.id, cfg.task.options)
    policy = model_of(cfg, task, say)
    encoder = encoder_of(policy, cfg.algo)
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
        measure_first=cfg.eval.before,
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

    from operant.run.device import device_of

    logging.disable_progress_bar()
    where = str(device_of(cfg.device))
    path = cfg.model.path
    if not path:
        from operant.language.model.small_base import fresh, small_base

        if task is None:
            raise ConfigError(f"{cfg.task.id} needs a model to fine-tune: --model DIR")
        if isinstance(cfg, SFTRun):
            texts = [f"{d.prompt}{d.completion}" for d in task.demonstrations[:5000]]
            return fresh(cfg.base, texts or [f"{e.prompt}{e.solution}" for e in task.train[:5000]]).to(where)
        path = str(small_base(task, cfg.base, {"id": cfg.task.id, "options": cfg.task.options}, say=say))
    elif (latest := Path(path) / "checkpoints" / "latest").exists():  # a run's folder
        path = str(latest.resolve())
    lora = LoraSpec(r=cfg.model.lora_rank, alpha=cfg.model.lora_alpha) if cfg.model.lora_rank else None
    policy = LanguageModel.load(path, dtype=getattr(torch, cfg.model.dtype), device=where, lora=lora)
    if cfg.model.recompute:
        policy.recompute()
    return policy


def encoder_of(policy: LanguageModel, settings: LearningConfig) -> Encoder:
    """What turns texts into examples for a policy, no longer than the settings and its positions allow."""
    length = min(settings.length, policy.max_positions)
    return Encoder(tokenizer=policy.tokenizer, length=length, too_long=settings.too_long)


def imitated(task: Task, encoder: Encoder) -> list[Encoded]:
    """A task's demonstrations, or its solutions where it has none, as examples to imitate."""
    pairs = [(d.prompt, d.completion) for d in task.demonstrations] or [(e.prompt, e.solution) for e in task.train]

    def one(pair: tuple[int, tuple[Text, Text]]) -> Encoded:
        i, (prompt, completion) = pair
        return encoder.completion(prompt, completion, f"{task.name}, demonstration {i}")

    return encoder.each(one, enumerate(pairs), of=task.name)


def told(loop: Iterator[Metrics], collect: Rollouts, judge: Judged) -> Iterator[Metrics]:
    """The loop, with the mean of each reward beside its metrics."""
    while True:
        judge.forget()
        metrics = next(loop)
        kept = [judge.values.get((c.prompt.id, c.sample), ()) for c in collect.completions]
        for k, name in enumerate(judge.task.rewards):
            known = [row[k] for row in kept if len(row) > k and not math.isnan(row[k])]
            whole = torch.tensor([sum(known), len(known)], dtype=torch.float64)
            add_up([whole])
            metrics = metrics | {f"reward/{name}": whole[0] / whole[1].clamp(min=1)}
        yield metrics | {"train/return": metrics["reward/mean"]}


def keep_sampled(
    cfg: LanguageRun, collect: Rollouts, judge: Judged, advantages: Callable[[], Sequence[float]]
) -> Callable[[Path, int], None]:
    """What writes the completions of every `save.rollouts`-th step, each with its advantage."""

    def keep(run: Path, step: int) -> None:
        if cfg.save.rollouts and step % cfg.save.rollouts == 0:
            rows = rows_of(judge, collect.completions, collect.scores, mode="sampled", values=judge.values)
            rows = [replace(row, advantage=a) for row, a in zip(rows, advantages(), strict=True)]
            write_rollouts(run / "rollouts" / f"step-{step:08d}.parquet", step, rows)

    return keep


class _Prompts(Sequence[Sequence[int]]):
    """The prompts of examples as tokens, made when asked for."""

    def __init__(self, examples: Sequence[Any], encoder: Encoder) -> None:
        self.examples, self.encoder = examples, encoder

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Any) -> Any:
        return self.encoder.prompt(self.examples[index].prompt)


def adam(modules: Sequence[torch.nn.Module], lr: float, decay: float) -> torch.optim.AdamW:
    """AdamW on what is trainable in some modules; of what is in few bits it keeps float32 copies."""
    trained = [p for module in modules for p in module.parameters() if p.requires_grad]
    if any(p.dtype != torch.float32 for p in trained):
        return MasterAdamW(trained, lr=lr, weight_decay=decay)
    return torch.optim.AdamW(trained, lr=lr, weight_decay=decay)
