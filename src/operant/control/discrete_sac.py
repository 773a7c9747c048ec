"""Soft actor–critic of discrete choices (Christodoulou 2019, arXiv:1910.07207), on one page.

    y = r + γ Σ_a π(a|s') (min_k Q'_k(s', a) − α log π(a|s'))    expectations over all actions, where SAC draws one
    Q_k: one step down ½ (Q_k(s, a) − y)²
    π: one step up Σ_a π(a|s) (min_k Q_k(s, a) − α log π(a|s))
    α: one step towards a share of the entropy of an even choice among what is allowed

What a mask rules out has probability 0 and no share in any of them. With α fixed and all else learnt the policy is the
soft optimum's, π(a|s) ∝ exp(Q*(s, a) / α) (`operant.mdp.soft_value_iteration`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import log

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
    replay_actor_critic,
    store,
)
from operant.control.settings.continuous import DiscreteSACConfig, DiscreteSACRun
from operant.control.setup_off_policy import OffPolicy
from operant.control.target import Target
from operant.control.updates import row_of
from operant.data.trajectory import Metrics, Obs
from operant.env import EnvLike
from operant.math.bellman import backup, ensemble_loss
from operant.math.logprob import allowed_or_all, categorical_entropy, ruled_out
from operant.math.reduce import token_mean
from operant.math.soft import expected_soft_value
from operant.run.job import Job, Say, silent


def discrete_sac(
    cfg: DiscreteSACConfig, parts: OffPolicy, explorer: Explorer, optimizer: torch.optim.Optimizer, update: Update
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


def discrete_sac_update(
    cfg: DiscreteSACConfig, agent: Agent, q_target: Target[ActionValues], temperature: Temperature,
    optimizer: torch.optim.Optimizer, b: Drawn,
) -> tuple[Tensor, Metrics]:  # fmt: skip
    """One step of the critics, one of the policy, one of α, and the target; |δ| of each decision and metrics."""
    alpha = temperature.value
    with torch.no_grad():
        next_logits, _ = logits_of(agent, b.next_obs)
        next_value = expected_soft_value(q_target.module(b.next_obs).amin(0), next_logits, alpha)
        y = backup(b.reward, b.after(next_value), b.terminated, b.discount)
    values = agent.q(b.obs)  # [N, B, A]
    q = values.gather(-1, b.action.unsqueeze(-1).expand(len(values), *b.action.shape, 1)).squeeze(-1)
    q_loss, error = ensemble_loss(q, y, b.weight, b.acted)
    norm = descend(optimizer, q_loss, agent.q, cfg.max_grad_norm)
    metrics = {"loss/value": q_loss.detach(), "value/q": q.detach().mean(), "grad/norm": norm}

    with torch.no_grad():
        lowest = agent.q(b.obs).amin(0)
    logits, most = logits_of(agent, b.obs)
    policy_loss = -token_mean(expected_soft_value(lowest, logits, alpha), b.acted)
    descend(optimizer, policy_loss, agent.policy, cfg.max_grad_norm)
    entropy = categorical_entropy(logits.detach())
    temperature.follow(token_mean(entropy - cfg.target_entropy * most, b.acted), 0.0)
    q_target.follow(cfg.tau)
    policy = {"loss/policy": policy_loss.detach(), "policy/entropy": token_mean(entropy, b.acted)}
    policy |= {"schedule/temperature": alpha}
    return error, metrics | policy


def logits_of(agent: Agent, obs: Obs) -> tuple[Tensor, Tensor]:
    """The policy's logits [..., A], very low where an action is ruled out, and the entropy [...] of an even choice.

    Where none is allowed, as may be behind an end, nothing is ruled out.
    """
    p = agent.policy.parameters_of(obs)
    if p.allowed is None:
        return p.output, torch.full_like(p.output[..., 0], log(p.output.shape[-1]))
    allowed = allowed_or_all(p.allowed)
    return ruled_out(p.output, allowed), allowed.sum(-1).to(p.output.dtype).log()


def build(cfg: DiscreteSACRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything discrete SAC needs, made from a config and one seed."""
    parts, explorer = replay_actor_critic(cfg, env, chooses=True, critics=cfg.algo.critics)
    agent, optimizer = parts.agent, adam(cfg.algo, parts.agent)
    target, temperature = Target(agent.q), Temperature(cfg.algo, agent)
    agent.beside["q_target"] = target
    update = partial(discrete_sac_update, cfg.algo, agent, target, temperature, optimizer)
    return parts.job(discrete_sac(cfg.algo, parts, explorer, optimizer, update), optimizer)
