"""Probability ratios of whole sequences, and terms weighted by a ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from operant.math import _check


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
    _check_steps(acted, logp=logp, old_logp=old_logp)
    logp = logp.detach()
    log_ratio = torch.where(acted, logp - old_logp.detach(), 0.0)
    mean = log_ratio.sum(-1, keepdim=True) / acted.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(acted, logp - mean, 0.0)


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
    _check_steps(acted, x=x, logp=logp, old_logp=old_logp)
    ratio = torch.where(acted, logp - old_logp.detach(), 0.0).exp()
    return ratio * torch.where(acted, x, 0.0)


def _check_steps(acted: Tensor, **numbers: Tensor) -> None:
    _check.boolean(acted=acted)
    _check.floating(**numbers)
    _check.same_shape(acted.shape, **numbers)
