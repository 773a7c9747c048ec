"""Natural policy gradient (Kakade 2001), on one page: a step F⁻¹g in place of g.

    θ ← θ + α F⁻¹ g,  g = E[A ∇log π(a|s)],  F = E[∇log π ∇log πᵀ], the Hessian of the mean KL(π_old || π)

With α = √(2δ / gᵀF⁻¹g) the quadratic model of the divergence is δ at every update: TRPO without its line search.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.settings.trust_region import NaturalConfig, NaturalGradientConfig, NaturalGradientRun
from operant.control.setup import on_policy
from operant.data.trajectory import Metrics, Trajectory, minibatches
from operant.env import EnvLike
from operant.math.advantage import gae
from operant.math.baseline import whiten
from operant.math.natural_gradient import natural_direction, step_length
from operant.math.objective import penalised_surrogate, value_loss
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent


def natural_gradient(
    cfg: NaturalGradientConfig, collect: Collector, agent: Agent,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator,
) -> Iterator[Metrics]:  # fmt: skip
    """Collect a segment, weigh it, take one natural step, fit the critic, yield metrics; for ever.

    Args:
        cfg: the settings.
        collect: gives segments of `cfg.horizon` steps.
        agent: policy and critic (trained in place) and their normalisers.
        optimizer: holds the critic's parameters.
        generator: the order of the critic's minibatches.
    """
    while True:
        traj = collect(cfg.horizon)
        adv, target = weighed(cfg, traj, agent)
        metrics = step(cfg, agent, traj, adv)
        metrics |= fit(cfg, agent, optimizer, traj, target, generator)
        agent.observe(traj.seen, traj.acted)
        yield metrics | agent.stats() | collect.stats()


def weighed(cfg: NaturalConfig, traj: Trajectory, agent: Agent) -> tuple[Tensor, Tensor]:
    """Advantages and the critic's targets, [N, T] each."""
    reward, ended = traj.reward, traj.terminated | traj.truncated
    if agent.reward_scale is not None:
        reward = agent.reward_scale(reward, ended, traj.acted, cfg.discount)
    with torch.no_grad():
        value = agent.critic(traj.obs)  # [N, T+1]
    adv = gae(reward, value, traj.terminated, traj.truncated, traj.acted, discount=cfg.discount, lam=cfg.lam)
    return adv, adv + value[:, :-1]


def step(cfg: NaturalGradientConfig, agent: Agent, traj: Trajectory, adv: Tensor) -> Metrics:
    """Move the policy along F⁻¹g, on the whole segment at once."""
    policy, seen, acted = agent.policy, traj.seen, traj.acted
    theta = [*policy.parameters()]
    old = policy.parameters_of(seen).detach()
    logp, entropy = policy.evaluate(seen, traj.action)
    loss, _ = penalised_surrogate(logp, logp.detach(), whiten(adv, acted) if cfg.whiten else adv, acted)
    divergence = token_mean(policy.kl(old, seen), acted)
    direction, product = natural_direction(-loss, divergence, theta, damping=cfg.damping, iterations=cfg.iterations)
    length = step_length(direction, product, cfg.radius) if cfg.lr is None else cfg.lr
    with torch.no_grad():
        for p, part in zip(theta, direction.split([p.numel() for p in theta]), strict=True):
            p += length * part.view_as(p)
        apart = policy.kl(old, seen)
    return {
        "loss/policy": loss.detach(),
        "policy/entropy": token_mean(entropy.detach(), acted),
        "policy/kl": token_mean(apart, acted),
        "policy/kl_max": apart[acted].max(),
        "update/step": (length * direction).norm(),
    }


def fit(
    cfg: NaturalConfig, agent: Agent, optimizer: torch.optim.Optimizer, traj: Trajectory, target: Tensor,
    generator: np.random.Generator,
) -> Metrics:  # fmt: skip
    """Teach the critic its targets [N, T], minibatch by minibatch."""
    nothing = torch.zeros_like(target)
    cut, size = agent.cut(cfg.batch, cfg.horizon)
    steps = cut(traj, adv=nothing, target=target, value=nothing)
    losses: list[Tensor] = []
    for _ in range(cfg.critic_epochs):
        for b in minibatches(steps, size, generator):
            loss, _ = value_loss(agent.critic(b.obs), b.target, b.acted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return {"loss/value": torch.stack(losses).mean()}


def build(cfg: NaturalGradientRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything natural gradient needs, made from a config and one seed."""
    parts = on_policy(cfg, env, apart=True)
    agent, collect = parts.agent, parts.collect
    optimizer = torch.optim.Adam(agent.critic.parameters(), lr=cfg.algo.critic_lr, eps=cfg.algo.adam_eps)
    return parts.job(natural_gradient(cfg.algo, collect, agent, optimizer, parts.generator), optimizer)
