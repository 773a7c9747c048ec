"""The shape of an agent, as `policy.json` holds it: sizes, switches and the spaces it acts between."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from math import isfinite
from types import NoneType
from typing import Any, Literal, get_args

import numpy as np
import torch
from gymnasium import spaces

from operant.config.errors import ConfigError
from operant.control.action_values import Greedy
from operant.control.composite import Composite
from operant.control.deterministic import Deterministic
from operant.control.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    MultiCategorical,
    Normal,
)
from operant.control.flow import STEPS, Flow
from operant.control.mlp import ACTIVATIONS
from operant.control.multimodal import Discretised, Mixture
from operant.control.networks.convolutional import CONVOLUTIONAL, refuse_small
from operant.control.networks.layout import Layout
from operant.control.networks.text import JOINS
from operant.env.interface import Interface
from operant.env.spaces import ActionKind, Actions

OPTIONAL = (
    "network", "memory", "memory_size", "shared", "std", "squash", "critics", "observation_space", "action_space",
    "action_mask", "head", "atoms", "value_min", "value_max", "dueling", "noisy", "layer_norm", "batch_renorm",
    "components", "bins", "flow", "text", "text_size", "join",
)  # fmt: skip
"""Of a spec, what `policy.json` leaves out where it is as in a perceptron that sees a vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """The shape of an agent; `policy.json` beside the weights."""

    obs_dim: int
    action_kind: ActionKind
    action_sizes: tuple[int, ...]
    """(K,) for discrete and multibinary, (A,) for box, each component's for multidiscrete, composite columns."""
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    log_std_init: float = 0.0
    obs_clip: float | None = None  # None: observations are not normalised
    reward_clip: float | None = None  # None: rewards are not normalised
    network: str = ""  # one that sees, or `file.py:make`, a module from vectors to features; a perceptron if empty
    memory: Literal["", "lstm", "gru"] = ""
    memory_size: int = 0
    shared: bool = False  # whether policy and critic have one trunk
    std: Literal["parameter", "network", "none"] = "parameter"  # "none": continuous actions are not drawn
    squash: bool = False  # whether continuous actions are squashed into their bounds
    critics: int = 0  # networks of Q(s, a); 0: one of V(s)
    observation_space: dict[str, Any] | None = field(default=None, hash=False)  # as `encode_space` writes it
    action_space: dict[str, Any] | None = field(default=None, hash=False)
    action_mask: str = ""  # where it comes from
    head: Literal["", "q", "c51", "qr"] = ""  # of a network of action values, which acts greedily; no such one if empty
    atoms: int = 0  # numbers for each action, of c51 and qr
    value_min: float = 0.0  # the first atom of c51
    value_max: float = 0.0  # the last one
    dueling: bool = False  # whether values and advantages have a stream each
    noisy: float = 0.0  # σ₀ of noisy layers
    layer_norm: bool = False  # whether its hidden layers are normed
    batch_renorm: bool = False  # whether networks of Q(s, a) norm what goes into their layers
    components: int = 0  # of a mixture of normal distributions for continuous actions; 0: one
    bins: int = 0  # into which each number of a continuous action falls; 0: it has a density
    flow: int = 0  # steps from noise to a continuous action; 0: it does not flow
    text: Literal["", "gru", "transformer"] = ""  # by what it reads; "" where nothing is said
    text_size: int = 0  # numbers for a word
    join: Literal["", "concat", "film", "gated", "cross-attention"] = ""  # how what is said meets what is seen

    def as_json(self) -> dict[str, Any]:
        """What `policy.json` holds: what is not beyond a perceptron that sees a vector is left out."""
        usual = {f.name: f.default for f in fields(self) if f.name in OPTIONAL}
        return {key: value for key, value in asdict(self).items() if key not in usual or value != usual[key]}

    @property
    def own(self) -> bool:
        """Whether its network is a person's own code."""
        return bool(self.network) and self.network not in CONVOLUTIONAL

    @property
    def deep(self) -> bool:
        """Whether there is a trunk: something that sees, reads or remembers."""
        return bool(self.network or self.memory or self.text)

    def interface(self) -> Interface | None:
        """What stands between the environment's spaces and the agent; None where the spaces are not known.

        Raises:
            ValueError: if they are no spaces, or not those of such an agent.
        """
        found = Interface.decoded(self.observation_space, self.action_space, self.action_mask)
        if found is None:
            return None
        width = () if self.action_kind == "discrete" else (len(self.action_sizes),)
        width = self.action_sizes if self.action_kind in ("box", "multibinary", "composite") else width
        if found.observations.dim != self.obs_dim or (found.actions.kind, found.actions.width) != (
            self.action_kind,
            width,
        ):
            raise ValueError("policy.json: its spaces are of another agent")
        return found

    def layout(self, interface: Interface | None) -> Layout:
        """What the numbers of a row are."""
        observations = None if interface is None else interface.observations
        return Layout(observations, self.obs_dim, sees=self.network in CONVOLUTIONAL)

    def distribution(self, interface: Interface | None) -> Distribution:
        """Of its actions.

        Raises:
            ValueError: if it needs the environment's spaces and they are not known.
            ConfigError: if actions without finite bounds are to be squashed.
        """
        if self.head:
            return self.greedy()
        if interface is not None:
            return self._of(interface.actions.space)
        if self.squash or self.bins or self.action_kind == "composite":
            raise ValueError("policy.json: such actions need the action space, and none is written down")
        match self.action_kind:
            case "discrete":
                return Categorical(self.action_sizes[0])
            case "multidiscrete":
                return MultiCategorical(self.action_sizes)
            case "multibinary":
                return Bernoulli(self.action_sizes[0])
            case _:
                return self._humps(self.action_sizes[0])

    def greedy(self) -> Greedy:
        """The distribution of a network of action values.

        Raises:
            ConfigError: if its actions are not one choice of several.
        """
        if not self.head or self.action_kind != "discrete":
            raise ConfigError(
                f"a network of action values chooses one action of several, a Discrete space, and these are "
                f"{self.action_kind}: train ppo or sac"
            )
        atoms = 1 if self.head == "q" else self.atoms
        return Greedy(self.action_sizes[0], self.head, atoms, self.value_min, self.value_max)

    def _of(self, space: Any) -> Distribution:
        if isinstance(space, spaces.Dict | spaces.Tuple):
            if self.components or self.bins or self.flow:
                raise ConfigError(f"a mixture, bins or a flow are of a Box of actions, and these are {space}")
            inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
            return Composite([self._of(one) for one in inner])
        sizes = action_sizes(space)
        if isinstance(space, spaces.Discrete):
            return Categorical(sizes[0])
        if isinstance(space, spaces.MultiDiscrete):
            return MultiCategorical(sizes)
        if isinstance(space, spaces.MultiBinary):
            return Bernoulli(sizes[0])
        if not (self.squash or self.bins or self.components or self.flow):
            return self._normal(sizes[0])
        with np.errstate(over="ignore"):
            reach = space.high.astype(np.float32) - space.low.astype(np.float32)
        low, high = (torch.from_numpy(x.astype(np.float32).ravel()) for x in (space.low, space.high))
        if self.components or self.flow:
            return self._humps(sizes[0], *((low, high) if np.isfinite(reach).all() and (reach > 0).all() else ()))
        if not np.isfinite(reach).all():
            what, instead = ("policy.squash", "leave it off")
            if self.bins:
                what, instead = "likelihood discretised", "take gaussian or mixture"
            if self.critics or self.std == "none":
                what = "the method squashes actions, which"
                instead = "bound them in the environment (gymnasium.wrappers.RescaleAction), or use ppo"
            raise ConfigError(f"{what} needs finite bounds, and the actions are {space}: {instead}")
        return Discretised(sizes[0], self.bins, low, high) if self.bins else self._normal(sizes[0], low, high)

    def _humps(self, size: int, *bounds: torch.Tensor) -> Distribution:
        """Of numbers that are not squashed."""
        if self.flow:
            return Flow(size, self.flow, *bounds)
        return Mixture(size, self.components, *bounds) if self.components else self._normal(size)

    def _normal(self, size: int, *bounds: torch.Tensor) -> Normal:
        if self.std == "none":
            return Deterministic(size, "none", 0.0, *bounds)
        return Normal(size, self.std, self.log_std_init, *bounds)


