"""What every method begins with that learns action values from a data set: its episodes, in a replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.bonus import Trained
from operant.control.settings.offline import DiscreteCQLRun, OfflineRun
from operant.control.setup_data import FromData, from_data
from operant.control.updates import scaled_reward
from operant.data.replay import Replay, Transitions
from operant.data.streams import Streams
from operant.env import EnvLike


@dataclass(kw_only=True)
class Offline(FromData):
    """The parts of a run that draws transitions from a data set."""

    cfg: OfflineRun | DiscreteCQLRun  # pyright: ignore[reportIncompatibleVariableOverride]
    buffer: Replay

    def draw(self) -> Transitions:
        """What the next gradient step learns from: transitions, each as likely as any other."""
        its = self.cfg.algo
        return self.buffer.sample(its.batch, self.generator, n=its.n, discount=its.discount)


def offline(cfg: OfflineRun | DiscreteCQLRun, env: EnvLike, kinds: tuple[str, ...], **spec: Any) -> Offline:
    """Everything but the loop and its optimiser, made from a config and its one seed.

    Args:
        cfg: the settings.
        env: whose data they are, and what the policy is measured in.
        kinds: of actions that the method learns, "box" or "discrete"; numbers are squashed into their bounds.
        spec: fields of the agent's `AgentSpec` that the method decides; `std` of numbers alone.

    Raises:
        EnvError: if the environment cannot be made.
        ConfigError: if the data or the settings cannot be used, or the actions are of another kind; says which.
    """

    def fitting(kind: str) -> Mapping[str, Any]:
        """The fields for such actions."""
        if kind not in kinds:
            other = {"box": "cql, td3-bc or iql", "discrete": "discrete-cql or iql"}.get(kind, "bc")
            known = " or ".join(
                {"box": "continuous actions (Box)", "discrete": "a choice (Discrete)"}[k] for k in kinds
            )
            raise ConfigError(f"{cfg.algorithm} learns {known}, and those of {cfg.env.id} are {kind}: use {other}")
        return spec | {"squash": True} if kind == "box" else {k: x for k, x in spec.items() if k != "std"}

    parts = from_data(cfg, env, spec=fitting)
    buffer, rows = parts.replay(), parts.train.steps + len(parts.train)
    if parts.agent.remembers and rows <= cfg.algo.length:
        raise ConfigError(f"algo.length is {cfg.algo.length}, and the data have {rows} rows in all: give a shorter one")
    if parts.agent.reward_scale is not None:
        for traj in parts.segments(parts.train):
            scaled_reward(traj, parts.agent, cfg.algo.discount)
    return Offline(buffer=buffer, **{f.name: getattr(parts, f.name) for f in fields(parts)})


def state_value(cfg: OfflineRun, agent: Agent) -> Trained:
    """V(s) by a network of its own, with its own optimiser; only checkpoints keep it."""
    generator = Streams(cfg.seed).torch("init-value")
    device = next(agent.parameters()).device
    net = agent.another_critic(generator).to(device)
    return Trained(net, np.random.default_rng(0), lr=cfg.algo.critic_lr or cfg.algo.lr, batch=1)
