"""Settings of the methods that learn values from a data set, without the environment."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from operant.config.schema import Section
from operant.control.settings.continuous import (
    ReplayActorCriticConfig,
    ReplayPolicyConfig,
    SACConfig,
    TD3Config,
)
from operant.control.settings.data import DataRun
from operant.control.settings.values import ValuesConfig

COLLECTING = (
    "algo.capacity", "algo.learning_starts", "algo.train_freq", "algo.gradient_steps", "algo.priority",
    "algo.priority_alpha", "algo.priority_beta", "algo.hindsight", "algo.hindsight_k", "algo.keep_replay",
    "algo.stored_in",
)  # fmt: skip
"""What actor–critics with a replay have that collect for it: here it is filled once."""
POLICY = ("policy.std", "policy.squash", "policy.log_std_init", "policy.shared")


class NormalisedPolicyConfig(ReplayPolicyConfig):
    """The same networks, for observations that are normalised by what the data hold."""

    normalize_obs: bool = Field(
        default=True, description="divide observations by the data's statistics, kept in the policy file"
    )


class OfflineRun(DataRun):
    """A run of a method that learns action values from a data set."""

    unused: ClassVar[tuple[str, ...]] = ("explore", "env.num", *COLLECTING, *POLICY)
    total_steps: PositiveInt = Field(default=30_000, description="gradient steps of training")
    policy: NormalisedPolicyConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=NormalisedPolicyConfig
    )
    algo: ReplayActorCriticConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ReplayActorCriticConfig
    )


# ---------------------------------------------------------------------------------------------------- TD3+BC
class TD3BCConfig(TD3Config):
    """TD3 with behaviour cloning (Fujimoto and Gu 2021)."""

    lr: PositiveFloat = Field(default=3e-4, description="Adam's learning rate")
    alpha: NonNegativeFloat = Field(
        default=2.5, description="α, the size of the values beside the distance from the data; 0 clones"
    )
    clone: NonNegativeFloat = Field(
        default=1.0, description="weight of the distance from the data's actions; 0 leaves TD3"
    )


class TD3BCRun(OfflineRun):
    """A run of TD3+BC."""

    unused: ClassVar[tuple[str, ...]] = (*OfflineRun.unused, "algo.noise", "algo.noise_std", "algo.noise_theta")
    algorithm: str = Field(default="td3-bc", description="name of the algorithm")
    algo: TD3BCConfig = Field(default_factory=TD3BCConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


# ---------------------------------------------------------------------------------------------------- CQL
class CQLConfig(SACConfig):
    """Conservative Q-learning (Kumar et al. 2020), on soft actor–critic."""

    lr: PositiveFloat = Field(default=1e-4, description="Adam's learning rate, of the policy and of α")
    critic_lr: PositiveFloat | None = Field(
        default=3e-4, description="the critics' learning rate; equal to lr when unset"
    )
    conservative: NonNegativeFloat = Field(
        default=2.5,
        description="weight of the penalty beside ½ (Q − y)²; of code without the ½, as the authors' with 5, half",
    )
    samples: PositiveInt = Field(
        default=10, description="actions of each kind that estimate the integral: even ones, the policy's here and next"
    )
    entropy_backup: bool = Field(default=False, description="whether targets hold the worth of the entropy, as SAC's")


class CQLRun(OfflineRun):
    """A run of CQL."""

    unused: ClassVar[tuple[str, ...]] = (*OfflineRun.unused, "algo.fused", "algo.choice_entropy")
    algorithm: str = Field(default="cql", description="name of the algorithm")
    algo: CQLConfig = Field(default_factory=CQLConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


# ---------------------------------------------------------------------------------------------------- IQL
class IQLConfig(ReplayActorCriticConfig):
    """Implicit Q-learning (Kostrikov, Nair and Levine 2021)."""

    critics: PositiveInt = Field(default=2, description="networks of Q; the lowest is believed")
    expectile: float = Field(
        default=0.7, description="τ, which expectile of the data's values V is; ½ is the mean", gt=0.0, lt=1.0
    )
    inverse_temperature: NonNegativeFloat = Field(
        default=3.0, description="β, how much better actions count more in the clone; 0 clones"
    )


class IQLRun(OfflineRun):
    """A run of IQL."""

    algorithm: str = Field(default="iql", description="name of the algorithm")
    algo: IQLConfig = Field(default_factory=IQLConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


# ---------------------------------------------------------------------------------------------------- discrete CQL
class OfflineValuesConfig(ValuesConfig):
    """A network of action values, for observations that are normalised by what the data hold."""

    head: Literal["q"] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default="q", description="what is learnt of each action: its value"
    )
    normalize_obs: bool = Field(
        default=True, description="divide observations by the data's statistics, kept in the policy file"
    )


class DiscreteCQLConfig(ReplayActorCriticConfig):
    """Conservative Q-learning of choices (Kumar et al. 2020), on double DQN."""

    conservative: NonNegativeFloat = Field(default=1.0, description="weight of the penalty beside the TD error's loss")
    backup: Literal["greedy", "softmax"] = Field(
        default="greedy",
        description="what follows is worth its best action, as in double DQN, or the mean over softmax(Q), whose value "
        "is then never above the truth",
    )
    loss: Literal["huber", "squared"] = Field(
        default="huber", description="of the TD error: squared up to 1 and linear beyond, or squared"
    )


class DiscreteCQLRun(DataRun):
    """A run of discrete CQL."""

    unused: ClassVar[tuple[str, ...]] = ("explore", "env.num", *COLLECTING, *POLICY, "algo.critic_lr")
    algorithm: str = Field(default="discrete-cql", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=30_000, description="gradient steps of training")
    policy: OfflineValuesConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=OfflineValuesConfig
    )
    algo: DiscreteCQLConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=DiscreteCQLConfig
    )


# ---------------------------------------------------------------------------------------------------- decisions
class DecisionTransformerConfig(Section):
    """The decision transformer (Chen et al. 2021): cloning that is told what return followed."""

    context: int = Field(default=20, description="steps that it looks back on", ge=1, le=1_000)
    layers: PositiveInt = Field(default=3, description="blocks of the transformer")
    heads: PositiveInt = Field(default=1, description="heads of its attention, which divide width")
    width: PositiveInt = Field(default=128, description="numbers of a token")
    target: float | None = Field(
        default=None, description="the return that it asks for when it acts; the best of the data if unset"
    )
    lr: PositiveFloat = Field(default=1e-4, description="AdamW's learning rate")
    warmup: NonNegativeInt = Field(default=1_000, description="gradient steps in which the learning rate rises to it")
    weight_decay: NonNegativeFloat = Field(default=1e-4, description="AdamW's weight decay")
    batch: PositiveInt = Field(default=64, description="pieces of episodes in a gradient step")
    max_grad_norm: PositiveFloat | None = Field(
        default=0.25, description="bound on the global gradient norm; none if unset"
    )
    updates: PositiveInt = Field(default=100, description="gradient steps for each row of metrics")


class DecisionTransformerRun(DataRun):
    """A run of the decision transformer."""

    unused: ClassVar[tuple[str, ...]] = (
        *DataRun.unused, *POLICY, "policy.memory", "policy.memory_size", "policy.memory_span", "policy.hidden",
        "policy.activation", "data.test", "data.test_share",
    )  # fmt: skip
    algorithm: str = Field(default="decision-transformer", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=30_000, description="gradient steps of training")
    policy: NormalisedPolicyConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=NormalisedPolicyConfig
    )
    algo: DecisionTransformerConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=DecisionTransformerConfig
    )
