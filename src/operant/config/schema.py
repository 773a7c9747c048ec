"""What a person may set. Frozen pydantic models; nothing here imports torch, so help and errors are instant.

Every field carries its help text. Unknown keys are refused. `resolve.py` says where each value came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from operant.config.wrappers import parsed

LARGEST = 2**53
"""Whole numbers beyond it are no counts or seeds, and float64 does not hold them."""


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and non-finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    outward: ClassVar[tuple[str, ...]] = ()
    """Settings that name what lies beyond a run: code, models, files, servers, keys (`operant.run.made_here`)."""

    @field_validator("*")
    @classmethod
    def _counts(cls, value: Any) -> Any:
        """Refuse whole numbers that run.json could not hold."""
        for number in value if isinstance(value, tuple) else (value,):
            if type(number) is int and abs(number) > LARGEST:
                raise ValueError(f"{number} is too large: expected a whole number up to {LARGEST:,} (2⁵³)")
        return value


class EnvConfig(Section):
    """The environment."""

    outward: ClassVar[tuple[str, ...]] = ("id",)
    id: str = Field(default="", description="Gymnasium id, or module:callable that returns an environment")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="keyword arguments for the environment")


class CopiesConfig(EnvConfig):
    """The environment and how many copies of it are stepped together."""

    num: PositiveInt = Field(default=8, description="copies stepped together")
    backend: Literal["auto", "compiled", "batched", "native", "inprocess", "envpool", "process"] = Field(
        default="auto",
        description="who vectorises: compiled classic control, Gymnasium's own vector form, batched for whichever of "
        "the two steps all copies in one call, a loop in this process, EnvPool, or worker processes",
    )
    action_mask: str = Field(
        default="",
        description='where the environment says which actions are legal: info, for info["action_mask"], or a key of '
        "its observations; no masks if empty",
    )
    wrappers: tuple[str, ...] = Field(
        default=(),
        description="texts of the wrappers around each copy, the first innermost, as in docs/environments.md; or atari "
        "for all that Atari is played through",
    )
    workers: PositiveInt | None = Field(default=None, description="worker processes; as many as cores if unset")
    timeout: PositiveFloat = Field(
        default=60.0, description="seconds after which a worker process that does not answer is ended and restarted"
    )
    restarts: NonNegativeInt = Field(
        default=10, description="restarts of worker processes within restart_window steps; at one more the run fails"
    )
    restart_window: PositiveInt = Field(
        default=10_000, description="steps of all copies that so many restarts may take"
    )

    @field_validator("wrappers")
    @classmethod
    def _wrappers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parsed(value)
        return value


class EpisodesConfig(EnvConfig):
    """The environment in one copy, whose episodes have a limit."""

    max_steps: PositiveInt = Field(
        default=1_000, description="steps after which an episode is cut, unless the environment cuts it sooner"
    )


class EvalConfig(Section):
    """How the policy is measured."""

    episodes: PositiveInt = Field(default=100, description="episodes of the final evaluation")
    every: PositiveInt | None = Field(
        default=None, description="environment steps between evaluations in training; off if unset"
    )
    during: PositiveInt = Field(default=10, description="episodes of an evaluation in training")
    deterministic: bool = Field(default=True, description="take the mode of the policy instead of a sample")
    seed: int = Field(default=1_000_003, description="first seed of the evaluation episodes", ge=0)
    copies: PositiveInt = Field(
        default=16,
        description="copies of the environment stepped together; 1 where there can be but one",
    )
    max_steps: PositiveInt = Field(
        default=27_000,
        description="steps after which an episode that has not ended is cut, and told of; the longest of Atari's have "
        "as many",
    )


class SaveConfig(Section):
    """What the run folder keeps."""

    every: PositiveInt | None = Field(
        default=None,
        description="environment steps between checkpoints; a tenth of total_steps, at least 50,000, if unset",
    )
    keep: PositiveInt = Field(default=3, description="checkpoints kept, beside the best")
    nth: PositiveInt | None = Field(default=None, description="also keep every n-th checkpoint for ever; off if unset")
    videos: bool = Field(default=True, description="record the last policy when training ends")
    report: bool = Field(default=True, description="write report.html when training ends")


class RunConfig(Section):
    """Everything that decides what a run does, whatever the algorithm; each algorithm has a class of its own.

    `target` is the setting that says what is trained on: the word after the algorithm on the command line. `kind` is
    that of the policies it trains (`operant.config.registry.POLICIES`); `papers` are the algorithm's named variants.
    `unused` are settings and sections that it takes, as its kin do, and does not use: they are not offered.
    `aliases` are other names of settings.
    """

    target: ClassVar[tuple[str, ...]] = ("env", "id")
    kind: ClassVar[str] = "networks"
    papers: ClassVar[Mapping[str, Section]] = MappingProxyType({})
    unused: ClassVar[tuple[str, ...]] = ()
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({"from": "init_from"})
    outward: ClassVar[tuple[str, ...]] = ("init_from",)

    algorithm: str = Field(default="", description="name of the algorithm")
    seed: int = Field(default=1, description="the one seed from which all randomness flows", ge=0)
    total_steps: PositiveInt = Field(default=100_000, description="environment steps of training")
    init_from: str = Field(
        default="", description="run or policy whose weights training begins with (also --from); new ones if empty"
    )
    stop_at: float | None = Field(
        default=None,
        description="end training when the mean return of the last 100 training episodes reaches this; off if unset",
    )
    track: Literal["tensorboard", "trackio", "wandb"] | None = Field(
        default=None, description="mirror the rows of metrics to it; off if unset"
    )
    threads: PositiveInt = Field(default=1, description="threads torch may use; small networks are fastest with one")
    env: EnvConfig = Field(default_factory=EnvConfig)
    algo: Section = Field(default_factory=Section)
    eval: EvalConfig = Field(default_factory=EvalConfig)
    save: SaveConfig = Field(default_factory=SaveConfig)
