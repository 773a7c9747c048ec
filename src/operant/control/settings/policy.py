"""Settings that every run of deep reinforcement learning has; torch-free, so help and errors are instant."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt

from operant.config.schema import CopiesConfig, RunConfig, Section
from operant.control.settings.explore import ExploreConfig


class PolicyConfig(Section):
    """The networks, and the normalisation that is stored with them."""

    network: str = Field(
        default="mlp",
        description="mlp; for pictures nature-cnn, impala-resnet, minatar-cnn or grid-cnn; or file.py:make: your "
        "make(obs_dim) returns a torch module from observations to features",
    )
    text: Literal["gru", "transformer"] = Field(default="gru", description="what reads a text that is observed")
    text_size: PositiveInt = Field(default=64, description="numbers for each of its words or characters")
    join: Literal["concat", "film", "gated", "cross-attention"] = Field(
        default="concat",
        description="how a text meets what is seen: beside its features, or, in the maps of pictures, by a scale and a "
        "shift for each channel, a gate for each, or by attention of each place to the words",
    )
    memory: Literal["none", "lstm", "gru"] = Field(
        default="none", description="a recurrent layer, for what one observation does not show"
    )
    memory_size: PositiveInt = Field(default=128, description="units of the recurrent layer")
    memory_span: float | None = Field(
        default=None,
        gt=2.0,
        allow_inf_nan=False,
        description="steps over which it is to remember, with which its gates begin (chrono initialisation); if unset "
        "half of what it holds is gone after each step at first",
    )
    shared: bool | None = Field(
        default=None,
        description="whether actor and critic have one trunk; if unset they do where it sees pictures",
    )
    hidden: tuple[PositiveInt, ...] = Field(
        default=(64, 64),
        description="widths of the hidden layers, actor and critic each, behind what sees or remembers; behind "
        "convolutions alone there are none",
    )
    activation: Literal["tanh", "relu"] = Field(default="tanh", description="non-linearity between the layers")
    log_std_init: FiniteFloat = Field(default=0.0, description="initial log standard deviation of continuous actions")
    std: Literal["parameter", "network"] = Field(
        default="parameter", description="whether that deviation is a parameter, or the network gives it for each state"
    )
    squash: bool = Field(
        default=False, description="squash continuous actions into their bounds (tanh), in place of clipping them"
    )
    normalize_obs: bool = Field(
        default=False, description="divide observations by running statistics, kept in the policy file"
    )
    obs_clip: PositiveFloat = Field(default=10.0, description="bound on normalised observations")
    normalize_reward: bool = Field(
        default=False,
        description="divide rewards by the running deviation of the discounted return, kept in the policy file",
    )
    reward_clip: PositiveFloat = Field(default=10.0, description="bound on normalised rewards")


class ControlRun(RunConfig):
    """A run of deep reinforcement learning: copies of an environment, networks, and where they live."""

    device: str = Field(default="cpu", description="where the networks live: cpu, cuda, cuda:1, …")
    env: CopiesConfig = Field(default_factory=CopiesConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
    explore: ExploreConfig = Field(default_factory=ExploreConfig)
