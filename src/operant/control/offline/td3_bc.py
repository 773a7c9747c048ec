"""TD3 from fixed data (TD3+BC; Fujimoto and Gu 2021, arXiv:2106.06860), on one page: TD3 that stays near its data.

    ã = clamp(μ'(s') + clamp(σ̃ ε, ±c), ±1)
    y = r + γ min_k Q'_k(s', ã)
    Q_k: one step down ½ (Q_k(s, a) − y)²
    every d-th time
        μ: one step up λ Q_1(s, μ(s)) − (μ(s) − a)²    λ = α / mean |Q_1|: what is cloned holds back what is promised
        θ' ← (1 − τ) θ' + τ θ

`diff td3.py offline/td3_bc.py` is the method: nothing is collected, and the policy's loss has one term more. Without it
(`clone` 0) it is TD3 on these data, with α = 0 it is cloning. Observations are normalised by the data's mean and
deviation, which stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.offline.parts import Offline, offline
from operant.control.policies import ActionValues, Policy
from operant.control.replay_actor_critic import Drawn, Update, adam, begun, descend, drawing, steps_taken
from operant.control.replay_fused import fused_deterministic
from operant.control.settings.offline import TD3BCConfig, TD3BCRun
from operant.control.target import Target
from operant.control.td3 import smoothed
from operant.control.updates import by_hand, row_of
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.math.bellman import backup, ensemble_loss
from operant.math.offline import value_scale
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent


def td3_bc(cfg: TD3BCConfig, parts: Offline, optimizer: torch.optim.Optimizer, update: Update) -> Iterator[Metrics]:
    """Learn from batches of the data; yield metrics after `cfg.updates` gradient steps, for ever.

    Args:
        cfg: the settings.
        parts: the data in a replay, what counts gradient steps, the agent (trained in place).
        optimizer: holds the parameters of policy and critics.
        update: learns from a batch.
    """
    counter, draw = parts.counter, drawing(cfg, parts)
    begun(parts.agent, counter.steps)
    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            _, metrics = update(draw())
            counter.steps += 1
            seen.append(metrics)
        yield row_of(seen, optimizer)


def td3_bc_update(
    cfg: TD3BCConfig, agent: Agent, policy_target: Target[Policy], q_target: Target[ActionValues],
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

    action = agent.policy.output(b.obs).tanh()
    q = agent.q(b.obs, action)[0]
    clone_loss = token_mean((action - b.action).square().mean(-1), b.acted)
    policy_loss = cfg.clone * clone_loss - value_scale(q, b.acted, alpha=cfg.alpha) * token_mean(q, b.acted)
    descend(optimizer, policy_loss, agent.policy, cfg.max_grad_norm)
    policy_target.follow(cfg.tau)
    q_target.follow(cfg.tau)
    return error, metrics | {"loss/policy": policy_loss.detach(), "loss/clone": clone_loss.detach()}


def build(cfg: TD3BCRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything TD3+BC needs, made from a config and one seed."""
    parts = offline(cfg, env, ("box",), std="none", critics=cfg.algo.critics)
    agent, optimizer = parts.agent, adam(cfg.algo, parts.agent)
    targets = Target(agent.policy), Target(agent.q)
    agent.beside |= dict(zip(("policy_target", "q_target"), targets, strict=True))
    its = (cfg.algo, agent, *targets, optimizer, parts.generator)
    update = by_hand(cfg.algo.fused, lambda: fused_deterministic(*its)) or partial(td3_bc_update, *its)
    return parts.job(td3_bc(cfg.algo, parts, optimizer, update), optimizer)
