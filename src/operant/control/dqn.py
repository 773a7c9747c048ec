"""Deep Q-learning (DQN; Mnih et al. 2015), and what came of it, on one page.

    act ε-greedily by Q, at first at random; store (s, a, r, s'); and now and then, from a batch of what was stored,
    y = r + γ max_a Q⁻(s', a)                          r alone where the task ended
    θ ← θ − α ∇ mean L(y − Q(s, a));   θ⁻ ← θ

The variants are functions that are chosen before the loop, or belong to the network or to the replay:

    double        Q chooses the action behind, Q⁻ judges it (van Hasselt et al. 2016)
    munchausen    the soft maximum, and a bonus for likely actions (Vieillard et al. 2020)
    c51, qr       a distribution of returns, projected or by quantiles (Bellemare et al. 2017, Dabney et al. 2018)
    dueling, noisy          the network (Wang et al. 2016, Fortunato et al. 2018)
    n-step, prioritised     the replay (Schaul et al. 2016)
    rainbow                 all of these but munchausen and qr (Hessel et al. 2018)
    without replay, without target          what they are there for: see docs/dqn.md
    memory                  in the network; learns from sequences: `dqn_recurrent.py`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from math import isfinite

import numpy as np
import torch
from torch import Tensor

from operant.control.acting import Exploring
from operant.control.action_values import Behaviour, Greedy, behaviour_of, greedy_of, rate_at, spec_of
from operant.control.distributions import Parameters
from operant.control.dqn_fused import fused_values
from operant.control.networks.value import noised, noisy_layers
from operant.control.policies import Policy
from operant.control.replay_actor_critic import rescaled, store
from operant.control.settings.values import DQNConfig, DQNRun, refuse
from operant.control.setup_off_policy import OffPolicy, off_policy
from operant.control.target import Target
from operant.control.updates import by_hand, take_step
from operant.data.replay import Transitions
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.math import bellman
from operant.math.logprob import row_at
from operant.math.objective import huber, squared
from operant.run.job import Job, Say, silent

Learner = Callable[[], Metrics]
"""Takes one gradient step."""

Step = Callable[[Transitions], tuple[Tensor, Metrics]]
"""Takes one on a batch; returns how wrong the estimate of each transition was, [B], and metrics."""

Look = Callable[[Tensor], Parameters]
"""What a network says of what is seen."""


def dqn(
    cfg: DQNConfig, parts: OffPolicy, behaviour: Behaviour, learn: Learner, follow: Callable[[], None], *,
    total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Act, store, learn; yield metrics after `cfg.updates` turns of learning, for ever.

    Args:
        cfg: the settings.
        parts: what collects, and what is stored.
        behaviour: what explores.
        learn: takes a gradient step.
        follow: lets the target network become the one that learns.
        total_steps: where schedules end.
    """
    collect = parts.collect
    if collect.steps == 0:
        follow()  # weights may have been taken over from another run
    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            before = collect.steps
            behaviour.rate = rate_at(cfg, before / total_steps) if before >= cfg.learning_starts else behaviour.even
            store(cfg, parts, collect(cfg.train_freq))
            if parts.ready:
                seen += [learn() for _ in range(cfg.gradient_steps)]
            if cfg.target == "hard" and collect.steps // cfg.target_every > before // cfg.target_every:
                follow()
        row = {name: torch.stack([m[name] for m in seen]).mean() for name in seen[0]} if seen else {}
        told = {f"policy/{behaviour.name}": torch.tensor(behaviour.rate)} if isfinite(behaviour.rate) else {}
        yield row | told | collect.stats()


def learner(
    cfg: DQNConfig, parts: OffPolicy, target: Target[Policy] | None, optimizer: torch.optim.Optimizer
) -> Learner:
    """What takes a gradient step on transitions, as the settings have it."""
    judge = parts.agent.policy if target is None else target.module
    its = (cfg, parts.agent.policy, judge, optimizer)
    step = by_hand(cfg.fused, lambda: fused_values(*its)) or readable_step(*its, parts.generator)
    newest = partial(parts.buffer.latest, cfg.train_freq, parts.generator, n=cfg.n, discount=cfg.discount)
    draw = parts.draw if cfg.replay else newest

    def learn() -> Metrics:
        batch = rescaled(parts.agent, draw())
        error, metrics = step(batch)
        parts.buffer.prioritise(batch.index, error)
        if target is not None and cfg.target == "soft":
            target.follow(cfg.tau)
        return metrics

    return learn


def readable_step(
    cfg: DQNConfig, policy: Policy, judge: Policy, optimizer: torch.optim.Optimizer, generator: np.random.Generator
) -> Step:
    """A gradient step down mean w L of a batch, as the settings have it."""
    its, online, judged = greedy_of(policy), policy.parameters_of, judge.parameters_of
    target_of, loss_of = targets(cfg, its, online, judged), losses(cfg, its, online)
    noisy = noisy_layers(policy) if judge is policy else noisy_layers(policy, judge)

    def step(batch: Transitions) -> tuple[Tensor, Metrics]:
        with noised(noisy, generator):
            with torch.no_grad():
                y = target_of(batch)
            loss, error, q = loss_of(batch, y)
        mean = (batch.weight * loss).mean()
        norm = take_step(optimizer, mean, cfg.max_grad_norm)
        metrics = {"loss/value": mean.detach(), "value/error": error.mean(), "value/q": q.mean(), "grad/norm": norm}
        return error, metrics

    return step


def targets(cfg: DQNConfig, its: Greedy, online: Look, judge: Look) -> Callable[[Transitions], Tensor]:
    """y of a batch, [B], or [B, K] of a distribution, by what two networks say of what is seen."""

    def plain(b: Transitions) -> Tensor:
        return bellman.backup(b.reward, bellman.greedy(its.values(judge(b.next_obs))), b.terminated, b.discount)

    def double(b: Transitions) -> Tensor:
        chooses, judges = its.values(online(b.next_obs)), its.values(judge(b.next_obs))
        return bellman.double_q_target(b.reward, chooses, judges, b.terminated, b.discount)

    def soft(b: Transitions) -> Tensor:
        reward = bellman.munchausen(b.reward, its.values(judge(b.obs)), b.action, temperature=cfg.soft_temperature)
        following = its.values(judge(b.next_obs))
        return bellman.soft_backup(reward, following, b.terminated, b.discount, temperature=cfg.soft_temperature)

    def follows(b: Transitions) -> Tensor:
        """What the judge says of the action behind, [B, K]."""
        p = judge(b.next_obs)
        best = its.values(online(b.next_obs) if cfg.double else p).argmax(-1)
        return row_at(its.apart(p.output), best)

    def projected(b: Transitions) -> Tensor:
        atoms = follows(b)
        support = its.support(atoms)
        return bellman.distributional_projection(b.reward, atoms.softmax(-1), b.terminated, b.discount, support=support)

    def quantiles(b: Transitions) -> Tensor:
        following = follows(b)
        reward, terminated = (x.unsqueeze(-1).expand_as(following) for x in (b.reward, b.terminated))
        return bellman.backup(reward, following, terminated, b.discount.unsqueeze(-1))

    of_values = soft if cfg.munchausen else double if cfg.double else plain
    return {"q": of_values, "c51": projected, "qr": quantiles}[its.head]


def losses(cfg: DQNConfig, its: Greedy, online: Look) -> Callable[[Transitions, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """The loss of each transition [B], how wrong its estimate was [B], and Q(s, a) [B], by the head of the network."""
    of_error = {"huber": huber, "squared": squared}[cfg.loss]
    of_distribution = bellman.categorical_error if its.head == "c51" else bellman.quantile_huber

    def of_values(b: Transitions, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = row_at(its.apart(online(b.obs).output), b.action).squeeze(-1)
        return of_error(q - y), (y - q.detach()).abs(), q.detach()

    def of_distributions(b: Transitions, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output = online(b.obs).output
        loss = of_distribution(row_at(its.apart(output), b.action), y)
        q = its.expected(output.detach()).gather(-1, b.action.unsqueeze(-1)).squeeze(-1)
        return loss, loss.detach(), q

    return of_values if its.head == "q" else of_distributions


def build(cfg: DQNRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything DQN needs, made from a config and one seed."""
    refuse(cfg)
    algo, behaviour = cfg.algo, behaviour_of(cfg.algo)
    parts = off_policy(cfg, env, act=lambda agent: Exploring(agent, behaviour), **spec_of(cfg.policy))
    agent = parts.agent
    optimizer = torch.optim.Adam(agent.parameters(), lr=algo.lr, eps=algo.adam_eps)
    target = None if algo.target == "none" else Target(agent.policy)
    if target is not None:
        agent.beside["target"] = target
    make = import_module("operant.control.dqn_recurrent").recurrent_learner if agent.remembers else learner
    learn = make(algo, parts, target, optimizer)
    follow = (lambda: None) if target is None else (lambda: target.follow(1.0))
    return parts.job(dqn(algo, parts, behaviour, learn, follow, total_steps=cfg.total_steps), optimizer)
