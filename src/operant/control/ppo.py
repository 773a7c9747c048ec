"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347), on one page.

For small networks on a CPU a hand-written update takes the place of `_update`: `ppo_fused.py`, equal to it to 1e-5.

What it does beyond the paper is the checklist of "The 37 implementation details of PPO" (Huang et al. 2022); see
`docs/ppo.md` for each detail beside its option or its test. One thing differs from the checklist on purpose: a time
limit is not a termination. The value of the state behind a truncated step is bootstrapped; `fidelity = "baselines"`
turns that off.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError, NonFiniteError
from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.nan_locator import Inspector
from operant.control.policies import NormalPolicy
from operant.control.ppo_fused import fused_update
from operant.control.settings import PPOConfig, PPORun
from operant.control.setup import on_policy
from operant.control.train_state import Networks
from operant.data.trajectory import Batch, Metrics, flatten, minibatches
from operant.env import EnvLike
from operant.math.advantage import gae
from operant.math.baseline import whiten
from operant.math.objective import clipped_surrogate, clipped_value_loss, value_loss
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent


def ppo(
    cfg: PPOConfig,
    collect: Collector,
    agent: Agent,
    optimizer: torch.optim.Adam,
    generator: np.random.Generator,
    *,
    total_steps: int,
) -> Iterator[Metrics]:
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
    policy, critic = agent.policy, agent.critic
    fused = None if cfg.fused == "off" else fused_update(policy, critic, optimizer, cfg)
    if cfg.fused == "on" and isinstance(fused, str):
        raise ConfigError(f"algo.fused is on, but the hand-written update does not apply: {fused}")
    inspector = Inspector(agent, optimizer, generator)

    while True:
        left = max(0.0, 1.0 - collect.steps / total_steps)
        lr = cfg.lr * (left if cfg.lr_schedule == "linear" else 1.0)
        anneal = left if cfg.clip_schedule == "linear" else 1.0
        clip, clip_high = cfg.clip * anneal, (cfg.clip_high or cfg.clip) * anneal
        optimizer.param_groups[0]["lr"] = lr

        traj = collect(cfg.horizon)
        terminated, truncated = traj.terminated, traj.truncated
        if cfg.fidelity == "baselines":
            terminated, truncated = terminated | truncated, torch.zeros_like(truncated)
        reward = traj.reward
        if agent.reward_scale is not None:
            reward = agent.reward_scale(reward, terminated | truncated, traj.acted, cfg.discount)
        with torch.no_grad():
            value = critic(traj.obs)  # [N, T+1]
        adv = gae(reward, value, terminated, truncated, traj.acted, discount=cfg.discount, lam=cfg.lam)
        steps = flatten(traj, adv=adv, target=adv + value[:, :-1], value=value[:, :-1])

        inspector.remember(traj, {"scaled_reward": reward, "value": value, "advantage": adv}, lr)
        update = partial(_update, cfg, agent, optimizer, clip=clip, clip_high=clip_high)
        seen: list[Metrics] = []
        epochs = 0
        for epochs in range(1, cfg.epochs + 1):  # noqa: B007
            if callable(fused):
                epoch = fused(steps, generator, lr=lr, clip=clip, clip_high=clip_high)
            else:
                epoch = [update(b) for b in minibatches(steps, cfg.batch, generator)]
            seen += epoch
            if cfg.target_kl is not None and fmean(float(m["policy/kl"]) for m in epoch) > cfg.target_kl:
                break
        if agent.normalizer is not None and isinstance(steps.obs, Tensor):
            agent.normalizer.update(steps.obs)

        metrics = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]}
        metrics["value/explained_variance"] = 1 - (steps.target - steps.value).var() / steps.target.var()
        if isinstance(policy, NormalPolicy):
            metrics["policy/std"] = policy.log_std.detach().exp().mean()
        metrics |= {"schedule/lr": torch.tensor(lr), "schedule/clip": torch.tensor(clip)}
        try:
            yield metrics | {"update/epochs": torch.tensor(float(epochs))} | collect.stats()
        except NonFiniteError as fault:
            raise inspector.locate(fault, steps, cfg.batch, seen, update) from None


def _update(
    cfg: PPOConfig, agent: Agent, optimizer: torch.optim.Optimizer, b: Batch, *, clip: float, clip_high: float
) -> Metrics:
    """One gradient step on one minibatch."""
    logp, entropy = agent.policy.evaluate(b.obs, b.action)
    adv = whiten(b.adv, b.acted) if cfg.whiten else b.adv
    policy_loss, metrics = clipped_surrogate(logp, b.logp, adv, b.acted, clip=clip, clip_high=clip_high)
    value = agent.critic(b.obs)
    if cfg.value_clip is None:
        critic_loss, _ = value_loss(value, b.target, b.acted)
    else:
        critic_loss, _ = clipped_value_loss(value, b.value, b.target, b.acted, clip=cfg.value_clip)
    mean_entropy = token_mean(entropy, b.acted)
    loss = policy_loss + cfg.value_coef * critic_loss - cfg.entropy_coef * mean_entropy
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], cfg.max_grad_norm)
    optimizer.step()
    return {
        "loss/policy": policy_loss.detach(),
        "loss/value": critic_loss.detach(),
        "policy/entropy": mean_entropy.detach(),
        "policy/kl": metrics["kl"],
        "policy/clip_fraction": metrics["clip_fraction"],
        "grad/norm": norm,
    }


def build(cfg: PPORun, env: EnvLike, say: Say = silent) -> Job:
    """Everything PPO needs, made from a config and one seed."""
    parts = on_policy(cfg, env)
    agent, collect = parts.agent, parts.collect
    optimizer = torch.optim.Adam(agent.parameters(), lr=cfg.algo.lr, eps=cfg.algo.adam_eps)
    return Job(
        algorithm=ppo(cfg.algo, collect, agent, optimizer, parts.generator, total_steps=cfg.total_steps),
        learned=Networks(agent, optimizer),
        counter=collect,
        begin=parts.begin,
        evaluate=parts.evaluate,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )
