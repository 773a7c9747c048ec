"""Settings of proximal policy optimisation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from operant.config.schema import Section
from operant.control.settings.policy import ControlRun


class PPOConfig(Section):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347)."""

    horizon: PositiveInt = Field(default=256, description="steps collected from each environment before an update")
    batch: PositiveInt = Field(default=256, description="steps in a minibatch")
    epochs: PositiveInt = Field(default=10, description="passes over the collected steps")
    discount: float = Field(default=0.99, description="γ, weight of the next step's value", ge=0.0, le=1.0)
    lam: float = Field(default=0.95, description="λ of generalised advantage estimation", ge=0.0, le=1.0)
    lr: PositiveFloat = Field(default=3e-4, description="Adam's learning rate at the start")
    lr_schedule: Literal["constant", "linear"] = Field(default="linear", description="linear falls to 0 at total_steps")
    adam_eps: PositiveFloat = Field(default=1e-5, description="Adam's ε")
    objective: Literal["clip", "kl-fixed", "kl-adaptive", "none"] = Field(
        default="clip",
        description="what keeps the policy near the one that sampled: clipped ratios, a penalty on the KL divergence "
        "of fixed or adapted weight, or nothing",
    )
    clip: PositiveFloat = Field(default=0.2, description="how far the probability ratio may fall below 1, at the start")
    clip_high: PositiveFloat | None = Field(
        default=None, description="how far it may rise above 1; equal to clip when unset"
    )
    clip_schedule: Literal["constant", "linear"] = Field(
        default="constant", description="linear falls to 0 at total_steps"
    )
    kl_coef: PositiveFloat = Field(
        default=1.0, description="β, weight of the KL penalty; of an adapted one at the start"
    )
    kl_target: PositiveFloat = Field(
        default=0.01, description="kl-adaptive: β is halved below this divergence / 1.5, doubled above it · 1.5"
    )
    value_coef: NonNegativeFloat = Field(default=1.0, description="weight of the value loss, ½(V - target)²")
    value_clip: PositiveFloat | None = Field(
        default=None, description="bound on the change of the value estimate; off if unset"
    )
    entropy_coef: NonNegativeFloat = Field(default=0.0, description="weight of the entropy bonus")
    max_grad_norm: PositiveFloat = Field(default=0.5, description="bound on the global gradient norm")
    target_kl: PositiveFloat | None = Field(
        default=None, description="end an update after an epoch whose mean KL exceeds this; off if unset"
    )
    whiten: bool = Field(
        default=True, description="shift and scale advantages to mean 0, deviation 1 in each minibatch"
    )
    fidelity: Literal["operant", "baselines"] = Field(
        default="operant", description="baselines: treat a time limit as a termination, as openai/baselines did"
    )
    fused: Literal["auto", "on", "off"] = Field(
        default="auto", description="the hand-written update for small networks on a CPU"
    )


class PPORun(ControlRun):
    """A run of PPO."""

    algorithm: str = Field(default="ppo", description="name of the algorithm")
    algo: PPOConfig = Field(default_factory=PPOConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
