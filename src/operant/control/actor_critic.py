"""One-step actor–critic, as in figure 13.3 of Sutton and Barto (2018).

    δ ← R + γ v(S') − v(S)                 v(S') = 0 where S' is terminal
    w ← w + α_w I δ ∇v(S)
    θ ← θ + α_θ I δ ∇ log π(A|S)
    I ← γ I                                1 at the first decision of an episode

Several copies of the environment average their steps.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.settings.gradients import ActorCriticConfig, ActorCriticRun
from operant.control.setup import on_policy
from operant.control.updates import optimizer_of, row_of, scaled_reward, set_rates, settled, take_step
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.math.objective import policy_gradient
from operant.math.reduce import token_mean
from operant.math.weighting import discount_weight, weighting
from operant.run.job import Job, Say, silent


def actor_critic(
    cfg: ActorCriticConfig, collect: Collector, agent: Agent, optimizer: torch.optim.Optimizer, *, total_steps: int
) -> Iterator[Metrics]:
    """Take one step in every copy, learn from it; yield metrics after `cfg.updates` of these, for ever.

    Args:
        cfg: the settings.
        collect: gives segments of one step.
        agent: policy π and critic v (trained in place) and their normalisers.
        optimizer: holds the parameters of both.
        total_steps: where the schedule ends.
    """
    td_error = weighting("td", discount=cfg.discount)
    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            set_rates(optimizer, cfg, collect.steps / total_steps)
            elapsed = collect.elapsed
            traj = collect(1)
            ends = (traj.terminated, traj.truncated, traj.acted)
            logp, entropy, value = agent.evaluate_segment(traj)  # [N, T], [N, T], [N, T+1]
            delta = td_error(scaled_reward(traj, agent, cfg.discount), value.detach(), *ends)
            if cfg.discount_weight:
                delta = delta * discount_weight(*ends, elapsed, discount=cfg.discount)
            actor, _ = policy_gradient(logp, delta, traj.acted)
            critic, _ = policy_gradient(value[:, :-1], delta, traj.acted)  # its gradient is −I δ ∇v(S)
            entropy = token_mean(entropy, traj.acted)
            norm = take_step(optimizer, actor + critic - cfg.entropy_coef * entropy, cfg.max_grad_norm)
            settled(collect, agent, traj)
            error = token_mean(delta.square(), traj.acted)
            seen.append({"loss/policy": actor.detach(), "loss/td": error, "policy/entropy": entropy.detach()})
            seen[-1]["grad/norm"] = norm
        yield row_of(seen, optimizer) | agent.stats() | collect.stats()


def build(cfg: ActorCriticRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything the one-step actor–critic needs, made from a config and one seed."""
    parts = on_policy(cfg, env)
    agent, collect = parts.agent, parts.collect
    optimizer = optimizer_of(cfg.algo, agent)
    return parts.job(actor_critic(cfg.algo, collect, agent, optimizer, total_steps=cfg.total_steps), optimizer)
