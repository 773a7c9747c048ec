"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347), on one page.

For small networks on a CPU a fused update takes the place of `_update`: `fused.py`, equal to it to 1e-5. What is beyond
the paper is the checklist of "The 37 implementation details of PPO" (Huang et al. 2022): `docs/ppo.md` has each detail
beside its option or its test. One differs on purpose: a time limit is not a termination. The value of the state behind
a truncated step is bootstrapped; `fidelity = "baselines"` turns that off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import ceil
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.fused import FusedPPO, fused_update
from operant.control.nan_locator import Inspector
from operant.control.normalizer import RewardScale
from operant.control.settings.ppo import PPOConfig, PPORun
from operant.control.setup import on_policy
from operant.control.updates import by_hand
from operant.data.trajectory import Batch, Metrics, Obs, Trajectory, minibatches
from operant.env import EnvLike
from operant.math.advantage import gae
from operant.math.baseline import whiten
from operant.math.divergence import adapted, k3
from operant.math.objective import clipped_surrogate, clipped_value_loss, penalised_surrogate, value_loss
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent


def ppo(
    cfg: PPOConfig, collect: Collector, agent: Agent,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Collect a segment, weigh it, step through it, yield metrics; for ever.

    Args:
        cfg: the settings.
        collect: gives segments of `cfg.horizon` steps.
        agent: policy and critic (trained in place) and their normalisers.
        optimizer: holds the parameters of both.
        generator: the order of the minibatches.
        total_steps: where the schedules end.

    A NonFiniteError thrown in at the `yield` comes back as one that names the first tensor that was not finite.

    Raises:
        ConfigError: if `cfg.fused` is "on" and the hand-written update does not apply; says why.
    """
    values, epoch = _ways(cfg, agent, optimizer)
    cut, size = agent.cut(cfg.batch, cfg.horizon)
    inspector = Inspector(agent, optimizer, generator)

    while True:
        left = max(0.0, 1.0 - collect.steps / total_steps)
        lr = cfg.lr * (left if cfg.lr_schedule == "linear" else 1.0)
        clip, clip_high = clips(cfg, left)
        for group in optimizer.param_groups:
            group["lr"] = lr

        traj = collect(cfg.horizon)
        reward, terminated, truncated = step_rewards(cfg, traj, agent.reward_scale)
        with torch.no_grad():
            value = values(traj.obs)  # [N, T+1]
        adv = gae(reward, value, terminated, truncated, traj.acted, discount=cfg.discount, lam=cfg.lam)
        steps = cut(traj, adv=agent.combined(adv), target=adv + value[:, :-1], value=value[:, :-1])
        inspector.remember(traj, {"scaled_reward": reward, "value": value, "advantage": adv}, lr)

        update = partial(_update, cfg, agent, optimizer, **_bend(cfg, optimizer, clip, clip_high))
        seen: list[Metrics] = []
        for _ in range(cfg.epochs):
            seen += epoch(update, steps, size, generator)
            if _too_far(cfg, seen, ceil(len(steps) / size)):
                break

        metrics = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]}
        metrics["schedule/lr"] = torch.tensor(lr)
        metrics |= _told(cfg, agent, optimizer, steps, clip=clip, epochs=len(seen) / ceil(len(steps) / size))
        agent.observe(steps.obs, steps.acted)
        with inspector.locating(steps, size, seen, update):
            yield metrics | agent.stats() | collect.stats()


def clips(cfg: PPOConfig, left: float) -> tuple[float, float]:
    """How far the ratio may fall below 1 and rise above it, with a share `left` of the steps still to come."""
    anneal = left if cfg.clip_schedule == "linear" else 1.0
    return cfg.clip * anneal, (cfg.clip_high or cfg.clip) * anneal


def step_rewards(cfg: PPOConfig, traj: Trajectory, scale: RewardScale | None) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards [N, T], scaled where they are normalised; where episodes are terminated and truncated, [N, T] bool."""
    terminated, truncated = traj.terminated, traj.truncated
    if cfg.fidelity == "baselines":
        terminated, truncated = terminated | truncated, torch.zeros_like(truncated)
    if scale is None:
        return traj.reward, terminated, truncated
    return scale(traj.reward, terminated | truncated, traj.acted, cfg.discount), terminated, truncated


def _bend(cfg: PPOConfig, optimizer: torch.optim.Optimizer, clip: float, clip_high: float) -> dict[str, float]:
    """What bounds the ratio, or weighs the divergence: a weight that adapts stands with the optimiser's settings."""
    if cfg.objective == "clip":
        return {"clip": clip, "clip_high": clip_high}
    return {"kl_coef": optimizer.param_groups[0].get("kl_coef", cfg.kl_coef) if cfg.objective != "none" else 0.0}


def _adapted(cfg: PPOConfig, agent: Agent, optimizer: torch.optim.Optimizer, steps: Batch) -> dict[str, float]:
    """The weight of the divergence, where it has one: the next β, by how far the update came, where it adapts."""
    beta = _bend(cfg, optimizer, cfg.clip, cfg.clip).get("kl_coef")
    if beta is None or cfg.objective != "kl-adaptive":
        return {} if beta is None else {"kl_coef": beta}
    with torch.no_grad():
        logp, _ = agent.policy.evaluate(steps.obs, steps.action)
    beta = adapted(beta, float(token_mean(k3(steps.logp, logp), steps.acted)), target=cfg.kl_target)
    optimizer.param_groups[0]["kl_coef"] = beta
    return {"kl_coef": beta}


def _told(cfg: PPOConfig, agent: Agent, optimizer: torch.optim.Optimizer, steps: Batch, **schedule: float) -> Metrics:
    """Of a segment: how much of the targets' variance the critic had explained, and what the schedules stand at."""
    epochs = schedule.pop("epochs")
    schedule |= _adapted(cfg, agent, optimizer, steps)
    target, error = steps.target[steps.acted], (steps.target - steps.value)[steps.acted]
    explained = {"value/explained_variance": 1 - error.var() / target.var(), "update/epochs": torch.tensor(epochs)}
    return explained | {f"schedule/{name}": torch.tensor(value) for name, value in schedule.items()}


def _update(cfg: PPOConfig, agent: Agent, optimizer: torch.optim.Optimizer, b: Batch, **bend: float) -> Metrics:
    """One gradient step on one minibatch; `bend` is what bounds the ratio, or weighs the divergence."""
    optimizer.zero_grad()
    loss, metrics = _loss(cfg, agent, b, **bend)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], cfg.max_grad_norm)
    optimizer.step()
    return metrics | {"grad/norm": norm}


