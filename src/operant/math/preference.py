"""Losses of policies on judged answers: pairs (the family of DPO), verdicts (KTO), and pairs of several groups.

To minimise, as in `objective`. What is compared are log-ratios of a policy to a reference policy, log(π/π_ref), summed
over the answer's tokens; the log-probabilities of the reference are detached. `reduce` says what counts as one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from operant.math import _check
from operant.math.comparison import margin_metrics
from operant.math.objective import Metrics
from operant.math.reduce import Reduction, token_mean

Score = Callable[[Tensor], Tensor]
"""From a log-ratio log(π/π_ref) to what is compared, f′(π/π_ref) of a divergence f; any shape."""


# ---------------------------------------------------------------------------------------------------- scores
def reverse_kl(log_ratio: Tensor) -> Tensor:
    """log u, of f(u) = u log u: the log-ratio itself, as in the first form of DPO. [...] to [...].

    Source: Wang et al. (2024), Beyond reverse KL; the others below too (up to constants, which cancel).
    """
    return log_ratio


def forward_kl(log_ratio: Tensor) -> Tensor:
    """1 − 1/u, of f(u) = −log u. [...] to [...]."""
    return -torch.expm1(-log_ratio)


def jensen_shannon(log_ratio: Tensor) -> Tensor:
    """log(2u/(1 + u)), of the Jensen–Shannon divergence. [...] to [...]."""
    return functional.logsigmoid(log_ratio) + torch.log(log_ratio.new_tensor(2.0))


def alpha_divergence(log_ratio: Tensor, *, alpha: float) -> Tensor:
    """(u^(α−1) − 1)/(α − 1): `reverse_kl` as α → 1, `forward_kl` at α = 0. [...] to [...].

    Raises:
        ZeroDivisionError: α is 1; use `reverse_kl`.
    """
    return torch.expm1((alpha - 1.0) * log_ratio) / (alpha - 1.0)


# ---------------------------------------------------------------------------------------------------- policies
def dpo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float,
    score: Score = reverse_kl,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """−log σ(β Δ), with Δ = log(π/π_ref)(chosen) − log(π/π_ref)(rejected).

    Args:
        chosen, rejected: [N] log-probabilities of whole answers, summed over their tokens.
        ref_chosen, ref_rejected: [N] the same under the reference policy.
        beta: β, above 0: how dear it is to leave the reference.
        score: of a log-ratio, in Δ: `reverse_kl`, or that of another divergence from the reference.
        reduce: what counts as one; the mask it receives is True for every pair.

    Returns:
        loss []; metrics, means over pairs: `chosen`, `rejected` (the rewards β log(π/π_ref)), `margin` (their
        difference), `accuracy` (it is above 0).

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes differ, or `beta` is not above 0.

    Source: Rafailov et al. (2023), Direct preference optimization, equation 7; Wang et al. (2024), Beyond reverse KL,
    for `score`.
    """
    return cdpo(chosen, rejected, ref_chosen, ref_rejected, beta=beta, flipped=0.0, score=score, reduce=reduce)


def cdpo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float,
    flipped: float | Tensor,
    score: Score = reverse_kl,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """−(1 − ε) log σ(β Δ) − ε log σ(−β Δ): `dpo` when a fraction ε of the labels is flipped.

    Args:
        chosen, rejected, ref_chosen, ref_rejected: [N], as in `dpo`.
        beta: β, above 0.
        flipped: ε in [0, 1], as a rule below ½; or [N], of each pair: 1 − the probability that a judge gave it.
        score: as in `dpo`.
        reduce: what counts as one.

    Returns:
        loss []; metrics as in `dpo`.

    Raises:
        As `dpo`, and ValueError: `flipped` lies outside of [0, 1].

    Source: Mitchell (2023), A note on DPO with noisy preferences, equation 3.
    """
    _check.positive(beta=beta)
    _check.fraction(flipped=flipped)
    difference, metrics = _preference(chosen, rejected, ref_chosen, ref_rejected, beta, score)
    margin = beta * difference
    loss = -(1.0 - flipped) * functional.logsigmoid(margin) - flipped * functional.logsigmoid(-margin)
    return reduce(loss, _everyone(loss)), metrics


def rdpo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float,
    flipped: float,
    score: Score = reverse_kl,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """[−(1 − ε) log σ(β Δ) + ε log σ(−β Δ)] / (1 − 2ε): its mean over labels flipped with ε is `dpo` on clean ones.

    Args:
        chosen, rejected, ref_chosen, ref_rejected: [N], as in `dpo`.
        beta: β, above 0.
        flipped: ε in [0, ½).
        score: as in `dpo`.
        reduce: what counts as one.

    Returns:
        loss [] (it may be negative); metrics as in `dpo`.

    Raises:
        As `dpo`, and ValueError: `flipped` lies outside of [0, ½).

    Source: Ray Chowdhury et al. (2024), Provably robust DPO.
    """
    _check.positive(beta=beta)
    if not 0.0 <= flipped < 0.5:
        raise ValueError(f"flipped must lie in [0, 0.5), got {flipped}")
    difference, metrics = _preference(chosen, rejected, ref_chosen, ref_rejected, beta, score)
    margin = beta * difference
    loss = -(1.0 - flipped) * functional.logsigmoid(margin) + flipped * functional.logsigmoid(-margin)
    return reduce(loss / (1.0 - 2.0 * flipped), _everyone(loss)), metrics


def hinge(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float,
    score: Score = reverse_kl,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """max(0, 1 − β Δ): no pull beyond a margin of 1.

    Args:
        chosen, rejected, ref_chosen, ref_rejected: [N], as in `dpo`.
        beta: β, above 0; the paper's γ.
        score: as in `dpo`.
        reduce: what counts as one.

    Returns:
        loss []; metrics as in `dpo`.

    Raises:
        As `dpo`.

    Source: Zhao et al. (2023), SLiC-HF; on log-ratios Liu et al. (2024), Statistical rejection sampling improves
    preference optimization.
    """
    _check.positive(beta=beta)
    difference, metrics = _preference(chosen, rejected, ref_chosen, ref_rejected, beta, score)
    loss = (1.0 - beta * difference).clamp(min=0.0)
    return reduce(loss, _everyone(loss)), metrics


def ipo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float,
    score: Score = reverse_kl,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """(Δ − 1/(2β))²: a margin to reach and not to pass, so that sure preferences do not pull without end.

    Some libraries divide each log-probability by the answer's length; the equation does not. To do so, pass means.

    Args:
        chosen, rejected, ref_chosen, ref_rejected: [N], as in `dpo`.
        beta: the paper's τ, above 0.
        score: as in `dpo`.
        reduce: what counts as one.

    Returns:
        loss []; metrics as in `dpo`.

    Raises:
        As `dpo`.

    Source: Azar et al. (2023), A general theoretical paradigm to understand learning from human preferences, eq. 17.
    """
    _check.positive(beta=beta)
    difference, metrics = _preference(chosen, rejected, ref_chosen, ref_rejected, beta, score)
    loss = (difference - 0.5 / beta) ** 2
    return reduce(loss, _everyone(loss)), metrics


def kto(
    logp: Tensor,
    ref_logp: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """λ_y − v: with r = log(π/π_ref), v = λ_D σ(β (r − z_0)) if desirable, else λ_U σ(β (z_0 − r)). No pairs needed.

    Args:
        logp, ref_logp: [N] log-probabilities of whole answers now and under the reference policy.
        desirable: [N] bool, the verdict on each.
        reference_point: [] z_0, the batch's estimate of KL(π || π_ref); clamped at 0 from below and detached here.
        beta: β, above 0.
        desirable_weight, undesirable_weight: λ_D and λ_U, at least 0.
        reduce: what counts as one; the mask it receives is True for every answer.

    Returns:
        loss []; metrics, means over answers: `reward` (β r), `accuracy` (r > z_0 exactly where desirable).

    Raises:
        TypeError: `desirable` is not bool, or a number tensor is not floating-point.
        ValueError: shapes do not fit, or a number lies outside of its range.

    Source: Ethayarajh et al. (2024), KTO: model alignment as prospect theoretic optimization, equation 8.
    """
    _check.boolean(desirable=desirable)
    _check.floating(logp=logp, ref_logp=ref_logp, reference_point=reference_point)
    _check.same_shape(desirable.shape, logp=logp, ref_logp=ref_logp)
    _check.same_shape((), reference_point=reference_point)
    _check.positive(beta=beta)
    _check.not_negative(desirable_weight=desirable_weight, undesirable_weight=undesirable_weight)
    reward, point = logp - ref_logp.detach(), reference_point.detach().clamp(min=0.0)
    gain = beta * (reward - point)
    loss = torch.where(desirable, desirable_weight * (-gain).sigmoid(), undesirable_weight * gain.sigmoid())
    everyone = torch.ones_like(desirable)
    return reduce(loss, everyone), {
        "reward": token_mean(beta * reward.detach(), everyone),
        "accuracy": token_mean(((gain > 0) == desirable).to(gain.dtype), everyone),
    }


# ---------------------------------------------------------------------------------------------------- groups
def group_means(x: Tensor, mask: Tensor, *, group: Tensor, groups: int, denominator: Tensor | None = None) -> Tensor:
    """Σ x over each group / denominator of the group: a reduction to [G] for the losses above, `L_g` of GR-DPO.

    Args:
        x: [N].
        mask: [N] bool.
        group: [N] int64 in [0, G).
        groups: G.
        denominator: [G] how many elements of each group count; those seen when None (a group without any gives 0).
            B N_g / N, for a batch of B of N elements drawn alike, is free of bias and exact under accumulation.

    Returns:
        [G].

    Raises:
        TypeError: `mask` is not bool, `group` not int64, or `x` not floating-point.
        ValueError: shapes differ.

    Source: Ramesh et al. (2024), Group robust preference optimization in reward-free RLHF.
    """
    _check.boolean(mask=mask)
    _check.floating(x=x)
    _check.integer(group=group)
    _check.same_shape(x.shape, mask=mask, group=group)
    if denominator is None:
        denominator = x.new_zeros(groups).index_add(0, group, mask.to(x.dtype)).clamp(min=1)
    return x.new_zeros(groups).index_add(0, group, torch.where(mask, x, 0.0)) / denominator


def group_weights(weight: Tensor, loss: Tensor, count: Tensor, *, step: float, adjustment: float = 0.0) -> Tensor:
    """α_g ← α_g exp(η (L_g + C/√N_g)), normalised: mirror ascent on which group counts most. Then minimise Σ α_g L_g.

    Args:
        weight: [G] α, above 0, sum 1.
        loss: [G] `group_means` of the pairs' losses; detached here.
        count: [G] N_g, how many pairs of each group the data has.
        step: η, at least 0; with 0 the weights stay.
        adjustment: C, at least 0: favours small groups, whose loss generalises less.

    Returns:
        [G] the new α.

    Raises:
        TypeError: `weight` or `loss` is not floating-point.
        ValueError: shapes differ, or a number is negative.

    Source: Ramesh et al. (2024), Group robust preference optimization in reward-free RLHF, algorithm 1; Sagawa et al.
    (2020), Distributionally robust neural networks for group shifts, for the adjustment.
    """
    _check.floating(weight=weight, loss=loss)
    _check.same_shape(weight.shape, loss=loss, count=count)
    _check.not_negative(step=step, adjustment=adjustment)
    return (weight.log() + step * (loss.detach() + adjustment / count.to(loss.dtype).sqrt())).softmax(-1)


# ---------------------------------------------------------------------------------------------------- parts
def _everyone(x: Tensor) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def _preference(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float, score: Score
) -> tuple[Tensor, Metrics]:
    """[N]: Δ, how much more the policy prefers the chosen answer than the reference does; and the metrics."""
    _check.floating(chosen=chosen, rejected=rejected, ref_chosen=ref_chosen, ref_rejected=ref_rejected)
    _check.same_shape(chosen.shape, rejected=rejected, ref_chosen=ref_chosen, ref_rejected=ref_rejected)
    better, worse = chosen - ref_chosen.detach(), rejected - ref_rejected.detach()
    rewards = {"chosen": beta * better.detach(), "rejected": beta * worse.detach()}
    metrics = {name: token_mean(x, _everyone(x)) for name, x in rewards.items()}
    return score(better) - score(worse), metrics | margin_metrics(rewards["chosen"] - rewards["rejected"])
