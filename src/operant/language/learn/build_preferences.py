"""Builders of runs that learn from judged answers: reward models, process reward models, direct preference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.evaluate import sampling_of
from operant.language.episodes.task_scorer import Judged, prompts_of, stepwise
from operant.language.learn.builders import Say, adam, begun, encoder_of, model_of
from operant.language.learn.dpo import GroupWeights, dpo
from operant.language.learn.process_reward import process_reward, verdicts
from operant.language.learn.reference import all_logp, pairs_with_reference, verdicts_with_reference
from operant.language.learn.reward_model import answers, reward_model, score
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.model.train_state import Language
from operant.language.sample.engine import Engine
from operant.language.settings.runs import DPORun, JudgedRun, ProcessRewardRun, RewardModelRun
from operant.language.task.task import Task
from operant.language.text.conversation import Encoder, Text
from operant.language.text.epochs import Shuffled
from operant.language.text.jsonl import is_jsonl
from operant.language.text.packing import padded
from operant.language.text.pairs import (
    Steps,
    encode_steps,
    mismatch,
    read_pairs,
    read_rankings,
    read_steps,
    read_verdicts,
)
from operant.run.evaluate import Evaluation
from operant.run.job import Job, Position


def build_dpo(cfg: DPORun, env: object, say: Say = lambda line: None) -> Job:
    """Everything that direct preference optimisation needs; the reference is the model as it is named."""
    policy, encoder = _begin(cfg, say)
    if cfg.algo.loss == "kto":
        judged, held = held_out(read_verdicts(cfg.task.id, encoder), cfg.eval.episodes)
        data: list[Any] = verdicts_with_reference(mismatch(judged, encoder.length), policy, tokens=cfg.algo.tokens)
        reference = all_logp(policy, [(v.answer,) for v in held], cfg.algo.tokens)[:, 0].cpu()
    else:
        data, held = held_out(read_pairs(cfg.task.id, encoder), cfg.eval.episodes)
        data = pairs_with_reference(data, policy, tokens=cfg.algo.tokens)
        held = pairs_with_reference(held, policy, tokens=cfg.algo.tokens)
        reference = torch.tensor([p.reference for p in held])
    items: Shuffled[Any] = Shuffled(data, Streams(cfg.seed))
    optimizer = adam([policy], cfg.algo.lr, cfg.algo.weight_decay)
    groups = GroupWeights(data).to(policy.device) if cfg.algo.loss in ("gr_dpo", "gr_ipo") else None
    loop = dpo(cfg.algo, items, policy, optimizer, total_steps=cfg.total_steps, groups=groups)

    def margins(judged: Sequence[Any]) -> list[float]:
        if cfg.algo.loss == "kto":
            moved = (
                all_logp(policy, [(v.answer,) for v in judged], cfg.algo.tokens)[:, 0].cpu() - reference[: len(judged)]
            )
            return [float(x) if v.desirable else -float(x) for x, v in zip(moved, judged, strict=True)]
        logp = all_logp(policy, [(p.chosen, p.rejected) for p in judged], cfg.algo.tokens).cpu()
        ratio = logp - reference[: len(judged)]  # [N, 2]
        return (ratio[:, 0] - ratio[:, 1]).tolist()

    learned = Language(policy, optimizer, modules={} if groups is None else {"groups": groups})
    return _job(cfg, loop, items, learned, Right(held, margins))


def build_reward_model(cfg: RewardModelRun, env: object, say: Say = lambda line: None) -> Job:
    """Everything that a reward model needs: a model whose last hidden state is read."""
    policy, encoder = _begin(cfg, say)
    model = Scalar(policy).to(policy.device)
    read: Callable[..., list[Any]] = read_rankings if cfg.algo.loss == "ranking" else read_pairs
    data, held = held_out(read(cfg.task.id, encoder), cfg.eval.episodes)
    items: Shuffled[Any] = Shuffled(data, Streams(cfg.seed))
    optimizer = adam([model], cfg.algo.lr, cfg.algo.weight_decay)
    loop = reward_model(cfg.algo, items, model, optimizer, total_steps=cfg.total_steps)

    learned = Language(policy, optimizer, modules={"head": model.head})
    return _job(cfg, loop, items, learned, Right(held, partial(margins_of, model)))


def margins_of(model: Scalar, judged: Sequence[Any]) -> list[float]:
    """By how much a reward model prefers what was preferred, of each pair or ranking."""
    found: list[float] = []
    for item in judged:
        rows = padded(answers(item), model.backbone.tokenizer.pad_token_id).to(model.backbone.device)
        scores = score(model, rows).tolist()
        better = 1.0 if getattr(item, "probability", 1.0) >= 0.5 else -1.0
        found.append(better * (scores[0] - scores[-1]))
    return found


def build_process_reward(cfg: ProcessRewardRun, env: object, say: Say = lambda line: None) -> Job:
    """Everything that a process reward model needs: a model that is read at the end of every step."""
    if is_jsonl(cfg.task.id):
        policy, encoder = _begin(cfg, say)
        judged = read_steps(cfg.task.id, encoder, separator=cfg.algo.separator)
    else:
        task, policy = begun(cfg, say)
        encoder = encoder_of(policy, cfg.algo)
        judged = _labelled(cfg, task, policy, encoder)
    model = Scalar(policy).to(policy.device)
    data, held = held_out(judged, cfg.eval.episodes)
    items = Shuffled(data, Streams(cfg.seed))
    optimizer = adam([model], cfg.algo.lr, cfg.algo.weight_decay)
    loop = process_reward(cfg.algo, items, model, optimizer, total_steps=cfg.total_steps)

    def margins(judged: Sequence[Any]) -> list[float]:
        found: list[float] = []
        for item in judged:
            rows = padded([item.solution], policy.tokenizer.pad_token_id).to(policy.device)
            logit = model(rows.tokens)[:, 1:][rows.acted]
            right = torch.tensor(item.correct, device=logit.device) > 0.5
            found += torch.where(right, logit, -logit).tolist()
        return found

    learned = Language(
        policy, optimizer, modules={"head": model.head}, counters=lambda: {"separator": cfg.algo.separator}
    )
    return _job(cfg, loop, items, learned, Right(held, margins))


def _labelled(cfg: ProcessRewardRun, task: Task, policy: LanguageModel, encoder: Encoder) -> list[Steps]:
    """Completions of a task's prompts by the model that is to judge, their steps labelled by the task's step reward."""
    judge, examples = stepwise(task), task.train[: min(cfg.algo.prompts, len(task.train))]
    engine = Engine(policy, seed=Streams(cfg.seed).integer("sampler"), slots=cfg.sampling.slots)
    sampling = sampling_of(cfg, policy, task)
    done = engine.generate(prompts_of(examples, encoder), sampling, samples=cfg.algo.samples)
    traces = Judged(task, policy.tokenizer, lambda i: examples[i]).traces(done)
    found: list[tuple[str, Text, list[str], list[float | None]]] = []
    for number, (trace, steps) in enumerate(zip(traces, judge(traces), strict=True)):
        where = f"{task.name}, completion {number}"
        if isinstance(steps, str):
            raise ConfigError(f"{where}: the step reward {steps}")
        texts, labels = verdicts(trace, steps, cfg.algo.separator)
        if any(label is not None for label in labels):
            found.append((where, trace.prompt, texts, labels))

    def one(solution: tuple[str, Text, list[str], list[float | None]]) -> Steps:
        where, prompt, texts, labels = solution
        return encode_steps(encoder, prompt, texts, labels, separator=cfg.algo.separator, where=where)

    return encoder.each(one, found, of=task.name)


class Right:
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


def _begin(cfg: DPORun | RewardModelRun | ProcessRewardRun, say: Say) -> tuple[LanguageModel, Encoder]:
    torch.set_num_threads(cfg.threads)
    if not is_jsonl(cfg.task.id):
        raise ConfigError(f"{cfg.task.id}: {cfg.algorithm} learns from a file of judged answers, FILE.jsonl")
    policy = model_of(cfg, None, say)
    return policy, encoder_of(policy, cfg.algo)


def held_out(items: list[Any], most: int) -> tuple[list[Any], list[Any]]:
    """The last tenth, `most` at most and one at least, apart.

    Raises:
        ConfigError: if there are fewer than three.
    """
    if len(items) < 3:
        raise ConfigError(
            f"{len(items)} judged answers are too few to learn from and to hold some out: give three or more"
        )
    count = max(1, min(most, len(items) // 10))
    return items[: len(items) - count], items[len(items) - count :]


def _job(cfg: JudgedRun, loop: Iterator[Metrics], data: Shuffled[Any], learned: Language, measure: Right) -> Job:
    def begin(at: Position) -> None:
        data.steps = at.step

    return Job(
        algorithm=loop,
        learned=learned,
        counter=data,
        begin=begin,
        evaluate=measure,
        keep_evaluation=measure.keep,
        measure_first=cfg.eval.before,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )
