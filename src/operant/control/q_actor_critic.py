"""Q actor–critic: Algorithm 1 "Q Actor Critic" of CS 6960, after Weng, "Policy gradient algorithms".

    sample a' ~ π(·|s')
    θ ← θ + α_θ Q(s, a) ∇ log π(a|s)
    δ ← r + γ Q(s', a') − Q(s, a);   w ← w + α_w δ ∇Q(s, a)

a' is the action that is taken next, so a decision waits until the next one is there; where nothing follows δ is r − Q,
and where an episode is cut V(s') stands in. V(s) learns the mean of Q(s, a) over the policy's actions; `weighting`
advantage subtracts it. Q reads the observation and the action side by side: any space of actions will do.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from operant.control.agent import Agent
from operant.control.bonus import Trained
from operant.control.collector import Collector
from operant.control.mlp import MLP
from operant.control.networks.layout import Layout
from operant.control.networks.trunk import plain
from operant.control.settings.gradients import QActorCriticConfig, QActorCriticRun
from operant.control.setup import on_policy
from operant.control.updates import optimizer_of, optimizer_over, row_of, scaled_reward, set_rates, settled, take_step
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Obs, Trajectory, joined
from operant.env import EnvLike
from operant.math.advantage import gae
from operant.math.objective import policy_gradient, value_loss
from operant.math.reduce import token_mean
from operant.math.weighting import discount_weight, q_weighting
from operant.run.job import Job, Position, Say, silent


class ActionValue(Trained):
    """Q(s, a) by a perceptron of all that is observed, without memory; kept in checkpoints beside the agent."""

    def __init__(self, cfg: QActorCriticConfig, agent: Agent, generator: torch.Generator) -> None:
        spec = agent.spec
        between = agent.interface
        self._flat = Layout(None if between is None else between.observations, spec.obs_dim, sees=False)
        self._flat.refuse_text("the critic of actions of this method")
        sizes = (self._flat.vector_size + sum(spec.action_sizes), *spec.hidden, 1)
        net = MLP(sizes, spec.activation, out_gain=0.01, generator=generator).to(next(agent.parameters()).device)
        super().__init__(net, np.random.default_rng(0), lr=cfg.lr, batch=1)
        self.optimizer = optimizer_over(cfg, [*net.parameters()], 0)
        self._agent = agent

    def __call__(self, obs: Obs, action: Tensor) -> Tensor:
        """[..., D], [..., A] → [...]."""
        spec, normalizer = self._agent.spec, self._agent.normalizer
        seen = self._flat.vector(plain(obs))
        if normalizer is not None and not self._agent.layout.pictures:
            seen = normalizer(seen)
        parts = [action.float()]
        if spec.action_kind in ("discrete", "multidiscrete"):
            columns = action.reshape(*seen.shape[:-1], -1).unbind(-1)
            parts = [one_hot(c, k).float() for c, k in zip(columns, spec.action_sizes, strict=True)]
        return self.module(torch.cat([seen, *parts], -1)).squeeze(-1)


class Waiting:
    """The last step, whose next action is not there yet; nothing after a seam."""

    traj: Trajectory | None = None
    elapsed: Tensor | None = None


def q_actor_critic(
    cfg: QActorCriticConfig, collect: Collector, agent: Agent, q: ActionValue, optimizer: torch.optim.Optimizer,
    waiting: Waiting, *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Take one step in every copy, learn from the one before; yield metrics after `cfg.updates`, for ever.

    Args:
        cfg: the settings.
        collect: gives segments of one step.
        agent: policy π and critic V (trained in place) and their normalisers.
        q: Q, with its own optimiser.
        optimizer: holds the parameters of both.
        waiting: the step that waits for its next action.
        total_steps: where the schedule ends.
    """
    psi = q_weighting(cfg.weighting)
    while True:
        seen: list[Metrics] = []
        while len(seen) < cfg.updates:
            set_rates(optimizer, cfg, collect.steps / total_steps)
            set_rates(q.optimizer, cfg, collect.steps / total_steps)
            elapsed, traj = collect.elapsed, collect(1)
            before, waiting.traj, then, waiting.elapsed = waiting.traj, traj, waiting.elapsed, elapsed
            if before is None or then is None:
                settled(collect, agent, traj)
                continue
            both = joined([before, traj])
            ends = (both.terminated, both.truncated, both.acted)
            with torch.no_grad():
                value = agent.critic(both.obs)  # V where no decision is made: behind an end
                chosen = torch.where(both.acted, q(both.seen, both.action), value[:, :-1])
                ahead = torch.cat([chosen, value[:, -1:]], -1)
                delta = gae(scaled_reward(both, agent, cfg.discount), ahead, *ends, discount=cfg.discount, lam=0.0)
            width = before.reward.shape[1]
            weight = psi(chosen, value[:, :-1], both.acted)
            if cfg.discount_weight:
                weight = weight * discount_weight(*ends, then, discount=cfg.discount)
            target = (chosen + delta)[:, :width]
            seen.append(_update(cfg, agent, q, optimizer, before, weight[:, :width], chosen[:, :width], target))
            settled(collect, agent, traj)
        yield row_of(seen, optimizer) | agent.stats() | collect.stats()


def _update(
    cfg: QActorCriticConfig, agent: Agent, q: ActionValue, optimizer: torch.optim.Optimizer, traj: Trajectory,
    weight: Tensor, chosen: Tensor, target: Tensor,
) -> Metrics:  # fmt: skip
    """The policy's step and V's, then Q's."""
    logp, entropy = agent.policy.evaluate(traj.seen, traj.action)
    policy_loss, _ = policy_gradient(logp, weight, traj.acted)
    critic_loss, _ = value_loss(agent.critic(traj.seen), chosen, traj.acted)
    entropy = token_mean(entropy, traj.acted)
    norm = take_step(optimizer, policy_loss + critic_loss - cfg.entropy_coef * entropy, cfg.max_grad_norm)
    q_loss, _ = value_loss(q(traj.seen, traj.action), target, traj.acted)
    take_step(q.optimizer, q_loss, cfg.max_grad_norm)
    losses = {"loss/policy": policy_loss.detach(), "loss/value": critic_loss.detach(), "loss/q": q_loss.detach()}
    return losses | {"policy/entropy": entropy.detach(), "grad/norm": norm}


def build(cfg: QActorCriticRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything Q actor–critic needs, made from a config and one seed."""
    parts, waiting = on_policy(cfg, env), Waiting()
    agent, collect = parts.agent, parts.collect
    optimizer = optimizer_of(cfg.algo, agent)
    q = agent.beside["q"] = ActionValue(cfg.algo, agent, Streams(cfg.seed).torch("q"))

    def begin(at: Position) -> None:
        waiting.traj = None
        parts.begin(at)

    return parts.job(
        q_actor_critic(cfg.algo, collect, agent, q, optimizer, waiting, total_steps=cfg.total_steps), optimizer, begin
    )
