"""Conservative Q-learning of choices (CQL; Kumar et al. 2020, arXiv:2006.04779), on one page: modest double DQN.

    y = r + γ Q'(s', argmax_a Q(s', a))               or, with `backup` softmax, r + γ Σ_a softmax(Q(s', ·))_a Q'(s', a)
    Q: one step down L(Q(s, a) − y) + α_c (log Σ_a exp Q(s, ·) − Q(s, a))
    Q' follows Q

The penalty is −log of the chance that softmax(Q) has of the data's action: with a large weight Q is a clone's logits,
with none this is double DQN on these data. Where both losses are at rest Q = y − α_c (π(a|s) / μ(a|s) − 1), π being
softmax(Q): the mean of Q over π is below that of y, and with `backup` softmax below what π is worth. The best action
alone may still be promised too much, and is the more so, the more Q is a clone's logits. What a mask rules out has no
share in the sums. Of numbers: `cql.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from operant.control.action_values import greedy_of, spec_of
from operant.control.agent import Agent
from operant.control.offline.parts import Offline, offline
from operant.control.policies import Policy
from operant.control.replay_actor_critic import Drawn, Update, begun, descend, drawing
from operant.control.settings.offline import DiscreteCQLConfig, DiscreteCQLRun
from operant.control.target import Target
from operant.control.updates import row_of
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.math.bellman import backup
from operant.math.objective import huber, squared, td_loss
from operant.math.offline import conservative_penalty
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent


def discrete_cql(
    cfg: DiscreteCQLConfig, parts: Offline, optimizer: torch.optim.Optimizer, update: Update
) -> Iterator[Metrics]:
    """Learn from batches of the data; yield metrics after `cfg.updates` gradient steps, for ever.

    Args:
        cfg: the settings.
        parts: the data in a replay, what counts gradient steps, the agent (trained in place).
        optimizer: holds the parameters of the network.
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


def discrete_cql_update(
    cfg: DiscreteCQLConfig, agent: Agent, target: Target[Policy], optimizer: torch.optim.Optimizer, b: Drawn
) -> tuple[Tensor, Metrics]:
    """One step of the network and the target; |δ| of each decision and metrics."""
    its = greedy_of(agent.policy)
    with torch.no_grad():
        chooses = its.values(agent.policy.parameters_of(b.next_obs))
        share = chooses.softmax(-1) if cfg.backup == "softmax" else one_hot(chooses.argmax(-1), its.n).to(chooses.dtype)
        next_value = (share * target.module.output(b.next_obs)).sum(-1)
        y = backup(b.reward, b.after(next_value), b.terminated, b.discount)
    values = its.values(agent.policy.parameters_of(b.obs))  # [B, A]
    q = values.gather(-1, b.action.unsqueeze(-1)).squeeze(-1)
    q_loss, _ = td_loss(q, y, b.acted, error={"huber": huber, "squared": squared}[cfg.loss])
    penalty = token_mean(conservative_penalty(values, q), b.acted)
    norm = descend(optimizer, q_loss + cfg.conservative * penalty, agent.policy, cfg.max_grad_norm)
    target.follow(cfg.tau)
    metrics = {"loss/value": q_loss.detach(), "value/q": token_mean(q.detach(), b.acted), "grad/norm": norm}
    return torch.where(b.acted, (q - y).detach().abs(), 0.0), metrics | {"loss/conservative": penalty.detach()}


def build(cfg: DiscreteCQLRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything discrete CQL needs, made from a config and one seed."""
    parts = offline(cfg, env, ("discrete",), **spec_of(cfg.policy))
    agent = parts.agent
    optimizer, target = torch.optim.Adam(agent.policy.parameters(), cfg.algo.lr), Target(agent.policy)
    agent.beside["target"] = target
    update = partial(discrete_cql_update, cfg.algo, agent, target, optimizer)
    return parts.job(discrete_cql(cfg.algo, parts, optimizer, update), optimizer)
