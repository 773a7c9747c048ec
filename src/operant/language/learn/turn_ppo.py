"""PPO whose steps are turns, on one page: a critic values the state in which a turn begins (Schulman et al. 2017).

The difference from `rlhf.py`: generalised advantage estimates run over turns, not tokens. All tokens of a turn carry
its advantage, and the critic learns at one token of each turn, the last one before the policy speaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from operant.data.trajectory import Metrics, shuffled
from operant.language.episodes.world_rollouts import WorldBatch, WorldRollouts
from operant.language.learn.batch_checks import BatchChecks, policy_metrics
from operant.language.learn.logprobs import all_values, state_value, token_logp
from operant.language.learn.minibatch import Minibatch, micro_batches, with_advantages
from operant.language.learn.on_world import on_world
from operant.language.learn.optim_step import PartLoss, optim_step
from operant.language.learn.reward_scorer import critic_from
from operant.language.learn.setup import adamw
from operant.language.learn.turn_credit import spread, turn_gae
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.settings.worlds import TurnPPOConfig, TurnPPORun
from operant.math.baseline import whiten
from operant.math.objective import clipped_surrogate, value_loss
from operant.math.reduce import Reduction, token_mean
from operant.run.job import Job, Say, silent

METRICS = ("policy/kl", "policy/clip_fraction", "sampler/mismatch", "loss/policy", "loss/value",
           "sampler/mismatch_max")  # fmt: skip


def turn_ppo(
    cfg: TurnPPOConfig, collect: WorldRollouts, policy: LanguageModel, critic: Scalar,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Play episodes, weigh their turns, step through them, yield metrics; for ever.

    Args:
        cfg: the settings.
        collect: plays `cfg.samples` episodes of each of n scenarios.
        policy, critic: trained in place.
        optimizer: holds the parameters of both.
        generator: the order of the minibatches.
        total_steps: calls of `collect` at which the schedule ends.

    Raises:
        ConfigError: at the first step, if no token can be trained.
    """
    check = BatchChecks(cfg.mismatch_alarm)

    while True:
        left = max(0.0, 1.0 - collect.steps / total_steps)
        lr = cfg.lr * (left if cfg.lr_schedule == "linear" else 1.0)
        for group in optimizer.param_groups:
            group["lr"] = lr

        batch = collect.batch(cfg.scenarios)
        traj = batch.rows.traj
        alarms = check(batch.rows)
        begins = first_of_turns(batch)  # [N, T]
        value = torch.zeros_like(batch.reward).index_put(
            (batch.turn[begins],), all_values(critic, batch.rows, cfg.tokens)[:, :-1][begins]
        )  # [K]
        turns = turn_gae(batch, value, discount=cfg.discount, lam=cfg.lam)  # [K]
        collect.advantages = turns[batch.owner.bincount().cumsum(0) - 1]
        adv = spread(batch, turns)
        target = torch.where(begins, spread(batch, turns + value), torch.nan)  # nowhere else is it read
        weight = whiten(adv, traj.acted) if cfg.whiten else adv
        steps = replace(with_advantages(batch.rows, adv=weight, target=target), group=batch.prefix)

        seen: list[Metrics] = []
        for _ in range(cfg.epochs):
            order = shuffled(len(batch.ret), generator, value.device)
            for part in order.split(cfg.batch or len(order)):
                own = torch.isin(batch.episode, part).nonzero().squeeze(1)
                seen.append(_update(cfg, policy, critic, optimizer, steps[own]))

        metrics = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]}
        metrics["value/explained_variance"] = 1 - turns.var() / (turns + value).var()
        metrics |= {"policy/entropy": -token_mean(traj.logp, traj.acted), "schedule/lr": torch.tensor(lr)}
        yield metrics | alarms | check.mismatch(seen[0]) | collect.stats()


def first_of_turns(batch: WorldBatch) -> torch.Tensor:
    """[N, T] bool: the first decision of each turn."""
    before = torch.nn.functional.pad(batch.turn, (1, 0), value=-1)[:, :-1]
    return (batch.turn >= 0) & (batch.turn != before)


def _update(
    cfg: TurnPPOConfig, policy: LanguageModel, critic: Scalar, optimizer: torch.optim.Optimizer, b: Minibatch
) -> Metrics:
    """One gradient step on the rows of some episodes: micro-batches that add up to the loss of the whole."""
    reduce = partial(token_mean, denominator=b.acted.sum().clamp(min=1))
    turns = partial(token_mean, denominator=(~b.target.isnan()).sum().clamp(min=1))
    b = b[b.group.argsort(stable=True)]
    parts = [partial(_loss, cfg, policy, critic, reduce, turns, part) for part in micro_batches(policy, b, cfg.tokens)]
    return optim_step(optimizer, parts, cfg.max_grad_norm, METRICS, every=True)


def _loss(
    cfg: TurnPPOConfig, policy: LanguageModel, critic: Scalar, reduce: Reduction, turns: Reduction, b: Minibatch
) -> PartLoss:
    """The share of a micro-batch in the loss."""
    logp = token_logp(policy, b)
    policy_loss, metrics = clipped_surrogate(
        logp, b.logp, b.adv, b.acted, clip=cfg.clip, clip_high=cfg.clip, reduce=reduce
    )
    critic_loss, _ = value_loss(state_value(critic, b)[:, :-1], b.target, ~b.target.isnan(), reduce=turns)
    more = policy_metrics(policy, logp, b, metrics)
    loss = policy_loss + cfg.value_coef * critic_loss
    return loss, {"loss/policy": policy_loss.detach(), "loss/value": critic_loss.detach()} | more


def build(cfg: TurnPPORun, env: object, say: Say = silent) -> Job:
    """Everything that PPO by turns needs, made from a config and one seed."""
    run = on_world(cfg, say, samples=cfg.algo.samples)
    critic = critic_from(run.policy).requires_grad_(True)
    optimizer = adamw([run.policy, critic], cfg.algo.lr, cfg.algo.weight_decay)
    learning = turn_ppo(
        cfg.algo, run.collect, run.policy, critic, optimizer, run.generator, total_steps=cfg.total_steps
    )
    learned = run.learned(optimizer, modules={"critic": critic})
    return run.job(learning, learned, episodes=cfg.algo.scenarios * cfg.algo.samples)
