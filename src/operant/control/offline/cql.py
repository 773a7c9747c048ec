"""Conservative Q-learning (CQL; Kumar et al. 2020, arXiv:2006.04779), on one page: SAC whose critics do not promise.

    a' ~ π(·|s')
    y = r + γ min_k Q'_k(s', a')                              without the entropy's worth, unless it is asked for
    Q_k: one step down ½ (Q_k(s, a) − y)² + α_c (log ∫ exp Q_k(s, ·) − Q_k(s, a))
    π: one step up min_k Q_k(s, a) − α log π(a|s)
    α: one step towards the entropy that is asked for
    Q' follows Q

`diff sac.py offline/cql.py` is the method: nothing is collected, and the critics' loss has one term more, CQL(H)'s. It
lowers the values of actions that are likely by these values and raises those of the data, so that, with α_c large
enough, E_π[Q] is below what π is worth. The integral is estimated from actions drawn evenly, and by the policy at s and
at s', each weighed by its density. Of choices it is a sum: `discrete_cql.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import log

import numpy as np
import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.distributions import Normal, Parameters, standard_normal
from operant.control.offline.parts import Offline, offline
from operant.control.policies import ActionValues
from operant.control.replay_actor_critic import Drawn, Temperature, Update, adam, begun, descend, drawing, drawn
from operant.control.settings.offline import CQLConfig, CQLRun
from operant.control.target import Target
from operant.control.updates import row_of
from operant.data.trajectory import Metrics, Obs
from operant.env import EnvLike
from operant.math.bellman import backup, ensemble_loss
from operant.math.offline import conservative_penalty
from operant.math.reduce import token_mean
from operant.math.soft import soft_value
from operant.run.job import Job, Say, silent


def cql(cfg: CQLConfig, parts: Offline, optimizer: torch.optim.Optimizer, update: Update) -> Iterator[Metrics]:
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


def cql_update(
    cfg: CQLConfig, agent: Agent, q_target: Target[ActionValues], temperature: Temperature,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, b: Drawn,
) -> tuple[Tensor, Metrics]:  # fmt: skip
    """One step of the critics, one of the policy, one of α, and the target; |δ| of each decision and metrics."""
    alpha = temperature.value
    with torch.no_grad():
        next_action, next_logp = drawn(agent, b.next_obs, generator)
        next_q, price = q_target.module(b.next_obs, next_action).amin(0), alpha if cfg.entropy_backup else 0.0
        y = backup(b.reward, b.after(soft_value(next_q, next_logp, price)), b.terminated, b.discount)
    q = agent.q(b.obs, b.action)  # [N, B]
    q_loss, error = ensemble_loss(q, y, b.weight, b.acted)
    penalty = token_mean(_penalty(cfg, agent, q, generator, b), b.acted)
    norm = descend(optimizer, q_loss + cfg.conservative * penalty, agent.q, cfg.max_grad_norm)
    metrics = {"loss/value": q_loss.detach(), "value/q": q.detach().mean(), "grad/norm": norm}
    metrics |= {"loss/conservative": penalty.detach()}

    action, logp = drawn(agent, b.obs, generator)
    policy_loss = -token_mean(soft_value(agent.q(b.obs, action).amin(0), logp, alpha), b.acted)
    descend(optimizer, policy_loss, agent.policy, cfg.max_grad_norm)
    entropy = -token_mean(logp.detach(), b.acted)
    temperature.follow(entropy, -float(action.shape[-1]) if cfg.target_entropy is None else cfg.target_entropy)
    q_target.follow(cfg.tau)
    policy = {"loss/policy": policy_loss.detach(), "policy/entropy": entropy, "schedule/temperature": alpha}
    return error, metrics | policy


def _penalty(cfg: CQLConfig, agent: Agent, q_data: Tensor, generator: np.random.Generator, b: Drawn) -> Tensor:
    """Σ_k of CQL(H)'s penalty of each critic, [B]."""
    with torch.no_grad():
        evenly = torch.from_numpy(generator.random((cfg.samples, *b.action.shape), np.float32)).to(b.action.device)
        here, here_logp = _policys(cfg, agent, b.obs, generator)
        there, there_logp = _policys(cfg, agent, b.next_obs, generator, b)
        even_logp = torch.full_like(here_logp, -log(2.0) * b.action.shape[-1])
        action, log_density = (
            torch.cat([2.0 * evenly - 1.0, here, there]),
            torch.cat([even_logp, here_logp, there_logp]),
        )
    features = agent.q.features(b.obs)
    q = agent.q.of(features.expand(len(action), *features.shape), action)  # [N, M, B]
    spread = log_density.movedim(0, -1).expand(*q_data.shape, len(action))
    return conservative_penalty(q.movedim(1, -1), q_data, spread).sum(0)


def _policys(
    cfg: CQLConfig, agent: Agent, obs: Obs, generator: np.random.Generator, b: Drawn | None = None
) -> tuple[Tensor, Tensor]:
    """`cfg.samples` actions of the policy at each observation [M, B, A], and their log-densities [M, B]."""
    its, output = agent.policy.distribution, agent.policy.output(obs)
    assert isinstance(its, Normal)
    output = output if b is None else b.after(output)
    p = Parameters(output.expand(cfg.samples, *output.shape))
    u = its.drawn(p, standard_normal(generator, (*p.output.shape[:-1], its.columns), output.device))
    return u.tanh(), its.logp(p, u)


def build(cfg: CQLRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything CQL needs, made from a config and one seed."""
    parts = offline(cfg, env, ("box",), std="network", critics=cfg.algo.critics)
    agent, optimizer = parts.agent, adam(cfg.algo, parts.agent)
    target, temperature = Target(agent.q), Temperature(cfg.algo, agent)
    agent.beside["q_target"] = target
    update = partial(cql_update, cfg.algo, agent, target, temperature, optimizer, parts.generator)
    return parts.job(cql(cfg.algo, parts, optimizer, update), optimizer)
