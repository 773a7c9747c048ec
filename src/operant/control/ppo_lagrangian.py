"""PPO under a bound on costs (Ray, Achiam and Amodei 2019), on one page.

    max_π min_λ≥0  E[Σ reward] − λ (E[Σ cost] − d)

The policy climbs by PPO's clipped surrogate with the advantage A − λ A_cost; λ rises while episodes cost more than d
and falls to 0 while they cost less. `diff ppo.py ppo_lagrangian.py`: a second critic, and a multiplier.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.constraint import NAME, Constraint
from operant.control.settings.trust_region import LagrangianConfig, LagrangianRun
from operant.control.setup import on_policy
from operant.data.streams import Streams
from operant.data.trajectory import Batch, Metrics, minibatches
from operant.env import EnvLike
from operant.math.advantage import gae, lagrangian
from operant.math.baseline import whiten
from operant.math.objective import clipped_surrogate, value_loss
from operant.math.reduce import token_mean
from operant.run.job import Job, Position, Say, silent


def ppo_lagrangian(
    cfg: LagrangianConfig, collect: Collector, agent: Agent, constraint: Constraint,
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Collect a segment, weigh rewards against costs, step through it, move the multiplier; for ever.

    Args:
        cfg: the settings.
        collect: gives segments of `cfg.horizon` steps, with costs.
        agent: policy and critic (trained in place) and their normalisers.
        constraint: the critic of costs and the multiplier.
        optimizer: holds the parameters of policy and critic.
        generator: the order of the minibatches.
        total_steps: where the schedule ends.

    Raises:
        EnvError: if the environment gives no costs.
    """
    cut, size = agent.cut(cfg.batch, cfg.horizon)
    while True:
        left = max(0.0, 1.0 - collect.steps / total_steps)
        lr = cfg.lr * (left if cfg.lr_schedule == "linear" else 1.0)
        for group in optimizer.param_groups:
            group["lr"] = lr

        traj = collect(cfg.horizon)
        reward, ends = traj.reward, (traj.terminated, traj.truncated, traj.acted)
        if agent.reward_scale is not None:
            reward = agent.reward_scale(reward, traj.terminated | traj.truncated, traj.acted, cfg.discount)
        with torch.no_grad():
            value = agent.critic(traj.obs)  # [N, T+1]
        adv = gae(reward, value, *ends, discount=cfg.discount, lam=cfg.lam)
        told = constraint.adapt(traj)
        both = lagrangian(adv, constraint.advantage(traj), constraint.multiplier)
        steps = cut(traj, adv=both, target=adv + value[:, :-1], value=value[:, :-1])

        seen: list[Metrics] = []
        for _ in range(cfg.epochs):
            seen += [update(cfg, agent, optimizer, b) for b in minibatches(steps, size, generator)]
        agent.observe(steps.obs, steps.acted)
        metrics = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]}
        yield metrics | told | {"schedule/lr": torch.tensor(lr)} | agent.stats() | collect.stats()


def update(cfg: LagrangianConfig, agent: Agent, optimizer: torch.optim.Optimizer, b: Batch) -> Metrics:
    """One gradient step of policy and critic on one minibatch."""
    logp, entropy, value = agent.evaluate(b.obs, b.action)
    adv = whiten(b.adv, b.acted) if cfg.whiten else b.adv
    policy_loss, metrics = clipped_surrogate(logp, b.logp, adv, b.acted, clip=cfg.clip)
    critic_loss, _ = value_loss(value, b.target, b.acted)
    entropy = token_mean(entropy, b.acted)
    loss = policy_loss + cfg.value_coef * critic_loss - cfg.entropy_coef * entropy
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], cfg.max_grad_norm)
    optimizer.step()
    losses = {"loss/policy": policy_loss.detach(), "loss/value": critic_loss.detach(), "grad/norm": norm}
    more = {f"policy/{name}": metrics[name] for name in ("kl", "clip_fraction")}
    return losses | more | {"policy/entropy": entropy.detach()}


def build(cfg: LagrangianRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything that it needs, made from a config and one seed."""
    parts = on_policy(cfg, env)
    agent, collect, streams = parts.agent, parts.collect, Streams(cfg.seed)
    order = streams.numpy("cost-critic")
    alone = replace(agent.spec, memory="", memory_size=0, shared=False)  # the critic of costs remembers nothing
    second = Agent(alone, streams.torch("init-cost")).to(cfg.device)
    constraint = Constraint(cfg.algo, second, order)
    agent.beside[NAME] = constraint
    optimizer = torch.optim.Adam(agent.parameters(), lr=cfg.algo.lr, eps=cfg.algo.adam_eps)

    def begin(at: Position) -> None:
        parts.begin(at)
        Streams(cfg.seed, at.seam).rekey(order, "cost-critic")
        constraint.forget()

    return parts.job(
        ppo_lagrangian(cfg.algo, collect, agent, constraint, optimizer, parts.generator, total_steps=cfg.total_steps),
        optimizer,
        begin,
    )
