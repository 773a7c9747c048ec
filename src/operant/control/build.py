"""Control runs built from their config: environments, PPO's agent, and how a policy is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch

from operant.config.errors import ConfigError
from operant.config.schema import CopiesConfig, PPORun, RunConfig
from operant.control.acting import sampler
from operant.control.agent import Agent, AgentSpec
from operant.control.collector import Collector
from operant.control.ppo import ppo
from operant.control.train_state import Networks
from operant.data.streams import Streams
from operant.env import Supervisor, VectorEnv, make, make_one
from operant.env.spaces import action_kind
from operant.language.settings.runs import LanguageRun
from operant.run.actor import Actor
from operant.run.drain import Job, Position
from operant.run.evaluate import Evaluation, evaluate
from operant.tabular.settings import EpisodesConfig

EnvLike = str | Callable[..., object]
EVAL_COPIES = 16
"""Environments stepped together in an evaluation."""


@dataclass
class Evaluator:
    """Measures an agent on environments of its own, made when first needed."""

    cfg: RunConfig
    env: EnvLike
    agent: Actor
    supervisor: Supervisor | None = None
    copies: VectorEnv | None = None

    def __call__(self, episodes: int, *, seed: int | None = None, deterministic: bool | None = None) -> Evaluation:
        """Run whole episodes under the protocol of the config, or the one given."""
        seed = self.cfg.eval.seed if seed is None else seed
        deterministic = self.cfg.eval.deterministic if deterministic is None else deterministic
        num = min(episodes, EVAL_COPIES)
        if self.copies is None or self.copies.num != num:
            self.close()
            self.copies = copies(self.cfg, self.env, num, limits=self.supervisor)
        noise = None if deterministic else Streams(self.cfg.seed).numpy("evaluation", seed)
        return evaluate(self.copies, lambda obs: self.agent.act(obs, generator=noise), episodes=episodes, seed=seed)

    def close(self) -> None:
        """Free the environments."""
        if self.copies is not None:
            self.copies.close()
            self.copies = None


def copies(
    cfg: RunConfig, env: EnvLike, num: int, *, render_mode: str | None = None, limits: Supervisor | None = None
) -> VectorEnv:
    """Copies of a run's environment to measure or film a policy on.

    A policy is measured on the physics it was trained on; each copy has a generator of its own where possible. What is
    filmed needs pictures, which no pool draws.
    """
    its = cfg.env
    if isinstance(its, CopiesConfig):
        apart = ("process",) if render_mode else ("envpool", "process")
        backend = its.backend if its.backend in apart else "inprocess"
        return make(
            env, num, backend=backend, kwargs=its.kwargs, render_mode=render_mode, supervisor=limits or supervisor(its)
        )
    longest = its.max_steps if isinstance(its, EpisodesConfig) else None
    return make(one(env, its.kwargs, longest), num, backend="inprocess", render_mode=render_mode)


def one(env: EnvLike, kwargs: Mapping[str, Any], longest: int | None) -> Callable[..., Any]:
    """A way of making one copy, with episodes of at most `longest` steps, that is called what the environment is."""

    def made(render_mode: str | None = None) -> Any:
        found = make_one(env, kwargs, render_mode)
        return found if longest is None else gymnasium.wrappers.TimeLimit(found, longest)

    made.__qualname__ = env if isinstance(env, str) else getattr(env, "__qualname__", type(env).__name__)
    return made


def supervisor(env: CopiesConfig) -> Supervisor:
    """The limits of the run's worker processes, where it has any."""
    return Supervisor(workers=env.workers, timeout=env.timeout, restarts=env.restarts)


def build_ppo(cfg: PPORun, env: EnvLike) -> Job:
    """Everything PPO needs, made from a config and one seed."""
    torch.set_num_threads(cfg.threads)
    streams = Streams(cfg.seed)
    limits = supervisor(cfg.env)

    def fresh() -> VectorEnv:
        return make(env, cfg.env.num, backend=cfg.env.backend, kwargs=cfg.env.kwargs, supervisor=limits)

    first = fresh()
    agent = Agent(agent_spec(cfg, first), streams.torch("init")).to(device(cfg))
    parameters = [*agent.policy.parameters(), *agent.critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=cfg.algo.lr, eps=cfg.algo.adam_eps)
    noise, order = streams.numpy("policy"), streams.numpy("minibatch")
    collect = Collector(first, sampler(agent.policy), noise, seed=streams.integer("env"), device=cfg.device)
    evaluator = Evaluator(cfg, env, agent, limits)

    def begin(at: Position) -> None:
        here = Streams(cfg.seed, at.seam)
        here.rekey(noise, "policy")
        here.rekey(order, "minibatch")
        collect.env.close()
        collect.begin(fresh(), here.integer("env"))
        collect.steps, collect.episodes = at.step, at.episodes
        evaluator.close()
        if agent.reward_scale is not None:
            agent.reward_scale.forget()

    return Job(
        algorithm=ppo(cfg.algo, collect, agent, optimizer, order, total_steps=cfg.total_steps),
        learned=Networks(agent, optimizer),
        counter=collect,
        begin=begin,
        evaluate=evaluator,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )


def agent_spec(cfg: PPORun, env: VectorEnv) -> AgentSpec:
    """The agent that fits an environment."""
    return AgentSpec(
        obs_dim=env.obs_dim,
        action_kind=action_kind(env.action_space),
        action_sizes=_action_sizes(env.action_space),
        hidden=cfg.policy.hidden,
        activation=cfg.policy.activation,
        log_std_init=cfg.policy.log_std_init,
        obs_clip=cfg.policy.obs_clip if cfg.policy.normalize_obs else None,
        reward_clip=cfg.policy.reward_clip if cfg.policy.normalize_reward else None,
    )


def _action_sizes(space: Any) -> tuple[int, ...]:
    match action_kind(space):
        case "discrete":
            return (int(space.n),)
        case "multidiscrete":
            return tuple(int(n) for n in space.nvec.ravel())
        case "multibinary" | "box":
            return (int(np.prod(space.shape)),)


def device(cfg: PPORun | LanguageRun) -> torch.device:
    """The device of the config.

    Raises:
        ConfigError: if torch knows no such device here.
    """
    try:
        chosen = torch.device(cfg.device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device '{cfg.device}' cannot be used here: {error}. Try --device cpu.") from error
    return chosen
