"""Advantage actor–critic, all copies in step (A2C; Mnih et al. 2016, arXiv:1602.01783), on one page.

    loss = −mean Â log π(a|s) + c₁ mean ½ (V(s) − target)² − c₂ mean H(π(·|s))

One gradient step for a segment of a few steps of every copy; no ratio, no clip, no second look at the data. For small
networks on a CPU an update by hand takes the place of `gradient_step`: `fused.py`, equal to it to 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.fused import fused_step
from operant.control.settings.gradients import A2CConfig, A2CRun, SegmentConfig
from operant.control.setup import on_policy
from operant.control.updates import (
    actor_critic_loss,
    by_hand,
    optimizer_of,
    row_of,
    scaled_reward,
    set_rates,
    settled,
    stepped,
)
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
    step = by_hand(cfg.fused, partial(fused_step, agent, optimizer, cfg, advantages))
    step = step or partial(gradient_step, cfg, agent, optimizer)
    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            set_rates(optimizer, cfg, collect.steps / total_steps)
            elapsed = collect.elapsed
            traj = collect(cfg.horizon)
            seen.append(step(traj, scaled_reward(traj, agent, cfg.discount), elapsed))
            settled(collect, agent, traj)
        yield row_of(seen, optimizer) | agent.stats() | collect.stats()


def gradient_step(
    cfg: SegmentConfig, agent: Agent, optimizer: torch.optim.Optimizer, traj: Trajectory, reward: Tensor,
    elapsed: Tensor | None,
) -> Metrics:  # fmt: skip
    """One gradient step on a segment; arguments and metrics as `loss_of`."""
    metrics = gradient(cfg, agent, traj, reward, elapsed)
    return metrics | {"grad/norm": stepped(optimizer, cfg.max_grad_norm)}


def gradient(cfg: SegmentConfig, agent: Agent, traj: Trajectory, reward: Tensor, elapsed: Tensor | None) -> Metrics:
    """Put the gradient of a segment's loss into the parameters; arguments and metrics as `loss_of`."""
    loss, metrics = loss_of(cfg, agent, traj, reward, elapsed)
    agent.zero_grad()
    loss.backward()
    return metrics


def loss_of(
    cfg: SegmentConfig, agent: Agent, traj: Trajectory, reward: Tensor, elapsed: Tensor | None
) -> tuple[Tensor, Metrics]:
    """The loss of a segment, and its metrics.

    Args:
        cfg: the settings.
        agent: policy and critic.
        traj: the segment, N rows of T steps.
        reward: [N, T], scaled where rewards are.
        elapsed: [N] int64, decisions of the open episodes that lie before it.
    """
    logp, entropy, value = agent.evaluate_segment(traj)  # [N, T], [N, T], [N, T+1]
    adv, target = advantages(cfg, traj, reward, value.detach())
    return actor_critic_loss(cfg, traj, logp, entropy, value, adv, target, elapsed)


def advantages(cfg: SegmentConfig, traj: Trajectory, reward: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """What weighs each decision, and what the critic is taught, [N, T] each, of rewards [N, T], values [N, T+1]."""
    ends = (traj.terminated, traj.truncated, traj.acted)
    adv = weighting(cfg.weighting, discount=cfg.discount, n=cfg.n, lam=cfg.lam)(reward, value, *ends)
    if (cfg.weighting, cfg.critic_target) == ("gae", "lambda"):  # the TD(λ) return is this advantage and the value
        return adv, torch.where(traj.acted, adv + value[:, :-1], 0.0)
    return adv, critic_target(cfg.critic_target, discount=cfg.discount, lam=cfg.lam)(reward, value, *ends)


def build(cfg: A2CRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything A2C needs, made from a config and one seed."""
    parts = on_policy(cfg, env)
    agent, collect = parts.agent, parts.collect
    optimizer = optimizer_of(cfg.algo, agent)
    return parts.job(a2c(cfg.algo, collect, agent, optimizer, total_steps=cfg.total_steps), optimizer)
