"""Kahneman–Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306), on one page: verdicts, no pairs.

The reference point z_0 is the batch's divergence from the reference, measured on answers put to the wrong prompts. It
is one number for the whole batch, without a gradient; so it is computed first, over all parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.trajectory import Metrics
from operant.language.learn.optim_step import PartLoss, check_examples, mean_of, optim_step, set_lr, share_of
from operant.language.learn.reference import all_logp, answer_logp
from operant.language.model.language_model import LanguageModel
from operant.language.settings.learning import DPOConfig
from operant.language.text.conversation import Encoded
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import within
from operant.language.text.pairs import Verdict
from operant.math import preference as losses
from operant.math.reduce import token_mean

METRICS = ("loss/preference", "reward/mean", "reward/desirable", "reward/undesirable", "reward/accuracy")


def kto(
    cfg: DPOConfig,
    data: Shuffled[Any],
    policy: LanguageModel,
    optimizer: torch.optim.Optimizer,
    *,
    total_steps: int,
) -> Iterator[Metrics]:
    """Take a batch of verdicts, measure z_0, step on the loss of their log-ratios, yield metrics; for ever.

    Args:
        cfg: the settings.
        data: gives `cfg.batch` verdicts at a time, with their mismatched answers and their reference.
        policy: the model, trained in place.
        optimizer: holds the parameters to train.
        total_steps: verdicts at which the schedule ends.

    Raises:
        ConfigError: if the data are no verdicts, do not fit the model, or have no reference.
    """
    _check_verdicts(data.items, policy)
    while True:
        lr = set_lr(optimizer, cfg, data.steps / total_steps)

        batch: list[Verdict] = data(cfg.batch)
        reference = torch.tensor([v.reference for v in batch], device=policy.device)  # [N, 2]
        desirable = torch.tensor([v.desirable for v in batch], device=policy.device)
        other = [(_mismatched(v),) for v in batch]
        point = (all_logp(policy, other, cfg.tokens)[:, 0] - reference[:, 1]).mean()  # z_0
        own = [v.answer for v in batch]
        loss = partial(_loss, cfg, policy, own, reference[:, 0], desirable, point)
        parts = [partial(loss, part) for part in within([len(e.tokens) for e in own], [1] * len(own), cfg.tokens)]
        metrics = optim_step(optimizer, parts, cfg.max_grad_norm, METRICS)

        metrics |= {"policy/kl_reference": point.clamp(min=0.0), "schedule/lr": torch.tensor(lr)}
        yield metrics | data.stats()


def _loss(
    cfg: DPOConfig, policy: LanguageModel, answers: Sequence[Encoded], reference: Tensor, desirable: Tensor,
    point: Tensor, part: Sequence[int],
) -> PartLoss:  # fmt: skip
    """The share of some answers of a batch in its loss; log π_ref and verdicts [N] are of all of them."""
    logp, good = answer_logp(policy, [answers[i] for i in part]), desirable[part]
    loss, metrics = losses.kto(
        logp, reference[part], good, point, beta=cfg.beta, desirable_weight=cfg.desirable_weight,
        undesirable_weight=cfg.undesirable_weight, reduce=partial(token_mean, denominator=len(answers)),
    )  # fmt: skip
    measured = {
        "reward/mean": mean_of(metrics["reward"], len(part)),
        "reward/accuracy": mean_of(metrics["accuracy"], len(part)),
    }
    reward = cfg.beta * (logp.detach() - reference[part])
    for name, which in (("desirable", desirable), ("undesirable", ~desirable)):
        share = token_mean(reward, which[part], which.sum().clamp(min=1))
        measured[f"reward/{name}"] = share_of(share, len(answers), len(part))
    return loss, {"loss/preference": share_of(loss, len(answers), len(part))} | measured


def _mismatched(verdict: Verdict) -> Encoded:
    if verdict.mismatched is None or verdict.reference is None:
        raise ConfigError(
            f"{verdict.answer.where}: a verdict without its mismatched answer or its reference; "
            "call mismatch and verdicts_with_reference first"
        )
    return verdict.mismatched


def _check_verdicts(items: Sequence[Any], policy: LanguageModel) -> None:
    for item in items:
        if not isinstance(item, Verdict):
            raise ConfigError("these are pairs; set algo.loss to one of the losses on pairs, or give verdicts")
    check_examples((e for v in items for e in (v.answer, _mismatched(v))), policy)
