"""Soft actor–critic (Haarnoja et al. 2018, arXiv:1812.05905), on one page: TD3 whose policy is paid for its entropy.

    a' ~ π(·|s')
    y = r + γ (min_k Q'_k(s', a') − α log π(a'|s'))   the policy draws its own noise, and entropy is worth α
    Q_k: one step down ½ (Q_k(s, a) − y)²
    π: one step up min_k Q_k(s, a) − α log π(a|s)     through a ~ π(·|s), a function of noise
    α: one step towards the entropy that is asked for
    Q' follows Q; the policy needs no copy

π is a normal distribution squashed into [-1, 1], its deviation given by the network; log π is the density there, with
the slope of tanh in it. Of sums of n rewards the entropy between is not counted. Where an action holds choices, beside
numbers or without, the update is that of `operant.control.sac_hybrid`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.explorer import Explorer
from operant.control.policies import ActionValues
from operant.control.replay_actor_critic import (
    Drawn,
    Temperature,
    Update,
    adam,
    begun,
    descend,
    drawing,
    drawn,
    replay_actor_critic,
    store,
)
from operant.control.replay_fused import fused_soft
from operant.control.sac_hybrid import hybrid
from operant.control.settings.continuous import SACConfig, SACRun
from operant.control.setup_off_policy import OffPolicy
from operant.control.target import Target
from operant.control.updates import by_hand, row_of
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.math.bellman import backup, ensemble_loss
from operant.math.reduce import token_mean
from operant.math.soft import soft_value
from operant.run.job import Job, Say, silent


def sac(
    cfg: SACConfig, parts: OffPolicy, explorer: Explorer, optimizer: torch.optim.Optimizer, update: Update
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
    begun(agent, collect.steps)
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


def sac_update(
    cfg: SACConfig, agent: Agent, q_target: Target[ActionValues], temperature: Temperature,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, b: Drawn,
) -> tuple[Tensor, Metrics]:  # fmt: skip
    """One step of the critics, one of the policy, one of α, and the target; |δ| of each decision and metrics."""
    alpha = temperature.value
    with torch.no_grad():
        next_action, next_logp = drawn(agent, b.next_obs, generator)
        next_value = soft_value(q_target.module(b.next_obs, next_action).amin(0), next_logp, alpha)
        y = backup(b.reward, b.after(next_value), b.terminated, b.discount)
    q = agent.q(b.obs, b.action)  # [N, B]
    q_loss, error = ensemble_loss(q, y, b.weight, b.acted)
    norm = descend(optimizer, q_loss, agent.q, cfg.max_grad_norm)
    metrics = {"loss/value": q_loss.detach(), "value/q": q.detach().mean(), "grad/norm": norm}

    action, logp = drawn(agent, b.obs, generator)
    policy_loss = -token_mean(soft_value(agent.q(b.obs, action).amin(0), logp, alpha), b.acted)
    descend(optimizer, policy_loss, agent.policy, cfg.max_grad_norm)
    entropy = -token_mean(logp.detach(), b.acted)
    temperature.follow(entropy, -float(action.shape[-1]) if cfg.target_entropy is None else cfg.target_entropy)
    q_target.follow(cfg.tau)
    policy = {"loss/policy": policy_loss.detach(), "policy/entropy": entropy, "schedule/temperature": alpha}
    return error, metrics | policy


def build(cfg: SACRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything SAC needs, made from a config and one seed."""
    parts, explorer = replay_actor_critic(cfg, env, std="network", critics=cfg.algo.critics, mixed=True)
    agent, optimizer = parts.agent, adam(cfg.algo, parts.agent)
    target, temperature = Target(agent.q), Temperature(cfg.algo, agent)
    agent.beside["q_target"] = target
    its = (cfg.algo, agent, target, temperature, optimizer, parts.generator)
    readable = partial(sac_update, *its) if agent.spec.action_kind == "box" else hybrid(*its)
    update = by_hand(cfg.algo.fused, lambda: fused_soft(*its)) or readable
    return parts.job(sac(cfg.algo, parts, explorer, optimizer, update), optimizer)
