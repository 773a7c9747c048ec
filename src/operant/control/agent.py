"""The agent: everything that acts and values, in one file that an evaluation cannot load by halves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from operant.config.bounded import load_json
from operant.config.errors import ConfigError, NonFiniteError
from operant.config.registry import TRUST
from operant.control.mlp import ACTIVATIONS, MLP
from operant.control.network import OwnNetwork
from operant.control.normalizer import ObsNormalizer, RewardScale
from operant.control.policies import BernoulliPolicy, CategoricalPolicy, Critic, MultiCategoricalPolicy, NormalPolicy
from operant.data.trajectory import Metrics, Obs
from operant.env.interface import Interface
from operant.env.spaces import ActionKind
from operant.run.actor import Acting
from operant.run.disk import fits_memory, save_tensors
from operant.run.train_state import Kept

AnyPolicy = CategoricalPolicy | NormalPolicy | MultiCategoricalPolicy | BernoulliPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """The shape of an agent; `policy.json` beside the weights."""

    obs_dim: int
    action_kind: ActionKind
    action_sizes: tuple[int, ...]  # (K,) for discrete and multibinary, (A,) for box, each component's for multidiscrete
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    log_std_init: float = 0.0
    obs_clip: float | None = None  # None: observations are not normalised
    reward_clip: float | None = None  # None: rewards are not normalised
    network: str = ""  # `file.py:make` or `module:make`, a module from observations to features in place of `hidden`
    observation_space: dict[str, Any] | None = field(default=None, hash=False)  # as `encode_space` writes it
    action_space: dict[str, Any] | None = field(default=None, hash=False)

    def as_json(self) -> dict[str, Any]:
        """What `policy.json` holds; a network is named only where it is a person's own."""
        optional = ("network", "observation_space", "action_space")
        return {key: value for key, value in asdict(self).items() if key not in optional or value}

    def interface(self) -> Interface | None:
        """What stands between the environment's spaces and the agent; None where the spaces are not known.

        Raises:
            ValueError: if they are no spaces, or not those of such an agent.
        """
        found = Interface.decoded(self.observation_space, self.action_space)
        if found is None:
            return None
        width = () if self.action_kind == "discrete" else (len(self.action_sizes),)
        width = self.action_sizes if self.action_kind in ("box", "multibinary") else width
        if found.observations.numbers != self.obs_dim or (found.actions.kind, found.actions.width) != (
            self.action_kind,
            width,
        ):
            raise ValueError("policy.json: its spaces are of another agent")
        return found


