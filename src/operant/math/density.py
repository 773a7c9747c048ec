"""Log-densities with several humps: mixtures of normal distributions, and histograms."""

from __future__ import annotations

import torch
from torch import Tensor

from operant.math import _check
from operant.math.logprob import categorical_logp, normal_logp


def mixture_logp(logits: Tensor, mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """log Σ_k w_k N(action; mean_k, diag(std_k²)), with w = softmax(logits).

    Args:
        logits: [..., K].
        mean, log_std: [..., K, D].
        action: [..., D].

    Returns:
        [...].

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes do not fit.

    Source: Bishop (1994), Mixture density networks, equations 21 to 23.
    """
    _check.floating(logits=logits)
    _check.same_shape((*logits.shape, mean.shape[-1]), mean=mean, log_std=log_std)
    each = normal_logp(mean, log_std, action.unsqueeze(-2).expand_as(mean))
    return torch.logsumexp(logits.log_softmax(-1) + each, -1)


def bin_of(action: Tensor, low: Tensor, high: Tensor, bins: int) -> Tensor:
    """In which of equal bins of [low, high] each number lies; those outside lie in the first or the last.

    Args:
        action: [..., D].
        low, high: [D].
        bins: K.

    Returns:
        [..., D] int64 in [0, K).

    Raises:
        ValueError: K is less than 1.
    """
    _check.positive(bins=bins)
    return ((action - low) / (high - low) * bins).floor().clamp(0, bins - 1).long()


def histogram_logp(logits: Tensor, action: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """log of a density that is constant in each of K equal bins of [low, high], of independent numbers.

    Σ_d log softmax(logits_d)[bin of action_d] − log of the bin's width.

    Args:
        logits: [..., D, K].
        action: [..., D].
        low, high: [D].

    Returns:
        [...].

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes do not fit.

    Source: Metz et al. (2017), Discrete sequential prediction of continuous actions, section 3, without the sequence.
    """
    _check.floating(logits=logits, action=action, low=low, high=high)
    _check.same_shape(logits.shape[:-1], action=action)
    bins = logits.shape[-1]
    width = ((high - low) / bins).log().sum()
    return categorical_logp(logits, bin_of(action, low, high, bins)).sum(-1) - width


def squared_distance(mean: Tensor, action: Tensor) -> Tensor:
    """½ Σ_d (action_d − mean_d)²: −log N(action; mean, I) without its constant ½ D log 2π.

    Args:
        mean, action: [..., D].

    Returns:
        [...].

    Raises:
        TypeError: an argument is not floating-point.
        ValueError: shapes differ.

    Source: Bishop (2006), Pattern recognition and machine learning, section 5.2.
    """
    _check.floating(mean=mean, action=action)
    _check.same_shape(mean.shape, action=action)
    return 0.5 * (action - mean).square().sum(-1)
