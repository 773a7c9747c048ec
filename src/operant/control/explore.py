"""Exploration for any method on policy: the collector asks it before and after each segment, and nobody else need.

A bonus becomes part of the reward of each segment, or, with a critic of its own, of the advantage. Noise lies on the
policy's weights from where a segment is collected to where the iteration's metrics are asked for. Counts, networks and
scales are kept in checkpoints, as `explore.safetensors`, and are no part of the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from gymnasium import spaces
from torch import Tensor

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.bonus import BonusCritic, CountBonus, RandomDistillation
from operant.control.networks.layout import Layout
from operant.control.networks.trunk import plain
from operant.control.param_noise import ParamNoise
from operant.control.settings.explore import ExploreConfig
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Trajectory
from operant.env import VectorEnv

NAME = "explore"


class Exploration:
    """What a run's settings ask for; `exploration` makes one.

    Attributes:
        bonus: gives each step of a segment its bonus, or None.
        critic: the critic of the bonus, or None.
        noise: the noise on the weights, or None.
    """

    def __init__(
        self, agent: Agent, coef: float, bonus: CountBonus | RandomDistillation | None, critic: BonusCritic | None,
        noise: ParamNoise | None, generators: Mapping[str, np.random.Generator], layout: Layout,
    ) -> None:  # fmt: skip
        self._agent, self._layout = agent, layout
        self.coef, self.bonus, self.critic, self.noise = coef, bonus, critic, noise
        self._generators = generators
        self._metrics: Metrics = {}

    def perturb(self) -> None:
        """A segment is about to be collected."""
        if self.noise is not None:
            self.noise.perturb()

    def __call__(self, traj: Trajectory) -> Trajectory:
        """The segment that was collected, with bonuses in its rewards where they have no critic of their own."""
        self._metrics, self._agent.bonus_advantage = {}, None
        if self.noise is not None:
            self._metrics |= self.noise.adapt(traj)
        if self.bonus is None:
            return traj
        seen = replace(traj, obs=self._layout.vector(plain(traj.obs)))
        bonus, metrics = self.bonus(seen)
        self._metrics |= metrics | {"explore/bonus": bonus[traj.acted].mean()}
        if self.critic is None:
            return replace(traj, reward=traj.reward + self.coef * bonus)
        advantage, metrics = self.critic.advantage(seen, bonus)
        self._agent.bonus_advantage = self.coef * advantage
        self._metrics |= metrics
        return traj

    def settle(self) -> Metrics:
        """The iteration is over: the policy is as it was learnt, without noise; returns the segment's metrics."""
        if self.noise is not None:
            self.noise.settle()
        return self._metrics

    def begin(self, streams: Streams) -> None:
        """Stand at a seam: generators are derived again, open returns are let go."""
        for name, generator in self._generators.items():
            streams.rekey(generator, name)
        if isinstance(self.bonus, RandomDistillation):
            self.bonus.networks.scale.forget()

    def tensors(self) -> dict[str, Tensor]:
        """All that must go on after a seam; asked for while there is noise on the weights, it takes it off first."""
        self.settle()
        parts = {"bonus": self.bonus, "critic": self.critic}
        kept = {f"{k}.{name}": x for k, part in parts.items() if part for name, x in part.tensors().items()}
        return kept | ({} if self.noise is None else {"noise.std": self.noise.std})

    def prepared(self, tensors: Mapping[str, Tensor], file: Path) -> Callable[[], None]:
        """What takes over all that was saved, when it is called.

        Raises:
            ConfigError: if it is not of this exploration.
        """
        parts = {"bonus": self.bonus, "critic": self.critic}
        fills = [part.prepared(_under(tensors, k), file) for k, part in parts.items() if part]
        noise = self.noise
        if noise is not None and "noise.std" not in tensors:
            raise ConfigError(f"{file} lacks noise.std. Use another checkpoint.")

        def fill() -> None:
            for each in fills:
                each()
            if noise is not None:
                noise.std.copy_(tensors["noise.std"])

        return fill


def exploration(
    cfg: ExploreConfig, agent: Agent, env: VectorEnv, streams: Streams, *, combines: bool
) -> Exploration | None:
    """What the settings ask for; None where they ask for nothing. It is then part of the agent's checkpoints.

    Args:
        cfg: the settings.
        agent: whose policy explores.
        env: what is observed.
        streams: where weights and orders come from.
        combines: whether the method adds the bonus's own advantage.

    Raises:
        ConfigError: if the settings contradict one another or the method.
    """
    if cfg.critic == "own" and cfg.bonus == "none":
        raise ConfigError("explore.critic is own, but there is no bonus to value: set explore.bonus to count or rnd")
    if cfg.critic == "own" and not combines:
        raise ConfigError("explore.critic own is for ppo, which adds two advantages: here leave it shared")
    if cfg.param_noise is not None and agent.spec.head:
        raise ConfigError(
            "explore.param_noise is for policies that draw their actions: a network of action values has policy.noisy"
        )
    if cfg.bonus == "none" and cfg.param_noise is None:
        return None
    device = next(agent.parameters()).device
    names = ("explore-bonus", "explore-critic", "explore-noise")
    order, second, noise = generators = [streams.numpy(name) for name in names]
    flat = Layout(env.observations, env.obs_dim, sees=False)
    dim = flat.vector_size
    if cfg.bonus != "none":
        flat.refuse_text(f"explore.bonus {cfg.bonus}")
    bonus: CountBonus | RandomDistillation | None = None
    if cfg.bonus == "count":
        bonus = CountBonus(_cells(env.observation_space, cfg.cell))
    elif cfg.bonus == "rnd":
        bonus = RandomDistillation(dim, cfg, streams.torch("init-bonus"), order, device)
    critic = BonusCritic(dim, cfg, streams.torch("init-critic"), second, device) if cfg.critic == "own" else None
    perturbed = None
    if cfg.param_noise is not None:
        perturbed = ParamNoise(
            agent, target=cfg.param_noise, std=cfg.param_noise_std, rate=cfg.param_noise_rate, generator=noise
        )
    made = Exploration(agent, cfg.coef, bonus, critic, perturbed, dict(zip(names, generators, strict=True)), flat)
    agent.beside[NAME] = made
    return made


def _cells(space: object, cell: float) -> float | np.ndarray | None:
    """The edges of the cells in which observations are one state; None where they are whole numbers."""
    if _discrete(space):
        return None
    if not isinstance(space, spaces.Box):
        return cell
    width = space.high.astype(np.float64).ravel() - space.low.astype(np.float64).ravel()
    return cell * np.where(np.isfinite(width) & (width > 0) & (width < 1e30), width, 1.0)


def _discrete(space: object) -> bool:
    """Whether what is observed is whole numbers."""
    if isinstance(space, spaces.Dict):
        return all(map(_discrete, space.spaces.values()))
    if isinstance(space, spaces.Tuple):
        return all(map(_discrete, space.spaces))
    if isinstance(space, spaces.Box):
        return np.issubdtype(space.dtype, np.integer)
    return isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary)


def _under(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{part}."): x for k, x in tensors.items() if k.startswith(f"{part}.")}
