"""Actor–critic on its own past, weighed by importance ratios, on one page.

A segment is collected by the policy as it is, μ; one gradient step is taken on it, and `reuse` on segments drawn from
the past ones that `replay` keeps, each by

    loss = −mean A log π(a|s) + c₁ mean ½ (V(s) − target)² − c₂ mean H(π(·|s))

where A holds the ratios of π to the μ of that segment (`operant.math.off_policy`), truncated or not. A segment is taken
for a trajectory: products of ratios begin where it does, or where an episode does. With no replay and no ratio it is
A2C with the weighting gae (Precup, Sutton and Singh 2000; Degris, White and Sutton 2012, arXiv:1205.4839).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf

import numpy as np
import torch

from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.past_segments import Past, Segments
from operant.control.settings.off_policy import OffPolicyActorCriticConfig, OffPolicyActorCriticRun
from operant.control.setup import on_policy
from operant.control.updates import (
    actor_critic_loss,
    optimizer_of,
    row_of,
    scaled_reward,
    set_rates,
    settled,
    take_step,
)
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.math.off_policy import Weighting, off_policy_weighting
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent


def off_policy_actor_critic(
    cfg: OffPolicyActorCriticConfig, collect: Collector, agent: Agent, optimizer: torch.optim.Optimizer,
    past: Segments, generator: np.random.Generator, *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Collect a segment, step on it and on past ones; yield metrics after `cfg.updates` of these, for ever.

    Args:
        cfg: the settings.
        collect: gives segments of `cfg.horizon` steps.
        agent: policy and critic (trained in place) and their normalisers.
        optimizer: holds the parameters of both.
        past: the segments that are kept.
        generator: which of them are learnt from.
        total_steps: where the schedule ends.
    """
    bound = inf if cfg.truncation is None else cfg.truncation
    weigh = off_policy_weighting(cfg.ratio, discount=cfg.discount, lam=cfg.lam, bound=bound)

    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            set_rates(optimizer, cfg, collect.steps / total_steps)
            elapsed = collect.elapsed
            traj = collect(cfg.horizon)
            new = Past(replace(traj, reward=scaled_reward(traj, agent, cfg.discount)), elapsed)
            for segment in (new, *past.draw(cfg.reuse, generator)):
                loss, metrics = loss_of(cfg, agent, segment, weigh)
                seen.append(metrics | {"grad/norm": take_step(optimizer, loss, cfg.max_grad_norm)})
            past.add(new)
            settled(collect, agent, traj)
        yield row_of(seen, optimizer) | agent.stats() | collect.stats()


def loss_of(
    cfg: OffPolicyActorCriticConfig, agent: Agent, segment: Past, weigh: Weighting
) -> tuple[torch.Tensor, Metrics]:
    """The loss of a segment, whoever collected it, and its metrics."""
    traj, acted = segment.traj, segment.traj.acted
    ends = (traj.terminated, traj.truncated, acted)
    logp, entropy, value = agent.evaluate_segment(traj)  # [N, T], [N, T], [N, T+1]
    adv, target = weigh(logp, traj.logp, traj.reward, value.detach(), *ends)
    loss, metrics = actor_critic_loss(cfg, traj, logp, entropy, value, adv, target, segment.elapsed)
    apart = token_mean(traj.logp - logp.detach(), acted)  # an estimate of KL(μ || π)
    return loss, metrics | {"policy/kl": apart}


def build(cfg: OffPolicyActorCriticRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything the off-policy actor–critic needs, made from a config and one seed."""
    parts = on_policy(cfg, env)
    agent, collect = parts.agent, parts.collect
    optimizer, past = optimizer_of(cfg.algo, agent), Segments(cfg.algo.replay, cfg.device)
    agent.beside["replay"] = past
    return parts.job(
        off_policy_actor_critic(
            cfg.algo, collect, agent, optimizer, past, parts.generator, total_steps=cfg.total_steps
        ),
        optimizer,
    )
