"""What every method with a replay begins with: the parts of a run on policy, and what was stored."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from operant.config.errors import ConfigError, said
from operant.config.wrappers import parsed
from operant.control.acting import Sampler
from operant.control.agent import Agent
from operant.control.hindsight import hindsight
from operant.control.replay_files import ReplayFiles
from operant.control.settings.replay import ReplayRun
from operant.control.setup import Make, OnPolicy, on_policy
from operant.control.setup_data import load_data, segments
from operant.control.updates import scaled_reward
from operant.data.memory import allow
from operant.data.replay import Replay, Transitions
from operant.data.trajectory import Metrics
from operant.env import Actions, EnvLike, VectorEnv
from operant.env.interface import Interface
from operant.env.spaces import action_dtype
from operant.run.job import Job, Position

NAME = "replay"
OVER_A_STACK = ("clip-reward", "episodic-life", "sticky", "time-limit")
"""Wrappers that leave what is observed as it is, and take no steps of their own."""


@dataclass(kw_only=True)
class OffPolicy(OnPolicy):
    """The parts of a run with a replay; `generator` draws what is learnt from."""

    cfg: ReplayRun  # pyright: ignore[reportIncompatibleVariableOverride]
    buffer: Replay

    def begin(self, at: Position) -> None:
        """Stand at a seam: open episodes are truncated."""
        self.buffer.seam()
        super().begin(at)

    def job(
        self,
        algorithm: Iterator[Metrics],
        optimizer: torch.optim.Optimizer,
        begin: Callable[[Position], None] | None = None,
    ) -> Job:
        """As that of a run on policy; one whose checkpoints lack the replay says that it does not resume exactly."""
        job = super().job(algorithm, optimizer, begin)
        job.at.exact = self.cfg.algo.keep_replay
        return job

    @property
    def ready(self) -> bool:
        """Whether enough was stored to learn from."""
        return self.buffer.taken >= self.cfg.algo.learning_starts and len(self.buffer) > 0

    def draw(self) -> Transitions:
        """What the next gradient step learns from, as the settings have it."""
        its = self.cfg.algo
        done = min(1.0, self.collect.steps / self.cfg.total_steps)
        beta = its.priority_beta + (1.0 - its.priority_beta) * done
        return self.buffer.sample(its.batch, self.generator, n=its.n, discount=its.discount, beta=beta)


def off_policy(
    cfg: ReplayRun, env: EnvLike, *, act: Callable[[Agent], Sampler] | None = None, apart: bool = False,
    make: Make | None = None, **spec: Any,
) -> OffPolicy:  # fmt: skip
    """Everything but the loop and its optimiser, made from a config and its one seed.

    Args:
        cfg: the settings.
        env: what is acted in.
        act: what explores with an agent; its policy's own sampler if not given.
        apart: for a critic apart from the policy, whatever they see.
        make: makes an agent of another kind.
        spec: fields of the agent's `AgentSpec` that the method decides.

    Raises:
        EnvError: if the environment cannot be made.
        ConfigError: if the device, the network or the exploration cannot be used.
    """
    parts = on_policy(cfg, env, apart=apart, act=act, spec=spec, make=make)
    buffer = _replay(cfg, env, parts.agent, parts.collect.env)
    if cfg.algo.keep_replay:
        parts.agent.beside[NAME] = ReplayFiles(buffer, cfg.total_steps)
    if cfg.data.path:
        fill(cfg, buffer, parts.agent, Interface.of(parts.collect.env))
    return OffPolicy(buffer=buffer, **{f.name: getattr(parts, f.name) for f in fields(parts)})


def _replay(cfg: ReplayRun, name: EnvLike, agent: Agent, env: VectorEnv) -> Replay:
    """A replay for these copies, empty.

    Raises:
        ConfigError: if it would not fit in memory, or goals in hindsight are asked for where there are none.
    """
    its, (stack, frame) = cfg.algo, stacked(cfg.env.wrappers, env)
    goals = hindsight(cfg, name, env)
    try:
        buffer = Replay(
            its.capacity, env.num, cfg.device, stack=stack, frame=frame, memory=agent.remembers,
            alpha=its.priority_alpha if its.priority == "proportional" else None, hindsight=goals,
            folder=Path(os.environ.get("TMPDIR") or "/var/tmp") if its.stored_in == "disk" else None,
        )  # fmt: skip
        buffer.allocate(
            obs=(env.observations.dtype, (env.obs_dim,)), reward=(np.float32, ()), flags=(np.uint8, ()),
            action=(action_dtype(env.action_space), Actions(env.action_space).width),
        )  # fmt: skip
        allow(buffer.bytes(cfg.total_steps), "a replay of so many transitions takes")
    except OSError as error:
        raise ConfigError(
            f"the disk takes no replay of algo.capacity {its.capacity:,} rows ({said(error)}): let TMPDIR name a "
            "folder with room, or lower algo.capacity"
        ) from error
    except (MemoryError, ValueError) as error:
        more = ", or set algo.stored_in disk" if its.stored_in == "memory" else ""
        raise ConfigError(f"algo.capacity is {its.capacity:,}, and {said(error)}: lower it{more}") from error
    return buffer


def fill(cfg: ReplayRun, buffer: Replay, agent: Agent, between: Interface) -> None:
    """Store a data set, as if this run had collected it; weights that are taken over bring their own statistics.

    Raises:
        ConfigError: if it cannot be read, is of another environment, or has more rows than are kept.
    """
    its = cfg.data
    data = load_data(its.path, between, cfg.env.id)
    data = data if its.episodes is None else data.chosen(range(min(its.episodes, len(data))))
    if (rows := data.steps + len(data)) > cfg.algo.capacity:
        raise ConfigError(
            f"algo.capacity is {cfg.algo.capacity:,}, and {its.path} has {rows:,} rows: raise it, or set data.episodes"
        )
    for traj in segments(data, between, agent, buffer.lanes):
        buffer.extend(traj)
        scaled_reward(traj, agent, cfg.algo.discount)
        if not cfg.init_from:
            agent.observe(traj.seen, traj.acted)


def stacked(wrappers: tuple[str, ...], env: VectorEnv) -> tuple[int, int]:
    """How many frames an observation holds, and the numbers of one; 1 and 0 where it is no stack that a wrapper made.

    They are stored once each. That the stack moves on by a frame with each step is looked at as it is stored.
    """
    found = [w for w in parsed(wrappers) if w.name not in OVER_A_STACK]
    space = env.observation_space
    if not found or found[-1].name != "frame-stack" or not isinstance(space, spaces.Box):
        return 1, 0
    return (int(found[-1].numbers[0]), prod(space.shape[1:])) if space.shape[0] > 1 else (1, 0)
