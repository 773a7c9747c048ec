"""Data set aggregation (DAgger; Ross, Gordon and Bagnell 2011, arXiv:1011.0686), on one page.

    in round i
        act by a mixture of expert and learner, β_i π* + (1 − β_i) π;    β_0 = 1, falls from round to round
        let the expert say at every state that was seen what it would have done, and add it to all that it said before
        θ: gradient steps up  mean log π_θ(π*(s)|s)     over all of it

A clone sees the states of its expert alone, and its first mistake leads to one that it has not seen; this one is taught
on the states to which it goes itself. The corrections may be of two other kinds: noise on an expert that drives, as
strong as the learner errs (DART; Laskey et al. 2017), or an expert that takes over where the learner is off for a while
and hands back, of which only what it did itself counts (HG-DAgger; Kelly et al. 2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from operant.config.errors import ConfigError, said
from operant.control.agent import Agent
from operant.control.distributions import Normal
from operant.control.imitation.bc import Ascent, Decisions, ascent, pieces
from operant.control.imitation.expert import Supervised, apart_of, expert_of
from operant.control.imitation.likelihood import LogLikelihood, distance, learnt, objective_of, spec_of
from operant.control.replay_actor_critic import steps_taken
from operant.control.replay_files import ReplayFiles
from operant.control.settings.imitation import DAggerConfig, DAggerRun
from operant.control.setup import OnPolicy, on_policy
from operant.control.setup_data import chosen, load_data, segments
from operant.control.updates import row_of, settled
from operant.data.memory import allow
from operant.data.replay import Replay
from operant.data.trajectory import Metrics, Trajectory
from operant.env import Actions, EnvLike
from operant.env.spaces import action_dtype
from operant.math.reduce import token_mean
from operant.run.job import Job, Position, Say, silent

CHECKED = 1024
"""Labels on which it is measured how far the learner is from its expert."""


def dagger(
    cfg: DAggerConfig, parts: OnPolicy, supervised: Supervised, labels: Replay, optimizer: torch.optim.Optimizer,
    logp_of: LogLikelihood,
) -> Iterator[Metrics]:  # fmt: skip
    """A round after another: act, be corrected, learn from all corrections; yield metrics after each, for ever.

    Args:
        cfg: the settings.
        parts: what collects segments, the agent (trained in place).
        supervised: who acts, and what the expert says.
        labels: all that it said so far.
        optimizer: holds the policy's parameters.
        logp_of: how likely the policy says actions are.
    """
    agent, collect, steps = parts.agent, parts.collect, ascent(cfg, parts.agent, optimizer, logp_of)
    if labels.taken and steps_taken(optimizer, agent.policy.net) == 0:  # it begins with demonstrations
        learn(cfg, parts, labels, steps)
    while True:
        done = steps_taken(optimizer, agent.policy.net) // cfg.gradient_steps  # rounds behind it
        supervised.beta = cfg.beta_decay**done if cfg.corrections == "dagger" else float(done == 0)
        supervised.level = level_of(cfg, parts, labels, done)
        traj, drove = supervised.labelled(collect(max(1, cfg.round_steps // collect.env.num)))
        labels.extend(replace(traj, acted=drove) if cfg.corrections == "takeover" else traj)
        settled(collect, agent, traj)
        told = {"imitation/error": off(agent, traj), "imitation/expert_share": token_mean(drove.float(), traj.acted)}
        seen = learn(cfg, parts, labels, steps)
        told |= {"imitation/labels": torch.tensor(float(labels.taken))}
        yield row_of(seen, optimizer) | told | agent.stats() | collect.stats()


def learn(cfg: DAggerConfig, parts: OnPolicy, labels: Replay, steps: Ascent) -> list[Metrics]:
    """The gradient steps of a round, on all that the expert said; metrics of each."""
    return steps(draw(cfg, parts.agent, labels, parts) for _ in range(cfg.gradient_steps))


def draw(cfg: DAggerConfig, agent: Agent, labels: Replay, parts: OnPolicy) -> Decisions:
    """What a gradient step learns from."""
    if agent.remembers:
        return pieces(cfg, labels, parts.generator)
    b = labels.sample(cfg.batch, parts.generator)
    return Decisions(b.obs, b.action, torch.ones_like(b.terminated))


@torch.no_grad()
def off(agent: Agent, traj: Trajectory) -> torch.Tensor:
    """How far the learner is from its expert where it went itself, on average: before it learns from it."""
    return token_mean(distance(agent, traj.seen, traj.action), traj.acted)


@torch.no_grad()
def level_of(cfg: DAggerConfig, parts: OnPolicy, labels: Replay, done: int) -> float:
    """How strong the noise is: as set, or as large as the learner's error on the newest labels is; none at first."""
    if cfg.corrections != "noise" or cfg.noise is not None or done == 0:
        return cfg.noise or 0.0
    b = labels.latest(CHECKED, parts.generator)
    agent, its = parts.agent, parts.agent.policy.distribution
    own, told = its.finish(its.mode(agent.policy.parameters_of(b.obs))), b.action
    told = its.scaled(told) if isinstance(its, Normal) else told
    return float((apart_of(own.cpu().numpy(), told.cpu().numpy(), agent) ** 2).mean() ** 0.5)


