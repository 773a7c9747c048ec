"""Trust region policy optimisation (Schulman et al. 2015, arXiv:1502.05477), on one page.

    maximise E[π(a|s)/π_old(a|s) A(s, a)]  subject to  mean KL(π_old || π) ≤ δ

by the direction F⁻¹g of `natural_gradient.py`, which conjugate gradient finds, and a search along it that accepts the
first step at which the surrogate has grown and the divergence itself is within δ; where there is none, nothing moves.
What is sampled is a path, or, with `sampling = "vine"`, several actions in each of some states of it (`vine.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.natural_gradient import fit, weighed
from operant.control.policies import Policy
from operant.control.settings.trust_region import TRPOConfig, TRPORun
from operant.control.setup import on_policy
from operant.control.vine import Vine, one_copy
from operant.data.trajectory import Metrics, Obs
from operant.env import EnvLike
from operant.math.baseline import whiten
from operant.math.natural_gradient import line_search, natural_direction, step_length
from operant.math.objective import penalised_surrogate, self_normalised_surrogate
from operant.math.reduce import token_mean
from operant.run.job import Job, Say, silent

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Metrics]]
"""log π(a|s) now and before → the loss and its metrics."""


def trpo(
    cfg: TRPOConfig, collect: Collector, agent: Agent, optimizer: torch.optim.Optimizer,
    generator: np.random.Generator, vine: Vine | None = None,
) -> Iterator[Metrics]:  # fmt: skip
    """Collect a segment, weigh it, search along the natural direction, fit the critic, yield metrics; for ever.

    Args:
        cfg: the settings.
        collect: gives segments of `cfg.horizon` steps.
        agent: policy and critic (trained in place) and their normalisers.
        optimizer: holds the critic's parameters.
        generator: the order of the critic's minibatches.
        vine: tries actions in states of each segment, in place of the segment itself.
    """
    while True:
        if vine is None:
            traj = collect(cfg.horizon)
            adv, target = weighed(cfg, traj, agent)
            objective = single_path(adv, traj.acted, whitened=cfg.whiten)
            metrics = improve(cfg, agent.policy, traj.seen, traj.action, traj.acted, objective)
        else:
            traj, tried = vine(cfg.horizon)
            adv, target = weighed(cfg, traj, agent)
            objective = partial(self_normalised_surrogate, q=tried.q)
            metrics = improve(cfg, agent.policy, tried.obs, tried.action, torch.ones_like(tried.q).bool(), objective)
        metrics |= fit(cfg, agent, optimizer, traj, target, generator)
        agent.observe(traj.seen, traj.acted)
        yield metrics | agent.stats() | collect.stats()


def single_path(adv: Tensor, acted: Tensor, *, whitened: bool) -> Objective:
    """E[ρ A] over the decisions of a segment."""
    adv = whiten(adv, acted) if whitened else adv
    return lambda logp, old_logp: penalised_surrogate(logp, old_logp, adv, acted)


def improve(cfg: TRPOConfig, policy: Policy, seen: Obs, action: Tensor, acted: Tensor, objective: Objective) -> Metrics:
    """One update of the policy, on all that was sampled at once."""
    theta = [*policy.parameters()]
    with torch.no_grad():
        old = policy.parameters_of(seen).detach()
        old_logp, entropy = policy.evaluate(seen, action)

    def measure() -> tuple[Tensor, Tensor]:
        logp, _ = policy.evaluate(seen, action)
        return -objective(logp, old_logp)[0], token_mean(policy.kl(old, seen), acted)

    direction, product = natural_direction(*measure(), theta, damping=cfg.damping, iterations=cfg.iterations)
    full = step_length(direction, product, cfg.radius) * direction
    found = line_search(theta, full, measure, radius=cfg.radius, shrink=cfg.shrink, tries=cfg.tries)
    with torch.no_grad():
        reached = policy.kl(old, seen)
    return {
        "policy/entropy": token_mean(entropy, acted),
        "policy/kl": token_mean(reached, acted),
        "policy/kl_max": reached[acted].max(),
        "policy/gain": torch.tensor(found.gain if found.accepted else 0.0),
        "update/accepted": torch.tensor(float(found.accepted)),
        "update/step": found.share * full.norm(),
        "update/tries": torch.tensor(float(found.tries)),
    }


def build(cfg: TRPORun, env: EnvLike, say: Say = silent) -> Job:
    """Everything TRPO needs, made from a config and one seed."""
    parts = on_policy(cfg if cfg.algo.sampling == "single-path" else one_copy(cfg), env, apart=True)
    agent, collect = parts.agent, parts.collect
    optimizer = torch.optim.Adam(agent.critic.parameters(), lr=cfg.algo.critic_lr, eps=cfg.algo.adam_eps)
    vine = Vine(cfg.algo, parts) if cfg.algo.sampling == "vine" else None
    loop = trpo(cfg.algo, collect, agent, optimizer, parts.generator, vine)
    return parts.job(loop, optimizer, vine.begin if vine else None)
