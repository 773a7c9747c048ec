"""Probabilistic ensembles with trajectory sampling (Chua et al. 2018, arXiv:1805.12114), on one page.

    model: B networks of N(s' − s, r | s, a), each learnt on a bootstrap of its own by maximum likelihood
    act:   argmax over plans a_1 … a_H of the mean over P particles of Σ_h r_h, by the cross-entropy method; take a_1

There is no policy and no value: where the model goes, the plan goes. What is learnt from is all that was seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from math import exp, factorial

import numpy as np
import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.bonus import hashed
from operant.control.planner import Planner, PlannerSpec, Planning
from operant.control.settings.model_based import PETSConfig, PETSRun
from operant.control.setup_off_policy import OffPolicy, off_policy
from operant.control.spec import AgentSpec
from operant.control.updates import row_of, take_step
from operant.data.memory import allow
from operant.data.replay import Transitions
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Trajectory
from operant.env import EnvLike
from operant.run.device import device_of
from operant.run.job import Job, Say, silent

POISSON = np.cumsum([exp(-1.0) / factorial(k) for k in range(12)])
"""P(count ≤ k) of a count of mean 1."""


def pets(
    cfg: PETSConfig, parts: OffPolicy, agent: Planner, planning: Planning, optimizer: torch.optim.Optimizer
) -> Iterator[Metrics]:
    """Act by the model, store, and fit the model to what is stored; yield metrics after `cfg.updates` fits, for ever.

    Args:
        cfg: the settings.
        parts: what collects segments of `cfg.train_freq` steps, and the replay.
        agent: whose model is trained in place.
        planning: what draws the actions.
        optimizer: holds the parameters of the model.
    """
    collect, buffer = parts.collect, parts.buffer
    while True:
        seen: list[Metrics] = []
        for _ in range(cfg.updates):
            planning.evenly = collect.steps < cfg.learning_starts
            traj = collect(cfg.train_freq)
            fresh = decisions(traj)
            if not planning.evenly:
                seen.append({"model/error": agent.model.error(*fresh)})  # of what it has not seen yet
            buffer.extend(traj)
            agent.model.observe(*fresh)
            for _ in range(cfg.gradient_steps if parts.ready else 0):
                seen.append(fit(agent, optimizer, parts.draw()))
        yield row_of(seen, optimizer) | collect.stats()


def decisions(traj: Trajectory) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of a segment (obs [M, D], action [M, A], next_obs [M, D], reward [M]), where it was ours to act."""
    obs, acted = traj.obs, traj.acted
    assert isinstance(obs, Tensor)
    return obs[:, :-1][acted], traj.action[acted], obs[:, 1:][acted], traj.reward[acted]


def fit(agent: Planner, optimizer: torch.optim.Optimizer, b: Transitions) -> Metrics:
    """One step up the likelihood of B decisions, for each network weighted by its own bootstrap."""
    model = agent.model
    weight = bootstrap(b.index.cpu().numpy(), model.models).to(b.reward.device)
    loss = model.loss(b.obs, b.action, b.next_obs, b.reward, b.terminated, weight)
    norm = take_step(optimizer, loss, None)
    return {"loss/model": loss.detach() / model.models, "grad/norm": norm}


def bootstrap(index: np.ndarray, models: int) -> Tensor:
    """[B, M], how often each of M decisions stands in the data of each of B networks, the same whenever it is asked.

    Counts are Poisson with mean 1, what drawing as many as there are with repetition comes to (Oza and Russell 2001).
    """
    places = np.stack(np.broadcast_arrays(np.arange(models)[:, None], index), -1)
    u = (hashed(places, 1.0) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return torch.from_numpy(np.searchsorted(POISSON, u, side="right")).float()


def made_for(cfg: PETSRun, made: AgentSpec, streams: Streams) -> Agent:
    """The agent that fits an environment.

    Raises:
        ConfigError: if its actions are no numbers, it is to see, read or remember, or its plans do not fit in memory.
    """
    its = cfg.algo
    if made.action_kind != "box":
        raise ConfigError(
            f"{cfg.algorithm} plans numbers (Box), and the actions of {cfg.env.id} are not: use dqn or ppo"
        )
    if made.deep:
        raise ConfigError(f"{cfg.algorithm} plans on vectors: leave out policy.network, policy.memory and policy.text")
    try:
        plans = 8 * cfg.env.num * its.population * its.horizon * sum(made.action_sizes)
        allow(plans, f"{its.population:,} plans of {its.horizon:,} steps take")
    except ValueError as error:
        raise ConfigError(f"{error}; set algo.population or algo.horizon lower") from error
    fields = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    fields |= {"std": "none", "squash": True, "hidden": (1,)}  # of a policy and a critic that nobody asks
    shape = PlannerSpec(
        **fields, wide=cfg.policy.hidden, models=its.models, method=its.planner, horizon=its.horizon,
        population=its.population, elites=its.elites, iterations=its.iterations, particles=its.particles,
        mix=its.propagation == "ts-1", temperature=its.temperature,
    )  # fmt: skip
    return Planner(shape, streams.torch("init")).to(device_of(cfg.device))


def build(cfg: PETSRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything PETS needs, made from a config and one seed."""
    acts: list[Planning] = []

    def act(agent: Agent) -> Planning:
        acts.append(Planning(agent))
        return acts[0]

    parts = off_policy(cfg, env, act=act, apart=True, make=lambda made, streams: made_for(cfg, made, streams))
    agent = parts.agent
    assert isinstance(agent, Planner)
    optimizer = torch.optim.AdamW(agent.model.parameters(), cfg.algo.lr, weight_decay=cfg.algo.weight_decay)
    return parts.job(pets(cfg.algo, parts, agent, acts[0], optimizer), optimizer)
