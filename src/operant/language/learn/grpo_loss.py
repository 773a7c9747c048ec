"""The losses of GRPO's family: which objective, which reduction, and the divergence in the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from operant.data.trajectory import Metrics
from operant.language.settings.grpo import GRPOConfig
from operant.math.divergence import k1, k2, k3
from operant.math.objective import cispo, clipped_surrogate, policy_gradient
from operant.math.ratio import masked, near, reweighted, sequence_level, sequence_weight, step_weight, truncated
from operant.math.reduce import Reduction, fixed, sequence_mean, token_mean

DIVERGENCE: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}
"""The estimators by name."""


def group_loss(
    cfg: GRPOConfig,
    logp: Tensor,
    old_logp: Tensor,
    ref_logp: Tensor | None,
    adv: Tensor,
    acted: Tensor,
    *,
    beta: float,
    reduce: Reduction,
    sampled_logp: Tensor | None = None,
) -> tuple[Tensor, Metrics]:
    """The loss of a preset: its objective of the advantages, and β times its estimate of the divergence from π_ref.

    Args:
        cfg: the preset.
        logp, old_logp: [N, T] log π of the sampled tokens now, and before the step.
        ref_logp: [N, T] log π_ref, or None where no divergence is in the loss.
        adv: [N, T] advantages.
        acted: [N, T] bool.
        beta: β now.
        reduce: what counts as one; see `reduction`.
        sampled_logp: [N, T] the sampler's, where `old_logp` is not.

    Returns:
        loss []; metrics of the objective.

    Source: the papers of `operant.language.settings.grpo.PRESETS`; each preset is written out in docs/language/grpo.md.
    """
    if cfg.off_policy is not None:
        sampled = old_logp if sampled_logp is None else sampled_logp
        adv = torch.where(near(adv, logp, sampled, acted, threshold=cfg.off_policy), adv, 0.0)
    match cfg.objective:
        case "clip":
            surrogate = partial(clipped_surrogate, logp, old_logp, clip=cfg.clip, clip_high=cfg.clip_high)
        case "gspo":
            old = sequence_level(logp, old_logp, acted)
            surrogate = partial(clipped_surrogate, logp, old, clip=cfg.clip, clip_high=cfg.clip_high)
        case "cispo":
            surrogate = partial(cispo, logp, old_logp, max_ratio=cfg.max_ratio)
        case "reinforce":
            surrogate = partial(policy_gradient, logp)
    loss, metrics = surrogate(adv=adv, acted=acted, reduce=reduce)
    if ref_logp is not None and beta > 0.0 and cfg.kl_in == "loss":
        divergence = DIVERGENCE[cfg.kl](logp, ref_logp)
        if cfg.kl_corrected:
            divergence = reweighted(divergence, logp, old_logp, acted)
        loss = loss + beta * reduce(divergence, acted)
    return loss, metrics


def correction(cfg: GRPOConfig, old_logp: Tensor, sampled_logp: Tensor, acted: Tensor) -> Tensor:
    """[N, T]: the factor of each advantage by which the trainer's π, before it moves, is not the sampler's.

    Args:
        cfg: `correction` says of what and how, `correction_min` and `correction_max` the bounds.
        old_logp, sampled_logp: [N, T] log π of the trainer and of the sampler.
        acted: [N, T] bool.
    """
    level, _, how = cfg.correction.partition("_")
    weight = (sequence_weight if level == "sequence" else step_weight)(old_logp, sampled_logp, acted)
    bound = masked if how == "mask" else truncated
    return bound(weight, low=cfg.correction_min, high=cfg.correction_max)


def reduction(cfg: GRPOConfig, acted: Tensor, limit: int) -> Reduction:
    """What counts as one, its denominator counted over all rows of a gradient step, `acted` [N, T]."""
    match cfg.reduce:
        case "token":
            return partial(token_mean, denominator=acted.sum().clamp(min=1))
        case "sequence":
            return partial(sequence_mean, denominator=acted.any(-1).sum().clamp(min=1))
        case "fixed":
            return partial(fixed, length=cfg.fixed_length or limit, denominator=len(acted))
