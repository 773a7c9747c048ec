"""Settings of the actor–critics that learn from a replay."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from operant.control.settings.policy import PolicyConfig
from operant.control.settings.replay import ReplayConfig, ReplayRun


class ReplayPolicyConfig(PolicyConfig):
    """The networks: wider ones than on policy, of rectified units."""

    hidden: tuple[PositiveInt, ...] = Field(
        default=(256, 256), description="widths of the hidden layers, actor and critics each"
    )
    activation: Literal["tanh", "relu"] = Field(default="relu", description="non-linearity between the layers")


class ReplayActorCriticConfig(ReplayConfig):
    """What actor–critics have in common that learn from a replay."""

    critic_lr: PositiveFloat | None = Field(
        default=None, description="the critics' learning rate; equal to lr when unset"
    )
    tau: float = Field(default=0.005, description="τ, the share of the way that targets go at a time", gt=0.0, le=1.0)
    max_grad_norm: PositiveFloat | None = Field(
        default=None, description="bound on the norm of each gradient; none if unset"
    )
    length: PositiveInt = Field(default=32, description="steps of a piece that a policy with memory learns from")
    burn_in: NonNegativeInt = Field(
        default=8, description="steps at the head of a piece that memory is only warmed up on"
    )


class ReplayActorCriticRun(ReplayRun):
    """A run of an actor–critic that learns from a replay."""

    unused: ClassVar[tuple[str, ...]] = ("policy.std", "policy.squash", "policy.log_std_init")
    policy: ReplayPolicyConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ReplayPolicyConfig
    )


# ---------------------------------------------------------------------------------------------------- deterministic
class DDPGConfig(ReplayActorCriticConfig):
    """Deep deterministic policy gradient (Lillicrap et al. 2016)."""

    lr: PositiveFloat = Field(default=1e-3, description="Adam's learning rate")
    noise: Literal["none", "gaussian", "ou"] = Field(
        default="gaussian", description="what is added to actions that explore; ou: Ornstein–Uhlenbeck"
    )
    noise_std: NonNegativeFloat = Field(default=0.1, description="its deviation σ; actions lie in [-1, 1]")
    noise_theta: float = Field(
        default=0.15, description="θ of noise ou: the share of it that a step takes away", gt=0.0, le=1.0
    )
    fused: Literal["auto", "on", "off"] = Field(
        default="auto", description="the hand-written update for perceptrons on a CPU"
    )


class DDPGRun(ReplayActorCriticRun):
    """A run of DDPG."""

    algorithm: str = Field(default="ddpg", description="name of the algorithm")
    algo: DDPGConfig = Field(default_factory=DDPGConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class TD3Config(DDPGConfig):
    """Twin delayed DDPG (Fujimoto et al. 2018)."""

    critics: PositiveInt = Field(default=2, description="networks of Q; the lowest is the target's")
    delay: PositiveInt = Field(default=2, description="steps of the critics for one of policy and targets")
    smoothing: NonNegativeFloat = Field(default=0.2, description="deviation of the noise on the target's action")
    smoothing_clip: PositiveFloat = Field(default=0.5, description="bound on that noise")


class TD3Run(ReplayActorCriticRun):
    """A run of TD3."""

    algorithm: str = Field(default="td3", description="name of the algorithm")
    algo: TD3Config = Field(default_factory=TD3Config)  # pyright: ignore[reportIncompatibleVariableOverride]


# ---------------------------------------------------------------------------------------------------- soft
class SoftConfig(ReplayActorCriticConfig):
    """What soft actor–critics have in common."""

    critics: PositiveInt = Field(default=2, description="networks of Q; the lowest is the target's")
    temperature: Literal["automatic", "fixed"] = Field(
        default="automatic", description="automatic: α is moved until the entropy is its target"
    )
    alpha: NonNegativeFloat = Field(default=1.0, description="α, weight of the entropy: at the start, or fixed")
    alpha_lr: PositiveFloat | None = Field(default=None, description="learning rate of α; equal to lr when unset")
    alpha_step: Literal["log", "linear"] = Field(
        default="log", description="what α's loss is linear in: log α, or α itself as in the paper"
    )

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.temperature == "automatic" and self.alpha == 0.0:
            raise ValueError("alpha is 0, and temperature automatic moves it by factors: give alpha, or fix it")
        return self


class SACConfig(SoftConfig):
    """Soft actor–critic (Haarnoja et al. 2018)."""

    target_entropy: float | None = Field(
        default=None, description="entropy in nats that α is moved for; minus the numbers of an action if unset"
    )
    choice_entropy: float = Field(
        default=0.5, description="the same of choices, a share of that of even ones; they have an α of their own",
        ge=0.0, le=1.0,
    )  # fmt: skip
    fused: Literal["auto", "on", "off"] = Field(
        default="auto", description="the hand-written update for perceptrons on a CPU"
    )


class SACRun(ReplayActorCriticRun):
    """A run of SAC."""

    algorithm: str = Field(default="sac", description="name of the algorithm")
    algo: SACConfig = Field(default_factory=SACConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class CrossQConfig(SoftConfig):
    """CrossQ (Bhatt et al. 2024): SAC without targets, with batch renormalisation in the critics."""

    lr: PositiveFloat = Field(default=1e-3, description="Adam's learning rate")
    adam_beta: float = Field(default=0.5, description="Adam's β₁, of policy and critics", ge=0.0, lt=1.0)
    target_entropy: float | None = Field(
        default=None, description="entropy in nats that α is moved for; minus the numbers of an action if unset"
    )
    delay: PositiveInt = Field(default=3, description="steps of the critics for one of policy and temperature")
    norm_rate: float = Field(
        default=0.01, description="share of the way that running averages go to a batch's", gt=0.0, le=1.0
    )
    norm_warmup: NonNegativeInt = Field(
        default=100_000, description="gradient steps until running averages correct a batch's own"
    )


class CrossQRun(ReplayActorCriticRun):
    """A run of CrossQ."""

    unused: ClassVar[tuple[str, ...]] = (*ReplayActorCriticRun.unused, "algo.tau")
    algorithm: str = Field(default="crossq", description="name of the algorithm")
    algo: CrossQConfig = Field(default_factory=CrossQConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class DiscreteSACConfig(SoftConfig):
    """Soft actor–critic of discrete choices (Christodoulou 2019)."""

    target_entropy: float = Field(
        default=0.5, description="entropy that α is moved for, a share of that of an even choice", ge=0.0, le=1.0
    )


class DiscreteSACRun(ReplayActorCriticRun):
    """A run of discrete SAC."""

    algorithm: str = Field(default="discrete-sac", description="name of the algorithm")
    algo: DiscreteSACConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=DiscreteSACConfig
    )
