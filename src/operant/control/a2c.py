"""Advantage actor–critic, all copies in step (A2C; Mnih et al. 2016, arXiv:1602.01783), on one page.

    loss = −mean Â log π(a|s) + c₁ mean ½ (V(s) − target)² − c₂ mean H(π(·|s))

One gradient step for a segment of a few steps of every copy; no ratio, no clip, no second look at the data.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.settings.gradients import A2CConfig, A2CRun
from operant.control.setup import on_policy
from operant.control.updates import actor_critic_loss, optimizer_of, row_of, scaled_reward, set_rates, settled, stepped
from operant.data.trajectory import Metrics, Trajectory
from operant.env import EnvLike
from operant.math.weighting import critic_target, weighting
from operant.run.job import Job, Say, silent


def a2c(
    cfg: A2CConfig, collect: Collector, agent: Agent, optimizer: torch.optim.Optimizer, *, total_steps: int
) -> Iterator[Metrics]:
    """Collect a segment, weigh it, step; yield metrics after `cfg.updates` of these, for ever.

    Args:
        cfg: the settings.
        collect: gives segments of `cfg.horizon` steps.
        agent: policy and critic (trained in place) and their normalisers.
        optimizer: holds the parameters of both.
        total_steps: where the schedule ends.
    """
    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            set_rates(optimizer, cfg, collect.steps / total_steps)
            traj, metrics = gradient(cfg, collect, agent)
            seen.append(metrics | {"grad/norm": stepped(optimizer, cfg.max_grad_norm)})
            settled(collect, agent, traj)
        yield row_of(seen, optimizer) | agent.stats() | collect.stats()


def gradient(cfg: A2CConfig, collect: Collector, agent: Agent) -> tuple[Trajectory, Metrics]:
    """Collect one segment and put the gradient of its loss into the parameters."""
    elapsed = collect.elapsed
    traj = collect(cfg.horizon)
    loss, metrics = loss_of(cfg, agent, traj, scaled_reward(traj, agent, cfg.discount), elapsed)
    agent.zero_grad()
    loss.backward()
    return traj, metrics


def loss_of(
    cfg: A2CConfig, agent: Agent, traj: Trajectory, reward: Tensor, elapsed: Tensor | None
) -> tuple[Tensor, Metrics]:
    """The loss of a segment, and its metrics.

    Args:
        cfg: the settings.
        agent: policy and critic.
        traj: the segment, N rows of T steps.
        reward: [N, T], scaled where rewards are.
        elapsed: [N] int64, decisions of the open episodes that lie before it.
    """
    ends = (traj.terminated, traj.truncated, traj.acted)
    logp, entropy = agent.policy.evaluate(traj.seen, traj.action)  # [N, T]
    value = agent.critic(traj.obs)  # [N, T+1]
    past = value.detach()
    adv = weighting(cfg.weighting, discount=cfg.discount, n=cfg.n, lam=cfg.lam)(reward, past, *ends)
    target = critic_target(cfg.critic_target, discount=cfg.discount, lam=cfg.lam)(reward, past, *ends)
    return actor_critic_loss(cfg, traj, logp, entropy, value, adv, target, elapsed)


def build(cfg: A2CRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything A2C needs, made from a config and one seed."""
    parts = on_policy(cfg, env)
    agent, collect = parts.agent, parts.collect
    optimizer = optimizer_of(cfg.algo, agent)
    return parts.job(a2c(cfg.algo, collect, agent, optimizer, total_steps=cfg.total_steps), optimizer)
