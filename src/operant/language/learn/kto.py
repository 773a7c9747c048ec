"""Kahneman–Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306), on one page: verdicts, no pairs.

The reference point z_0 is the batch's divergence from the reference, measured on answers put to the wrong prompts. It
is one number for the whole batch, without a gradient; so it is computed first, over all parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from operant.config.errors import ConfigError
from operant.data.trajectory import Metrics
from operant.language.episodes.distributed import share
from operant.language.learn.optim_step import Tally, check_lengths, rate, set_rate, step
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
        lr = rate(cfg, data.steps / total_steps)
        set_rate(optimizer, lr)

        batch: list[Verdict] = data(cfg.batch)
        own, other = [v.answer for v in batch], [_mismatched(v) for v in batch]
        reference = torch.tensor([v.reference for v in batch], device=policy.device)  # [N, 2]
        desirable = torch.tensor([v.desirable for v in batch], device=policy.device)
        point = (all_logp(policy, [(e,) for e in other], cfg.tokens)[:, 0] - reference[:, 1]).mean()  # z_0
        tally = Tally(METRICS)
        optimizer.zero_grad()
        for part in share(within([len(e.tokens) for e in own], [1] * len(own), cfg.tokens)):
            logp, good = answer_logp(policy, [own[i] for i in part]), desirable[part]
            loss, metrics = losses.kto(
                logp,
                reference[part, 0],
                good,
                point,
                beta=cfg.beta,
                desirable_weight=cfg.desirable_weight,
                undesirable_weight=cfg.undesirable_weight,
                reduce=partial(token_mean, denominator=len(batch)),
            )
            loss.backward()
            reward = cfg.beta * (logp.detach() - reference[part, 0])
            tally.add({"loss/preference": loss}, len(batch))
            tally.add({"reward/mean": metrics["reward"], "reward/accuracy": metrics["accuracy"]}, len(part))
            for name, which in (("desirable", desirable), ("undesirable", ~desirable)):
                if bool(which.any()):
                    here = which[part]
                    tally.add({f"reward/{name}": token_mean(reward, here, which.sum())}, len(batch))
        norm = step(optimizer, cfg.max_grad_norm)

        metrics = tally.means(len(batch)) | {"policy/kl_reference": point.clamp(min=0.0)}
        yield metrics | {"grad/norm": norm, "schedule/lr": torch.tensor(lr)} | data.stats()


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
    check_lengths((e for v in items for e in (v.answer, _mismatched(v))), policy.max_positions)
