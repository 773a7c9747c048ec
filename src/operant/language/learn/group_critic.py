"""The group as the critic of GRPO's family: baseline, scale, credit and aggregation, chosen once for a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from operant.language.episodes.episodes import Episodes
from operant.language.learn.multi_reward import RewardMatrix, decoupled_return
from operant.language.settings.grpo import GRPOConfig
from operant.math.advantage import gae
from operant.math.baseline import group_mean, group_scale, leave_one_out, whiten

Critic = tuple[Tensor, Tensor, Tensor, Tensor, Callable[[Tensor], Tensor]]
"""What `gae` reads: reward [N, T], value [N, T+1], terminated and truncated [N, T]; and what scales its advantages."""

Statistic = Callable[[Tensor, Tensor], Tensor]
"""Numbers [M] and their groups [M] to what is subtracted from each, or what it is divided by."""

Standardise = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Numbers, which of them are scored, and their groups, to the baseline and the deviation of each."""

Returns = Callable[[Episodes, Tensor, Tensor, RewardMatrix | None], tuple[Tensor, Tensor]]
"""Completions, which are scored, their charges, their rewards one by one, to returns [N] and whom they compare with."""


class GroupCritic(Protocol):
    """From the completions of a step, and what each token is charged, [N, T], to what `gae` reads."""

    def __call__(self, batch: Episodes, charge: Tensor, rewards: RewardMatrix | None = None, /) -> Critic: ...


def group_critic(cfg: GRPOConfig) -> GroupCritic:
    """The group's mean as the value of every state: `gae` with γ = λ = 1 gives each completion's return less it.

    With credit to the whole every token carries the completion's return less the group's baseline, over the deviation.
    With credit onward each step's reward, less the mean of all of the group's, over their deviation, is summed from
    each token on (DeepSeekMath, section 4.1.3); where the whole was judged too, its own advantage is added (as in
    PRIME, Cui et al. 2025, arXiv:2502.01456). Where `rewards` are normalised before they are summed (GDPO, Liu et al.
    2026, arXiv:2601.05242), their sum is the return, and the step is one group. A completion that is not judged says
    nothing and gets 0: it is truncated.
    """
    standardise = partial(_standardise, BASELINE[cfg.baseline], _scale(cfg))
    returns = partial(_normalised, cfg) if cfg.aggregation == "normalise_then_sum" else _summed
    credit = partial(_onward, standardise) if cfg.onward else partial(_whole, standardise, returns)
    excluded = [_length_limited] * (cfg.truncated == "mask") + [_alone] * (cfg.baseline == "leave_one_out")

    def critic(batch: Episodes, charge: Tensor, rewards: RewardMatrix | None = None, /) -> Critic:
        scored, ended = batch.scored & batch.traj.acted.any(-1), batch.traj.terminated | batch.traj.truncated
        for which in excluded:
            scored = scored & ~which(batch, scored)
        reward, value, scale = credit(batch, scored, charge, rewards)
        if cfg.scale == "tokens":
            scale = partial(whiten, mask=batch.traj.acted & scored[:, None], eps=cfg.scale_eps)
        return reward, value, ended & scored[:, None], ended & ~scored[:, None], scale

    return critic


def group_advantages(cfg: GRPOConfig, batch: Episodes, charge: Tensor, rewards: RewardMatrix | None = None) -> Tensor:
    """[N, T]: the advantages of one step of completions, as `grpo` computes them.

    Args:
        cfg: the preset.
        batch: the completions.
        charge: [N, T] what each token is charged.
        rewards: one by one, where they are normalised before they are summed.

    Raises:
        ConfigError: if they are to be, and there are none.
    """
    reward, value, terminated, truncated, scale = group_critic(cfg)(batch, charge, rewards)
    return scale(gae(reward, value, terminated, truncated, batch.traj.acted, discount=1.0, lam=1.0))


# ---------------------------------------------------------------------------------------------------- credit
Credited = tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]


