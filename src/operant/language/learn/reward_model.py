"""Reward models (Stiennon et al. 2020; Ouyang et al. 2022), on one page: scores whose differences explain comparisons.

All answers to a prompt are in one part of one batch, and a ranking's pairs are one element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.evaluate import PreferenceAccuracy
from operant.language.learn.optim_step import PartLoss, check_examples, mean_of, optim_step, set_lr, share_of, widths
from operant.language.learn.setup import adamw, encoder_of, held_out, job_on_data, judged_model
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.model.train_state import EXTRA, LanguageTrainState
from operant.language.settings.learning import RewardModelConfig
from operant.language.settings.runs import RewardModelRun
from operant.language.text.conversation import Encoded
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import Rows, padded, within
from operant.language.text.pairs import Pair, Ranking, read_pairs, read_rankings
from operant.language.text.rendering import rendering_of
from operant.math.comparison import bradley_terry, centring, ranking, soft_label
from operant.math.reduce import token_mean
from operant.run.disk import fits_memory
from operant.run.job import Job, Say, silent
from operant.run.world import POLICY

METRICS = ("loss/preference", "reward/margin", "reward/accuracy", "reward/level")


def reward_model(
    cfg: RewardModelConfig,
    data: Shuffled[Pair] | Shuffled[Ranking],
    model: Scalar,
    optimizer: torch.optim.Optimizer,
    *,
    total_steps: int,
) -> Iterator[Metrics]:
    """Take a batch of judged answers, score them, step, yield metrics; for ever.

    Args:
        cfg: the settings.
        data: gives `cfg.batch` pairs or rankings at a time; the same to every process.
        model: scores an answer at its last token; trained in place.
        optimizer: holds the parameters to train.
        total_steps: prompts at which the schedule ends.

    Raises:
        ConfigError: if the data does not fit the loss, or an answer does not fit the model.
    """
    check_examples((e for item in data.items for e in answers(item)), model.backbone)
    _check_judgements(cfg, data.items)
    while True:
        lr = set_lr(optimizer, cfg, data.steps / total_steps)

        batch = data(cfg.batch)
        units = [answers(item) for item in batch]
        loss = partial(_loss, cfg, model, len(batch))
        parts = within(widths(units), [len(u) for u in units], cfg.tokens)
        losses = [partial(loss, [batch[i] for i in part]) for part in parts]
        metrics = optim_step(optimizer, losses, cfg.max_grad_norm, METRICS)

        yield metrics | {"schedule/lr": torch.tensor(lr)} | data.stats()


def _loss(cfg: RewardModelConfig, model: Scalar, count: int, items: Sequence[Pair | Ranking]) -> PartLoss:
    """The share of some items in the loss of `count`."""
    rows = padded([e for item in items for e in answers(item)], model.backbone.tokenizer.pad_token_id)
    loss, metrics = judge(cfg, score(model, rows.to(model.backbone.device)), items, count=count)
    means = {f"reward/{name}": mean_of(x, len(items)) for name, x in metrics.items()}
    return loss, {"loss/preference": share_of(loss, count, len(items))} | means


def answers(item: Pair | Ranking) -> tuple[Encoded, ...]:
    """The answers that were judged together."""
    return (item.chosen, item.rejected) if isinstance(item, Pair) else item.answers


def score(model: Scalar, rows: Rows) -> Tensor:
    """[N]: the model's number at the last token of each row, one example a row."""
    return model(rows.tokens).gather(1, rows.length[:, None] - 1).squeeze(1)


def judge(
    cfg: RewardModelConfig, scores: Tensor, items: Sequence[Pair | Ranking], *, count: int
) -> tuple[Tensor, Metrics]:
    """The loss of the scores of all answers of some items, one after the other, of a batch of `count` items."""
    reduce = partial(token_mean, denominator=count)
    if cfg.loss == "ranking":
        rank, present = _ranks(items, scores.device)
        table = scores.new_zeros(present.shape).masked_scatter(present, scores)  # [N, K]
        loss, metrics = ranking(table, rank, present, reduce=reduce)
        mean = table.sum(-1) / present.sum(-1)
        level, more = centring(mean, mean, reduce=reduce)
    else:
        chosen, rejected = scores.view(-1, 2).unbind(-1)  # [N]
        if cfg.loss == "soft_label":
            probability = scores.new_tensor([item.probability for item in items if isinstance(item, Pair)])
            loss, metrics = soft_label(chosen, rejected, probability, reduce=reduce)
        else:
            margin = scores.new_tensor([item.margin for item in items if isinstance(item, Pair)])
            loss, metrics = bradley_terry(chosen, rejected, margin=margin, reduce=reduce)
        level, more = centring(chosen, rejected, reduce=reduce)
    return loss + cfg.centring * level, metrics | more