def weights(spec: AgentSpec) -> int:
    """How many weights the matrices of policy and critic have at least, counted before any is made.

    Raises:
        ValueError: if the spec cannot be of an agent: a width that is not a positive whole number, a bound that is no
            number, an unknown activation.
        ConfigError: if its network is none for its pictures.
    """
    if spec.activation not in ACTIVATIONS or spec.action_kind not in get_args(ActionKind):
        raise ValueError(f"policy.json: unknown activation {spec.activation!r} or action_kind {spec.action_kind!r}")
    if any(type(x) not in (int, float, NoneType) for x in (spec.log_std_init, spec.obs_clip, spec.reward_clip)):
        raise ValueError("policy.json: log_std_init, obs_clip or reward_clip is no number")
    widths = (spec.obs_dim, *spec.hidden)
    if any(type(n) is not int or n < 1 for n in (*widths, *spec.action_sizes)):
        raise ValueError("policy.json: a width is not a positive whole number")
    if type(spec.network) is not str or type(spec.action_mask) is not str:
        raise ValueError("policy.json: network or action_mask is no name")
    if spec.memory not in ("", "lstm", "gru") or spec.std not in ("parameter", "network", "none"):
        raise ValueError(f"policy.json: unknown memory {spec.memory!r} or std {spec.std!r}")
    if any(type(x) is not bool for x in (spec.shared, spec.squash, spec.batch_renorm)):
        raise ValueError("policy.json: shared, squash or batch_renorm is neither true nor false")
    if type(spec.critics) is not int or spec.critics < 0:
        raise ValueError("policy.json: critics is no count")
    if any(type(x) is not int or x < 0 for x in (spec.components, spec.bins, spec.flow)) or spec.flow > STEPS:
        raise ValueError("policy.json: components, bins or flow is no count")
    if type(spec.memory_size) is not int or spec.memory_size < (1 if spec.memory else 0):
        raise ValueError("policy.json: memory_size is not a positive whole number")
    _check_values(spec)
    if spec.deep:
        return _recurrent(spec) + _reading(spec) + (_convolutional(spec) if spec.network in CONVOLUTIONAL else 0)
    outputs = sum(spec.action_sizes) * max(1, spec.atoms)
    inputs = spec.layout(spec.interface()).vector_size
    widths = (inputs, *spec.hidden)
    if spec.action_kind == "composite" or spec.std == "network" or spec.components or spec.bins or spec.flow:
        outputs = max(1, spec.components, spec.bins)  # at least
    actor = sum(a * b for a, b in pairwise(widths)) + widths[-1] * outputs
    if spec.head:
        return actor
    chooses = spec.action_kind == "discrete"
    beside, told = (0, sum(spec.action_sizes)) if chooses else (sum(spec.action_sizes), 1)
    if not spec.critics:
        beside, told = 0, 1
    widths = (inputs + beside, *spec.hidden, told)
    return actor + max(1, spec.critics) * sum(a * b for a, b in pairwise(widths))


