"""LOOP (Chen et al. 2025, arXiv:2502.01600) and its relatives on episodes of many turns, on one page.

PPO whose critic is the other episodes of a scenario: Â_i = R_i − mean_{j≠i} R_j, no deviation, and a ratio for each
token that counts between 1/(1 + ε) and 1 + ε. Only what the policy chose is learnt from, an episode counts once however
many rows it has, and the sampler's log-probabilities are the old ones. GRPO, REINFORCE and turn-level credit are
settings: `operant.language.settings.worlds.LOOP_PRESETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from operant.data.trajectory import Metrics, shuffled
from operant.language.episodes.world_rollouts import WorldBatch, WorldRollouts
from operant.language.learn.batch_checks import BatchChecks, policy_metrics
from operant.language.learn.logprobs import all_token_logp, token_logp
from operant.language.learn.minibatch import Minibatch, micro_batches, with_advantages
from operant.language.learn.on_world import on_world
from operant.language.learn.optim_step import PartLoss, optim_step
from operant.language.learn.setup import adamw
from operant.language.learn.turn_credit import spread, turn_advantages
from operant.language.model.language_model import LanguageModel
from operant.language.settings.worlds import LoopConfig, LoopRun
from operant.math.objective import clipped_surrogate, policy_gradient
from operant.math.reduce import Reduction, fixed, token_mean
from operant.run.job import Job, Say, silent

METRICS = ("policy/kl", "policy/clip_fraction", "sampler/mismatch", "loss/policy", "sampler/mismatch_max")

Objective = Callable[..., tuple[Tensor, Metrics]]


def loop(
    cfg: LoopConfig, collect: WorldRollouts, policy: LanguageModel,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Play groups of episodes, weigh their turns, step through them, yield metrics; for ever.

    A step in which every episode of every group earned the same changes nothing.

    Args:
        cfg: the settings.
        collect: plays `cfg.samples` episodes of each of n scenarios.
        policy: the model, trained in place.
        optimizer: holds the parameters to train.
        generator: the order of the minibatches.
        total_steps: calls of `collect` at which the schedule ends.

    Raises:
        ConfigError: at the first step, if no token can be trained.
    """
    objective, check = _objective(cfg), BatchChecks(cfg.mismatch_alarm)

    while True:
        left = max(0.0, 1.0 - collect.steps / total_steps)
        lr = cfg.lr * (left if cfg.lr_schedule == "linear" else 1.0)
        for group in optimizer.param_groups:
            group["lr"] = lr

        batch = collect.batch(cfg.scenarios)
        alarms = check(batch.rows)
        entropy = -token_mean(batch.rows.traj.logp, batch.rows.traj.acted)
        batch, old = _learnt(cfg, batch, policy)
        turns = turn_advantages(cfg, batch)  # [K]
        collect.advantages = turns[batch.owner.bincount().cumsum(0) - 1]  # of the last ones
        largest = torch.zeros_like(batch.ret).scatter_reduce(0, batch.owner, turns.abs(), "amax")
        kept = (largest >= max(cfg.drop, 1e-12)).nonzero().squeeze(1)  # episodes
        adv = spread(batch, turns)
        weight = adv / batch.tokens[batch.episode, None] if cfg.reduce == "episode" else adv
        steps = replace(with_advantages(batch.rows, adv=weight, logp=old), group=batch.prefix)

        seen: list[Metrics] = []
        for _ in range(cfg.epochs):
            if len(kept) == 0 or (seen and float(seen[-1]["policy/kl"]) > cfg.max_kl):
                break
            order = kept[shuffled(len(kept), generator, kept.device)]
            for part in order.split(cfg.batch or len(kept)):
                own = torch.isin(batch.episode, part).nonzero().squeeze(1)
                seen.append(_update(cfg, policy, objective, optimizer, len(part), steps[own]))

        metrics = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]} if seen else {}
        metrics |= {
            "policy/entropy": entropy,
            "schedule/lr": torch.tensor(lr),
            "group/kept": torch.tensor(len(kept) / len(batch.ret)),
        }
        yield metrics | alarms | (check.mismatch(seen[0]) if seen else {}) | collect.stats()


def _update(
    cfg: LoopConfig, policy: LanguageModel, objective: Objective, optimizer: torch.optim.Optimizer,
    episodes: int, b: Minibatch,
) -> Metrics:  # fmt: skip
    """One gradient step on the rows of some episodes: micro-batches that add up to the loss of the whole."""
    reduce: Reduction = partial(fixed, length=1.0, denominator=episodes)
    if cfg.reduce == "token":
        reduce = partial(token_mean, denominator=b.acted.sum().clamp(min=1))
    b = b[b.group.argsort(stable=True)]  # rows with one prompt stand together
    parts = [partial(_loss, policy, objective, reduce, part) for part in micro_batches(policy, b, cfg.tokens)]
    return optim_step(optimizer, parts, cfg.max_grad_norm, METRICS, every=True)


def _loss(policy: LanguageModel, objective: Objective, reduce: Reduction, b: Minibatch) -> PartLoss:
    """The share of a micro-batch in the loss."""
    logp = token_logp(policy, b)
    loss, metrics = objective(logp, b.logp, b.adv, b.acted, reduce=reduce)
    return loss, {"loss/policy": loss.detach()} | policy_metrics(policy, logp, b, metrics)


def _objective(cfg: LoopConfig) -> Objective:
    """The surrogate of log π, log π_old and advantages. A weight above 0 on an advantage is a weight on its loss."""
    if cfg.objective == "clip":
        return partial(clipped_surrogate, clip=1.0 - 1.0 / (1.0 + cfg.clip), clip_high=cfg.clip)

    def without_ratio(
        logp: Tensor, old: Tensor, adv: Tensor, acted: Tensor, *, reduce: Reduction
    ) -> tuple[Tensor, Metrics]:
        return policy_gradient(logp, adv, acted, reduce=reduce)

    return without_ratio


def _learnt(cfg: LoopConfig, batch: WorldBatch, policy: LanguageModel) -> tuple[WorldBatch, Tensor | None]:
    """The batch as it is learnt from, and log π before the step where that is not the sampler's."""
    if cfg.learn == "sampled":
        return batch, None
    turn = batch.turn.cummax(-1).values  # what the world said behind a turn counts as that turn's
    at = torch.arange(turn.shape[1], device=turn.device)
    acted = (turn >= 0) & (at < batch.rows.length[:, None] - 1)
    rows = replace(batch.rows, traj=replace(batch.rows.traj, acted=acted))
    batch = replace(batch, rows=rows, turn=torch.where(acted, turn, -1))
    rows = replace(rows, traj=replace(rows.traj, group=batch.prefix))
    return batch, all_token_logp(policy, rows, cfg.tokens)


def build(cfg: LoopRun, env: object, say: Say = silent) -> Job:
    """Everything that LOOP needs, made from a config and one seed."""
    run = on_world(cfg, say, samples=cfg.algo.samples)
    optimizer = adamw([run.policy], cfg.algo.lr, cfg.algo.weight_decay)
    learning = loop(cfg.algo, run.collect, run.policy, optimizer, run.generator, total_steps=cfg.total_steps)
    return run.job(learning, run.learned(optimizer), episodes=cfg.algo.scenarios * cfg.algo.samples)
