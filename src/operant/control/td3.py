"""Twin delayed DDPG (Fujimoto et al. 2018, arXiv:1802.09477), on one page: DDPG with three corrections.

    ã = clamp(μ'(s') + clamp(σ̃ ε, ±c), ±1)       the target's action is smoothed
    y = r + γ min_k Q'_k(s', ã)                   the lower of two critics is believed
    Q_k: one step down ½ (Q_k(s, a) − y)²
    every d-th time                               the policy and the targets wait for the critics
        μ: one step up Q_1(s, μ(s))
        θ' ← (1 − τ) θ' + τ θ

With d = 1, one critic and no smoothing it is DDPG, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.distributions import standard_normal
from operant.control.explorer import Explorer, exploring_noise
from operant.control.policies import ActionValues, Policy
from operant.control.replay_actor_critic import (
    Drawn,
    Update,
    adam,
    begun,
    descend,
    drawing,
    replay_actor_critic,
    steps_taken,
    store,
)
from operant.control.replay_fused import fused_deterministic
from operant.control.settings.continuous import TD3Config, TD3Run
from operant.control.setup_off_policy import OffPolicy
from operant.control.target import Target
from operant.control.updates import by_hand, row_of
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.math.bellman import backup, ensemble_loss
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent


def td3(
    cfg: TD3Config, parts: OffPolicy, explorer: Explorer, optimizer: torch.optim.Optimizer, update: Update
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


def td3_update(
    cfg: TD3Config, agent: Agent, policy_target: Target[Policy], q_target: Target[ActionValues],
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, b: Drawn,
) -> tuple[Tensor, Metrics]:  # fmt: skip
    """One step of the critics, and every d-th time one of the policy and the targets; |δ| of each decision, metrics."""
    with torch.no_grad():
        next_action = smoothed(cfg, policy_target.module.output(b.next_obs).tanh(), generator)
        next_value = q_target.module(b.next_obs, next_action).amin(0)
        y = backup(b.reward, b.after(next_value), b.terminated, b.discount)
    q = agent.q(b.obs, b.action)  # [N, B]
    q_loss, error = ensemble_loss(q, y, b.weight, b.acted)
    norm = descend(optimizer, q_loss, agent.q, cfg.max_grad_norm)
    metrics = {"loss/value": q_loss.detach(), "value/q": q.detach().mean(), "grad/norm": norm}
    if steps_taken(optimizer, agent.q) % cfg.delay:
        return error, metrics

    policy_loss = -token_mean(agent.q(b.obs, agent.policy.output(b.obs).tanh())[0], b.acted)
    descend(optimizer, policy_loss, agent.policy, cfg.max_grad_norm)
    policy_target.follow(cfg.tau)
    q_target.follow(cfg.tau)
    return error, metrics | {"loss/policy": policy_loss.detach()}


def smoothed(cfg: TD3Config, action: Tensor, generator: np.random.Generator) -> Tensor:
    """Actions [..., A] in [-1, 1] with bounded noise on them: a target that gives similar actions similar values."""
    if not cfg.smoothing:
        return action
    noise = cfg.smoothing * standard_normal(generator, tuple(action.shape), action.device)
    return (action + noise.clamp(-cfg.smoothing_clip, cfg.smoothing_clip)).clamp(-1.0, 1.0)


def build(cfg: TD3Run, env: EnvLike, say: Say = silent) -> Job:
    """Everything TD3 needs, made from a config and one seed."""
    noise = exploring_noise(cfg.algo.noise, cfg.algo.noise_std, cfg.algo.noise_theta)
    parts, explorer = replay_actor_critic(cfg, env, std="none", critics=cfg.algo.critics, noise=noise)
    agent, optimizer = parts.agent, adam(cfg.algo, parts.agent)
    targets = Target(agent.policy), Target(agent.q)
    agent.beside |= dict(zip(("policy_target", "q_target"), targets, strict=True))
    its = (cfg.algo, agent, *targets, optimizer, parts.generator)
    update = by_hand(cfg.algo.fused, lambda: fused_deterministic(*its)) or partial(td3_update, *its)
    return parts.job(td3(cfg.algo, parts, explorer, optimizer, update), optimizer)
