"""Implicit Q-learning (IQL; Kostrikov, Nair and Levine 2021, arXiv:2110.06169), on one page.

    V: one step down |τ − 1{u < 0}| u²,  u = min_k Q'_k(s, a) − V(s)     the τ-expectile over the data's actions
    π: one step up min(exp(β (min_k Q'_k(s, a) − V(s))), 100) log π(a|s)    a clone that counts good actions more
    y = r + γ V(s')
    Q_k: one step down ½ (Q_k(s, a) − y)²
    Q' follows Q

No action but the data's is ever asked about. At τ = ½ V is the value of the policy that acted, and all of it SARSA; as
τ goes to 1 V goes to the best of the actions that were taken. Numbers have a policy that draws nothing: log π is then
−½ ‖μ(s) − a‖² but for a constant, that of a normal distribution around it; of choices it is what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.bonus import Trained
from operant.control.offline.parts import Offline, offline, state_value
from operant.control.policies import ActionValues
from operant.control.replay_actor_critic import Drawn, Update, adam, begun, descend, drawing
from operant.control.settings.offline import IQLConfig, IQLRun
from operant.control.target import Target
from operant.control.updates import row_of
from operant.data.trajectory import Metrics, Obs
from operant.env import EnvLike
from operant.math.bellman import backup, ensemble_loss
from operant.math.offline import advantage_weight, expectile_loss
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent


def iql(cfg: IQLConfig, parts: Offline, optimizer: torch.optim.Optimizer, update: Update) -> Iterator[Metrics]:
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


def iql_update(
    cfg: IQLConfig, agent: Agent, q_target: Target[ActionValues], value: Trained, optimizer: torch.optim.Optimizer,
    b: Drawn,
) -> tuple[Tensor, Metrics]:  # fmt: skip
    """One step of V, one of the policy, one of the critics, and the target; |δ| of each decision and metrics."""
    with torch.no_grad():
        judged = q_target.module.taken(b.obs, b.action).amin(0)
    v_loss = token_mean(expectile_loss(judged - value.module(b.obs), expectile=cfg.expectile), b.acted)
    descend(value.optimizer, v_loss, value.module, cfg.max_grad_norm)

    with torch.no_grad():
        adv, next_value = judged - value.module(b.obs), value.module(b.next_obs)
        y = backup(b.reward, b.after(next_value), b.terminated, b.discount)
    weight = advantage_weight(adv, inverse_temperature=cfg.inverse_temperature)
    policy_loss = -token_mean(weight * log_likelihood(agent, b.obs, b.action), b.acted)
    descend(optimizer, policy_loss, agent.policy, cfg.max_grad_norm)

    q = agent.q.taken(b.obs, b.action)  # [N, B]
    q_loss, error = ensemble_loss(q, y, b.weight, b.acted)
    norm = descend(optimizer, q_loss, agent.q, cfg.max_grad_norm)
    q_target.follow(cfg.tau)
    metrics = {"loss/value": q_loss.detach(), "value/q": q.detach().mean(), "grad/norm": norm}
    metrics |= {"loss/policy": policy_loss.detach(), "loss/expectile": v_loss.detach()}
    return error, metrics | {"policy/weight": token_mean(weight, b.acted)}


def log_likelihood(agent: Agent, obs: Obs, action: Tensor) -> Tensor:
    """log π(a|s) [B] of choices; of numbers −½ ‖μ(s) − a‖², both in [-1, 1]."""
    if action.is_floating_point():
        return -0.5 * (agent.policy.output(obs).tanh() - action).square().sum(-1)
    return agent.policy.evaluate(obs, action)[0]


def build(cfg: IQLRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything IQL needs, made from a config and one seed."""
    parts = offline(cfg, env, ("box", "discrete"), std="none", critics=cfg.algo.critics)
    agent, optimizer = parts.agent, adam(cfg.algo, parts.agent)
    target, value = Target(agent.q), state_value(cfg, agent)
    agent.beside |= {"q_target": target, "value": value}
    update = partial(iql_update, cfg.algo, agent, target, value, optimizer)
    return parts.job(iql(cfg.algo, parts, optimizer, update), optimizer)