def _loss(cfg: PPOConfig, agent: Agent, b: Batch, **bend: float) -> tuple[Tensor, Metrics]:
    """The loss of a minibatch, and its metrics."""
    reduce, surrogate = token_mean, clipped_surrogate if cfg.objective == "clip" else penalised_surrogate
    logp, entropy, value = agent.evaluate(b.obs, b.action)
    adv = whiten(b.adv, b.acted) if cfg.whiten else b.adv
    policy_loss, metrics = surrogate(logp, b.logp, adv, b.acted, **bend, reduce=reduce)
    if cfg.value_clip is None:
        critic_loss, _ = value_loss(value, b.target, b.acted, reduce=reduce)
    else:
        critic_loss, _ = clipped_value_loss(value, b.value, b.target, b.acted, clip=cfg.value_clip, reduce=reduce)
    entropy = reduce(entropy, b.acted)
    loss = policy_loss + cfg.value_coef * critic_loss - cfg.entropy_coef * entropy
    more = {"policy/entropy": entropy.detach()} | {f"policy/{name}": metrics[name] for name in ("kl", "clip_fraction")}
    return loss, {"loss/policy": policy_loss.detach(), "loss/value": critic_loss.detach()} | more


Epoch = Callable[["partial[Metrics]", Batch, int, np.random.Generator], list[Metrics]]
Values = Callable[[Obs], Tensor]


def _ways(cfg: PPOConfig, agent: Agent, optimizer: torch.optim.Optimizer) -> tuple[Values, Epoch]:
    """What values states [N, T+1], and what passes once over a segment: by torch, minibatch by minibatch, or by hand,
    which does the same."""

    def made() -> FusedPPO | str:
        if cfg.objective != "clip":
            return f"it clips the ratio, and algo.objective is {cfg.objective}"
        return fused_update(agent, optimizer, cfg)

    if (fused := by_hand(cfg.fused, made)) is not None:
        return fused.values, lambda update, steps, size, generator: fused(
            steps, generator, lr=optimizer.param_groups[0]["lr"], **update.keywords
        )
    return agent.critic, lambda update, steps, size, generator: [update(b) for b in minibatches(steps, size, generator)]


def _too_far(cfg: PPOConfig, seen: list[Metrics], last: int) -> bool:
    """Whether the last pass, of so many minibatches, found the policy further than `target_kl` from the sampler."""
    return cfg.target_kl is not None and fmean(float(m["policy/kl"]) for m in seen[-last:]) > cfg.target_kl


def adam(cfg: PPOConfig, agent: Agent) -> torch.optim.Optimizer:
    """The optimiser of policy and critic."""
    optimizer = torch.optim.Adam(agent.parameters(), lr=cfg.lr, eps=cfg.adam_eps)
    if cfg.objective == "kl-adaptive":
        optimizer.param_groups[0]["kl_coef"] = cfg.kl_coef  # where a checkpoint keeps it
    return optimizer


def build(cfg: PPORun, env: EnvLike, say: Say = silent) -> Job:
    """Everything PPO needs, made from a config and one seed."""
    parts = on_policy(cfg, env, combines=True)
    agent, collect = parts.agent, parts.collect
    optimizer = adam(cfg.algo, agent)
    return parts.job(ppo(cfg.algo, collect, agent, optimizer, parts.generator, total_steps=cfg.total_steps), optimizer)
