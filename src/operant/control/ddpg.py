"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971), on one page.

    y = r + γ Q'(s', μ'(s'))                     with slow copies Q', μ' of both networks; r alone where terminated
    Q: one step down ½ (Q(s, a) − y)²
    μ: one step up Q(s, μ(s))                    the deterministic policy gradient (Silver et al. 2014, theorem 1)
    θ' ← (1 − τ) θ' + τ θ

on transitions drawn from a replay, which the policy fills with noise on its actions. Actions lie in [-1, 1] wherever a
network reads or gives them. `diff ddpg.py td3.py` is what TD3 changes, `diff td3.py sac.py` what SAC does.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.explorer import Explorer, exploring_noise
from operant.control.policies import ActionValues, Policy
from operant.control.replay_actor_critic import Drawn, Update, adam, begun, descend, drawing, replay_actor_critic, store
from operant.control.replay_fused import fused_deterministic
from operant.control.settings.continuous import DDPGConfig, DDPGRun
from operant.control.setup_off_policy import OffPolicy
from operant.control.target import Target
from operant.control.updates import by_hand, row_of
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.math.bellman import backup, ensemble_loss
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent


def ddpg(
    cfg: DDPGConfig, parts: OffPolicy, explorer: Explorer, optimizer: torch.optim.Optimizer, update: Update
) -> Iterator[Metrics]:
    """Step the environments, store, and learn from what is stored; yield metrics after `cfg.updates` turns, for ever.

    Args:
        cfg: the settings.
        parts: what collects segments of `cfg.train_freq` steps, the replay, the agent (trained in place).
        explorer: what draws the actions.
        optimizer: holds the parameters of policy and critic.
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


def ddpg_update(
    cfg: DDPGConfig, agent: Agent, policy_target: Target[Policy], q_target: Target[ActionValues],
    optimizer: torch.optim.Optimizer, b: Drawn,
) -> tuple[Tensor, Metrics]:  # fmt: skip
    """One step of the critic, one of the policy, and the targets after them; |δ| of each decision and metrics."""
    with torch.no_grad():
        next_action = policy_target.module.output(b.next_obs).tanh()
        next_value = q_target.module(b.next_obs, next_action).amin(0)
        y = backup(b.reward, b.after(next_value), b.terminated, b.discount)
    q = agent.q(b.obs, b.action)  # [1, B]
    q_loss, error = ensemble_loss(q, y, b.weight, b.acted)
    norm = descend(optimizer, q_loss, agent.q, cfg.max_grad_norm)
    metrics = {"loss/value": q_loss.detach(), "value/q": q.detach().mean(), "grad/norm": norm}

    policy_loss = -token_mean(agent.q(b.obs, agent.policy.output(b.obs).tanh())[0], b.acted)
    descend(optimizer, policy_loss, agent.policy, cfg.max_grad_norm)
    policy_target.follow(cfg.tau)
    q_target.follow(cfg.tau)
    return error, metrics | {"loss/policy": policy_loss.detach()}


def build(cfg: DDPGRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything DDPG needs, made from a config and one seed."""
    noise = exploring_noise(cfg.algo.noise, cfg.algo.noise_std, cfg.algo.noise_theta)
    parts, explorer = replay_actor_critic(cfg, env, std="none", critics=1, noise=noise)
    agent, optimizer = parts.agent, adam(cfg.algo, parts.agent)
    targets = Target(agent.policy), Target(agent.q)
    agent.beside |= dict(zip(("policy_target", "q_target"), targets, strict=True))
    its = (cfg.algo, agent, *targets, optimizer)
    update = by_hand(cfg.algo.fused, lambda: fused_deterministic(*its, parts.generator)) or partial(ddpg_update, *its)
    return parts.job(ddpg(cfg.algo, parts, explorer, optimizer, update), optimizer)
