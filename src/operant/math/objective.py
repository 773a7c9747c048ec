"""Losses to minimise. Each returns (loss, metrics): the loss carries the graph, the metrics are detached.

`reduce` says what counts as one (`operant.math.reduce`); where a mask is False no number is read and no gradient
flows. Advantages, targets and the log-probabilities of older policies are weights: they are detached here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from operant.math import _check
from operant.math.reduce import Reduction, token_mean

Metrics = dict[str, Tensor]


# ---------------------------------------------------------------------------------------------------- policies
def policy_gradient(
    logp: Tensor, adv: Tensor, acted: Tensor, *, reduce: Reduction = token_mean
) -> tuple[Tensor, Metrics]:
    """−A log π(a|s): its gradient is the policy gradient's estimate.

    Args:
        logp: [...] log π(a|s).
        adv: [...] advantages, or returns.
        acted: [...] bool.
        reduce: what counts as one.

    Returns:
        loss []; metrics `logp` (mean over acted).

    Raises:
        TypeError: `acted` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ.

    Source: Williams (1992), REINFORCE; Sutton et al. (1999), Policy gradient methods, theorem 1.
    """
    _check_steps(acted, logp=logp, adv=adv)
    loss = reduce(-_at_decisions(adv.detach(), acted) * logp, acted)
    return loss, {"logp": token_mean(logp.detach(), acted)}


def clipped_surrogate(
    logp: Tensor,
    old_logp: Tensor,
    adv: Tensor,
    acted: Tensor,
    *,
    clip: float,
    clip_high: float | None = None,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """PPO's objective: −min(ρ A, clamp(ρ, 1 − clip, 1 + clip_high) A), with ρ = π(a|s) / π_old(a|s).

    At π = π_old its gradient is `policy_gradient`'s.

    Args:
        logp, old_logp: [...] log π(a|s) now and when the action was sampled.
        adv: [...] advantages.
        acted: [...] bool.
        clip: how far the ratio may fall below 1 and still be rewarded for it, at least 0.
        clip_high: how far it may rise above 1; `clip` when None.
        reduce: what counts as one.

    Returns:
        loss []; metrics, means over acted: `kl` (ρ − 1 − log ρ, which estimates KL(π_old || π)), `clip_fraction`
        (ratios outside of the interval), `ratio`.

    Raises:
        TypeError: `acted` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ, or a clip is negative.

    Source: Schulman et al. (2017), Proximal policy optimization, equation 7; Yu et al. (2025), DAPO, equation 8, for
    the two clips; Schulman (2020), Approximating KL divergence, for `kl`.
    """
    _check_steps(acted, logp=logp, old_logp=old_logp, adv=adv)
    clip_high = clip if clip_high is None else clip_high
    _check.not_negative(clip=clip, clip_high=clip_high)
    log_ratio = _at_decisions(logp - old_logp.detach(), acted)
    ratio = log_ratio.exp()
    clamped = ratio.clamp(1.0 - clip, 1.0 + clip_high)
    adv = adv.detach()
    loss = reduce(-torch.minimum(ratio * adv, clamped * adv), acted)
    return loss, _ratio_metrics(log_ratio, clamped != ratio, acted)


def cispo(
    logp: Tensor,
    old_logp: Tensor,
    adv: Tensor,
    acted: Tensor,
    *,
    max_ratio: float,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """−sg(min(ρ, max_ratio)) A log π(a|s): the importance weight is clipped, the gradient never is.

    Args:
        logp, old_logp: [...] log π(a|s) now and when the action was sampled.
        adv: [...] advantages.
        acted: [...] bool.
        max_ratio: the largest weight, above 0.
        reduce: what counts as one.

    Returns:
        loss []; metrics `kl`, `clip_fraction`, `ratio` as in `clipped_surrogate`.

    Raises:
        As `policy_gradient`, and ValueError: `max_ratio` is not above 0.

    Source: MiniMax (2025), MiniMax-M1, equations 4 and 5, without a lower clip as there.
    """
    _check_steps(acted, logp=logp, old_logp=old_logp, adv=adv)
    _check.positive(max_ratio=max_ratio)
    log_ratio = _at_decisions((logp - old_logp).detach(), acted)
    ratio = log_ratio.exp()
    clamped = ratio.clamp(max=max_ratio)
    loss = reduce(-clamped * _at_decisions(adv.detach(), acted) * logp, acted)
    return loss, _ratio_metrics(log_ratio, clamped != ratio, acted)


def nll(logp: Tensor, acted: Tensor, *, reduce: Reduction = token_mean) -> tuple[Tensor, Metrics]:
    """−log π(a|s): maximum likelihood of what was done (behaviour cloning, supervised fine-tuning).

    Args:
        logp: [...] log-probability of each demonstrated action or token.
        acted: [...] bool, the steps to learn from.
        reduce: what counts as one.

    Returns:
        loss []; metrics `perplexity`, the exponential of the mean over acted.

    Raises:
        TypeError: `acted` is not bool or `logp` is not floating-point.
        ValueError: shapes differ.

    Source: Pomerleau (1991), Efficient training of artificial neural networks for autonomous navigation.
    """
    _check_steps(acted, logp=logp)
    return reduce(-logp, acted), {"perplexity": (-token_mean(logp.detach(), acted)).exp()}


# ---------------------------------------------------------------------------------------------------- values
def squared(error: Tensor) -> Tensor:
    """½ e²: an error function for `td_loss`. [...] to [...]."""
    return 0.5 * error * error


def huber(error: Tensor) -> Tensor:
    """½ e² up to |e| = 1 and |e| − ½ beyond, so that its slope stays in [−1, 1]. [...] to [...].

    Source: Huber (1964); Mnih et al. (2015), Human-level control, which calls it error clipping.
    """
    size = error.abs()
    inner = size.clamp(max=1.0)
    return inner * (size - 0.5 * inner)


def td_loss(
    value: Tensor,
    target: Tensor,
    acted: Tensor,
    *,
    error: Callable[[Tensor], Tensor] = squared,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """error(value − target), with the target held fixed (the semi-gradient).

    Args:
        value: [...] the estimate to move.
        target: [...] where to.
        acted: [...] bool.
        error: `squared`, `huber`, or any function from [...] to [...].
        reduce: what counts as one.

    Returns:
        loss []; metrics `error`, the mean of |value − target| over acted.

    Raises:
        TypeError: `acted` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ.

    Source: Sutton and Barto (2018), section 11.1.
    """
    _check_steps(acted, value=value, target=target)
    difference = _at_decisions(value - target.detach(), acted)
    return reduce(error(difference), acted), {"error": _mean(difference.detach().abs(), acted)}


def value_loss(
    value: Tensor, target: Tensor, acted: Tensor, *, reduce: Reduction = token_mean
) -> tuple[Tensor, Metrics]:
    """½ (V − target)²: `td_loss` of the squared error. Note the ½, which some libraries leave to the coefficient.

    Args:
        value: [...] V(s).
        target: [...] returns to fit, for instance `gae + value`.
        acted: [...] bool.
        reduce: what counts as one.

    Returns, raises:
        As `td_loss`.

    Source: Schulman et al. (2017), Proximal policy optimization, equation 9 (there without the ½).
    """
    return td_loss(value, target, acted, error=squared, reduce=reduce)


def clipped_value_loss(
    value: Tensor,
    old_value: Tensor,
    target: Tensor,
    acted: Tensor,
    *,
    clip: float,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """½ max((V − target)², (V_clip − target)²), with V_clip = V_old + clamp(V − V_old, ±clip).

    Args:
        value, old_value: [...] V(s) now and when the segment was collected.
        target: [...] returns to fit.
        acted: [...] bool.
        clip: how far V may move from V_old and still gain by it, at least 0, in units of the return.
        reduce: what counts as one.

    Returns:
        loss []; metrics, means over acted: `error` (|V − target|), `clip_fraction` (values that left the interval).

    Raises:
        TypeError: `acted` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ, or `clip` is negative.

    Source: Huang et al. (2022), The 37 implementation details of PPO, detail 9.
    """
    _check_steps(acted, value=value, old_value=old_value, target=target)
    _check.not_negative(clip=clip)
    difference = _at_decisions(value - target.detach(), acted)
    move = _at_decisions(value - old_value.detach(), acted)
    clamped = move.clamp(-clip, clip)
    clipped = difference + (clamped - move)  # V_clip − target, and exactly `difference` inside of the interval
    loss = reduce(0.5 * torch.maximum(difference * difference, clipped * clipped), acted)
    return loss, {
        "error": _mean(difference.detach().abs(), acted),
        "clip_fraction": _mean(clamped != move, acted),
    }


# ---------------------------------------------------------------------------------------------------- preferences
def dpo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """−log σ(β Δ), with Δ = log(π/π_ref)(chosen) − log(π/π_ref)(rejected).

    Args:
        chosen, rejected: [N] log-probabilities of whole answers, summed over their tokens.
        ref_chosen, ref_rejected: [N] the same under the reference policy.
        beta: β, above 0: how dear it is to leave the reference.
        reduce: what counts as one; the mask it receives is True for every pair.

    Returns:
        loss []; metrics, means over pairs: `margin` (β Δ), `accuracy` (Δ > 0).

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes differ, or `beta` is not above 0.

    Source: Rafailov et al. (2023), Direct preference optimization, equation 7.
    """
    return cdpo(chosen, rejected, ref_chosen, ref_rejected, beta=beta, flipped=0.0, reduce=reduce)


def cdpo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float,
    flipped: float,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """−(1 − ε) log σ(β Δ) − ε log σ(−β Δ): `dpo` when a fraction ε of the labels is flipped.

    Args:
        chosen, rejected, ref_chosen, ref_rejected: [N], as in `dpo`.
        beta: β, above 0.
        flipped: ε in [0, 1], as a rule below ½.
        reduce: what counts as one.

    Returns:
        loss []; metrics as in `dpo`.

    Raises:
        As `dpo`, and ValueError: `flipped` lies outside of [0, 1].

    Source: Mitchell (2023), A note on DPO with noisy preferences, equation 3.
    """
    _check.positive(beta=beta)
    _check.fraction(flipped=flipped)
    margin = beta * _preference(chosen, rejected, ref_chosen, ref_rejected)
    loss = -(1.0 - flipped) * functional.logsigmoid(margin) - flipped * functional.logsigmoid(-margin)
    return reduce(loss, torch.ones_like(margin, dtype=torch.bool)), _margin_metrics(margin)


def ipo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """(Δ − 1/(2β))²: a margin to reach and not to pass, so that sure preferences do not pull without end.

    Args:
        chosen, rejected, ref_chosen, ref_rejected: [N], as in `dpo`.
        beta: the paper's τ, above 0.
        reduce: what counts as one.

    Returns:
        loss []; metrics as in `dpo`.

    Raises:
        As `dpo`.

    Source: Azar et al. (2023), A general theoretical paradigm to understand learning from human preferences, eq. 17.
    """
    _check.positive(beta=beta)
    difference = _preference(chosen, rejected, ref_chosen, ref_rejected)
    loss = (difference - 0.5 / beta) ** 2
    return reduce(loss, torch.ones_like(loss, dtype=torch.bool)), _margin_metrics(beta * difference)


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
    _check_steps(desirable, logp=logp, ref_logp=ref_logp)
    _check.floating(reference_point=reference_point)
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


# ---------------------------------------------------------------------------------------------------- parts
def _check_steps(acted: Tensor, **numbers: Tensor) -> None:
    _check.boolean(acted=acted)
    _check.floating(**numbers)
    _check.same_shape(acted.shape, **numbers)


def _at_decisions(x: Tensor, acted: Tensor) -> Tensor:
    """x, and 0 where not acted: so that no padding overflows and none sends a NaN back."""
    return torch.where(acted, x, 0.0)


def _mean(x: Tensor, acted: Tensor) -> Tensor:
    """The mean over acted of x that is 0 elsewhere."""
    return x.sum() / acted.sum().clamp(min=1)


def _ratio_metrics(log_ratio: Tensor, clipped: Tensor, acted: Tensor) -> Metrics:
    """Means over acted; where not acted log ρ is 0 and adds nothing to any of them."""
    with torch.no_grad():
        count = acted.sum().clamp(min=1)
        excess = torch.expm1(log_ratio)  # ρ − 1, exact where ρ is near 1
        return {
            "kl": (excess - log_ratio).sum() / count,
            "clip_fraction": (clipped & acted).sum() / count,
            "ratio": 1.0 + excess.sum() / count,
        }


def _preference(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor) -> Tensor:
    """[N]: Δ, how much more the policy prefers the chosen answer than the reference does."""
    _check.floating(chosen=chosen, rejected=rejected, ref_chosen=ref_chosen, ref_rejected=ref_rejected)
    _check.same_shape(chosen.shape, rejected=rejected, ref_chosen=ref_chosen, ref_rejected=ref_rejected)
    return (chosen - rejected) - (ref_chosen - ref_rejected).detach()


def _margin_metrics(margin: Tensor) -> Metrics:
    margin = margin.detach()
    everyone = torch.ones_like(margin, dtype=torch.bool)
    return {
        "margin": token_mean(margin, everyone),
        "accuracy": token_mean((margin > 0).to(margin.dtype), everyone),
    }
