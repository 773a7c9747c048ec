"""The rewards of a task one by one, for where each is normalised before they are summed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.language.episodes.distributed import gather
from operant.language.episodes.task_scorer import Judged
from operant.language.sample.sampling import Completion
from operant.language.settings.grpo import GRPOConfig
from operant.math.baseline import normalised_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewards:
    """What each of K rewards gave N completions, and what it counts."""

    value: Tensor  # [N, K] float64; NaN where a reward failed
    weight: Tensor  # [K] float64


Apart = Callable[[Sequence[Completion]], Rewards]
"""Gives the rewards of completions that were judged, one by one."""


def apart_of(cfg: GRPOConfig, judge: Judged) -> Apart | None:
    """What `grpo` asks for where `cfg.aggregation` is normalise_then_sum; None where it is not.

    Raises:
        ConfigError: if the task has one reward only.
    """
    if cfg.aggregation == "sum_then_normalise":
        return None
    if len(judge.task.rewards) < 2:
        raise ConfigError(
            f"algo.aggregation = normalise_then_sum is for several rewards, and task {judge.task.name} has one, "
            f"{next(iter(judge.task.rewards))}: leave aggregation unset, or set scale = batch to divide by the "
            "deviation over the step"
        )
    return partial(rewards_of, judge)


def normalised(cfg: GRPOConfig, rewards: Rewards | None, known: Tensor, group: Tensor) -> Tensor:
    """[N]: the sum of the rewards of the known rows [N] bool, each normalised within its group [N]; 0 elsewhere.

    Raises:
        ConfigError: if there are no rewards one by one.
    """
    if rewards is None:
        raise ConfigError("aggregation = normalise_then_sum needs the rewards one by one: give grpo(apart=…)")
    value, weight = rewards.value.to(group.device), rewards.weight.to(group.device)
    return normalised_sum(torch.where(known[:, None], value, torch.nan), group, weight, cfg.scale_eps)


def rewards_of(judge: Judged, completions: Sequence[Completion]) -> Rewards:
    """The rewards of completions, which this process or another one has judged since `judge.forget`."""
    mine = [(prompt, sample, values) for (prompt, sample), values in judge.values.items()]
    found = {(prompt, sample): values for part in gather(mine) for prompt, sample, values in part}
    return Rewards(
        value=torch.tensor([found[c.prompt.id, c.sample] for c in completions], dtype=torch.float64),
        weight=torch.tensor([judge.task.weight(name) for name in judge.task.rewards], dtype=torch.float64),
    )