def _check_values(spec: AgentSpec) -> None:
    """Refuse what cannot be of a network of action values, or of any other."""
    if spec.head not in ("", "q", "c51", "qr") or any(type(x) is not bool for x in (spec.dueling, spec.layer_norm)):
        raise ValueError(f"policy.json: unknown head {spec.head!r}, or dueling or layer_norm is neither true nor false")
    least = {"c51": 2, "qr": 1}.get(spec.head, 0)
    if type(spec.atoms) is not int or spec.atoms < least or (least == 0 and spec.atoms):
        raise ValueError("policy.json: atoms is not a whole number that its head can have")
    numbers = (spec.value_min, spec.value_max, spec.noisy)
    if any(type(x) not in (int, float) or not isfinite(x) for x in numbers) or spec.noisy < 0:
        raise ValueError("policy.json: value_min, value_max or noisy is no number")
    if spec.head == "c51" and spec.value_min >= spec.value_max:
        raise ValueError("policy.json: value_min is not below value_max")


def _recurrent(spec: AgentSpec) -> int:
    gates = {"": 0, "lstm": 4, "gru": 3}[spec.memory]
    return gates * spec.memory_size**2 * _trunks(spec)


def _reading(spec: AgentSpec) -> int:
    """Weights of what reads, at least.

    Raises:
        ValueError: if its settings are none, or nothing is said in its observations.
    """
    scripts = spec.layout(spec.interface()).scripts
    known = spec.text in ("gru", "transformer") and (spec.join == "concat" or spec.join in JOINS)
    fits = known and type(spec.text_size) is int and spec.text_size >= 1
    if bool(scripts) != fits or not (fits or (spec.text, spec.text_size, spec.join) == ("", 0, "")):
        raise ValueError("policy.json: unknown text, text_size or join, or none where there is text to read")
    return sum((script.count + spec.text_size) * spec.text_size for script in scripts) * _trunks(spec)


def _trunks(spec: AgentSpec) -> int:
    return 1 if spec.shared or spec.head else 2


def _convolutional(spec: AgentSpec) -> int:
    """Weights of the convolutions and what follows them, from shapes alone."""
    count = 0
    with torch.device("meta"):
        for picture in spec.layout(spec.interface()).pictures:
            channels, height, width = picture.size
            refuse_small(spec.network, f"the observation{picture.name}", height, width)
            module = CONVOLUTIONAL[spec.network](channels, height, width, torch.Generator("cpu"))
            count += sum(p.numel() for p in module.parameters())
    return count * _trunks(spec)


def action_sizes(space: Any) -> tuple[int, ...]:
    """What an action is made of, as `AgentSpec.action_sizes` says it.

    Args:
        space: of one kind of `operant.env.spaces.action_kind`.
    """
    match space:
        case spaces.Discrete():
            return (int(space.n),)
        case spaces.MultiDiscrete():
            return tuple(int(n) for n in space.nvec.ravel())
        case spaces.Dict() | spaces.Tuple():
            return (int(Actions(space).width[0]),)
        case _:
            return (int(np.prod(space.shape)),)
