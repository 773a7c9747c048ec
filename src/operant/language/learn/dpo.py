"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) and its relatives, on one page.

The policy is its own reward model: r = β log(π/π_ref), up to a constant per prompt. The reference's share of it is a
number per answer that is computed once, before training (`operant.language.learn.reference`); no reference model is
kept.

gr_dpo and gr_ipo (Ramesh et al. 2024, arXiv:2405.20304) give each group of people a weight that grows with its loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.language.episodes.evaluate import PreferenceAccuracy
from operant.language.learn.group_weights import GroupWeights
from operant.language.learn.kto import kto
from operant.language.learn.optim_step import PartLoss, check_examples, mean_of, optim_step, set_lr, share_of, widths
from operant.language.learn.reference import all_logp, answer_logp, pairs_with_reference, verdicts_with_reference
from operant.language.learn.setup import adamw, encoder_of, held_out, job_on_data, judged_model
from operant.language.model.language_model import LanguageModel
from operant.language.model.train_state import LanguageTrainState
from operant.language.settings.learning import DPOConfig
from operant.language.settings.runs import DPORun
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import within
from operant.language.text.pairs import Pair, Verdict, mismatch, read_pairs, read_verdicts
from operant.math import preference as losses
from operant.math.reduce import Reduction, token_mean
from operant.run.job import Job, Say, silent

Loss = Callable[..., tuple[Tensor, Metrics]]
SCORE = {
    "reverse_kl": losses.reverse_kl,
    "forward_kl": losses.forward_kl,
    "jensen_shannon": losses.jensen_shannon,
}
METRICS = ("loss/preference", "reward/chosen", "reward/rejected", "reward/margin", "reward/accuracy")


def dpo(
    cfg: DPOConfig,
    data: Shuffled[Pair] | Shuffled[Verdict],
    policy: LanguageModel,
    optimizer: torch.optim.Optimizer,
    *,
    total_steps: int,
    groups: GroupWeights | None = None,
) -> Iterator[Metrics]:
    """Take a batch of pairs, step on the loss of their log-ratios, yield metrics; for ever.

    Args:
        cfg: the settings.
        data: gives `cfg.batch` pairs at a time, with their reference; verdicts where the loss is kto.
        policy: the model, trained in place.
        optimizer: holds the parameters to train.
        total_steps: pairs at which the schedule ends.
        groups: the state of gr_dpo and gr_ipo, to resume from; made from the data when None.

    Raises:
        ConfigError: if the data does not fit the loss or the model, or has no reference.
    """
    if cfg.loss == "kto":
        yield from kto(cfg, data, policy, optimizer, total_steps=total_steps)
        return
    items = _checked(cfg, data.items, policy)
    soft = any(p.probability != 1.0 for p in items)
    if cfg.loss in ("gr_dpo", "gr_ipo"):
        groups = groups or GroupWeights(items).to(policy.device)
    while True:
        lr = set_lr(optimizer, cfg, data.steps / total_steps)

        batch = [item for item in data(cfg.batch) if isinstance(item, Pair)]
        more = Metrics() if groups is None else _reweigh(cfg, policy, groups, batch)
        units = [(p.chosen, p.rejected) for p in batch]
        loss = partial(_loss, cfg, policy, groups, soft, len(batch))
        parts = [
            partial(loss, [batch[i] for i in part]) for part in within(widths(units), [2] * len(units), cfg.tokens)
        ]
        metrics = optim_step(optimizer, parts, cfg.max_grad_norm, METRICS)

        yield metrics | more | {"schedule/lr": torch.tensor(lr)} | data.stats()


def _loss(
    cfg: DPOConfig, policy: LanguageModel, groups: GroupWeights | None, soft: bool, count: int, pairs: Sequence[Pair]
) -> PartLoss:
    """The share of some pairs in the loss of `count`; `soft` where a judge gave probabilities."""
    logp = answer_logp(policy, [e for p in pairs for e in (p.chosen, p.rejected)]).view(-1, 2)
    reference = _reference(pairs, logp.device)
    if groups is None:
        unsure = logp.new_tensor([1.0 - p.probability for p in pairs]) if soft else None
        loss, metrics = pair_loss(cfg, logp, reference, partial(token_mean, denominator=count), unsure)
    else:
        group_loss, metrics = pair_loss(cfg, logp, reference, groups.means(pairs, count))
        loss = (groups.weight * group_loss).sum()
    means = {f"reward/{name}": mean_of(x, len(pairs)) for name, x in metrics.items()}
    return loss, {"loss/preference": share_of(loss, count, len(pairs))} | means


def _reweigh(cfg: DPOConfig, policy: LanguageModel, groups: GroupWeights, batch: Sequence[Pair]) -> Metrics:
    """Let the weight of each group grow with its loss; the metrics of the groups."""
    logp = all_logp(policy, [(p.chosen, p.rejected) for p in batch], cfg.tokens)
    loss, _ = pair_loss(cfg, logp, _reference(batch, logp.device), groups.means(batch, len(batch)))
    groups.weight = losses.group_weights(
        groups.weight, loss, groups.count, step=cfg.group_step, adjustment=cfg.group_adjustment
    )
    return groups.metrics(loss)