class Agent(Acting, nn.Module):
    """A policy, a critic and the statistics that normalise their inputs.

    Args:
        spec: sizes and switches.
        generator: where the initial weights come from; None leaves them to be loaded.

    Attributes:
        beside: what training needs besides and only checkpoints keep, each in a file of its own: counts, past segments.
        bonus_advantage: [N, T], β times the advantage of the last segment's bonuses where these have a critic of their
            own (`operant.control.explore`), else None.
    """

    def __init__(self, spec: AgentSpec, generator: torch.Generator | None = None) -> None:
        super().__init__()
        gen = generator or torch.Generator().manual_seed(0)
        self.spec = spec
        self.beside: dict[str, Kept] = {}
        self.bonus_advantage: Tensor | None = None
        self.interface = spec.interface()
        self.normalizer = None if spec.obs_clip is None else ObsNormalizer(spec.obs_dim, spec.obs_clip)
        self.reward_scale = None if spec.reward_clip is None else RewardScale(spec.reward_clip)
        outputs = sum(spec.action_sizes)
        self.policy: AnyPolicy = _policy(spec, _network(spec, outputs, 0.01, gen), self.normalizer)
        self.critic = Critic(_network(spec, 1, 1.0, gen), self.normalizer)

    @torch.no_grad()
    def decide(self, obs: Any, *, generator: np.random.Generator | None = None) -> np.ndarray:
        """The policy's own action for [D] or [N, D] numbers: its mode, or a sample where `generator` is given.

        Raises:
            NonFiniteError: if an observation holds a NaN or an infinity.
        """
        x = self._input(obs)
        rows = x.reshape(-1, self.spec.obs_dim)
        action = self.policy.mode(rows) if generator is None else self.policy.sample(rows, generator)[0]
        return action.reshape((*x.shape[:-1], *action.shape[1:])).cpu().numpy()

    @torch.no_grad()
    def estimate(self, obs: Any) -> np.ndarray:
        """V of [D] or [N, D] numbers, in the units of the environment's reward."""
        value = self.critic(self._input(obs))
        scale = 1.0 if self.reward_scale is None else self.reward_scale.deviation
        return (value * scale).cpu().numpy()

    def know(self, interface: Interface) -> None:
        """Learn the environment's spaces, which are then part of the policy file."""
        self.interface, self.spec = interface, replace(self.spec, **interface.encoded())

    def observe(self, obs: Obs) -> None:
        """Take observations [S, D] into the running statistics, where there are some."""
        if self.normalizer is not None and isinstance(obs, Tensor):
            self.normalizer.update(obs)

    def combined(self, adv: Tensor) -> Tensor:
        """A + β A_bonus, [N, T], where a bonus has a critic of its own, else A (Burda et al. 2018, section 2.3)."""
        return adv if self.bonus_advantage is None else adv + self.bonus_advantage

    def stats(self) -> Metrics:
        """Of the policy as it stands: the mean standard deviation of a normal one."""
        policy = self.policy
        return {"policy/std": policy.log_std.detach().exp().mean()} if isinstance(policy, NormalPolicy) else {}

    def stored(self) -> dict[str, Tensor]:
        """The tensors of `model.safetensors` by name: parameters and running statistics, not copied."""
        return {name: x.detach() for name, x in self.state_dict().items() if not _repeated(name)}

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `policy.json` into `folder`."""
        save_tensors({name: x.clone() for name, x in self.stored().items()}, folder / "model.safetensors")
        (folder / "policy.json").write_text(json.dumps(self.spec.as_json(), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path, *, trust: bool = False) -> Agent:
        """Read what `save` wrote. `trust` imports the code that it names as its network.

        Raises:
            ConfigError: if a file is missing or is not an agent's, or it names code and is not trusted.
        """
        try:
            raw = load_json(folder / "policy.json")
            raw |= {key: tuple(raw[key]) for key in ("action_sizes", "hidden")}
            tensors = load_file(fits_memory(folder / "model.safetensors"))
            spec = AgentSpec(**raw)
            if not trust and spec.network:
                raise ConfigError(f"{folder}: its network is Python code, {spec.network!r}. {TRUST}")
            if weights(spec) > sum(x.numel() for x in tensors.values()):
                raise ValueError("model.safetensors does not fit policy.json: it is smaller")
            agent = cls(spec)
            missing, unknown = agent.load_state_dict(tensors, strict=False)
            if unknown or (missing := [name for name in missing if not _repeated(name)]):
                raise ValueError(f"model.safetensors does not fit policy.json: {[*missing, *unknown]}")
        except (OSError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise ConfigError(f"{folder}: not a readable policy ({error})") from error
        return agent

    def _input(self, obs: Any) -> Tensor:
        if self.interface is not None and getattr(obs, "dtype", None) == np.uint8:
            obs = self.interface.observations.floats(obs)
        x = np.asarray(obs, dtype=np.float32)
        if x.shape[-1:] != (self.spec.obs_dim,):
            raise ValueError(f"obs has shape {x.shape}; its last dimension must be {self.spec.obs_dim}")
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x.reshape(-1, self.spec.obs_dim)))[0]
            which = f"observation {row} of {x.size // self.spec.obs_dim}" if x.ndim > 1 else "the observation"
            raise NonFiniteError(f"{which} is not finite: number {column} is {x.reshape(-1, x.shape[-1])[row, column]}")
        return torch.as_tensor(x, device=next(self.parameters()).device)


def weights(spec: AgentSpec) -> int:
    """How many weights the matrices of policy and critic have, counted before any is made.

    Raises:
        ValueError: if the spec cannot be of an agent: a width that is not a positive whole number, a bound that is no
            number, an unknown activation.
    """
    if spec.activation not in ACTIVATIONS or spec.action_kind not in get_args(ActionKind):
        raise ValueError(f"policy.json: unknown activation {spec.activation!r} or action_kind {spec.action_kind!r}")
    if any(type(x) not in (int, float, NoneType) for x in (spec.log_std_init, spec.obs_clip, spec.reward_clip)):
        raise ValueError("policy.json: log_std_init, obs_clip or reward_clip is no number")
    widths = (spec.obs_dim, *spec.hidden)
    if any(type(n) is not int or n < 1 for n in (*widths, *spec.action_sizes)):
        raise ValueError("policy.json: a width is not a positive whole number")
    outputs = sum(spec.action_sizes)
    if type(spec.network) is not str:
        raise ValueError("policy.json: network is no name")
    if spec.network:  # its own weights are not known before it is made
        return 0
    return 2 * sum(a * b for a, b in pairwise(widths)) + widths[-1] * (outputs + 1)


def _repeated(name: str) -> bool:
    """Policy and critic hold the agent's normaliser; it is stored once, as `normalizer`."""
    return name.startswith(("policy.normalizer.", "critic.normalizer."))


def _network(spec: AgentSpec, outputs: int, out_gain: float, generator: torch.Generator) -> MLP | OwnNetwork:
    if spec.network:
        return OwnNetwork(spec.network, spec.obs_dim, outputs, out_gain=out_gain, generator=generator)
    return MLP((spec.obs_dim, *spec.hidden, outputs), spec.activation, out_gain=out_gain, generator=generator)


def _policy(spec: AgentSpec, net: MLP | OwnNetwork, normalizer: ObsNormalizer | None) -> AnyPolicy:
    match spec.action_kind:
        case "discrete":
            return CategoricalPolicy(net, normalizer)
        case "box":
            return NormalPolicy(net, normalizer, spec.action_sizes[0], spec.log_std_init)
        case "multidiscrete":
            return MultiCategoricalPolicy(net, normalizer, spec.action_sizes)
        case "multibinary":
            return BernoulliPolicy(net, normalizer)
        case "composite":
            raise ValueError("policy.json: there is no policy for a composite action")
