"""Settings of adversarial imitation and inverse reinforcement learning: GAIL and AIRL."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from operant.config.schema import Section
from operant.control.settings.data import DataConfig
from operant.control.settings.ppo import PPORun


class AdversaryConfig(Section):
    """The discriminator between expert and learner."""

    sees: Literal["state-action", "state"] = Field(
        default="state-action", description="what it, or AIRL's reward, is a function of"
    )
    hidden: tuple[PositiveInt, ...] = Field(default=(64, 64), description="widths of its hidden layers")
    lr: PositiveFloat = Field(default=3e-4, description="its learning rate, Adam's")
    batch: PositiveInt = Field(default=256, description="steps of the expert, and of the learner, in a minibatch")
    epochs: PositiveInt = Field(default=1, description="passes over the learner's steps of each segment")
    gradient_penalty: NonNegativeFloat = Field(
        default=0.0,
        description="weight of the penalty on its gradient between expert and learner, (‖∇‖ - 1)²; with it there is no "
        "rest where both are alike",
    )
    absorbing: bool = Field(
        default=True,
        description="whether behind an end there is a state of which it judges; else an end is worth 0, and what is "
        "learnt depends on the sign of the reward",
    )
    normalize_obs: bool = Field(default=True, description="divide what it sees by running statistics")


class GAILConfig(AdversaryConfig):
    """The discriminator of GAIL (Ho and Ermon 2016), and what it pays."""

    reward: Literal["gail", "gail2", "airl"] = Field(
        default="gail",
        description="what the learner is paid: -log(1 - D), above 0; log D, below 0; or their sum, the logit",
    )


class AIRLConfig(AdversaryConfig):
    """The discriminator of AIRL (Fu et al. 2018), made of a reward and a potential."""


class AdversaryRun(PPORun):
    """A run of PPO against a discriminator."""

    unused: ClassVar[tuple[str, ...]] = ("data.test", "data.test_share")
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({"from": "init_from", "data": "data.path"})

    data: DataConfig = Field(default_factory=DataConfig)
    discriminator: AdversaryConfig = Field(default_factory=AdversaryConfig)


class GAILRun(AdversaryRun):
    """A run of GAIL."""

    algorithm: str = Field(default="gail", description="name of the algorithm")
    discriminator: GAILConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=GAILConfig
    )


class AIRLRun(AdversaryRun):
    """A run of AIRL."""

    algorithm: str = Field(default="airl", description="name of the algorithm")
    discriminator: AIRLConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=AIRLConfig
    )
