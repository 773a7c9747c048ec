"""What every on-policy algorithm begins with: an agent for the environment, what collects, and what measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from operant.config.errors import ConfigError, EnvError
from operant.config.registry import is_code
from operant.config.suggest import did_you_mean, nearest
from operant.control.acting import Sampler, sampler
from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.collector_compiled import collector
from operant.control.explore import exploration
from operant.control.networks.convolutional import CONVOLUTIONAL
from operant.control.networks.memory import Memory
from operant.control.networks.text import HEADS
from operant.control.settings.policy import ControlRun, PolicyConfig
from operant.control.settings.replay import ReplayConfig
from operant.control.spec import AgentSpec, action_sizes, weights
from operant.control.train_state import Networks
from operant.control.updates import falling
from operant.data.memory import allow
from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.env import ActionKind, EnvLike, Supervisor, VectorEnv, make
from operant.env.interface import Interface, pixels
from operant.env.text import TEXT
from operant.run.device import device_of
from operant.run.evaluate import Evaluator, supervisor
from operant.run.job import Counter, Job, Position

Spec = Mapping[str, Any] | Callable[[ActionKind], Mapping[str, Any]]
"""Fields of an `AgentSpec` that a method decides, or what gives them for a kind of actions."""
Make = Callable[[AgentSpec, Streams], Agent]
"""Makes an agent of another kind than `Agent`, from the shape that fits the environment."""


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
        if self.collect.judge is not None:
            self.collect.judge.begin(streams)

    def job(
        self,
        algorithm: Iterator[Metrics],
        optimizer: torch.optim.Optimizer,
        begin: Callable[[Position], None] | None = None,
    ) -> Job:
        """The run of an algorithm on these parts; `begin` where there is more to begin anew than they."""
        return job_of(
            self.cfg, self.agent, algorithm, optimizer, counter=self.collect, begin=begin or self.begin,
            evaluate=self.evaluate,
        )  # fmt: skip


def job_of(
    cfg: ControlRun, agent: Agent, algorithm: Iterator[Metrics], optimizer: torch.optim.Optimizer, *, counter: Counter,
    begin: Callable[[Position], None], evaluate: Evaluator,
) -> Job:  # fmt: skip
    """The run of an algorithm on an agent, whatever counts its steps; learning rates fall where a replay has it so."""
    if isinstance(cfg.algo, ReplayConfig) and cfg.algo.lr_schedule == "linear":
        algorithm = falling(algorithm, optimizer, lambda: 1.0 - counter.steps / cfg.total_steps)
    return Job(
        algorithm=algorithm,
        learned=Networks(agent, optimizer),
        counter=counter,
        begin=begin,
        evaluate=evaluate,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )


def on_policy(
    cfg: ControlRun, env: EnvLike, *, combines: bool = False, apart: bool = False,
    act: Callable[[Agent], Sampler] | None = None, spec: Spec | None = None, make: Make | None = None,
) -> OnPolicy:  # fmt: skip
    """Everything but the loop and its optimiser, made from a config and its one seed.

    A method that weighs its steps by `agent.combined` says so: it can have a bonus with its own critic. One that moves
    the policy by a rule of its own asks for a critic `apart` from it. `act` makes what draws actions, the policy's own
    sampler if not given. `spec` are fields of the agent's that the method decides, or what gives them for a kind of
    actions.

    Raises:
        EnvError: if the environment cannot be made.
        ConfigError: if the device, the network or the exploration cannot be used.
    """
    torch.set_num_threads(cfg.threads)
    streams, limits = Streams(cfg.seed), supervisor(cfg.env)
    copies = _environments(cfg, env, limits)
    made = agent_spec(cfg, copies, apart)
    agent = make_agent(cfg, made, spec, streams) if make is None else make(made, streams)
    evaluate = Evaluator(cfg, env, agent, limits)
    noise, seed = streams.numpy("policy"), streams.integer("env")
    drawn = sampler(agent.policy, agent) if act is None else act(agent)
    collect = collector(copies, drawn, noise, seed=seed, device=cfg.device)
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


def make_agent(cfg: ControlRun, made: AgentSpec, spec: Spec | None, streams: Streams) -> Agent:
    """A new agent of that shape, with the fields that the method decides.

    Raises:
        ConfigError: if a span is to be remembered and there is no memory.
    """
    decided = spec(made.action_kind) if callable(spec) else spec or {}
    generator = streams.torch("init")
    agent = Agent(replace(made, **decided), generator)
    if (span := cfg.policy.memory_span) is not None:
        memories = [part for part in agent.modules() if isinstance(part, Memory)]
        if not memories:
            raise ConfigError("policy.memory_span is set and there is no memory: set policy.memory to lstm or gru")
        for memory in memories:
            memory.reach(span, generator)
    return agent.to(device_of(cfg.device))


def agent_spec(cfg: ControlRun, env: VectorEnv, apart: bool) -> AgentSpec:
    """The shape of the agent that fits an environment; a critic `apart` has no trunk with the policy.

    Raises:
        EnvError: if it observes nothing.
        ConfigError: if the network cannot be used.
    """
    its, network = cfg.policy, cfg.policy.network
    between = Interface.of(env)
    if env.obs_dim == env.observations.mask:
        raise EnvError(f"{cfg.env.id} observes nothing, so there is nothing to learn from: observe one number, say 0")
    if network == "mlp" and (seen := pixels(env.observation_space)):
        raise ConfigError(
            f"{cfg.env.id} observes pictures, {seen}, and policy.network mlp does not see: it would read "
            f"{env.obs_dim:,} numbers without their places. Give a network that sees, --policy.network nature-cnn, say "
            f"(or {', '.join(list(CONVOLUTIONAL)[1:])}, or file.py:make), or wrap the environment so that it observes "
            "what is in them."
        )
    if network != "mlp" and network not in CONVOLUTIONAL and not is_code(network):
        known = ", ".join(("mlp", *CONVOLUTIONAL))
        guess = did_you_mean(nearest(network, CONVOLUTIONAL))
        raise ConfigError(
            f"policy.network is {network!r}, expected {known}, or file.py:make for a network of your own.{guess}"
        )
    reads = _reading(cfg, env)
    spec = AgentSpec(
        **between.encoded(),
        **reads,
        obs_dim=env.obs_dim,
        action_kind=between.actions.kind,
        action_sizes=action_sizes(env.action_space),
        hidden=its.hidden,
        network="" if network == "mlp" else network,
        memory="" if its.memory == "none" else its.memory,
        memory_size=0 if its.memory == "none" else its.memory_size,
        shared=shared(its, cfg.algorithm if apart else "", reads=bool(reads)),
        std=its.std,
        squash=its.squash,
        activation=its.activation,
        log_std_init=its.log_std_init,
        obs_clip=its.obs_clip if its.normalize_obs else None,
        reward_clip=its.reward_clip if its.normalize_reward else None,
    )
    if spec.observation_space is None and (
        spec.network or reads or env.observations.mask or spec.action_kind == "composite"
    ):
        raise ConfigError(f"{cfg.env.id} has a Dict space with keys that are neither text nor whole numbers")
    try:
        allow(16 * weights(spec), "networks of such widths, their slopes and Adam's moments take")
    except ValueError as error:
        raise ConfigError(f"{cfg.env.id} observes {env.obs_dim:,} numbers: {error}; observe fewer") from error
    if network in CONVOLUTIONAL and not spec.layout(between).pictures:
        raise ConfigError(f"{cfg.env.id} observes no picture for policy.network {network}: --policy.network mlp")
    return spec


def _reading(cfg: ControlRun, env: VectorEnv) -> dict[str, Any]:
    """Of the spec, how a text is read; nothing where there is none.

    Raises:
        ConfigError: if it cannot be read like that, or there is nothing to read.
    """
    its, seen = cfg.policy, [part.space for part in env.observations.parts]
    chosen = [
        name for name in ("text", "text_size", "join") if getattr(its, name) != PolicyConfig.model_fields[name].default
    ]
    if not any(isinstance(space, TEXT) for space in seen):
        if chosen:
            raise ConfigError(f"policy.{chosen[0]} is set and {cfg.env.id} observes no text: leave it out")
        return {}
    if its.text == "transformer" and its.text_size % HEADS:
        raise ConfigError(f"policy.text_size is {its.text_size}, and a transformer needs a multiple of {HEADS}")
    if its.join != "concat" and all(isinstance(space, TEXT) for space in seen):
        raise ConfigError(f"policy.join is {its.join} and {cfg.env.id} observes nothing but text: leave it out")
    return {"text": its.text, "text_size": its.text_size, "join": its.join}


def shared(policy: PolicyConfig, apart: str, *, reads: bool = False) -> bool:
    """Whether policy and critic have one trunk: as set, or where it sees pictures, which costs most.

    A memory is not shared by itself: the critic's errors, which are as large as returns, would saturate it.

    An algorithm that is named `apart` has none.

    Raises:
        ConfigError: if what is set cannot be.
    """
    if apart:
        if policy.shared:
            raise ConfigError(f"policy.shared is on, but {apart} moves the policy alone: leave it out")
        return False
    if policy.shared is None:
        return policy.network in CONVOLUTIONAL
    if policy.shared and policy.network == "mlp" and policy.memory == "none" and not reads:
        raise ConfigError(
            "policy.shared is on, but a perceptron without memory has no trunk to share: leave it out, or give "
            "policy.memory or a network that sees"
        )
    return policy.shared
