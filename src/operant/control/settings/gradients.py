"""Settings of REINFORCE and of the actor–critic methods."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from operant.config.schema import CopiesConfig, Section
from operant.control.settings.policy import ControlRun


class GradientConfig(Section):
    """What every method that follows the policy gradient has."""

    discount: float = Field(default=0.99, description="γ, weight of the next step's value", ge=0.0, le=1.0)
    discount_weight: bool = Field(
        default=False,
        description="weigh each decision by γ^t of its time in the episode: the gradient of the discounted objective",
    )
    lr: PositiveFloat = Field(default=1e-3, description="learning rate at the start")
    critic_lr: PositiveFloat | None = Field(
        default=None, description="the critic's learning rate at the start; equal to lr when unset"
    )
    lr_schedule: Literal["constant", "linear"] = Field(
        default="constant", description="linear falls to 0 at total_steps"
    )
    optimizer: Literal["adam", "rmsprop", "sgd"] = Field(default="adam", description="who takes the step")
    optimizer_eps: PositiveFloat = Field(default=1e-5, description="ε of Adam and RMSprop")
    entropy_coef: NonNegativeFloat = Field(default=0.0, description="weight of the entropy bonus")
    max_grad_norm: PositiveFloat | None = Field(
        default=None, description="bound on the global gradient norm; none if unset"
    )
    updates: PositiveInt = Field(default=1, description="gradient steps for each row of metrics")


# ---------------------------------------------------------------------------------------------------- REINFORCE
class ReinforceConfig(GradientConfig):
    """REINFORCE (Williams 1992) on whole episodes."""

    weighting: Literal["return", "to-go"] = Field(
        default="to-go",
        description="return: Σ γ^i r_i of the episode at every decision (γ^t is in it); to-go: of what follows it",
    )
    baseline: Literal["none", "average", "learnt"] = Field(
        default="learnt", description="average: exponential, over updates; learnt: V(s), by a network"
    )
    average_rate: float = Field(default=0.1, description="weight of the newest update in the average", gt=0.0, le=1.0)
    critic_target: Literal["mc", "td", "lambda"] = Field(default="mc", description="what V(s) is taught")
    lam: float = Field(default=0.95, description="λ of critic_target lambda", ge=0.0, le=1.0)
    critic_steps: PositiveInt = Field(default=1, description="gradient steps of the critic for each of the policy")
    episodes: PositiveInt = Field(default=1, description="whole episodes of each copy for a gradient step")
    horizon: PositiveInt = Field(
        default=32, description="steps between two looks whether every copy has its episodes; the rest is thrown away"
    )
    longest: PositiveInt = Field(
        default=10_000, description="steps after which a copy's episodes must be whole; the run fails if one goes on"
    )
    whiten: bool = Field(default=False, description="shift and scale the weights to mean 0, deviation 1")


class ReinforceRun(ControlRun):
    """A run of REINFORCE."""

    algorithm: str = Field(default="reinforce", description="name of the algorithm")
    algo: ReinforceConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ReinforceConfig
    )


# ---------------------------------------------------------------------------------------------------- one step
class OneCopyConfig(CopiesConfig):
    """The environment, in one copy unless more are asked for."""

    num: PositiveInt = Field(default=1, description="copies stepped together")


class OneStepRun(ControlRun):
    """A run of a method that learns from every step of one environment."""

    env: OneCopyConfig = Field(default_factory=OneCopyConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class ActorCriticConfig(GradientConfig):
    """One-step actor–critic (Sutton and Barto 2018, figure 13.3)."""

    discount_weight: bool = Field(default=True, description="I = γ^t, which weighs both steps as the figure has it")
    optimizer: Literal["adam", "rmsprop", "sgd"] = Field(
        default="sgd", description="who takes the step; the figure's is sgd"
    )
    updates: PositiveInt = Field(default=128, description="gradient steps for each row of metrics")


class ActorCriticRun(OneStepRun):
    """A run of one-step actor–critic."""

    algorithm: str = Field(default="actor-critic", description="name of the algorithm")
    algo: ActorCriticConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ActorCriticConfig
    )


class OnlineActorCriticConfig(GradientConfig):
    """The online actor–critic: the critic's step, then the advantage, then the policy's."""

    critic_first: bool = Field(
        default=True, description="evaluate the advantage after the critic's step, as the algorithm has it"
    )
    updates: PositiveInt = Field(default=128, description="gradient steps for each row of metrics")


class OnlineActorCriticRun(OneStepRun):
    """A run of the online actor–critic."""

    algorithm: str = Field(default="online-actor-critic", description="name of the algorithm")
    algo: OnlineActorCriticConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=OnlineActorCriticConfig
    )


class QActorCriticConfig(GradientConfig):
    """Q actor–critic: Q(s, a) is taught by SARSA and weighs the policy's gradient."""

    weighting: Literal["q", "advantage"] = Field(
        default="q", description="q: Q(s, a); advantage: Q(s, a) − Σ_a π(a|s) Q(s, a)"
    )
    updates: PositiveInt = Field(default=128, description="gradient steps for each row of metrics")


