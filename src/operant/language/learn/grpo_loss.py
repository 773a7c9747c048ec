"""The losses of GRPO's family: which objective, which reduction, and the divergence in the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

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


class GroupLoss(Protocol):
    """The loss of a preset: its objective of the advantages, and β times its estimate of the divergence from π_ref.

    Args:
        logp, old_logp: [N, T] log π of the sampled tokens now, and before the step.
        ref_logp: [N, T] log π_ref, or None where no divergence is in the loss.
        adv: [N, T] advantages.
        acted: [N, T] bool.
        beta: β now.
        reduce: what counts as one; see `reduction`.
        sampled_logp: [N, T] the sampler's, where `old_logp` is not.

    Returns:
        loss []; metrics of the objective.
    """

    def __call__(
        self, logp: Tensor, old_logp: Tensor, ref_logp: Tensor | None, adv: Tensor, acted: Tensor, *,
        beta: float, reduce: Reduction, sampled_logp: Tensor | None = None,
    ) -> tuple[Tensor, Metrics]: ...  # fmt: skip


def group_loss(cfg: GRPOConfig) -> GroupLoss:
    """The loss of a preset, its parts chosen once.

    Source: the papers of `operant.language.settings.grpo.PRESETS`; each preset is written out in docs/language/grpo.md.
    """
    objective, divergence = _objective(cfg), _corrected_divergence(cfg)

    def loss_of(
        logp: Tensor, old_logp: Tensor, ref_logp: Tensor | None, adv: Tensor, acted: Tensor, *,
        beta: float, reduce: Reduction, sampled_logp: Tensor | None = None,
    ) -> tuple[Tensor, Metrics]:  # fmt: skip
        if cfg.off_policy is not None:
            sampled = old_logp if sampled_logp is None else sampled_logp
            adv = torch.where(near(adv, logp, sampled, acted, threshold=cfg.off_policy), adv, 0.0)
        loss, metrics = objective(logp, old_logp, adv, acted, reduce=reduce)
        if ref_logp is not None and beta > 0.0 and cfg.kl_in == "loss":
            loss = loss + beta * reduce(divergence(logp, old_logp, ref_logp, acted), acted)
        return loss, metrics

    return loss_of


class _Objective(Protocol):
    def __call__(
        self, logp: Tensor, old_logp: Tensor, adv: Tensor, acted: Tensor, *, reduce: Reduction
    ) -> tuple[Tensor, Metrics]: ...


def _objective(cfg: GRPOConfig) -> _Objective:
    """From log π, log π_old and advantages to the loss and its metrics."""
    clipped = partial(clipped_surrogate, clip=cfg.clip, clip_high=cfg.clip_high)

    def by_sequence(
        logp: Tensor, old_logp: Tensor, adv: Tensor, acted: Tensor, *, reduce: Reduction
    ) -> tuple[Tensor, Metrics]:
        return clipped(logp, sequence_level(logp, old_logp, acted), adv, acted, reduce=reduce)

    def on_policy(
        logp: Tensor, old_logp: Tensor, adv: Tensor, acted: Tensor, *, reduce: Reduction
    ) -> tuple[Tensor, Metrics]:
        return policy_gradient(logp, adv, acted, reduce=reduce)

    match cfg.objective:
        case "clip":
            return clipped
        case "gspo":
            return by_sequence
        case "cispo":
            return partial(cispo, max_ratio=cfg.max_ratio)
        case "reinforce":
            return on_policy


def _corrected_divergence(cfg: GRPOConfig) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """(log π, log π_old, log π_ref, acted) to what each token adds to the loss, without β."""
    divergence = DIVERGENCE[cfg.kl]
    if cfg.kl_corrected:
        return lambda logp, old, ref, acted: reweighted(divergence(logp, ref), logp, old, acted)
    return lambda logp, old, ref, acted: divergence(logp, ref)


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
