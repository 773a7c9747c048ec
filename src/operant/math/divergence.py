"""How far one distribution lies from another: estimators from samples, and exact forms."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from operant.math import _check


def k1(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """log π − log π_ref: for actions of π unbiased for KL(π || π_ref), of high variance, may be negative.

    As a penalty it belongs in the reward, where its policy gradient is the exact one of KL(π || π_ref). As a loss its
    expected gradient is 0.

    Args:
        logp, ref_logp: [...], log-probabilities of the same sampled actions.

    Returns:
        [...], one estimate per action.

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes differ.

    Source: Schulman (2020), Approximating KL divergence.
    """
    _check_pair(logp=logp, ref_logp=ref_logp)
    return logp - ref_logp


def k2(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """½ (log π − log π_ref)²: biased, of low variance, never negative.

    As a loss on actions of π, its expected gradient is the exact one of KL(π || π_ref).

    Args:
        logp, ref_logp: [...], log-probabilities of the same sampled actions.

    Returns:
        [...], one estimate per action.

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes differ.

    Source: Schulman (2020), Approximating KL divergence.
    """
    _check_pair(logp=logp, ref_logp=ref_logp)
    difference = logp - ref_logp
    return 0.5 * difference * difference


def k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """r − 1 − log r with r = π_ref / π: for actions of π unbiased for KL(π || π_ref), and never negative.

    As a loss on actions of π, its expected gradient is the one of the *other* divergence, KL(π_ref || π).

    Args:
        logp, ref_logp: [...], log-probabilities of the same sampled actions.

    Returns:
        [...], one estimate per action.

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes differ.

    Source: Schulman (2020), Approximating KL divergence; Shao et al. (2024), DeepSeekMath, equation 4.
    """
    _check_pair(logp=logp, ref_logp=ref_logp)
    log_ratio = ref_logp - logp
    return torch.expm1(log_ratio) - log_ratio


def kl_categorical(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """KL(p || q) = Σ_k p_k (log p_k − log q_k), in nats.

    Args:
        logits_p, logits_q: [..., K], finite.

    Returns:
        [...].

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes differ.

    Source: Cover and Thomas (2006), Elements of information theory, equation 2.26.
    """
    _check_pair(logits_p=logits_p, logits_q=logits_q)
    logp, logq = logits_p.log_softmax(-1), logits_q.log_softmax(-1)
    return (logp.exp() * (logp - logq)).sum(-1)


def kl_normal(mean_p: Tensor, std_p: Tensor, mean_q: Tensor, std_q: Tensor) -> Tensor:
    """KL(p || q) = Σ_d log(σ_q/σ_p) + (σ_p² + (μ_p − μ_q)²) / (2 σ_q²) − ½, for diagonal normals, in nats.

    Args:
        mean_p, mean_q: [..., D].
        std_p, std_q: [D] or [..., D], above 0.

    Returns:
        [...], summed over the last dimension.

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes do not fit.

    Source: Kingma and Welling (2014), Auto-encoding variational Bayes, appendix B, for two normals.
    """
    _check_pair(mean_p=mean_p, mean_q=mean_q)
    _check.floating(std_p=std_p, std_q=std_q)
    for name, std in (("std_p", std_p), ("std_q", std_q)):
        if std.shape != mean_p.shape[-1:]:
            _check.same_shape(mean_p.shape, **{name: std})
    ratio, shift = std_p / std_q, (mean_p - mean_q) / std_q
    return (0.5 * (ratio * ratio + shift * shift - 1.0) - ratio.log()).sum(-1)


def kl_bernoulli(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """KL(p || q) = Σ_d p log(p/q) + (1 − p) log((1 − p)/(1 − q)), for independent coins, in nats.

    Args:
        logits_p, logits_q: [..., D], log p/(1 − p); a coin that both rule out adds 0.

    Returns:
        [...], summed over the last dimension.

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes differ.

    Source: Cover and Thomas (2006), Elements of information theory, equation 2.26.
    """
    _check_pair(logits_p=logits_p, logits_q=logits_q)
    p = logits_p.sigmoid()
    heads = p * (logsigmoid(logits_p) - logsigmoid(logits_q))
    tails = (1.0 - p) * (logsigmoid(-logits_p) - logsigmoid(-logits_q))
    return (torch.where(p > 0, heads, 0.0) + torch.where(p < 1, tails, 0.0)).sum(-1)


def steered(beta: float, kl: float, *, target: float, horizon: int, n: int) -> float:
    """β (1 + clip(KL/target − 1, ±0.2) · n/horizon): a proportional controller of a divergence's weight.

    Args:
        beta: β, at least 0 (from 0 it never moves).
        kl: the divergence measured, in the units of the target.
        target: where to, above 0.
        horizon, n: samples over which β changes by the clipped error, and how many were measured now.

    Returns:
        The next β.

    Raises:
        ValueError: `target` or `horizon` is not above 0, or `beta` is negative.

    Source: Ziegler et al. (2019), Fine-tuning language models from human preferences, section 2.2.
    """
    _check.positive(target=target, horizon=horizon)
    _check.not_negative(beta=beta)
    return beta * (1.0 + min(max(kl / target - 1.0, -0.2), 0.2) * n / horizon)


def adapted(beta: float, kl: float, *, target: float) -> float:
    """β/2 where KL < target/1.5, 2β where KL > 1.5 target, else β: the next weight of a penalty on a divergence.

    Args:
        beta: β, at least 0 (from 0 it never moves).
        kl: the divergence that the last update came to.
        target: where to, above 0.

    Raises:
        ValueError: `target` is not above 0, or `beta` is negative.

    Source: Schulman et al. (2017), Proximal policy optimization, section 4.
    """
    _check.positive(target=target)
    _check.not_negative(beta=beta)
    return beta / 2.0 if kl < target / 1.5 else beta * 2.0 if kl > target * 1.5 else beta


def _check_pair(**pair: Tensor) -> None:
    _check.floating(**pair)
    _check.same_shape(next(iter(pair.values())).shape, **pair)
