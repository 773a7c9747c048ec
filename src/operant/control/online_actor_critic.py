"""The online actor–critic of CS 224R, lecture "Actor Critic Methods".

    1. take action a ~ π(a|s), get (s, a, s', r)
    2. update V with target r + γ V(s')
    3. evaluate Â = r + γ V(s') − V(s)                       with the V just updated
    4. θ ← θ + α Â ∇ log π(a|s)

With `critic_first` off both steps are taken at the same V: A2C with a horizon of one.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.settings.gradients import OnlineActorCriticConfig, OnlineActorCriticRun
from operant.control.setup import on_policy
from operant.control.updates import optimizer_of, row_of, scaled_reward, set_rates, settled, take_step
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.math.objective import policy_gradient, value_loss
from operant.math.reduce import token_mean
from operant.math.weighting import critic_target, discount_weight, weighting
from operant.run.job import Job, Say, silent


def online_actor_critic(
    cfg: OnlineActorCriticConfig, collect: Collector, agent: Agent, optimizer: torch.optim.Optimizer,
    *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Take one step in every copy, learn from it; yield metrics after `cfg.updates` of these, for ever.

    Args:
        cfg: the settings.
        collect: gives segments of one step.
        agent: policy π and critic V (trained in place) and their normalisers.
        optimizer: holds the parameters of both.
        total_steps: where the schedule ends.
    """
    advantage, aim = weighting("td", discount=cfg.discount), critic_target("td", discount=cfg.discount)
    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            set_rates(optimizer, cfg, collect.steps / total_steps)
            elapsed = collect.elapsed
            traj = collect(1)
            ends = (traj.terminated, traj.truncated, traj.acted)
            reward = scaled_reward(traj, agent, cfg.discount)

            value = agent.critic(traj.obs)
            critic, _ = value_loss(value[:, :-1], aim(reward, value.detach(), *ends), traj.acted)
            if cfg.critic_first:
                take_step(optimizer, critic, cfg.max_grad_norm)
                value, critic = agent.critic(traj.obs), torch.zeros(())
            adv = advantage(reward, value.detach(), *ends)
            if cfg.discount_weight:
                adv = adv * discount_weight(*ends, elapsed, discount=cfg.discount)
            logp, entropy = agent.policy.evaluate(traj.seen, traj.action)
            actor, _ = policy_gradient(logp, adv, traj.acted)
            entropy = token_mean(entropy, traj.acted)
            norm = take_step(optimizer, actor + critic - cfg.entropy_coef * entropy, cfg.max_grad_norm)
            settled(collect, agent, traj)
            seen.append(_metrics(actor, adv, entropy, norm, traj.acted))
        yield row_of(seen, optimizer) | agent.stats() | collect.stats()


def _metrics(actor: Tensor, adv: Tensor, entropy: Tensor, norm: Tensor, acted: Tensor) -> Metrics:
    losses = {"loss/policy": actor.detach(), "loss/td": token_mean(adv.square(), acted)}
    return losses | {"policy/entropy": entropy.detach(), "grad/norm": norm}


def build(cfg: OnlineActorCriticRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything the online actor–critic needs, made from a config and one seed."""
    parts = on_policy(cfg, env)
    agent, collect = parts.agent, parts.collect
    optimizer = optimizer_of(cfg.algo, agent)
    return parts.job(online_actor_critic(cfg.algo, collect, agent, optimizer, total_steps=cfg.total_steps), optimizer)
