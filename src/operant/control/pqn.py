"""Parallelised Q-network (PQN; Gallici et al. 2024, arXiv:2407.04811), on one page.

    act ε-greedily by Q in many copies at once for a few steps;
    y_t = r_t + γ (λ y_{t+1} + (1 − λ) max_a Q(s_{t+1}, a))        r_t alone where the task ended
    θ ← θ − α ∇ mean ½ (y − Q(s, a))²                            in minibatches, a few times over

There is no replay: many copies decorrelate what is learnt from. There is no target network: layer norms bound what the
values of actions that were not taken can become. What remains is PPO's loop with another loss.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from operant.control.acting import Exploring
from operant.control.action_values import Behaviour, behaviour_of, greedy_of, rate_at, spec_of
from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.networks.value import noised, noisy_layers
from operant.control.settings.values import PQNConfig, PQNRun
from operant.control.setup import on_policy
from operant.control.updates import row_of, scaled_reward, take_step
from operant.data.trajectory import Batch, Metrics, minibatches
from operant.env import EnvLike
from operant.math.objective import value_loss
from operant.math.reduce import token_mean
from operant.math.weighting import critic_target
from operant.run.job import Job, Say, silent


def pqn(
    cfg: PQNConfig, collect: Collector, agent: Agent, behaviour: Behaviour, optimizer: torch.optim.Optimizer,
    generator: np.random.Generator, *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Collect a segment, step through it, yield metrics; for ever.

    Args:
        cfg: the settings.
        collect: gives segments of `cfg.horizon` steps.
        agent: the network of action values (trained in place) and its normalisers.
        behaviour: what explores.
        optimizer: holds its parameters.
        generator: the order of the minibatches, and the noise of noisy layers.
        total_steps: where schedules end.
    """
    lambda_return = critic_target("lambda", discount=cfg.discount, lam=cfg.lam)
    cut, size = agent.cut(cfg.batch, cfg.horizon)
    noisy = noisy_layers(agent.policy)

    while True:
        done = min(1.0, collect.steps / total_steps)
        behaviour.rate = rate_at(cfg, done)
        lr = cfg.lr * (1.0 - done if cfg.lr_schedule == "linear" else 1.0)
        for group in optimizer.param_groups:
            group["lr"] = lr

        traj = collect(cfg.horizon)
        with torch.no_grad():
            value = agent.critic(traj.obs)  # [N, T+1], max_a Q
        reward = scaled_reward(traj, agent, cfg.discount)
        target = lambda_return(reward, value, traj.terminated, traj.truncated, traj.acted)
        steps = cut(traj, adv=target, target=target, value=value[:, :-1])

        seen: list[Metrics] = []
        for _ in range(cfg.epochs):
            for b in minibatches(steps, size, generator):
                with noised(noisy, generator):
                    loss, metrics = loss_of(agent, b)
                seen.append(metrics | {"grad/norm": take_step(optimizer, loss, cfg.max_grad_norm)})

        agent.observe(steps.obs, steps.acted)
        told = {f"policy/{behaviour.name}": torch.tensor(behaviour.rate)}
        yield row_of(seen, optimizer) | told | collect.stats()


def loss_of(agent: Agent, b: Batch) -> tuple[torch.Tensor, Metrics]:
    """The loss of a minibatch, and its metrics."""
    its = greedy_of(agent.policy)
    q = its.expected(agent.policy.output(b.obs)).gather(-1, b.action.unsqueeze(-1)).squeeze(-1)
    loss, metrics = value_loss(q, b.target, b.acted)
    mean = token_mean(q.detach(), b.acted)
    return loss, {"loss/value": loss.detach(), "value/error": metrics["error"], "value/q": mean}


def build(cfg: PQNRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything PQN needs, made from a config and one seed."""
    behaviour = behaviour_of(cfg.algo)
    parts = on_policy(cfg, env, act=lambda agent: Exploring(agent, behaviour), spec=spec_of(cfg.policy))
    agent, collect = parts.agent, parts.collect
    optimizer = torch.optim.Adam(agent.parameters(), lr=cfg.algo.lr, eps=cfg.algo.adam_eps)
    return parts.job(
        pqn(cfg.algo, collect, agent, behaviour, optimizer, parts.generator, total_steps=cfg.total_steps), optimizer
    )