def refuse(cfg: DAggerConfig, agent: Agent) -> None:
    """Raises ConfigError where settings contradict one another; says which."""
    if agent.remembers and (cfg.corrections == "takeover" or (cfg.corrections == "noise" and cfg.noise is None)):
        what = "corrections takeover breaks episodes into pieces" if cfg.corrections == "takeover" else "noise is unset"
        raise ConfigError(f"with policy.memory it learns from whole pieces, and algo.{what}: take corrections dagger")
    if agent.remembers and cfg.round_steps <= cfg.length:
        raise ConfigError(f"a round of algo.round_steps {cfg.round_steps} has no piece of algo.length {cfg.length}")
    if cfg.corrections == "noise" and agent.spec.action_kind == "composite":
        raise ConfigError("algo.corrections noise is of one kind of actions, and these are several: take dagger")


def labels_of(cfg: DAggerRun, parts: OnPolicy) -> Replay:
    """A replay for what the expert says, empty.

    Raises:
        ConfigError: if it would not fit in memory.
    """
    env = parts.collect.env
    labels = Replay(cfg.algo.capacity, env.num, cfg.device, memory=parts.agent.remembers)
    labels.allocate(
        obs=(env.observations.dtype, (env.obs_dim,)), reward=(np.float32, ()), flags=(np.uint8, ()),
        action=(action_dtype(env.action_space), Actions(env.action_space).width),
    )  # fmt: skip
    try:
        allow(labels.bytes(cfg.total_steps), "so many labels take")
    except ValueError as error:
        raise ConfigError(f"algo.capacity is {cfg.algo.capacity:,}, and {said(error)}: lower it") from error
    return labels


def demonstrated(cfg: DAggerRun, parts: OnPolicy, labels: Replay, say: Say) -> None:
    """Begin with the demonstrations that the settings name, where they name any."""
    between = parts.agent.interface
    if not cfg.data.path or between is None:
        return
    data = chosen(load_data(cfg.data.path, between, cfg.env.id), cfg.data)
    for traj in segments(data, between, parts.agent, labels.lanes):
        labels.extend(traj)
        parts.agent.observe(traj.seen, traj.acted)
    say(f"Begins with {len(data)} episodes of {data.steps:,} steps, mean return {data.returns.mean():.1f}.")


def build(cfg: DAggerRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything DAgger needs, made from a config and one seed."""
    algo = cfg.algo
    made: list[Supervised] = []

    def act(agent: Agent) -> Supervised:
        made.append(Supervised(agent, expert_of(algo.expert, agent.interface, cfg.env.id), algo))
        return made[0]

    parts = on_policy(cfg, env, apart=True, act=act, spec=lambda kind: spec_of(algo, cfg.policy, kind, cfg.env.id))
    refuse(algo, parts.agent)
    labels = labels_of(cfg, parts)
    demonstrated(cfg, parts, labels, say)
    parts.agent.beside["labels"] = ReplayFiles(labels, cfg.total_steps)
    optimizer = torch.optim.Adam(learnt(algo, parts.agent), lr=algo.lr)

    def begin(at: Position) -> None:
        labels.seam()
        parts.begin(at)

    objective = objective_of(algo, parts.agent, parts.generator)
    loop = dagger(algo, parts, made[0], labels, optimizer, objective)
    return parts.job(loop, optimizer, begin)
