"""Settings of the methods that learn from a data set."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pydantic import Field, PositiveInt

from operant.config.schema import Section
from operant.control.settings.policy import ControlRun


class DataConfig(Section):
    """The data set that is learnt from."""

    outward: ClassVar[tuple[str, ...]] = ("path", "test")
    path: str = Field(
        default="", description="its folder, in Minari's format, or its name among those that Minari keeps"
    )
    episodes: PositiveInt | None = Field(default=None, description="only its first so many episodes; all if unset")
    best: float = Field(default=1.0, description="only this share of them, the best by return", gt=0.0, le=1.0)
    test_share: float = Field(
        default=0.0, description="share of these episodes that is held out, to test on", ge=0.0, lt=1.0
    )
    test: str = Field(default="", description="a data set to test on, in place of such a share")


class DataRun(ControlRun):
    """A run of a method that learns from a data set: its steps are gradient steps."""

    unused: ClassVar[tuple[str, ...]] = ("explore", "env.num", "policy.normalize_reward", "policy.reward_clip")
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({"from": "init_from", "data": "data.path"})

    total_steps: PositiveInt = Field(default=10_000, description="gradient steps of training")
    data: DataConfig = Field(default_factory=DataConfig)
