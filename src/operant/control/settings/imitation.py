"""Settings of learning from demonstrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from operant.config.schema import Section
from operant.control.settings.data import DataConfig, DataRun
from operant.control.settings.gradients import OneCopyConfig
from operant.control.settings.policy import ControlRun

Likelihood = Literal["auto", "mse", "gaussian", "mixture", "flow", "categorical", "discretised"]


class CloningConfig(Section):
    """What whoever learns by maximum likelihood of an expert's actions has."""

    likelihood: Likelihood = Field(
        default="auto",
        description="of actions: mse (the mean alone), gaussian, mixture (of several), flow (from noise), discretised "
        "(bins); categorical of choices; auto is gaussian or categorical",
    )
    components: PositiveInt = Field(default=5, description="mixture: normal distributions")
    flow_steps: int = Field(default=10, description="flow: steps from noise to an action", ge=1, le=1_000)
    bins: int = Field(default=32, description="discretised: bins of each number of an action", ge=2, le=65_536)
    lr: PositiveFloat = Field(default=1e-3, description="Adam's learning rate")
    batch: PositiveInt = Field(default=128, description="decisions of a gradient step")
    max_grad_norm: PositiveFloat | None = Field(
        default=None, description="bound on the global gradient norm; none if unset"
    )
    length: PositiveInt = Field(default=32, description="steps of a piece that a policy with memory learns from")
    fused: Literal["auto", "on", "off"] = Field(
        default="auto", description="the hand-written update for small networks on a CPU"
    )


class BCConfig(CloningConfig):
    """Behaviour cloning (Pomerleau 1991): maximum likelihood of what was done."""

    updates: PositiveInt = Field(default=100, description="gradient steps for each row of metrics")


class HeldOutConfig(DataConfig):
    """The demonstrations, some of which are held out."""

    test_share: float = Field(
        default=0.1, description="share of these episodes that is held out, to test on", ge=0.0, lt=1.0
    )


class BCRun(DataRun):
    """A run of behaviour cloning."""

    unused: ClassVar[tuple[str, ...]] = (*DataRun.unused, "policy.shared")

    algorithm: str = Field(default="bc", description="name of the algorithm")
    data: HeldOutConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=HeldOutConfig
    )
    algo: BCConfig = Field(default_factory=BCConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class DAggerConfig(CloningConfig):
    """DAgger (Ross et al. 2011): an expert labels where the learner went."""

    outward: ClassVar[tuple[str, ...]] = ("expert",)
    expert: str = Field(
        default="", description="who is asked: a run or exported policy, or FILE.py:FN, your function of an observation"
    )
    corrections: Literal["dagger", "noise", "takeover"] = Field(
        default="dagger",
        description="dagger: the learner acts and the expert labels; noise: the expert acts with noise (DART); "
        "takeover: it drives where the learner is off, and its own steps count (HG-DAgger)",
    )
    round_steps: PositiveInt = Field(default=1_000, description="environment steps of a round, of all copies together")
    gradient_steps: PositiveInt = Field(default=500, description="gradient steps of a round, on all labels so far")
    capacity: PositiveInt = Field(default=1_000_000, description="labels that are kept; the oldest go first")
    beta_decay: float = Field(
        default=0.5,
        description="dagger: factor of the share of steps that the expert does, 1 in the first round",
        ge=0.0,
        le=1.0,
    )
    noise: NonNegativeFloat | None = Field(
        default=None,
        description="noise: its deviation as a share of the range, or the share of choices that it replaces; as large "
        "as the learner's error if unset",
    )
    tolerance: float = Field(
        default=0.1, description="takeover: how far off an action may be, as a share of its range", ge=0.0, le=1.0
    )
    patience: PositiveInt = Field(default=2, description="takeover: steps off in a row before the expert takes over")
    hold: PositiveInt = Field(default=5, description="takeover: steps that it then drives")


class DAggerRun(ControlRun):
    """A run of DAgger; its steps are those of the environment."""

    unused: ClassVar[tuple[str, ...]] = (
        "explore", "policy.normalize_reward", "policy.reward_clip", "policy.shared", "data.test_share", "data.test",
    )  # fmt: skip
    aliases: ClassVar[Mapping[str, str]] = DataRun.aliases

    algorithm: str = Field(default="dagger", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=10_000, description="environment steps of training")
    env: OneCopyConfig = Field(default_factory=OneCopyConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    data: DataConfig = Field(default_factory=DataConfig)
    algo: DAggerConfig = Field(default_factory=DAggerConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