def _ranks(items: Sequence[Pair | Ranking], device: torch.device) -> tuple[Tensor, Tensor]:
    """[N, K] each: ranks, and which are there."""
    ranks = [(0, 1) if isinstance(item, Pair) else item.rank for item in items]
    most = max(len(r) for r in ranks)
    rank = torch.tensor([[*r, *[0] * (most - len(r))] for r in ranks], device=device)
    present = torch.tensor([[k < len(r) for k in range(most)] for r in ranks], device=device)
    return rank, present


def _check_judgements(cfg: RewardModelConfig, items: Sequence[Pair | Ranking]) -> None:
    for item in items:
        where = answers(item)[0].where
        if cfg.loss != "ranking" and isinstance(item, Ranking):
            raise ConfigError(f"{where}: algo.loss is {cfg.loss}, which takes pairs; set algo.loss = ranking")
        if cfg.loss == "bradley_terry" and isinstance(item, Pair) and item.probability != 1.0:
            raise ConfigError(f"{where}: a pair with a probability; set algo.loss = soft_label, or leave it out")
        if cfg.loss != "bradley_terry" and isinstance(item, Pair) and item.margin != 0.0:
            raise ConfigError(f"{where}: a pair with a margin; set algo.loss = bradley_terry, or leave it out")


def read_scalar(path: str, device: str, kind: str) -> tuple[Scalar, dict[str, Any]]:
    """What a run of `operant train` of a kind learnt to score with, from a checkpoint or the run folder; its counters.

    Raises:
        ConfigError: if there is none.
    """
    folder = Path(path)
    folder = folder / "checkpoints" / "latest" if (folder / "checkpoints").is_dir() else folder
    model = Scalar(LanguageModel.load(folder.resolve()))
    try:
        model.head.load_state_dict({"weight": load_file(fits_memory(folder / EXTRA))["head.weight"]})
        counters: dict[str, Any] = load_json(folder / "policy.json", POLICY)["counters"]
        mark = scored_at(model.backbone.tokenizer)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"{path} holds no judge ({error}): name a run of `operant train {kind}`") from error
    if "separator" not in counters and not mark.items() <= counters.items():
        raise ConfigError(
            f"{path} learnt its scores behind the token that ends an answer, where no completion has one (an older "
            "version did so): train it again"
        )
    return model.requires_grad_(False).to(device), counters


def read_reward(path: str, device: str) -> Scalar:
    """A reward model: a checkpoint of `operant train reward-model`, or the run folder.

    Raises:
        ConfigError: if there is none.
    """
    model, counters = read_scalar(path, device, "reward-model")
    if "separator" in counters:
        raise ConfigError(f"{path} judges steps: it is a process reward model, not a reward model")
    return model


def scored_at(tokenizer: Any) -> dict[str, Any]:
    """What a checkpoint notes where a template writes something behind an answer's end: scores are read at the end."""
    talks = tokenizer.chat_template is not None and rendering_of(tokenizer).turn.tail
    return {"scored_at": "end"} if talks else {}


def margins_of(model: Scalar, judged: Sequence[Any]) -> list[float]:
    """By how much a reward model prefers what was preferred, of each pair or ranking."""
    margins: list[float] = []
    for item in judged:
        rows = padded(answers(item), model.backbone.tokenizer.pad_token_id).to(model.backbone.device)
        scores = score(model, rows).tolist()
        better = 1.0 if getattr(item, "probability", 1.0) >= 0.5 else -1.0
        margins.append(better * (scores[0] - scores[-1]))
    return margins


def build(cfg: RewardModelRun, env: object, say: Say = silent) -> Job:
    """Everything that a reward model needs: a model whose last hidden state is read."""
    policy = judged_model(cfg)
    model = Scalar(policy).to(policy.device)
    read: Callable[..., list[Any]] = read_rankings if cfg.algo.loss == "ranking" else read_pairs
    data, held = held_out(read(cfg.task.id, encoder_of(policy, cfg.algo)), cfg.eval.episodes)
    items: Shuffled[Any] = Shuffled(data, Streams(cfg.seed))
    optimizer = adamw([model], cfg.algo.lr, cfg.algo.weight_decay)
    loop = reward_model(cfg.algo, items, model, optimizer, total_steps=cfg.total_steps)
    learned = LanguageTrainState(
        policy, optimizer, modules={"head": model.head}, counters=partial(scored_at, policy.tokenizer)
    )
    return job_on_data(cfg, loop, learned, items, PreferenceAccuracy(held, partial(margins_of, model)))
