"""Baselines that need no critic, and the scaling of advantages."""

from __future__ import annotations

import torch
from torch import Tensor

from operant.math import _check


def group_mean(ret: Tensor, group: Tensor) -> Tensor:
    """Each row's baseline is the mean return of its group: b_i = mean_{j: g_j = g_i} R_j.

    Args:
        ret: [N] returns.
        group: [N] int64 ids; rows with equal ids began in the same state. Any integers, in any order.

    Returns:
        [N].

    Raises:
        TypeError: `group` is not int64 or `ret` not floating-point.
        ValueError: shapes are not both [N].

    Source: Shao et al. (2024), DeepSeekMath, section 4.1.2.
    """
    member, count = _groups(ret, group)
    return _sum(ret, member, count)[member] / count[member]


def leave_one_out(ret: Tensor, group: Tensor) -> Tensor:
    """Each row's baseline is the mean return of the others in its group: independent of its own, hence unbiased.

    R_i − b_i is n/(n−1) times R_i − `group_mean`.

    Args:
        ret: [N] returns.
        group: [N] int64 ids, each at least twice.

    Returns:
        [N].

    Raises:
        TypeError: `group` is not int64 or `ret` not floating-point.
        ValueError: shapes are not both [N], or a group has one row only.

    Source: Kool et al. (2019), Buy 4 REINFORCE samples, get a baseline for free; Ahmadian et al. (2024), RLOO.
    """
    member, count = _groups(ret, group)
    alone = count[member] == 1
    if bool(alone.any()):
        raise ValueError(
            f"group {int(group[alone][0])} has one row, so there is no other to average; "
            "sample each start at least twice or use group_mean"
        )
    return (_sum(ret, member, count)[member] - ret) / (count[member] - 1)


def group_scale(ret: Tensor, group: Tensor, eps: float = 1e-4) -> Tensor:
    """The standard deviation of each row's group plus `eps`, to divide its advantage by.

    The deviation is the unbiased one (n − 1), as in the public implementations of GRPO; a group of one row has 0.

    Args:
        ret: [N] returns.
        group: [N] int64 ids.
        eps: added, so that a group of equal returns (whose advantages are 0) divides by no 0.

    Returns:
        [N].

    Raises:
        TypeError: `group` is not int64 or `ret` not floating-point.
        ValueError: shapes are not both [N], or `eps` is negative.

    Source: Shao et al. (2024), DeepSeekMath, section 4.1.2.
    """
    _check.not_negative(eps=eps)
    member, count = _groups(ret, group)
    error = ret - _sum(ret, member, count)[member] / count[member]
    variance = _sum(error * error, member, count) / (count - 1).clamp(min=1)
    return variance.sqrt()[member] + eps


def normalised_sum(reward: Tensor, group: Tensor, weight: Tensor, eps: float = 1e-4) -> Tensor:
    """Several rewards, each normalised within its group, then weighted and summed.

    s_i = Σ_k w_k (r_ik − mean_g r_k) / (std_g r_k + eps) with g = g_i, over the rewards that are given. Where a sum
    of rewards is normalised (`group_mean`, `group_scale`), different rewards with equal sums become the same advantage,
    and the reward that varies most decides. `whiten(s, …, eps)` over all rows gives the advantages of GDPO.

    Args:
        reward: [N, K]; NaN where a reward was not given: it adds nothing to its row, nor to the group's mean.
        group: [N] int64 ids.
        weight: [K].
        eps: added to the deviations, which are those of `group_scale`.

    Returns:
        [N]; 0 in a row without any reward.

    Raises:
        TypeError: `group` is not int64, or `reward` or `weight` not floating-point.
        ValueError: the shapes are not [N, K], [N] and [K], or `eps` is negative.

    Source: Liu et al. (2026), GDPO: Group reward-decoupled normalization policy optimization, arXiv:2601.05242.
    """
    _check.floating(reward=reward, weight=weight)
    _check.integer(group=group)
    _check.not_negative(eps=eps)
    if reward.ndim != 2:
        raise ValueError(f"reward must have shape [N, K], K rewards of each row, got {list(reward.shape)}")
    _check.same_shape(reward.shape[:1], group=group)
    _check.same_shape(reward.shape[1:], weight=weight)
    total = reward.new_zeros(len(reward))
    for column, w in zip(reward.unbind(1), weight, strict=True):
        given = ~column.isnan()
        r, g = column[given], group[given]
        total[given] += w * (r - group_mean(r, g)) / group_scale(r, g, eps)
    return total


def exponential_average(before: float | None, x: Tensor, mask: Tensor, *, rate: float) -> float:
    """b ← b + rate (mean x − b): a baseline that is one number, the average of what came before.

    The gradient stays unbiased where what it is taken from is weighed with `before`, which does not depend on it.

    Args:
        before: b; None where nothing came before, which makes it the mean itself.
        x: [...] what is averaged, as a rule the returns.
        mask: [...] bool; where it is False nothing is read. Where it is False throughout, b stays.
        rate: in [0, 1].

    Raises:
        TypeError: `mask` is not bool or `x` is not floating-point.
        ValueError: the shapes differ, `rate` lies outside of [0, 1], or there is neither a number nor one before.

    Source: Williams (1992), Simple statistical gradient-following algorithms, section 4 (reinforcement comparison).
    """
    _check.steps(mask, x=x)
    _check.fraction(rate=rate)
    if not bool(mask.any()):
        if before is None:
            raise ValueError("nothing to average: the mask is False throughout, and nothing came before")
        return before
    now = float(x[mask].double().mean())
    return now if before is None else before + rate * (now - before)


def whiten(x: Tensor, mask: Tensor, eps: float = 1e-8) -> Tensor:
    """(x − mean) / (std + eps) over the masked entries: PPO's normalisation of advantages.

    The deviation is the unbiased one (n − 1), as `torch.std` and so the public implementations of PPO compute it. A
    single entry becomes 0, not NaN.

    Args:
        x: [...].
        mask: [...] bool; entries where it is False are not read.
        eps: added to the deviation.

    Returns:
        [...], 0 where the mask is False.

    Raises:
        TypeError: `mask` is not bool or `x` is not floating-point.
        ValueError: the shapes differ.

    Source: Huang et al. (2022), The 37 implementation details of PPO, detail 7.
    """
    _check.boolean(mask=mask)
    _check.floating(x=x)
    _check.same_shape(x.shape, mask=mask)
    count = mask.sum()
    error = torch.where(mask, x - torch.where(mask, x, 0.0).sum() / count, 0.0)
    std = ((error * error).sum() / (count - 1).clamp(min=1)).sqrt()
    return error / (std + eps)


def _groups(ret: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """[N] each row's group as 0..G-1, and [G] how many rows each has."""
    _check.floating(ret=ret)
    _check.integer(group=group)
    if ret.ndim != 1:
        raise ValueError(f"ret must have shape [N], one return per row, got {list(ret.shape)}")
    _check.same_shape(ret.shape, group=group)
    _, member, count = torch.unique(group, return_inverse=True, return_counts=True)
    return member, count


def _sum(x: Tensor, member: Tensor, count: Tensor) -> Tensor:
    """[G]: the sum of x over each group."""
    return x.new_zeros(count.shape).index_add(0, member, x)
