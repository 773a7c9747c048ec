"""Log-probabilities, entropies and samples of action distributions: functions of their parameters, no classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from operant.math import _check

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


# ---------------------------------------------------------------------------------------------------- categorical
def categorical_logp(logits: Tensor, action: Tensor) -> Tensor:
    """log softmax(logits)[action].

    Args:
        logits: [..., K].
        action: [...] int64 in [0, K).

    Returns:
        [...].

    Raises:
        TypeError: `action` is not int64 or `logits` not floating-point.
        ValueError: shapes do not fit. An action outside of [0, K) is an error of `torch.gather`.

    Source: Goodfellow et al. (2016), Deep learning, section 6.2.2.3.
    """
    _check.floating(logits=logits)
    _check.integer(action=action)
    _check.same_shape(logits.shape[:-1], action=action)
    return logits.log_softmax(-1).gather(-1, action.unsqueeze(-1)).squeeze(-1)


def row_at(x: Tensor, index: Tensor) -> Tensor:
    """x[..., k, :]: what a table of rows has for an action, or for a component: [..., K, A], [...] int64 → [..., A]."""
    return x.gather(-2, index[..., None, None].expand(*index.shape, 1, x.shape[-1])).squeeze(-2)


def categorical_entropy(logits: Tensor) -> Tensor:
    """H = −Σ_k p_k log p_k, in nats.

    Args:
        logits: [..., K], finite (use `masked_logits` to rule actions out).

    Returns:
        [...].

    Raises:
        TypeError: `logits` is not floating-point.

    Source: Cover and Thomas (2006), Elements of information theory, section 2.1.
    """
    _check.floating(logits=logits)
    logp = logits.log_softmax(-1)
    return -(logp.exp() * logp).sum(-1)


def categorical_sample(logits: Tensor, uniform: Tensor) -> Tensor:
    """The inverse of the distribution function at u: the first k with p_0 + … + p_k > u.

    Rounding cannot lead past the last action of positive probability, nor to one of probability 0: not at u = 0, not
    at the largest u below 1, not where the cumulated sum ends beside 1.

    Args:
        logits: [..., K], finite or −inf.
        uniform: [...] in [0, 1), drawn by the caller from its own generator.

    Returns:
        [...] int64 in [0, K).

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes do not fit.

    Source: Devroye (1986), Non-uniform random variate generation, section III.2.
    """
    _check.floating(logits=logits, uniform=uniform)
    _check.same_shape(logits.shape[:-1], uniform=uniform)
    probability = logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    # 0 where an action cannot be chosen: a cumulated sum computed in parallel need not rise monotonically
    reach = torch.where(probability > 0, probability.cumsum(-1), 0.0)
    total = reach.amax(-1, keepdim=True)
    below = torch.nextafter(total, torch.zeros_like(total))
    threshold = torch.minimum(uniform.unsqueeze(-1).to(total.dtype) * total, below)
    return (reach > threshold).to(torch.uint8).argmax(-1)  # argmax gives the first of equals


def masked_logits(logits: Tensor, allowed: Tensor) -> Tensor:
    """The logits with the actions that are not allowed at half of the dtype's lowest number: probability exactly 0.

    Half of it, and not −inf: every log-probability, entropy and gradient stays finite, also with one action left.
    Logits beyond a quarter of the largest number are moved there.

    Args:
        logits: [..., K].
        allowed: [..., K] bool.

    Returns:
        [..., K]; no gradient flows to the actions that are not allowed.

    Raises:
        TypeError: `allowed` is not bool or `logits` not floating-point.
        ValueError: shapes differ, or a row allows no action.

    Source: Huang and Ontañón (2022), A closer look at invalid action masking, section 3.
    """
    _check.boolean(allowed=allowed)
    _check.floating(logits=logits)
    _check.same_shape(logits.shape, allowed=allowed)
    empty = ~allowed.any(-1)
    if bool(empty.any()):
        raise ValueError(f"allowed rules out every action in {int(empty.sum())} row(s); each needs at least one")
    return ruled_out(logits, allowed)


def ruled_out(logits: Tensor, allowed: Tensor) -> Tensor:
    """As `masked_logits`, where a row may allow nothing: of coins, or in a graph that cannot look.

    Args:
        logits: [..., K].
        allowed: [..., K] bool.
    """
    # what is allowed stays far above, at any logits, and near enough for their difference to be finite
    bound = torch.finfo(logits.dtype).max / 4
    return torch.where(allowed, logits.clamp(-bound, bound), -2 * bound)


def allowed_or_all(allowed: Tensor) -> Tensor:
    """What is allowed [..., K] bool, and everything in a row that allows nothing, as one behind an end may."""
    return allowed | ~allowed.any(-1, keepdim=True)


# ---------------------------------------------------------------------------------------------------- normal
def normal_logp(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """log N(action; mean, diag(std²)) = Σ_d −½ ((a − μ)/σ)² − log σ − ½ log 2π.

    Args:
        mean, action: [..., D].
        log_std: [D], or [..., D].

    Returns:
        [...], summed over the last dimension.

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes do not fit.

    Source: Bishop (2006), Pattern recognition and machine learning, equation 2.43.
    """
    _check.floating(mean=mean, log_std=log_std, action=action)
    _check.same_shape(mean.shape, action=action)
    _check_log_std(log_std, mean)
    z = (action - mean) * torch.exp(-log_std)
    return -0.5 * (z * z).sum(-1) - (log_std.sum(-1) + _HALF_LOG_TWO_PI * mean.shape[-1])


def normal_entropy(log_std: Tensor) -> Tensor:
    """H = Σ_d log σ + ½ (1 + log 2π), in nats.

    Args:
        log_std: [..., D].

    Returns:
        [...].

    Raises:
        TypeError: `log_std` is not floating-point.

    Source: Cover and Thomas (2006), theorem 8.4.1.
    """
    _check.floating(log_std=log_std)
    return log_std.sum(-1) + (0.5 + _HALF_LOG_TWO_PI) * log_std.shape[-1]


def squashed_normal_logp(mean: Tensor, log_std: Tensor, before: Tensor) -> Tensor:
    """log-density of a = tanh(u), u ~ N(mean, diag(std²)): log N(u) − Σ_d log(1 − tanh² u).

    log(1 − tanh² u) = 2 (log 2 − u − softplus(−2u)), exact for any u; no 1e-6 under a logarithm, no atanh of ±1. It is
    therefore a function of `before`, which the sampler has.

    Args:
        mean: [..., D].
        log_std: [D], or [..., D].
        before: [..., D], u, the action before tanh.

    Returns:
        [...], summed over the last dimension.

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes do not fit.

    Source: Haarnoja et al. (2018), Soft actor-critic, appendix C.
    """
    log_slope = 2.0 * (math.log(2.0) - before - functional.softplus(-2.0 * before))
    return normal_logp(mean, log_std, before) - log_slope.sum(-1)


# ---------------------------------------------------------------------------------------------------- composite
def multi_categorical_logp(logits: Tensor, sizes: Sequence[int], action: Tensor) -> Tensor:
    """Σ_i log softmax(logits_i)[action_i]: independent choices, their logits side by side.

    Args:
        logits: [..., K_1 + … + K_M].
        sizes: K_1 … K_M.
        action: [..., M] int64.

    Returns:
        [...].

    Raises:
        TypeError: `action` is not int64 or `logits` not floating-point.
        ValueError: shapes do not fit.

    Source: Metz et al. (2017), Discrete sequential prediction of continuous actions, section 2, without the sequence.
    """
    _check_sizes(logits, sizes)
    _check.same_shape((*logits.shape[:-1], len(sizes)), action=action)
    parts = zip(logits.split(list(sizes), -1), action.unbind(-1), strict=True)
    return composite_logp([categorical_logp(part, chosen) for part, chosen in parts])


def multi_categorical_entropy(logits: Tensor, sizes: Sequence[int]) -> Tensor:
    """Σ_i H_i in nats, for independent choices.

    Args:
        logits: [..., K_1 + … + K_M].
        sizes: K_1 … K_M.

    Returns:
        [...].

    Raises:
        TypeError: `logits` is not floating-point.
        ValueError: the sizes do not add up to the last dimension.

    Source: Cover and Thomas (2006), theorem 2.6.6.
    """
    _check_sizes(logits, sizes)
    return composite_logp([categorical_entropy(part) for part in logits.split(list(sizes), -1)])


def bernoulli_logp(logits: Tensor, action: Tensor) -> Tensor:
    """Σ_d a log σ(l) + (1 − a) log σ(−l): independent coins.

    Args:
        logits: [..., D], log p/(1 − p).
        action: [..., D], 0 or 1, floating-point.

    Returns:
        [...], summed over the last dimension.

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes differ.

    Source: Bishop (2006), equation 2.2.
    """
    _check.floating(logits=logits, action=action)
    _check.same_shape(logits.shape, action=action)
    return -functional.binary_cross_entropy_with_logits(logits, action, reduction="none").sum(-1)


def bernoulli_entropy(logits: Tensor) -> Tensor:
    """Σ_d softplus(l) − l σ(l), in nats.

    Args:
        logits: [..., D], log p/(1 − p).

    Returns:
        [...].

    Raises:
        TypeError: `logits` is not floating-point.

    Source: Cover and Thomas (2006), equation 2.5.
    """
    _check.floating(logits=logits)
    return (functional.softplus(logits) - logits * logits.sigmoid()).sum(-1)


def composite_logp(parts: Sequence[Tensor]) -> Tensor:
    """Σ_i of the parts: the log-probability (or the entropy) of independent parts of one action.

    Args:
        parts: at least one [...], all of one shape.

    Returns:
        [...].

    Raises:
        ValueError: there is no part, or shapes differ.

    Source: Cover and Thomas (2006), theorem 2.6.6.
    """
    if not parts:
        raise ValueError("parts must hold at least one tensor, got none")
    total = parts[0]
    for i, part in enumerate(parts[1:], 1):
        _check.same_shape(total.shape, **{f"parts[{i}]": part})
        total = total + part
    return total


# ---------------------------------------------------------------------------------------------------- parts
def _check_log_std(log_std: Tensor, mean: Tensor) -> None:
    if log_std.shape != mean.shape and log_std.shape != mean.shape[-1:]:
        raise ValueError(
            f"log_std must have shape {list(mean.shape[-1:])} or {list(mean.shape)}, got {list(log_std.shape)}"
        )


def _check_sizes(logits: Tensor, sizes: Sequence[int]) -> None:
    if sum(sizes) != logits.shape[-1]:
        raise ValueError(f"sizes {list(sizes)} add up to {sum(sizes)}, but logits have shape {list(logits.shape)}")
