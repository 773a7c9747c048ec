"""What the algorithms that learn from data share: the learning rate, the step, and means over a batch in parts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.trajectory import Metrics
from operant.language.episodes.distributed import add_up, here
from operant.language.text.conversation import Encoded


class Rated(Protocol):
    """Settings of a learning rate."""

    @property
    def lr(self) -> float:
        """After the warm-up."""
        ...

    @property
    def lr_schedule(self) -> str:
        """constant, linear or cosine."""
        ...

    @property
    def warmup(self) -> float:
        """The share of the steps in which it rises from 0."""
        ...


def rate(cfg: Rated, done: float) -> float:
    """The learning rate after a share `done` of the steps: up to `lr` over the warm-up, then constant or down to 0."""
    if done < cfg.warmup:
        return cfg.lr * done / cfg.warmup
    left = min(1.0, max(0.0, (1.0 - done) / (1.0 - cfg.warmup)))
    factor = {"constant": 1.0, "linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left)}[cfg.lr_schedule]
    return cfg.lr * factor


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group of parameters the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def step(optimizer: torch.optim.Optimizer, max_grad_norm: float) -> Tensor:
    """Add the gradients of all processes, bound their norm, step; returns the norm [] before it was bounded."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if here()[1] > 1:
        for p in parameters:  # a process without a part of the batch
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        add_up([p.grad for p in parameters])
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
    optimizer.step()
    return norm


class Tally:
    """Means over a batch, from the means over its parts, of all processes.

    Args:
        names: of the metrics; a process may have no part.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.total = dict.fromkeys(names, 0.0)

    def add(self, metrics: Mapping[str, Tensor], weight: float) -> None:
        """Count a part's means `weight` times."""
        for name, mean in metrics.items():
            self.total[name] += float(mean.detach()) * weight

    def means(self, weight: float) -> Metrics:
        """The totals over the whole batch's weight."""
        totals = torch.tensor(list(self.total.values()), dtype=torch.float64)
        add_up([totals])
        return dict(zip(self.total, (totals / weight).unbind(), strict=True))


def check_lengths(examples: Iterable[Encoded], longest: int) -> None:
    """Every example has a token to learn from and fits the model.

    Raises:
        ConfigError: names the first that does not.
    """
    for number, e in enumerate(examples):
        where = e.where or f"example {number}"
        if not any(e.acted):
            raise ConfigError(f"{where}: no token to learn from; leave it out, or check what is marked as learnt")
        if len(e.tokens) > longest:
            raise ConfigError(f"{where}: {len(e.tokens)} tokens, but the model has {longest} positions; lower length")


def widths(units: Sequence[Sequence[Encoded]]) -> list[int]:
    """Of several examples each, the longest's tokens."""
    return [max(len(e.tokens) for e in unit) for unit in units]
