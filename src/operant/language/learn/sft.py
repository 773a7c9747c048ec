"""Supervised fine-tuning, on one page: maximum likelihood of the tokens that are to be learnt.

Every such token of a gradient step counts the same, whichever row, micro-batch or process it is in: the denominator is
counted over the whole batch first. So packed rows, padded rows and single examples give one loss and one gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from operant.config.errors import ConfigError
from operant.data.jsonl import is_jsonl
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.evaluate import HeldOutLikelihood, TaskAccuracy, sampling_of
from operant.language.learn.optim_step import PartLoss, check_examples, mean_of, optim_step, set_lr, share_of
from operant.language.learn.setup import adamw, encoder_of, job_on_data, model_of, task_demonstrations
from operant.language.model.fresh import fresh
from operant.language.model.language_model import LanguageModel
from operant.language.model.train_state import LanguageTrainState
from operant.language.settings.learning import SFTConfig
from operant.language.settings.runs import SFTRun
from operant.language.task.load import load_task
from operant.language.text.conversation import Encoded, Encoder
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import Rows, packed, padded, within
from operant.language.text.pairs import read_conversations
from operant.math.objective import nll
from operant.math.reduce import token_mean
from operant.run.device import device_of
from operant.run.job import Job, Say, silent

METRICS = ("loss/nll", "policy/entropy")


def sft(
    cfg: SFTConfig,
    data: Shuffled[Encoded],
    policy: LanguageModel,
    optimizer: torch.optim.Optimizer,
    *,
    total_steps: int,
) -> Iterator[Metrics]:
    """Take a batch, step on the likelihood of its tokens, yield metrics; for ever.

    Args:
        cfg: the settings.
        data: gives `cfg.batch` examples at a time; the same to every process.
        policy: the model, trained in place.
        optimizer: holds the parameters to train.
        total_steps: examples at which the schedule ends.

    Raises:
        ConfigError: if an example has no token to learn from, or does not fit the model.
    """
    check_examples(data.items, policy)
    pad = policy.tokenizer.pad_token_id
    while True:
        lr = set_lr(optimizer, cfg, data.steps / total_steps)

        batch = data(cfg.batch)
        count = sum(sum(e.acted) for e in batch)  # the tokens to learn, over all parts and processes
        parts = [partial(_loss, policy, count, rows) for rows in split_rows(cfg, batch, pad)]
        metrics = optim_step(optimizer, parts, cfg.max_grad_norm, METRICS)

        metrics |= {"policy/perplexity": metrics["loss/nll"].exp(), "schedule/lr": torch.tensor(lr)}
        yield metrics | {"data/tokens": torch.tensor(float(count))} | data.stats()


def _loss(policy: LanguageModel, count: int, rows: Rows) -> PartLoss:
    """The share of some rows in the loss of `count` tokens."""
    part = rows.to(policy.device)
    logp, entropy = policy.evaluate(part.tokens, part.acted, position=part.position, segment=part.segment)
    loss, _ = nll(logp, part.acted, reduce=partial(token_mean, denominator=count))
    own = part.acted.sum()
    return loss, {
        "loss/nll": share_of(loss, count, own),
        "policy/entropy": mean_of(token_mean(entropy, part.acted), own),
    }


def split_rows(cfg: SFTConfig, batch: Sequence[Encoded], pad: int) -> list[Rows]:
    """A batch in parts of at most `cfg.tokens` tokens: packed, or padded with examples of like length together."""
    sizes = [len(e.tokens) for e in batch]
    if not cfg.packing:
        return [padded([batch[i] for i in part], pad) for part in within(sizes, [1] * len(batch), cfg.tokens)]
    rows = packed(batch, pad, length=max(cfg.length, *sizes))
    size = max(1, cfg.tokens // rows.tokens.shape[1])
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def build(cfg: SFTRun, env: object, say: Say = silent) -> Job:
    """Everything that supervised fine-tuning needs, made from a config and one seed."""
    torch.set_num_threads(cfg.threads)
    task = None if is_jsonl(cfg.task.id) else load_task(cfg.task.id, cfg.task.options)
    if cfg.model.path or task is None:
        policy = model_of(cfg)
    else:
        texts = [f"{d.prompt}{d.completion}" for d in task.demonstrations[:5000]]
        texts = texts or [f"{e.prompt}{e.solution}" for e in task.train[:5000]]
        policy = fresh(cfg.base, texts).to(str(device_of(cfg.device)))
    encoder = encoder_of(policy, cfg.algo)
    measure: TaskAccuracy | HeldOutLikelihood
    if task is None:
        examples, held = _read(cfg, encoder)
        measure = HeldOutLikelihood(policy, held)
    else:
        examples, measure = (
            task_demonstrations(task, encoder),
            TaskAccuracy(cfg, policy, task, sampling_of(cfg, policy, task)),
        )
    data = Shuffled(examples, Streams(cfg.seed))
    optimizer = adamw([policy], cfg.algo.lr, cfg.algo.weight_decay)
    loop = sft(cfg.algo, data, policy, optimizer, total_steps=cfg.total_steps)
    return job_on_data(cfg, loop, LanguageTrainState(policy, optimizer), data, measure)


def _read(cfg: SFTRun, encoder: Encoder) -> tuple[list[Encoded], list[Encoded]]:
    """A file's texts: those to learn from, and the last tenth, to measure the likelihood on."""
    examples = read_conversations(cfg.task.id, encoder, learn=cfg.algo.learn)
    count = max(1, min(cfg.eval.episodes, len(examples) // 10)) if len(examples) > 1 else 0
    if not count:
        raise ConfigError(f"{cfg.task.id} has too few texts to learn from and to hold one out: give two or more")
    return examples[: len(examples) - count], examples[len(examples) - count :]
