"""What every on-policy algorithm begins with: an agent for the environment, what collects, and what measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from operant.config.errors import ConfigError, EnvError
from operant.config.registry import is_code
from operant.control.acting import sampler
from operant.control.agent import Agent, AgentSpec
from operant.control.collector import Collector
from operant.control.explore import exploration
from operant.control.settings.policy import ControlRun
from operant.data.streams import Streams
from operant.env import EnvLike, Supervisor, VectorEnv, make
from operant.env.interface import Interface, pixels
from operant.env.spaces import Actions, action_kind
from operant.run.device import device_of
from operant.run.evaluate import Evaluator, supervisor
from operant.run.job import Position


@dataclass(kw_only=True)
class OnPolicy:
    """The parts of an on-policy run.

    `generator` draws the order of the minibatches. `begin(position)` goes on from a seam: environments are made anew,
    and every generator is derived again from the run's seed and the number of the seam.
    """

    cfg: ControlRun
    env: EnvLike
    agent: Agent
    collect: Collector
    evaluate: Evaluator
    noise: np.random.Generator
    generator: np.random.Generator

    def begin(self, at: Position) -> None:
        """Stand at a seam."""
        streams = Streams(self.cfg.seed, at.seam)
        streams.rekey(self.noise, "policy")
        streams.rekey(self.generator, "minibatch")
        self.collect.close()
        self.evaluate.close()
        self.collect.begin(_environments(self.cfg, self.env, self.evaluate.supervisor), streams.integer("env"))
        self.collect.steps, self.collect.episodes = at.step, at.episodes
        if self.agent.reward_scale is not None:
            self.agent.reward_scale.forget()
        if self.collect.explore is not None:
            self.collect.explore.begin(streams)


def on_policy(cfg: ControlRun, env: EnvLike, *, combines: bool = False) -> OnPolicy:
    """Everything but the loop and its optimiser, made from a config and its one seed.

    A method that weighs its steps by `agent.combined` says so: it can have a bonus with its own critic.

    Raises:
        EnvError: if the environment cannot be made.
        ConfigError: if the device, the network or the exploration cannot be used.
    """
    torch.set_num_threads(cfg.threads)
    streams, limits = Streams(cfg.seed), supervisor(cfg.env)
    copies = _environments(cfg, env, limits)
    agent = Agent(_spec(cfg, copies), streams.torch("init")).to(device_of(cfg.device))
    evaluate = Evaluator(cfg, env, agent, limits)
    noise, seed = streams.numpy("policy"), streams.integer("env")
    collect = Collector(copies, sampler(agent.policy), noise, seed=seed, device=cfg.device)
    collect.explore = exploration(cfg.explore, agent, copies, streams, combines=combines)
    return OnPolicy(
        cfg=cfg, env=env, agent=agent, collect=collect, evaluate=evaluate, noise=noise,
        generator=streams.numpy("minibatch"),
    )  # fmt: skip


def _environments(cfg: ControlRun, env: EnvLike, limits: Supervisor | None) -> VectorEnv:
    """Copies to train on; their worker processes have one budget of restarts with those of the evaluation."""
    its = cfg.env
    return make(
        env, its.num, backend=its.backend, kwargs=its.kwargs, supervisor=limits, action_mask=its.action_mask,
        wrappers=its.wrappers,
    )  # fmt: skip


def _spec(cfg: ControlRun, env: VectorEnv) -> AgentSpec:
    """The agent that fits an environment."""
    network = cfg.policy.network
    if env.obs_dim == 0:
        raise EnvError(f"{cfg.env.id} observes nothing, so there is nothing to learn from: observe one number, say 0")
    if network == "mlp" and (seen := pixels(env.observation_space)):
        raise ConfigError(
            f"{cfg.env.id} observes pictures, {seen}, and policy.network mlp does not see: it would read "
            f"{env.obs_dim:,} numbers without their places. Give a network that sees, --policy.network "
            "file.py:make, or wrap the environment so that it observes what is in them."
        )
    if network != "mlp" and not is_code(network):
        raise ConfigError(f"policy.network is {network!r}, expected mlp, or file.py:make for a network of your own")
    _refuse(cfg, env)
    return AgentSpec(
        **Interface.of(env).encoded(),
        obs_dim=env.observations.numbers,
        action_kind=action_kind(env.action_space),
        action_sizes=_action_sizes(env.action_space),
        hidden=cfg.policy.hidden,
        network="" if network == "mlp" else network,
        activation=cfg.policy.activation,
        log_std_init=cfg.policy.log_std_init,
        obs_clip=cfg.policy.obs_clip if cfg.policy.normalize_obs else None,
        reward_clip=cfg.policy.reward_clip if cfg.policy.normalize_reward else None,
    )


def _refuse(cfg: ControlRun, env: VectorEnv) -> None:
    """Raises ConfigError where no policy fits yet."""
    if env.observations.mask or action_kind(env.action_space) == "composite":
        what = "action masks" if env.observations.mask else "several actions at once"
        raise ConfigError(f"{cfg.env.id} has {what}, and there is no policy for it yet: wrap the environment.")


def _action_sizes(space: Any) -> tuple[int, ...]:
    match action_kind(space):
        case "discrete":
            return (int(space.n),)
        case "multidiscrete":
            return tuple(int(n) for n in space.nvec.ravel())
        case "multibinary" | "box":
            return (int(np.prod(space.shape)),)
        case "composite":
            return (Actions(space).width[0],)
