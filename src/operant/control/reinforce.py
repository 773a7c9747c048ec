"""REINFORCE (Williams 1992): the return of whole episodes weighs the log-probabilities of their decisions.

    θ ← θ + α Σ_t (Ψ_t − b) ∇ log π(a_t|s_t)

Ψ is the episode's total return or the reward to go; b is nothing, an exponential average of former returns, or a learnt
V(s_t). With `discount_weight` each decision is weighed by γ^t, which makes it the gradient of the discounted objective.

Every update begins with new episodes in every copy, and weighs exactly the first so many whole ones of each: what was
open when the last update was made had been sampled by an older policy, and a window that takes the episodes that happen
to end in it would prefer short ones.

Source: Williams (1992), Simple statistical gradient-following algorithms; Sutton and Barto (2018), section 13.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError, EnvError
from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.settings.gradients import ReinforceConfig, ReinforceRun
from operant.control.setup import on_policy
from operant.control.updates import optimizer_of, row_of, scaled_reward, set_rates, settled, take_step
from operant.data.trajectory import Metrics, Trajectory, joined
from operant.env import EnvLike
from operant.math.baseline import exponential_average, whiten
from operant.math.objective import policy_gradient, value_loss
from operant.math.reduce import token_mean
from operant.math.weighting import critic_target, discount_weight, episode_number, weighting, whole
from operant.run.job import Job, Say, silent

AVERAGE = "average_return"
"""Where the settings of the optimiser's first group keep the exponential average: they are saved with its state."""


def reinforce(
    cfg: ReinforceConfig, collect: Collector, agent: Agent,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Play whole episodes, weigh their decisions, take one step; for ever.

    Args:
        cfg: the settings.
        collect: gives segments; its copies are reset before every update.
        agent: policy and critic (trained in place; the critic only where the baseline is learnt).
        optimizer: holds the parameters of both; its first group has `AVERAGE` among its settings.
        generator: the seeds of the episodes.
        total_steps: where the schedule ends.

    Raises:
        EnvError: if a copy's episodes are not whole after `cfg.longest` steps.
    """
    psi = weighting(cfg.weighting, discount=cfg.discount)
    aim = critic_target(cfg.critic_target, discount=cfg.discount, lam=cfg.lam)
    group: dict[str, Any] = optimizer.param_groups[0]

    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            set_rates(optimizer, cfg, collect.steps / total_steps)
            traj = episodes(collect, generator, cfg)
            ends = (traj.terminated, traj.truncated, traj.acted)
            ours = whole(*ends) & (episode_number(*ends) < cfg.episodes)
            reward = scaled_reward(traj, agent, cfg.discount)
            with torch.no_grad():
                value = agent.critic(traj.obs) if cfg.baseline == "learnt" else torch.zeros_like(traj.logp[:, :1])
                value = value.expand(-1, traj.reward.shape[1] + 1)  # [N, T+1]
            weight = ret = psi(reward, value, *ends)
            if cfg.baseline == "learnt":
                weight = ret - value[:, :-1]
            elif cfg.baseline == "average":
                weight = ret - (group[AVERAGE] or 0.0)  # of former updates: it does not depend on these episodes
                group[AVERAGE] = exponential_average(group[AVERAGE], ret, ours, rate=cfg.average_rate)
            if cfg.discount_weight and cfg.weighting != "return":
                weight = weight * discount_weight(*ends, discount=cfg.discount)
            if cfg.whiten:
                weight = whiten(weight, ours)
            count = cfg.episodes * len(ours)
            seen.append(_update(cfg, agent, optimizer, traj, ours, weight, aim(reward, value, *ends), count))
            settled(collect, agent, traj)
        metrics = row_of(seen, optimizer)
        if group[AVERAGE] is not None:
            metrics["value/average"] = torch.tensor(group[AVERAGE])
        yield metrics | agent.stats() | collect.stats()


def episodes(collect: Collector, generator: np.random.Generator, cfg: ReinforceConfig) -> Trajectory:
    """Rows that begin with a new episode each and hold at least `cfg.episodes` whole ones."""
    collect.begin(collect.env, int(generator.integers(2**31 - 2**16)))
    parts: list[Trajectory] = []
    while True:
        parts.append(collect(cfg.horizon))
        traj = joined(parts)
        ends = (traj.terminated, traj.truncated, traj.acted)
        missing = episode_number(*ends).masked_fill(~whole(*ends), -1).amax(-1) + 1 < cfg.episodes
        if not bool(missing.any()):
            return traj
        if len(parts) * cfg.horizon >= cfg.longest:
            copy = int(missing.nonzero()[0])
            raise EnvError(
                f"copy {copy} had not ended {cfg.episodes} episode(s) after {len(parts) * cfg.horizon:,} steps, and "
                "REINFORCE learns from whole ones: give the environment a time limit "
                "(--env.kwargs.max_episode_steps), or raise algo.longest"
            )


def _update(
    cfg: ReinforceConfig, agent: Agent, optimizer: torch.optim.Optimizer, traj: Trajectory, ours: Tensor,
    weight: Tensor, target: Tensor, count: int,
) -> Metrics:  # fmt: skip
    """One step of the policy, which sums over each episode and averages over them, and those of the critic."""
    logp, entropy = agent.policy.evaluate(traj.seen, traj.action)
    policy_loss, _ = policy_gradient(logp, weight, ours, reduce=partial(token_mean, denominator=count))
    entropy = token_mean(entropy, ours)
    norm = take_step(optimizer, policy_loss - cfg.entropy_coef * entropy, cfg.max_grad_norm)
    metrics = {"loss/policy": policy_loss.detach(), "policy/entropy": entropy.detach(), "grad/norm": norm}
    if cfg.baseline != "learnt":
        return metrics
    losses: list[Tensor] = []
    for _ in range(cfg.critic_steps):
        loss, _ = value_loss(agent.critic(traj.seen), target, ours)
        take_step(optimizer, loss, cfg.max_grad_norm)
        losses.append(loss.detach())
    return metrics | {"loss/value": losses[0]}


def build(cfg: ReinforceRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything REINFORCE needs, made from a config and one seed."""
    if cfg.explore.param_noise is not None:
        raise ConfigError(
            "explore.param_noise draws its noise for each segment, and an episode of reinforce has several: leave it "
            "unset, or train a2c"
        )
    parts = on_policy(cfg, env)
    agent, collect = parts.agent, parts.collect
    optimizer = optimizer_of(cfg.algo, agent)
    optimizer.param_groups[0][AVERAGE] = None
    return parts.job(
        reinforce(cfg.algo, collect, agent, optimizer, parts.generator, total_steps=cfg.total_steps), optimizer
    )
