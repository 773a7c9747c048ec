"""Settings of the methods that learn a model and plan with it."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from operant.config.schema import EvalConfig
from operant.control.settings.policy import PolicyConfig
from operant.control.settings.replay import ReplayConfig, ReplayRun

MOST = 100_000
"""The largest number of plans, steps of one, networks and the like."""


class PETSConfig(ReplayConfig):
    """Probabilistic ensembles with trajectory sampling (Chua et al. 2018)."""

    lr: PositiveFloat = Field(default=1e-3, description="Adam's learning rate")
    batch: PositiveInt = Field(default=256, description="decisions of a gradient step, for each network")
    capacity: PositiveInt = Field(default=100_000, description="decisions that are kept; the oldest go first")
    learning_starts: PositiveInt = Field(default=200, description="environment steps at random before the first fit")
    train_freq: PositiveInt = Field(default=50, description="steps of each copy between two fits of the model")
    gradient_steps: PositiveInt = Field(default=100, description="gradient steps of a fit")
    updates: PositiveInt = Field(default=4, description="fits for each row of metrics")
    models: PositiveInt = Field(default=5, description="B, networks, each with a bootstrap of the data of its own")
    weight_decay: NonNegativeFloat = Field(default=5e-5, description="AdamW's decay of their weights")
    planner: Literal["cross-entropy", "path-integral"] = Field(
        default="cross-entropy", description="what refits plans to those that bring more"
    )
    horizon: PositiveInt = Field(default=25, description="H, steps of a plan")
    population: PositiveInt = Field(default=200, description="plans of an iteration")
    elites: PositiveInt = Field(default=20, description="plans that the cross-entropy method refits to")
    iterations: PositiveInt = Field(default=5, description="of drawing and refitting, at each step")
    particles: PositiveInt = Field(default=20, description="P, on which a plan is tried; a multiple of models")
    propagation: Literal["ts-infinity", "ts-1"] = Field(
        default="ts-infinity", description="whether a particle keeps its network, or another is drawn each step"
    )
    temperature: PositiveFloat = Field(default=0.1, description="λ of path integrals, in deviations of returns")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("models", "horizon", "population", "iterations", "particles"):
            if getattr(self, name) > MOST:
                raise ValueError(f"{name} is {getattr(self, name)}: give {MOST:,} at most")
        if self.particles % self.models:
            raise ValueError(f"particles {self.particles} is no multiple of models {self.models}: give one that is")
        if self.elites > self.population:
            raise ValueError(f"elites {self.elites} are more than population {self.population}: give fewer")
        return self


class ModelPolicyConfig(PolicyConfig):
    """The networks of the model; there are no others."""

    hidden: tuple[PositiveInt, ...] = Field(default=(200, 200, 200), description="widths of the model's hidden layers")


class PlannerEvalConfig(EvalConfig):
    """How a policy is measured that takes long to decide."""

    episodes: PositiveInt = Field(default=10, description="episodes of the final evaluation")
    during: PositiveInt = Field(default=3, description="episodes of an evaluation in training")


class PETSRun(ReplayRun):
    """A run of PETS."""

    unused: ClassVar[tuple[str, ...]] = (
        *(f"policy.{name}" for name in PolicyConfig.model_fields if name != "hidden"), "explore", "algo.discount",
        "algo.n", "algo.priority", "algo.priority_alpha", "algo.priority_beta", "algo.hindsight", "algo.hindsight_k",
    )  # fmt: skip
    algorithm: str = Field(default="pets", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=5_000, description="environment steps")
    policy: ModelPolicyConfig = Field(default_factory=ModelPolicyConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    algo: PETSConfig = Field(default_factory=PETSConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    eval: PlannerEvalConfig = Field(default_factory=PlannerEvalConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
