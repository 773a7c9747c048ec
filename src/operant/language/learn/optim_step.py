"""What the loops on language models share: the learning rate and the gradient step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.trajectory import Metrics
from operant.language.episodes.distributed import all_gather, all_reduce, shard, world_size
from operant.language.model.language_model import LanguageModel
from operant.language.settings.learning import LearningConfig
from operant.language.text.conversation import Encoded
from operant.language.text.special_tokens import check_known


def half_cosine(left: float) -> float:
    """½ (1 − cos πx): 1 at the start, x = 1, and 0 at the end."""
    return 0.5 - 0.5 * math.cos(math.pi * left)


def learning_rate(cfg: LearningConfig, done: float) -> float:
    """The learning rate after a share `done` of the steps: up to `lr` over the warm-up, then constant or down to 0."""
    if done < cfg.warmup:
        return cfg.lr * done / cfg.warmup
    left = min(1.0, max(0.0, (1.0 - done) / (1.0 - cfg.warmup)))
    factor = {"constant": 1.0, "linear": left, "cosine": half_cosine(left)}[cfg.lr_schedule]
    return cfg.lr * factor


def set_lr(optimizer: torch.optim.Optimizer, cfg: LearningConfig, done: float) -> float:
    """Give every group of parameters the learning rate after a share `done` of the steps; returns it."""
    lr = learning_rate(cfg, done)
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


PartMetric = Tensor | tuple[Tensor, Tensor | int]
PartMetrics = dict[str, PartMetric]
PartLoss = tuple[Tensor, PartMetrics]
"""A micro-batch's share of the loss, and what is measured on it: a number, or a sum and how many it is of."""

MicroBatchLoss = Callable[[], PartLoss]


def share_of(share: Tensor, of: int, count: Tensor | int) -> PartMetric:
    """A share of a mean over `of` items that a part with `count` of them gives, as a sum and a count."""
    return share.detach().double() * of, count


def mean_of(x: Tensor, count: Tensor | int) -> PartMetric:
    """A mean over a part's `count` items, as a sum and a count."""
    return x.detach().double() * count, count


def optim_step(
    optimizer: torch.optim.Optimizer,
    parts: Sequence[MicroBatchLoss],
    max_grad_norm: float,
    names: Iterable[str],
    *,
    every: bool = False,
) -> Metrics:
    """One gradient step: micro-batches, of all processes, whose losses add up to that of the whole.

    Args:
        optimizer: holds the parameters to train.
        parts: the micro-batches of all processes; each process takes its share of them.
        max_grad_norm: bound on the norm of the whole gradient.
        names: of what is measured, as a process may have no part.
        every: whether a parameter that no part reaches is stepped too, so that its moments fade; of several processes
            each is.

    Returns:
        By name the sum over all parts, or the mean where parts say how many they sum up; the largest where the name
        ends in _max. `grad/norm` is the norm before it was bounded.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    total: Metrics = {name: torch.zeros((), dtype=torch.float64, device=parameters[0].device) for name in names}
    count = {name: torch.zeros_like(x) for name, x in total.items()}
    optimizer.zero_grad()
    for part in shard(parts):
        loss, measured = part()
        loss.backward()
        for name, x in measured.items():
            x, n = x if isinstance(x, tuple) else (x, 0)
            add = torch.maximum if name.endswith("_max") else torch.add
            total[name], count[name] = add(total[name], x.detach().double()), count[name] + n
    if every or world_size() > 1:  # then all of them add up the same
        for p in parameters:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    if world_size() > 1:
        all_reduce([p.grad for p in parameters if p.grad is not None])
        total, count = _of_all_processes(total, count)
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
    optimizer.step()
    return {name: x / count[name].clamp(min=1) for name, x in total.items()} | {"grad/norm": norm}


def _of_all_processes(total: Metrics, count: Metrics) -> tuple[Metrics, Metrics]:
    sums = torch.stack([*total.values(), *count.values()])
    largest = [max(all_gather(float(x))) if name.endswith("_max") else None for name, x in total.items()]
    all_reduce([sums])
    totals = [s if x is None else torch.full_like(s, x) for s, x in zip(sums, largest, strict=False)]
    return dict(zip(total, totals, strict=True)), dict(zip(count, sums[len(total) :], strict=True))


def check_examples(examples: Iterable[Encoded], model: LanguageModel) -> None:
    """Every example has a token to learn from and fits the model, which embeds all of its tokens.

    Raises:
        ConfigError: names the first that does not.
    """
    longest = model.max_positions
    for number, e in enumerate(examples):
        where = e.where or f"example {number}"
        if not any(e.acted):
            raise ConfigError(f"{where}: no token to learn from; leave it out, or check what is marked as learnt")
        if len(e.tokens) > longest:
            raise ConfigError(f"{where}: {len(e.tokens)} tokens, but the model has {longest} positions; lower length")
        check_known(model.tokenizer, e.tokens, model.vocab, where)


def widths(units: Sequence[Sequence[Encoded]]) -> list[int]:
    """Of several examples each, the longest's tokens."""
    return [max(len(e.tokens) for e in unit) for unit in units]