class QActorCriticRun(OneStepRun):
    """A run of Q actor–critic."""

    algorithm: str = Field(default="q-actor-critic", description="name of the algorithm")
    algo: QActorCriticConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=QActorCriticConfig
    )


# ---------------------------------------------------------------------------------------------------- A2C, A3C
class SegmentConfig(GradientConfig):
    """One gradient step for a segment of a few steps (Mnih et al. 2016)."""

    horizon: PositiveInt = Field(default=5, description="steps collected from each environment before an update")
    weighting: Literal["td", "td-n", "gae"] = Field(
        default="gae", description="what weighs each decision; gae with lam 1 is the paper's"
    )
    n: PositiveInt = Field(default=5, description="rewards summed by weighting td-n")
    lam: float = Field(default=1.0, description="λ of gae, and of critic_target lambda", ge=0.0, le=1.0)
    critic_target: Literal["mc", "td", "lambda"] = Field(default="lambda", description="what V(s) is taught")
    lr: PositiveFloat = Field(default=7e-4, description="learning rate at the start")
    optimizer: Literal["adam", "rmsprop", "sgd"] = Field(default="rmsprop", description="who takes the step")
    value_coef: NonNegativeFloat = Field(default=1.0, description="weight of the value loss, ½(V - target)²")
    max_grad_norm: PositiveFloat | None = Field(
        default=0.5, description="bound on the global gradient norm; none if unset"
    )
    whiten: bool = Field(default=False, description="shift and scale advantages to mean 0, deviation 1 in each update")
    updates: PositiveInt = Field(default=32, description="gradient steps for each row of metrics")


class A2CConfig(SegmentConfig):
    """Advantage actor–critic (Mnih et al. 2016), all copies in step."""

    fused: Literal["auto", "on", "off"] = Field(
        default="auto", description="the hand-written update for small networks on a CPU"
    )


class A2CRun(ControlRun):
    """A run of A2C."""

    algorithm: str = Field(default="a2c", description="name of the algorithm")
    algo: A2CConfig = Field(default_factory=A2CConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class A3CConfig(SegmentConfig):
    """Asynchronous advantage actor–critic (Mnih et al. 2016)."""

    workers: PositiveInt = Field(default=4, description="processes, each with env.num copies of the environment")
    mode: Literal["asynchronous", "lockstep"] = Field(
        default="asynchronous",
        description="asynchronous: each steps the shared parameters when it is ready, so no run is like another; "
        "lockstep: all take their gradients at the same parameters, which are stepped in order, bit for bit",
    )
    timeout: PositiveFloat = Field(
        default=300.0, description="seconds in which a worker must have made the gradient steps of a row"
    )


class A3CRun(OneStepRun):
    """A run of A3C."""

    algorithm: str = Field(default="a3c", description="name of the algorithm")
    algo: A3CConfig = Field(default_factory=A3CConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
