"""Settings of the actor–critics that learn from older policies."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from operant.control.settings.gradients import GradientConfig
from operant.control.settings.policy import ControlRun


class OffPolicyConfig(GradientConfig):
    """What actor–critics that learn from older policies have in common."""

    horizon: PositiveInt = Field(default=20, description="steps collected from each environment before an update")
    lam: float = Field(default=0.95, description="λ: how far an advantage, and the target, look ahead", ge=0.0, le=1.0)
    value_coef: NonNegativeFloat = Field(default=0.5, description="weight of the value loss, ½(V - target)²")
    whiten: bool = Field(default=False, description="shift and scale the weights of a segment to mean 0, deviation 1")
    max_grad_norm: PositiveFloat | None = Field(
        default=0.5, description="bound on the global gradient norm; none if unset"
    )
    updates: PositiveInt = Field(default=8, description="segments collected for each row of metrics")


class ImpalaConfig(OffPolicyConfig):
    """V-trace actor–critic (Espeholt et al. 2018, IMPALA), its actors in lockstep with the learner."""

    lag: NonNegativeInt = Field(
        default=1, description="updates by which the actors' policy is older than the learner's"
    )
    queue: PositiveInt = Field(default=1, description="segments that the actors fill the queue with before an update")
    clip_rho: PositiveFloat = Field(default=1.0, description="ρ̄, bound on the ratio: says whose value is learnt")
    clip_c: PositiveFloat = Field(default=1.0, description="c̄, bound on the trace: says how far errors travel")
    lam: float = Field(default=1.0, description="λ, a factor of the trace; 1 is the paper's", ge=0.0, le=1.0)
    entropy_coef: NonNegativeFloat = Field(default=0.01, description="weight of the entropy bonus")


class ImpalaRun(ControlRun):
    """A run of the V-trace actor–critic."""

    algorithm: str = Field(default="impala", description="name of the algorithm")
    algo: ImpalaConfig = Field(default_factory=ImpalaConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class OffPolicyActorCriticConfig(OffPolicyConfig):
    """Actor–critic on its own past, weighed by importance ratios."""

    ratio: Literal["none", "step", "per-decision", "per-trajectory"] = Field(
        default="step",
        description="none: as if the past were new; step: π/μ of each decision; per-decision: of all up to a reward; "
        "per-trajectory: of the whole episode in the segment",
    )
    truncation: PositiveFloat | None = Field(
        default=1.0, description="bound on each ratio, and on each product of them; none if unset"
    )
    replay: NonNegativeInt = Field(default=32, description="past segments that are kept; 0 learns from new ones alone")
    reuse: PositiveInt = Field(
        default=4, description="gradient steps on past segments, drawn at random, for each on a new one"
    )


class OffPolicyActorCriticRun(ControlRun):
    """A run of the off-policy actor–critic."""

    algorithm: str = Field(default="off-policy-actor-critic", description="name of the algorithm")
    algo: OffPolicyActorCriticConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=OffPolicyActorCriticConfig
    )
