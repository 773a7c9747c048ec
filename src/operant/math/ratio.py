"""Probability ratios of whole sequences, and terms weighted by a ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from operant.math import _check
from operant.math.scan import reverse_scan


def sequence_level(logp: Tensor, old_logp: Tensor, acted: Tensor) -> Tensor:
    """Old log-probabilities under which every step's ratio is the sequence's, (π/π_old)^(1/length).

    With s = exp(mean over acted of log π − log π_old), the returned o has log π − o = log s in value, and is constant:
    the ratio π/exp(o) is s_t = sg(s) π / sg(π). `clipped_surrogate(logp, o, …)` is then GSPO-token, which has GSPO's
    loss and gradient where the advantage is constant along a row; `cispo(logp, o, …)` is CISPO by sequence.

    Args:
        logp, old_logp: [N, T] log π(a|s) now and when the action was sampled.
        acted: [N, T] bool.

    Returns:
        [N, T], detached; 0 where not acted.

    Raises:
        TypeError: `acted` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ.

    Source: Zheng et al. (2025), Group sequence policy optimization, equations 7 and 14.
    """
    _check.steps(acted, logp=logp, old_logp=old_logp)
    logp = logp.detach()
    return torch.where(acted, logp - _mean_log_ratio(logp, old_logp, acted), 0.0)


def reweighted(x: Tensor, logp: Tensor, old_logp: Tensor, acted: Tensor) -> Tensor:
    """ρ x, with ρ = π(a|s) / π_old(a|s) and its gradient: an expectation over π from actions of π_old.

    Of an estimator of KL(π || π_ref) that is unbiased in value (`k1`, `k3`), it makes one that is unbiased in gradient:
    E_old[∇(ρ x)] = ∇E_π[x]. This changes the gradient at π = π_old too, where ρ is 1 but its gradient is not 0.

    Args:
        x: [...] a term of each step; its graph is kept.
        logp, old_logp: [...] log π(a|s) now and when the action was sampled.
        acted: [...] bool.

    Returns:
        [...], 0 where not acted.

    Raises:
        TypeError: `acted` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ.

    Source: DeepSeek-AI (2025), DeepSeek-V3.2, section 3.1, "unbiased KL estimate".
    """
    _check.steps(acted, x=x, logp=logp, old_logp=old_logp)
    return _log_ratio(logp, old_logp, acted).exp() * torch.where(acted, x, 0.0)


def step_weight(logp: Tensor, sampled_logp: Tensor, acted: Tensor) -> Tensor:
    """π/μ of each step, where the sampler μ is not quite the trainer's π: an importance weight.

    A weight of at least 0 is a factor of the advantage in every surrogate of `operant.math.objective`; `truncated` or
    `masked` bounds it.

    Args:
        logp: [N, T] log π(a|s) by the trainer, before it moves.
        sampled_logp: [N, T] log μ(a|s) by the sampler.
        acted: [N, T] bool.

    Returns:
        [N, T], detached; 1 where not acted.

    Raises:
        TypeError: `acted` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ.

    Source: Yao et al. (2025), Your efficient RL framework secretly brings you off-policy RL training.
    """
    _check.steps(acted, logp=logp, sampled_logp=sampled_logp)
    return _log_ratio(logp.detach(), sampled_logp, acted).exp()


def sequence_weight(logp: Tensor, sampled_logp: Tensor, acted: Tensor) -> Tensor:
    """π/μ of a whole row, Π_t π(a_t|s_t)/μ(a_t|s_t) over acted, at each of its steps.

    Args, raises:
        As `step_weight`.

    Returns:
        [N, T], detached; the same along a row.

    Source: Liu et al. (2025), When speed kills stability: demystifying RL collapse from the training-inference
    mismatch.
    """
    return step_weight(logp, sampled_logp, acted).prod(-1, keepdim=True).expand_as(logp)


def prefix_weight(logp: Tensor, behaviour_logp: Tensor, ended: Tensor, acted: Tensor) -> Tensor:
    """Π_{k<t} π(a_k|s_k)/μ(a_k|s_k) over the decisions of the episode that lie before t in the row.

    Under it the states that μ came to are those that π comes to. Times the ratios from t up to a reward, which the
    unclipped advantage of `advantage.vtrace` has, it is the weight per decision of that reward.

    Args:
        logp, behaviour_logp: [N, T] log π(a|s) of the policy that is valued and log μ(a|s) of the one that acted.
        ended: [N, T] bool, where an episode ended, whatever the reason; a row may hold several.
        acted: [N, T] bool.

    Returns:
        [N, T], detached; 1 at an episode's first decision, 0 where not acted.

    Raises:
        TypeError: a mask is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ.

    Source: Precup, Sutton and Singh (2000), Eligibility traces for off-policy policy evaluation, section 3.
    """
    return torch.where(acted, _log_prefix(logp, behaviour_logp, ended, acted).exp(), 0.0)


def trajectory_weight(logp: Tensor, behaviour_logp: Tensor, ended: Tensor, acted: Tensor) -> Tensor:
    """Π_k π(a_k|s_k)/μ(a_k|s_k) over all decisions of the episode in the row, the same at each of them.

    Where a row is one episode it is `sequence_weight`.

    Args, returns, raises:
        As `prefix_weight`.

    Source: Precup, Sutton and Singh (2000), section 2.
    """
    before = _log_prefix(logp, behaviour_logp, ended, acted)
    after = reverse_scan(_log_ratio(logp.detach(), behaviour_logp, acted), (~ended).to(logp.dtype))
    return torch.where(acted, (before + after).exp(), 0.0)


def truncated(weight: Tensor, *, low: float, high: float) -> Tensor:
    """Weights [...] moved into [low, high]: a bias, for a bounded variance.

    Source: Ionides (2008), Truncated importance sampling, equation 3 (there at the upper end only).
    """
    return weight.clamp(low, high)


def masked(weight: Tensor, *, low: float, high: float) -> Tensor:
    """Weights [...], 0 where they are outside of [low, high]: what is too far from the sampler says nothing.

    Source: Liu et al. (2025), When speed kills stability, as `sequence_weight`.
    """
    return torch.where((weight < low) | (weight > high), 0.0, weight)


def near(adv: Tensor, logp: Tensor, sampled_logp: Tensor, acted: Tensor, *, threshold: float) -> Tensor:
    """[N, T] bool: adv ≥ 0, or the row's mean of log μ − log π over acted is at most `threshold`.

    The off-policy sequence mask: what the policy has left behind is not pushed further away.

    Args:
        adv: [N, T].
        logp, sampled_logp: [N, T] log π(a|s) now, log μ(a|s) when the action was sampled.
        acted: [N, T] bool.
        threshold: nats per step.

    Raises:
        TypeError: `acted` is not bool, or a number tensor is not floating-point.
        ValueError: shapes differ.

    Source: DeepSeek-AI (2025), DeepSeek-V3.2, section 3.1, "off-policy sequence masking".
    """
    _check.steps(acted, adv=adv, logp=logp, sampled_logp=sampled_logp)
    return (adv >= 0) | (-_mean_log_ratio(logp.detach(), sampled_logp, acted) <= threshold)


def _log_prefix(logp: Tensor, behaviour_logp: Tensor, ended: Tensor, acted: Tensor) -> Tensor:
    """[N, T]: Σ_{k<t} log π − log μ since the episode began."""
    _check.steps(acted, logp=logp, behaviour_logp=behaviour_logp)
    _check.boolean(ended=ended)
    _check.same_shape(acted.shape, ended=ended)
    step = _log_ratio(logp.detach(), behaviour_logp, acted)
    add = torch.cat((torch.zeros_like(step[..., :1]), torch.where(ended, 0.0, step)[..., :-1]), -1)
    keep = torch.cat((torch.zeros_like(step[..., :1]), (~ended).to(step.dtype)[..., :-1]), -1)
    return reverse_scan(add.flip(-1), keep.flip(-1)).flip(-1)  # x_t = add_t + keep_t x_{t-1}


def _log_ratio(logp: Tensor, old_logp: Tensor, acted: Tensor) -> Tensor:
    """log π − log π_old, 0 where not acted."""
    return torch.where(acted, logp - old_logp.detach(), 0.0)


def _mean_log_ratio(logp: Tensor, old_logp: Tensor, acted: Tensor) -> Tensor:
    """[N, 1]: its mean over each row's acted steps."""
    return _log_ratio(logp, old_logp, acted).sum(-1, keepdim=True) / acted.sum(-1, keepdim=True).clamp(min=1)