def _reference(pairs: Sequence[Pair], device: torch.device) -> Tensor:
    """[N, 2]: log π_ref of chosen and rejected answers."""
    return torch.tensor([p.reference for p in pairs], device=device)


def pair_loss(
    cfg: DPOConfig, logp: Tensor, reference: Tensor, reduce: Reduction, flipped: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """The loss of pairs, from log-probabilities [N, 2] of chosen and rejected answers now and under the reference.

    `flipped` [N] is how sure a judge is of the contrary, in place of one ε for all pairs of cdpo.
    """
    function: Loss
    match cfg.loss:
        case "cdpo":
            function = partial(losses.cdpo, flipped=cfg.flipped if flipped is None else flipped)
        case "rdpo":
            function = partial(losses.rdpo, flipped=cfg.flipped)
        case "ipo" | "gr_ipo":
            function = losses.ipo
        case "hinge":
            function = losses.hinge
        case _:
            function = losses.dpo
    return function(*logp.unbind(-1), *reference.unbind(-1), beta=cfg.beta, score=SCORE[cfg.divergence], reduce=reduce)


def _checked(cfg: DPOConfig, items: Sequence[Pair | Verdict], policy: LanguageModel) -> list[Pair]:
    pairs = [item for item in items if isinstance(item, Pair)]
    if len(pairs) < len(items):
        raise ConfigError("these are verdicts on single answers; set algo.loss = kto, or give pairs")
    for pair in pairs:
        if pair.reference is None:
            raise ConfigError(f"{pair.chosen.where}: a pair without its reference; call pairs_with_reference first")
        if pair.probability != 1.0 and cfg.loss != "cdpo":
            raise ConfigError(
                f"{pair.chosen.where}: a pair with a probability; set algo.loss = cdpo, which takes it in place of "
                "algo.flipped, or leave it out"
            )
    check_examples((e for p in pairs for e in (p.chosen, p.rejected)), policy)
    return pairs


def build(cfg: DPORun, env: object, say: Say = silent) -> Job:
    """Everything that direct preference optimisation needs; the reference is the model as it is named."""
    policy = judged_model(cfg)
    data, right = (_verdicts if cfg.algo.loss == "kto" else _pairs)(cfg, policy)
    items: Shuffled[Any] = Shuffled(data, Streams(cfg.seed))
    optimizer = adamw([policy], cfg.algo.lr, cfg.algo.weight_decay)
    groups = GroupWeights(data).to(policy.device) if cfg.algo.loss in ("gr_dpo", "gr_ipo") else None
    loop = dpo(cfg.algo, items, policy, optimizer, total_steps=cfg.total_steps, groups=groups)
    learned = LanguageTrainState(policy, optimizer, modules={} if groups is None else {"groups": groups})
    return job_on_data(cfg, loop, learned, items, right)


def _pairs(cfg: DPORun, policy: LanguageModel) -> tuple[list[Any], PreferenceAccuracy]:
    """A file's pairs to learn from, and how far the ratio of the better answer is above that of the worse elsewhere."""
    data, held = held_out(read_pairs(cfg.task.id, encoder_of(policy, cfg.algo)), cfg.eval.episodes)
    data, held = (pairs_with_reference(half, policy, tokens=cfg.algo.tokens) for half in (data, held))
    reference = torch.tensor([p.reference for p in held])

    def margins(judged: Sequence[Pair]) -> list[float]:
        logp = all_logp(policy, [(p.chosen, p.rejected) for p in judged], cfg.algo.tokens).cpu()
        ratio = logp - reference[: len(judged)]  # [N, 2]
        return (ratio[:, 0] - ratio[:, 1]).tolist()

    return data, PreferenceAccuracy(held, margins)


def _verdicts(cfg: DPORun, policy: LanguageModel) -> tuple[list[Any], PreferenceAccuracy]:
    """A file's verdicts to learn from, and how far the ratio of an answer elsewhere moved to where it was wanted."""
    encoder, tokens = encoder_of(policy, cfg.algo), cfg.algo.tokens
    judged, held = held_out(read_verdicts(cfg.task.id, encoder), cfg.eval.episodes)
    data = verdicts_with_reference(mismatch(judged, encoder.length), policy, tokens=tokens)
    reference = all_logp(policy, [(v.answer,) for v in held], tokens)[:, 0].cpu()

    def margins(judged: Sequence[Verdict]) -> list[float]:
        moved = all_logp(policy, [(v.answer,) for v in judged], tokens)[:, 0].cpu() - reference[: len(judged)]
        return [float(x) if v.desirable else -float(x) for x, v in zip(moved, judged, strict=True)]

    return data, PreferenceAccuracy(held, margins)