def _whole(
    standardise: Standardise,
    returns: Returns,
    batch: Episodes,
    scored: Tensor,
    charge: Tensor,
    rewards: RewardMatrix | None,
) -> Credited:
    """The return of a completion at its last decision, the baseline as the value of every state, the deviation."""
    ret, group = returns(batch, scored, charge, rewards)  # [N]
    value, deviation = standardise(ret, scored, group)
    reward = torch.where(batch.traj.terminated | batch.traj.truncated, ret[:, None], 0.0)
    return reward, value[:, None].expand(-1, reward.shape[1] + 1), lambda adv: adv / deviation[:, None]


def _onward(
    standardise: Standardise, batch: Episodes, scored: Tensor, charge: Tensor, rewards: RewardMatrix | None
) -> Credited:
    """The standardised rewards of steps where they were given, with that of the whole where it has one; no values."""
    traj, ended, outcome = batch.traj, batch.traj.terminated | batch.traj.truncated, batch.outcome
    given = batch.rewarded & scored[:, None]
    step = traj.reward if outcome is None else traj.reward - torch.where(ended, outcome[:, None], 0.0)
    value, deviation = standardise(step, given, traj.group[:, None].expand_as(given))
    reward = torch.where(given, (step - value) / deviation, 0.0) - charge * scored[:, None]
    if outcome is not None:
        value, deviation = standardise(outcome, scored, traj.group)
        whole = ((outcome - value) / deviation)[:, None]
        reward = reward + torch.where(ended & scored[:, None], whole, 0.0)
    return reward, reward.new_zeros(reward.shape[0], reward.shape[1] + 1), lambda adv: adv


# ---------------------------------------------------------------------------------------------------- aggregation
def _summed(batch: Episodes, scored: Tensor, charge: Tensor, rewards: RewardMatrix | None) -> tuple[Tensor, Tensor]:
    """All that each completion earned, and its group."""
    return torch.where(scored, (batch.traj.reward - charge).sum(-1), 0.0), batch.traj.group


def _normalised(
    cfg: GRPOConfig, batch: Episodes, scored: Tensor, charge: Tensor, rewards: RewardMatrix | None
) -> tuple[Tensor, Tensor]:
    """The sum of the rewards, each normalised within its group; the step is one group then."""
    group = batch.traj.group
    return decoupled_return(cfg, rewards, scored, group).to(batch.traj.reward), torch.zeros_like(group)


# ---------------------------------------------------------------------------------------------------- baseline, scale
BASELINE: Mapping[str, Statistic] = {
    "group": group_mean,
    "leave_one_out": leave_one_out,
    "none": lambda x, group: torch.zeros_like(x),
}
"""What is subtracted, by name."""


def _scale(cfg: GRPOConfig) -> Statistic:
    """What is divided by; 1 where the tokens are scaled later, or nothing is."""
    scale: Mapping[str, Statistic] = {
        "group": partial(group_scale, eps=cfg.scale_eps),
        "batch": lambda x, group: group_scale(x, torch.zeros_like(group), cfg.scale_eps),
    }
    return scale.get(cfg.scale, lambda x, group: torch.ones_like(x))


def _standardise(
    baseline: Statistic, scale: Statistic, x: Tensor, scored: Tensor, group: Tensor
) -> tuple[Tensor, Tensor]:
    """The baseline and the deviation of each entry of x among those that are scored; 0 and 1 elsewhere."""
    value, deviation = torch.zeros_like(x), torch.ones_like(x)
    value[scored], deviation[scored] = baseline(x[scored], group[scored]), scale(x[scored], group[scored])
    return value, deviation


# ---------------------------------------------------------------------------------------------------- who is excluded
def _length_limited(batch: Episodes, scored: Tensor) -> Tensor:
    """[N]: whether the limit cut it."""
    return batch.length_limited


def _alone(batch: Episodes, scored: Tensor) -> Tensor:
    """[N]: whether no other scored row is in its group."""
    _, member = torch.unique(batch.traj.group, return_inverse=True)
    count = torch.zeros_like(member).index_add(0, member, scored.long())
    return count[member] <= 1
