"""An expert that is asked, and a learner that acts beside it: whose action is done, and what the expert says."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from operant.config.errors import ConfigError, EnvError, user_code
from operant.config.registry import is_code
from operant.control.acting import Acted, Sampler, sampler
from operant.control.agent import Agent
from operant.control.settings.imitation import DAggerConfig
from operant.control.setup_data import legal, unit_actions
from operant.data.trajectory import Trajectory
from operant.env.dataset import plain_actions, raw_observations, stacked
from operant.env.interface import Interface
from operant.env.spaces import action_dtype
from operant.run.actor import Acting
from operant.run.begin import weights
from operant.run.find import find
from operant.run.world import read_policy
from operant.workers.resolve import own_code

Array = NDArray[Any]


class Expert(Protocol):
    """Says what should be done."""

    def __call__(self, obs: Array, generator: np.random.Generator) -> Array:
        """Observations [N, D] to plain actions [N, *width], as `Actions.decode` takes them."""
        ...

    def forget(self, rows: Array | None) -> None:
        """Episodes begin in these rows [N] bool, or in all."""
        ...


class Stored:
    """The mode of a policy in a folder."""

    def __init__(self, policy: Acting) -> None:
        self.policy, self.forget = policy, policy.forget

    def __call__(self, obs: Array, generator: np.random.Generator) -> Array:
        return self.policy.decide(obs)


class Script:
    """A function of one observation as the environment gives it; of `generator` and `mask` too, where it names them."""

    def __init__(self, name: str, between: Interface) -> None:
        self.name, self.between = name, between
        self.function = own_code(name, "expert")
        try:
            self._named = {*inspect.signature(self.function).parameters} & {"generator", "mask"}
        except (TypeError, ValueError):  # it has no signature that can be read
            self._named = set[str]()

    def __call__(self, obs: Array, generator: np.random.Generator) -> Array:
        seen, space = self.between.observations, self.between.actions.space
        masks = obs[:, seen.features :] != 0
        with user_code(f"the expert {self.name}", EnvError):
            told = [
                self.function(one, **{k: {"generator": generator, "mask": mask}[k] for k in self._named})
                for one, mask in zip(raw_observations(seen, obs), masks, strict=True)
            ]
        for action in told:
            if not space.contains(action) and not space.contains(np.asarray(action, space.dtype)):
                raise EnvError(f"the expert {self.name} says {action!r:.80}, which is none of {space}")
        plain = plain_actions(self.between.actions, stacked(space, told))
        return plain.astype(action_dtype(space), copy=False)

    def forget(self, rows: Array | None) -> None:
        """A function remembers nothing that is known of."""


def expert_of(name: str, between: Interface | None, where: str) -> Expert:
    """The expert that a setting names: a run, an exported policy, one that ships, or `file.py:function`.

    Raises:
        ConfigError: if there is none, or it acts in other spaces.
    """
    if not name:
        raise ConfigError(
            "no expert to ask: name one with --algo.expert, a run's folder or FILE.py:FN, your function of an "
            "observation"
        )
    if between is None:
        raise ConfigError(f"{where} has a Dict space with keys that are neither text nor whole numbers")
    if is_code(name) and not Path(name).is_dir():
        return Script(name, between)
    folder = weights(Path(name) if Path(name).is_dir() else find(name))
    policy = read_policy(folder)
    if not isinstance(policy, Acting) or policy.interface is None:
        raise ConfigError(f"{name} is no policy that knows the spaces that it acts in: take another expert")
    its = policy.interface
    if (its.observations.space, its.actions.space) != (between.observations.space, between.actions.space):
        raise ConfigError(
            f"the expert {name} sees {its.observations.space} and does {its.actions.space}; in {where} it is "
            f"{between.observations.space} and {between.actions.space}"
        )
    return Stored(policy)


class Supervised(Sampler):
    """The learner's mode or the expert's action is done, as the corrections have it; beside it what the expert says.

    An action of the record is [what is done | what the expert says | whether the expert did it].

    Args:
        agent: the learner.
        expert: who is asked at every step.
        cfg: the settings.

    Attributes:
        beta: share of steps that the expert does ("dagger").
        level: how strong the noise is ("noise"): a deviation as a share of the range, or a share of choices.
    """

    def __init__(self, agent: Agent, expert: Expert, cfg: DAggerConfig) -> None:
        super().__init__(agent.policy)
        self.agent, self.expert, self.cfg = agent, expert, cfg
        self.beta, self.level = 1.0, 0.0
        self._plain = sampler(agent.policy, agent) if agent.remembers else Sampler(agent.policy)
        self.begin(0)

    @property
    def memory(self) -> NDArray[np.float32] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._plain.memory

    def begin(self, n: int) -> None:
        self._plain.begin(n)
        self.expert.forget(None)
        self._apart, self._held = np.zeros((2, n), np.int64)  # steps apart in a row, steps that the expert still drives

    def forget(self, rows: NDArray[np.bool_]) -> None:
        self._plain.forget(rows)
        self.expert.forget(rows)
        self._apart[rows] = self._held[rows] = 0

    @torch.no_grad()
    def __call__(self, obs: Array, generator: np.random.Generator) -> Acted:
        its, told = self.policy.distribution, self.expert(obs, generator)
        if not bool((fits := self._legal(obs, told)).all()):
            raise EnvError(f"the expert says {told[~fits][0]}, which the action mask of that state rules out")
        own = its.finish(its.mode(self._plain.parameters(obs))).cpu().numpy().astype(told.dtype, copy=False)
        drives = self._drives(own, told, generator)
        done = np.where(_wide(drives, told), told, own)
        if self.cfg.corrections == "noise":
            done = self._noisy(told, generator)
        columns = [x.reshape(len(x), -1) for x in (done, told, drives.astype(told.dtype))]
        return np.concatenate(columns, 1), np.zeros(len(obs), np.float32)

    def finish(self, action: Array) -> Array:
        width = action.shape[1] // 2
        return action[:, 0] if self.agent.spec.action_kind == "discrete" else action[:, :width]

    def labelled(self, traj: Trajectory) -> tuple[Trajectory, torch.Tensor]:
        """The expert's words as its actions, as the policy has them; and where the expert did it, [N, T]."""
        x, width = traj.action, traj.action.shape[-1] // 2
        told = x[..., 1] if self.agent.spec.action_kind == "discrete" else x[..., width : 2 * width]
        return replace(traj, action=unit_actions(self.agent, told)), (x[..., -1] != 0) & traj.acted

    def _legal(self, obs: Array, told: Array) -> NDArray[np.bool_]:
        """[N], whether the masks leave possible what the expert says."""
        x, said = (torch.from_numpy(a).to(self.device) for a in (obs, told))
        return legal(self.agent, x, said).cpu().numpy()

    def _drives(self, own: Array, told: Array, generator: np.random.Generator) -> NDArray[np.bool_]:
        """[N], where the expert's action is done."""
        if self.cfg.corrections == "noise":
            return np.ones(len(own), np.bool_)
        if self.cfg.corrections == "dagger" or self.beta == 1.0:
            return generator.random(len(own)) < self.beta
        apart = apart_of(own, told, self.agent) > self.cfg.tolerance
        self._apart = np.where(apart, self._apart + 1, 0)
        self._held = np.where(self._apart >= self.cfg.patience, self.cfg.hold, np.maximum(0, self._held - 1))
        return self._held > 0

    def _noisy(self, told: Array, generator: np.random.Generator) -> Array:
        """The expert's actions with noise on them."""
        if told.dtype == np.float32:
            noise = generator.standard_normal(told.shape, np.float32) * np.float32(self.level) * ranges(self.agent)
            return told + noise
        other = self._other(told, generator)
        return np.where(_wide(generator.random(len(told)) < self.level, told), other, told)

    def _other(self, told: Array, generator: np.random.Generator) -> Array:
        """Choices drawn evenly."""
        sizes = np.array(self.agent.spec.action_sizes)
        if self.agent.spec.action_kind == "multibinary":
            sizes = np.full(told.shape[1], 2)
        return generator.integers(0, sizes if told.ndim > 1 else sizes[0], told.shape)


def apart_of(own: Array, told: Array, agent: Agent) -> NDArray[np.float64]:
    """How far actions [N, ...] are from the expert's, [N]: 1 or 0 of choices, of numbers the worst, by its range."""
    if told.dtype == np.float32:
        return (np.abs(own - told) / ranges(agent)).max(-1).astype(np.float64)
    return (own != told).reshape(len(own), -1).any(1).astype(np.float64)


def ranges(agent: Agent) -> NDArray[np.float32]:
    """[A], by how much each number of an action may differ; 1 where it has no bounds, or is one of several spaces."""
    space: Any = None if agent.interface is None else agent.interface.actions.space
    if agent.spec.action_kind != "box" or space is None:
        return np.ones(1, np.float32)
    with np.errstate(over="ignore"):
        reach = space.high.astype(np.float32).ravel() - space.low.astype(np.float32).ravel()
    return np.where(np.isfinite(reach) & (reach > 0), reach, np.float32(1.0)).astype(np.float32)


def _wide(rows: Array, like: Array) -> Array:
    """[N] bool as wide as actions [N, ...]."""
    return rows.reshape(-1, *(1,) * (like.ndim - 1))
