"""Settings of the methods that learn from what was stored."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from operant.config.schema import Section
from operant.control.settings.gradients import OneStepRun


class ReplayConfig(Section):
    """What every method has that draws transitions from a replay."""

    discount: float = Field(default=0.99, description="γ, weight of the next step's value", ge=0.0, le=1.0)
    lr: PositiveFloat = Field(default=3e-4, description="Adam's learning rate")
    lr_schedule: Literal["constant", "linear"] = Field(
        default="constant", description="linear falls to 0 at total_steps, from one row of metrics to the next"
    )
    batch: PositiveInt = Field(default=256, description="transitions of a gradient step")
    capacity: PositiveInt = Field(
        default=1_000_000,
        description="rows that are kept: transitions, and last observations of episodes; the oldest go first",
    )
    learning_starts: PositiveInt = Field(
        default=1_000, description="environment steps at random before the first gradient step"
    )
    train_freq: PositiveInt = Field(default=1, description="steps of each copy between two turns of learning")
    gradient_steps: PositiveInt = Field(default=1, description="gradient steps of a turn of learning")
    n: PositiveInt = Field(default=1, description="rewards summed before the value of what follows them")
    priority: Literal["none", "proportional"] = Field(
        default="none", description="none: all transitions are equally likely; proportional: by their last |TD error|"
    )
    priority_alpha: float = Field(
        default=0.6, description="α, exponent of the TD error; 0 is a uniform draw", ge=0.0, le=1.0
    )
    priority_beta: float = Field(
        default=0.4,
        description="β of the importance weights at the start; it rises to 1 at total_steps",
        ge=0.0,
        le=1.0,
    )
    hindsight: Literal["none", "future", "final", "episode"] = Field(
        default="none",
        description="of observations with desired_goal and achieved_goal: learn as if the goal were what was reached "
        "later, in the end, or ever in the episode",
    )
    hindsight_k: PositiveInt = Field(default=4, description="transitions with such a goal for each with its own")
    keep_replay: bool = Field(
        default=True,
        description="whether checkpoints hold what was stored; without, a resumed run stores anew and differs",
    )
    stored_in: Literal["memory", "disk"] = Field(
        default="memory",
        description="disk: in files under $TMPDIR or /var/tmp, of which memory holds what is used, for more than it",
    )
    updates: PositiveInt = Field(default=128, description="turns of learning for each row of metrics")


class StoredConfig(Section):
    """A data set that is stored before the first step."""

    outward: ClassVar[tuple[str, ...]] = ("path",)
    path: str = Field(
        default="", description="a data set, in Minari's format, that the replay holds before the first step"
    )
    episodes: PositiveInt | None = Field(default=None, description="only its first so many episodes; all if unset")


class ReplayRun(OneStepRun):
    """A run of a method that learns from what was stored, of one copy unless more are asked for."""

    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({"from": "init_from", "data": "data.path"})
    data: StoredConfig = Field(default_factory=StoredConfig)
    algo: ReplayConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ReplayConfig
    )
