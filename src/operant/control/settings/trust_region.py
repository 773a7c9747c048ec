"""Settings of the methods that step in what the policy does: natural gradient, TRPO, PPO under a bound on costs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from operant.config.schema import Section
from operant.control.settings.policy import ControlRun


class NaturalConfig(Section):
    """What natural gradient and TRPO share; the defaults are those of sb3-contrib's TRPO."""

    horizon: PositiveInt = Field(default=256, description="steps collected from each environment before an update")
    discount: float = Field(default=0.99, description="γ, weight of the next step's value", ge=0.0, le=1.0)
    lam: float = Field(default=0.95, description="λ of generalised advantage estimation", ge=0.0, le=1.0)
    whiten: bool = Field(default=True, description="shift and scale advantages to mean 0, deviation 1 in each update")
    radius: PositiveFloat = Field(default=0.01, description="δ, the mean KL divergence that an update may come to")
    damping: NonNegativeFloat = Field(default=0.1, description="added to the diagonal of the Fisher information")
    iterations: PositiveInt = Field(default=15, description="products with the Fisher information for one direction")
    critic_lr: PositiveFloat = Field(default=1e-3, description="the critic's learning rate, Adam's")
    critic_epochs: PositiveInt = Field(default=10, description="passes of the critic over the collected steps")
    batch: PositiveInt = Field(default=128, description="steps in a minibatch of the critic")
    adam_eps: PositiveFloat = Field(default=1e-5, description="Adam's ε")


class NaturalGradientConfig(NaturalConfig):
    """Natural policy gradient (Kakade 2001)."""

    lr: PositiveFloat | None = Field(
        default=None, description="length of the step F⁻¹g; where unset, the one whose quadratic divergence is radius"
    )


class NaturalGradientRun(ControlRun):
    """A run of natural policy gradient."""

    algorithm: str = Field(default="natural-gradient", description="name of the algorithm")
    algo: NaturalGradientConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=NaturalGradientConfig
    )


class TRPOConfig(NaturalConfig):
    """Trust region policy optimisation (Schulman et al. 2015, arXiv:1502.05477)."""

    sampling: Literal["single-path", "vine"] = Field(
        default="single-path",
        description="vine: from some states of a path, whose simulator is stored, several actions are tried",
    )
    states: PositiveInt = Field(default=32, description="vine: states of a path from which actions are tried")
    branches: int = Field(default=8, description="vine: actions tried in each of them", ge=2)
    length: PositiveInt = Field(default=32, description="vine: steps of each try, behind which the critic speaks")
    shrink: float = Field(default=0.8, description="by what the line search shortens its step", gt=0.0, lt=1.0)
    tries: PositiveInt = Field(default=10, description="steps that the line search tries")


class TRPORun(ControlRun):
    """A run of TRPO."""

    algorithm: str = Field(default="trpo", description="name of the algorithm")
    algo: TRPOConfig = Field(default_factory=TRPOConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class LagrangianConfig(Section):
    """PPO under a bound on costs (Ray et al. 2019): a Lagrange multiplier weighs them, and learns."""

    horizon: PositiveInt = Field(default=256, description="steps collected from each environment before an update")
    batch: PositiveInt = Field(default=256, description="steps in a minibatch")
    epochs: PositiveInt = Field(default=10, description="passes over the collected steps, of policy and critics")
    discount: float = Field(default=0.99, description="γ of rewards and of costs", ge=0.0, le=1.0)
    lam: float = Field(default=0.95, description="λ of generalised advantage estimation, of both", ge=0.0, le=1.0)
    lr: PositiveFloat = Field(default=3e-4, description="Adam's learning rate at the start, of policy and critic")
    lr_schedule: Literal["constant", "linear"] = Field(default="linear", description="linear falls to 0 at total_steps")
    adam_eps: PositiveFloat = Field(default=1e-5, description="Adam's ε")
    clip: PositiveFloat = Field(default=0.2, description="how far the probability ratio may leave 1")
    value_coef: NonNegativeFloat = Field(default=1.0, description="weight of the value loss, ½(V - target)²")
    entropy_coef: NonNegativeFloat = Field(default=0.0, description="weight of the entropy bonus")
    max_grad_norm: PositiveFloat = Field(default=0.5, description="bound on the global gradient norm")
    whiten: bool = Field(default=True, description="shift and scale advantages to mean 0, deviation 1 in a minibatch")
    cost_limit: float = Field(
        default=25.0, description="d: what info['cost'] may sum to in an episode, on average", allow_inf_nan=False
    )
    cost_lr: PositiveFloat = Field(default=1e-3, description="the learning rate of the critic of costs, Adam's")
    multiplier: NonNegativeFloat = Field(default=0.0, description="weight of the costs at the start")
    multiplier_lr: PositiveFloat = Field(
        default=0.01, description="by how much the weight rises for each unit of cost above the limit, per update"
    )


class LagrangianRun(ControlRun):
    """A run of PPO under a bound on costs."""

    algorithm: str = Field(default="ppo-lagrangian", description="name of the algorithm")
    algo: LagrangianConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=LagrangianConfig
    )
