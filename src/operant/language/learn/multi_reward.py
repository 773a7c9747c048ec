"""The rewards of a task one by one, for where each is normalised before they are summed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.language.episodes.distributed import all_gather
from operant.language.episodes.task_scorer import TaskScorer
from operant.language.sample.sampling import Completion
from operant.language.settings.grpo import GRPOConfig
from operant.math.baseline import normalised_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardMatrix:
    """What each of K rewards gave N completions, and what it counts."""

    value: Tensor  # [N, K] float64; NaN where a reward failed
    weight: Tensor  # [K] float64


RewardMatrixOf = Callable[[Sequence[Completion]], RewardMatrix]
"""Gives the rewards of completions that were judged, one by one."""


def reward_matrix_of(cfg: GRPOConfig, scorer: TaskScorer) -> RewardMatrixOf | None:
    """What `grpo` asks for where `cfg.aggregation` is normalise_then_sum; None where it is not.

    Raises:
        ConfigError: if the task has one reward only.
    """
    if cfg.aggregation == "sum_then_normalise":
        return None
    if len(scorer.task.rewards) < 2:
        raise ConfigError(
            f"algo.aggregation = normalise_then_sum is for several rewards, and task {scorer.task.name} has one, "
            f"{next(iter(scorer.task.rewards))}: leave aggregation unset, or set scale = batch to divide by the "
            "deviation over the step"
        )
    return partial(reward_matrix, scorer)


def decoupled_return(cfg: GRPOConfig, rewards: RewardMatrix | None, scored: Tensor, group: Tensor) -> Tensor:
    """[N]: the sum of the rewards of the scored rows [N] bool, each normalised within its group [N]; 0 elsewhere.

    Raises:
        ConfigError: if there are no rewards one by one.
    """
    if rewards is None:
        raise ConfigError("aggregation = normalise_then_sum needs the rewards one by one: give grpo(reward_matrix=…)")
    value, weight = rewards.value.to(group.device), rewards.weight.to(group.device)
    return normalised_sum(torch.where(scored[:, None], value, torch.nan), group, weight, cfg.scale_eps)


def reward_matrix(scorer: TaskScorer, completions: Sequence[Completion]) -> RewardMatrix:
    """The rewards of completions, which this process or another one has judged since `scorer.forget`."""
    own = [(prompt, sample, values) for (prompt, sample), values in scorer.values.items()]
    values_of = {(prompt, sample): values for part in all_gather(own) for prompt, sample, values in part}
    return RewardMatrix(
        value=torch.tensor([values_of[c.prompt.id, c.sample] for c in completions], dtype=torch.float64),
        weight=torch.tensor([scorer.task.weight(name) for name in scorer.task.rewards], dtype=torch.float64),
    )
