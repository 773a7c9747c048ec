"""Losses to minimise. Each returns (loss, metrics): the loss carries the graph, the metrics are detached.

`reduce` says what counts as one (`operant.math.reduce`); where a mask is False no number is read and no gradient
flows. Advantages, targets and the log-probabilities of older policies are weights: they are detached here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

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
    _check.steps(acted, logp=logp, adv=adv)
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
    _check.steps(acted, logp=logp, old_logp=old_logp, adv=adv)
    clip_high = clip if clip_high is None else clip_high
    _check.not_negative(clip=clip, clip_high=clip_high)
    log_ratio = _at_decisions(logp - old_logp.detach(), acted)
    ratio = log_ratio.exp()
    clamped = ratio.clamp(1.0 - clip, 1.0 + clip_high)
    adv = adv.detach()
    loss = reduce(-torch.minimum(ratio * adv, clamped * adv), acted)
    return loss, _ratio_metrics(log_ratio, clamped != ratio, acted)


def penalised_surrogate(
    logp: Tensor,
    old_logp: Tensor,
    adv: Tensor,
    acted: Tensor,
    *,
    kl_coef: float = 0.0,
    reduce: Reduction = token_mean,
) -> tuple[Tensor, Metrics]:
    """−ρ A + β (ρ − 1 − log ρ), with ρ = π(a|s) / π_old(a|s): the surrogate, less β KL(π_old || π).

    Of actions that π_old sampled the second term is an estimate of the divergence that is unbiased in value and in
    gradient, and 0 with no variance at π = π_old. β = 0 is the surrogate of TRPO, conservative policy iteration's.

    Args:
        logp, old_logp: [...] log π(a|s) now and when the action was sampled.
        adv: [...] advantages.
        acted: [...] bool.
        kl_coef: β, at least 0.
        reduce: what counts as one.

    Returns:
        loss []; metrics as `clipped_surrogate`, `clip_fraction` being 0.

    Raises:
        TypeError: `acted` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ, or `kl_coef` is negative.

    Source: Schulman et al. (2017), Proximal policy optimization, equations 6 and 8; Schulman (2020), Approximating KL
    divergence, for the estimate.
    """
    _check.steps(acted, logp=logp, old_logp=old_logp, adv=adv)
    _check.not_negative(kl_coef=kl_coef)
    log_ratio = _at_decisions(logp - old_logp.detach(), acted)
    loss = -log_ratio.exp() * _at_decisions(adv.detach(), acted)
    if kl_coef:
        loss = loss + kl_coef * (torch.expm1(log_ratio) - log_ratio)
    return reduce(loss, acted), _ratio_metrics(log_ratio, torch.zeros_like(acted), acted)


def self_normalised_surrogate(logp: Tensor, old_logp: Tensor, q: Tensor) -> tuple[Tensor, Metrics]:
    """−mean over states of Σ_k ρ_k Q_k / Σ_k ρ_k, with ρ = π(a|s) / π_old(a|s): K actions tried in each state.

    What the K estimates of a state have in common, a baseline or shared noise, does not enter.

    Args:
        logp, old_logp: [N, K] log π(a|s) now and when the actions were sampled.
        q: [N, K] estimates of Q(s, a).

    Returns:
        loss []; metrics `spread`, the mean over states of the deviation of Q over its actions.

    Raises:
        TypeError: a tensor is not floating-point.
        ValueError: shapes differ, or there is only one dimension.

    Source: Schulman et al. (2015), Trust region policy optimization, section 5.2.
    """
    _check.floating(logp=logp, old_logp=old_logp, q=q)
    _check.at_least(2, logp=logp)
    _check.same_shape(logp.shape, old_logp=old_logp, q=q)
    q = q.detach() - q.detach().mean(-1, keepdim=True)  # no more than rounding
    weight = (logp - old_logp.detach()).softmax(-1)
    return -(weight * q).sum(-1).mean(), {"spread": q.square().mean(-1).sqrt().mean()}


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
    _check.steps(acted, logp=logp, old_logp=old_logp, adv=adv)
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
    _check.steps(acted, logp=logp)
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
    _check.steps(acted, value=value, target=target)
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
    _check.steps(acted, value=value, old_value=old_value, target=target)
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


# ---------------------------------------------------------------------------------------------------- parts
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
