"""What DDPG, TD3 and SAC do alike around their math: parts, what is learnt from, and the step of a part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.bonus import Trained
from operant.control.distributions import Normal, standard_normal
from operant.control.explorer import Explorer, Noise
from operant.control.settings.continuous import ReplayActorCriticConfig, ReplayActorCriticRun, SoftConfig
from operant.control.settings.replay import ReplayConfig
from operant.control.setup_off_policy import OffPolicy, off_policy
from operant.control.target import Target
from operant.control.updates import scaled_reward, settled
from operant.data.replay import Replay, Transitions
from operant.data.trajectory import Metrics, Obs, Trajectory
from operant.env import EnvLike
from operant.math.soft import temperature_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """B decisions drawn from a replay; or B whole pieces of T steps, [B, T] each, for what has to see them in order."""

    obs: Obs  # [B, D]
    action: Tensor  # [B, ...]; continuous ones in [-1, 1]
    reward: Tensor  # [B]; Σ_k γ^k r_k over the m decisions
    discount: Tensor  # [B]; γ^m
    terminated: Tensor  # [B] bool
    next_obs: Obs  # [B, D]; of pieces all their T+1 rows
    acted: Tensor  # [B] bool; what counts
    weight: Tensor  # [B]; importance weights
    index: Tensor | None  # [B] int64, for `Replay.prioritise`; None of pieces

    def after(self, x: Tensor) -> Tensor:
        """Of numbers at `next_obs` those behind each decision, [B]; of pieces [B, T] of [B, T+1]."""
        return x if self.index is not None else x[:, 1:]

    def prioritise(self, buffer: Replay, error: Tensor) -> None:
        """Tell the replay how wrong the critic was of each, |δ| [B]; of pieces nothing."""
        if self.index is not None:
            buffer.prioritise(self.index, error)


Update = Callable[[Drawn], tuple[Tensor, Metrics]]
"""One update of all that learns from a batch: returns |δ| of each decision [B], and metrics."""


class Draws(Protocol):
    """The parts of a run that learns from what is stored, collected by itself or not."""

    @property
    def agent(self) -> Agent: ...
    @property
    def buffer(self) -> Replay: ...
    @property
    def generator(self) -> np.random.Generator: ...
    def draw(self) -> Transitions:
        """What the next gradient step learns from, decision by decision."""
        ...


def drawing(cfg: ReplayActorCriticConfig, parts: Draws) -> Callable[[], Drawn]:
    """What draws the next batch: decisions one by one, or whole pieces for an agent with memory.

    Raises:
        ConfigError: if an agent with memory is to learn from sums of rewards or by priorities.
    """
    if not parts.agent.remembers:
        return lambda: _decisions(parts)
    if cfg.n > 1 or cfg.priority != "none" or cfg.hindsight != "none":
        raise ConfigError("policy.memory learns from whole pieces: leave out algo.n, algo.priority and algo.hindsight")
    least = parts.buffer.lanes * (cfg.length + 1)
    if not parts.buffer.taken and cfg.learning_starts < least:
        raise ConfigError(
            f"algo.learning_starts is {cfg.learning_starts}, and pieces of algo.length {cfg.length} need {least}"
        )
    if cfg.burn_in >= cfg.length:
        raise ConfigError(f"algo.burn_in is {cfg.burn_in}, and a piece has algo.length {cfg.length} steps: give fewer")
    return lambda: _pieces(cfg, parts)


def store(cfg: ReplayConfig, parts: OffPolicy, traj: Trajectory) -> None:
    """Keep a segment as it is; running statistics of observations and rewards hear of it."""
    parts.buffer.extend(traj)
    scaled_reward(traj, parts.agent, cfg.discount)  # rewards are scaled when they are drawn, by what is known then
    settled(parts.collect, parts.agent, traj)


def scaled(agent: Agent, reward: Tensor) -> Tensor:
    """Rewards that were drawn, divided by the deviation that is known now where rewards are normalised."""
    its = agent.reward_scale
    return reward if its is None else (reward / its.deviation).clamp(-its.clip, its.clip).to(reward.dtype)


def rescaled(agent: Agent, batch: Transitions) -> Transitions:
    """A draw with its rewards `scaled`."""
    return batch if agent.reward_scale is None else replace(batch, reward=scaled(agent, batch.reward))


def _decisions(parts: Draws) -> Drawn:
    b = rescaled(parts.agent, parts.draw())
    return Drawn(
        obs=b.obs, action=b.action, reward=b.reward, discount=b.discount, terminated=b.terminated,
        next_obs=b.next_obs, acted=torch.ones_like(b.terminated), weight=b.weight, index=b.index,
    )  # fmt: skip


def _pieces(cfg: ReplayActorCriticConfig, parts: Draws) -> Drawn:
    traj = parts.buffer.sequences(max(1, cfg.batch // cfg.length), cfg.length, parts.generator)
    warmed = torch.arange(cfg.length, device=traj.acted.device) >= cfg.burn_in
    return Drawn(
        obs=traj.seen, action=traj.action, reward=scaled(parts.agent, traj.reward),
        discount=torch.full_like(traj.reward, cfg.discount), terminated=traj.terminated, next_obs=traj.obs,
        acted=traj.acted & warmed, weight=torch.ones_like(traj.reward), index=None,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- steps
def descend(optimizer: torch.optim.Optimizer, loss: Tensor, module: nn.Module, max_grad_norm: float | None) -> Tensor:
    """One step of a module's parameters down `loss`, and of no others; returns its gradient's norm before the bound.

    A loss may reach through other modules: no gradient is left on these.
    """
    parameters = [*module.parameters()]
    optimizer.zero_grad()
    loss.backward(inputs=parameters)
    norm = nn.utils.clip_grad_norm_(parameters, float("inf") if max_grad_norm is None else max_grad_norm)
    optimizer.step()  # which passes over parameters without a gradient
    return norm


def adam(cfg: ReplayActorCriticConfig, agent: Agent) -> torch.optim.Optimizer:
    """Adam over the policy's parameters, and over the critics'."""
    groups = [
        {"params": [*agent.policy.parameters()], "lr": cfg.lr},
        {"params": [*agent.critic.parameters()], "lr": cfg.critic_lr or cfg.lr},
    ]
    return torch.optim.Adam(groups, cfg.lr)


def begun(agent: Agent, steps: int) -> None:
    """At the beginning of a run targets are copies: the weights may have been taken over from another one."""
    for kept in agent.beside.values() if steps == 0 else ():
        if isinstance(kept, Target):
            kept.follow(1.0)


def steps_taken(optimizer: torch.optim.Optimizer, module: nn.Module) -> int:
    """How many steps the optimiser took of a module, over all attempts of a run."""
    return int(optimizer.state.get(next(module.parameters()), {}).get("step", 0))


def drawn(agent: Agent, obs: Obs, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """a = tanh(mean + deviation · ε), [..., A], ε from N(0, I), and log π(a|obs) [...]; gradients reach the policy."""
    its = agent.policy.distribution
    assert isinstance(its, Normal)
    p = agent.policy.parameters_of(obs)
    u = its.drawn(p, standard_normal(generator, (*p.output.shape[:-1], its.columns), p.output.device))
    return u.tanh(), its.logp(p, u)


class Temperature(Trained):
    """α, the price of entropy: fixed, or moved by its own Adam until the entropy is `target`; kept in checkpoints.

    Args:
        cfg: the settings.
        agent: whose policy it is of; it is then kept beside that, where it moves.
        name: of the file that keeps it.
    """

    def __init__(self, cfg: SoftConfig, agent: Agent, name: str = "temperature") -> None:
        device = next(agent.parameters()).device
        self.moves, self._log = cfg.temperature == "automatic", cfg.alpha_step == "log"
        self._fixed = cfg.alpha
        self.log = nn.Parameter(torch.tensor(log(cfg.alpha) if self.moves else 0.0, device=device))
        super().__init__(
            nn.ParameterDict({"log": self.log}), np.random.default_rng(0), lr=cfg.alpha_lr or cfg.lr, batch=1
        )
        if self.moves:
            agent.beside[name] = self

    @property
    def value(self) -> Tensor:
        """α [], without a gradient."""
        return self.log.detach().exp() if self.moves else torch.full_like(self.log, self._fixed).detach()

    def follow(self, entropy: Tensor, target: float | Tensor) -> None:
        """One step for the entropy [...] of a batch towards `target`; none where α is fixed."""
        if self.moves:
            self.optimizer.zero_grad()
            temperature_loss(self.log if self._log else self.log.exp(), entropy, target).backward()
            self.optimizer.step()


# ---------------------------------------------------------------------------------------------------- parts
def replay_actor_critic(
    cfg: ReplayActorCriticRun, env: EnvLike, *, critics: int, chooses: bool = False, mixed: bool = False,
    noise: Noise | None = None, **spec: Any,
) -> tuple[OffPolicy, Explorer]:  # fmt: skip
    """The parts of a run of one of these methods, with what explores in it.

    Args:
        cfg: the settings.
        env: what is acted in.
        critics: how many networks of action values.
        chooses: whether actions are discrete; else continuous ones are squashed into their bounds.
        mixed: whether they may be several choices, too, and numbers beside choices.
        noise: what is added to actions; none where the policy draws them.
        spec: what else the method decides of the agent.

    Raises:
        EnvError: if the environment cannot be made.
        ConfigError: if something in the settings cannot be, or the action space is none for the method.
    """
    made: list[Explorer] = []

    def act(agent: Agent) -> Explorer:
        made.append(Explorer(agent, noise))
        return made[0]

    parts = off_policy(cfg, env, act=act, apart=True, squash=not chooses, critics=critics, **spec)
    its, kind = parts.collect.env.action_space, parts.agent.spec.action_kind
    if kind != ("discrete" if chooses else "box") and not (mixed and kind != "discrete"):
        parts.collect.close()
        known = "a choice (Discrete)" if chooses else "continuous actions (Box)" + ", or several at once" * mixed
        other = "discrete-sac" if isinstance(its, spaces.Discrete) else "sac"
        raise ConfigError(f"{cfg.algorithm} learns {known}, and those of {cfg.env.id} are {its}: use {other}")
    explore = parts.collect.explore
    if explore is not None and explore.noise is not None and not chooses:
        parts.collect.close()
        raise ConfigError(
            f"explore.param_noise is set, but {cfg.algorithm} has noise of its own on its actions: leave it out"
        )
    return parts, made[0]
