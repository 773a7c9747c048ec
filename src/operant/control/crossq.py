"""CrossQ (Bhatt et al. 2024, arXiv:1902.05605), on one page: SAC without target networks.

    a' ~ π(·|s')
    [Q_k(s, a), Q_k(s', a')] = Q_k([s, s'], [a, a'])     one pass, so that one norming sees both
    y = r + γ (min_k Q_k(s', a') − α log π(a'|s'))        with the same critics, and no gradient
    Q_k: one step down ½ (Q_k(s, a) − y)²
    every d-th time
        π: one step up min_k Q_k(s, a) − α log π(a|s), the critics normed by their running averages
        α: one step towards the entropy that is asked for

What makes it stable is that the critics norm each layer's batch. A pass of its own for each side would norm what the
policy does now by other numbers than what is stored, and values part from their targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.explorer import Explorer
from operant.control.networks.renorm import batch_statistics
from operant.control.policies import ActionValues
from operant.control.replay_actor_critic import (
    Drawn,
    Temperature,
    Update,
    adam,
    descend,
    drawing,
    drawn,
    replay_actor_critic,
    steps_taken,
    store,
)
from operant.control.settings.continuous import CrossQConfig, CrossQRun
from operant.control.setup_off_policy import OffPolicy
from operant.control.updates import row_of
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.math.bellman import backup, ensemble_loss
from operant.math.reduce import token_mean
from operant.math.soft import soft_value
from operant.run.job import Job, Say, silent


def crossq(
    cfg: CrossQConfig, parts: OffPolicy, explorer: Explorer, optimizer: torch.optim.Optimizer, update: Update
) -> Iterator[Metrics]:
    """Step the environments, store, and learn from what is stored; yield metrics after `cfg.updates` turns, for ever.

    Args:
        cfg: the settings.
        parts: what collects segments of `cfg.train_freq` steps, the replay, the agent (trained in place).
        explorer: what draws the actions.
        optimizer: holds the parameters of policy and critics.
        update: learns from a batch.
    """
    collect, agent, buffer, draw = parts.collect, parts.agent, parts.buffer, drawing(cfg, parts)
    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            explorer.evenly = collect.steps < cfg.learning_starts
            traj = collect(cfg.train_freq)
            store(cfg, parts, traj)
            for _ in range(cfg.gradient_steps if parts.ready else 0):
                b = draw()
                error, metrics = update(b)
                b.prioritise(buffer, error)
                seen.append(metrics)
        yield row_of(seen, optimizer) | agent.stats() | collect.stats()


def crossq_update(
    cfg: CrossQConfig, agent: Agent, temperature: Temperature, optimizer: torch.optim.Optimizer,
    generator: np.random.Generator, b: Drawn,
) -> tuple[Tensor, Metrics]:  # fmt: skip
    """One step of the critics, and every d-th time one of the policy and of α; |δ| of each decision and metrics."""
    alpha = temperature.value
    with torch.no_grad():
        next_action, next_logp = drawn(agent, b.next_obs, generator)
    with batch_statistics(agent.q, rate=cfg.norm_rate, renormed=steps_taken(optimizer, agent.q) > cfg.norm_warmup):
        q, next_q = both(agent.q, b, next_action)  # [N, B] each
    next_value = soft_value(next_q.detach().amin(0), next_logp, alpha)
    y = backup(b.reward, b.after(next_value), b.terminated, b.discount)
    q_loss, error = ensemble_loss(q, y, b.weight, b.acted)
    norm = descend(optimizer, q_loss, agent.q, cfg.max_grad_norm)
    metrics = {"loss/value": q_loss.detach(), "value/q": q.detach().mean(), "grad/norm": norm}
    if steps_taken(optimizer, agent.q) % cfg.delay:
        return error, metrics

    action, logp = drawn(agent, b.obs, generator)
    policy_loss = -token_mean(soft_value(agent.q(b.obs, action).amin(0), logp, alpha), b.acted)
    descend(optimizer, policy_loss, agent.policy, cfg.max_grad_norm)
    entropy = -token_mean(logp.detach(), b.acted)
    temperature.follow(entropy, -float(action.shape[-1]) if cfg.target_entropy is None else cfg.target_entropy)
    policy = {"loss/policy": policy_loss.detach(), "policy/entropy": entropy, "schedule/temperature": alpha}
    return error, metrics | policy


def both(q: ActionValues, b: Drawn, next_action: Tensor) -> tuple[Tensor, Tensor]:
    """Q_k(s, a) and Q_k(s', a') of a batch, in one pass of each network over all of them."""
    features, actions = (q.features(b.obs), q.features(b.next_obs)), (b.action, next_action)
    x, a = (torch.cat([part.reshape(-1, part.shape[-1]) for part in parts]) for parts in (features, actions))
    now, behind = q.of(x, a).split([b.reward.numel(), len(a) - b.reward.numel()], -1)
    return now.unflatten(-1, b.reward.shape), behind.unflatten(-1, next_action.shape[:-1])


def build(cfg: CrossQRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything CrossQ needs, made from a config and one seed."""
    parts, explorer = replay_actor_critic(cfg, env, std="network", critics=cfg.algo.critics, batch_renorm=True)
    agent, optimizer = parts.agent, adam(cfg.algo, parts.agent)
    for group in optimizer.param_groups:
        group["betas"] = (cfg.algo.adam_beta, group["betas"][1])
    update = partial(crossq_update, cfg.algo, agent, Temperature(cfg.algo, agent), optimizer, parts.generator)
    return parts.job(crossq(cfg.algo, parts, explorer, optimizer, update), optimizer)
