"""The settings of runs on robots; torch-free, so help and errors are instant."""

from __future__ import annotations

from pydantic import Field, PositiveInt, field_validator

from operant.config.randomise import ranges
from operant.config.schema import RunConfig, Section
from operant.control.settings.ppo import PPOConfig, PPORun


class ADRConfig(Section):
    """Automatic domain randomisation (OpenAI 2019, arXiv:1910.07113, algorithm 1)."""

    limits: str = Field(
        default="", description="parameters, each with its least and largest value: mass 0.2 5 latency 0 4"
    )
    high: float | None = Field(default=None, description="t_H: the mean return at which a bound is widened")
    low: float | None = Field(default=None, description="t_L: the mean return at which a bound is narrowed")
    buffer: PositiveInt = Field(default=10, description="m, episodes at a bound before it is decided on")
    step: float = Field(
        default=0.1, description="Δ, as a share of the way from the calibrated value to the limit", gt=0.0, le=1.0
    )
    boundary: float = Field(
        default=0.5, description="p_b, the share of episodes with one parameter at a bound", ge=0.0, le=1.0
    )
    capped: bool = Field(
        default=True, description="measure at bounds that are at their limit too, without which none is narrowed again"
    )

    @field_validator("limits")
    @classmethod
    def _limits(cls, value: str) -> str:
        """Refuse what are no ranges, or none about the calibrated value."""
        for one in ranges(value) if value else ():
            if not one.low <= one.calibrated <= one.high or one.low == one.high:
                raise ValueError(
                    f"the limits of {one.name}, {one.low:g} and {one.high:g}, must lie apart and hold "
                    f"{one.calibrated:g}, what it is in the world as it was made"
                )
        return value


class VariedPPOConfig(PPOConfig):
    """PPO under automatic domain randomisation (OpenAI 2019, arXiv:1910.07113)."""


class ADRRun(PPORun):
    """A run of PPO under automatic domain randomisation."""

    algorithm: str = Field(default="adr", description="name of the algorithm")
    algo: VariedPPOConfig = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=VariedPPOConfig
    )
    adr: ADRConfig = Field(default_factory=ADRConfig)


RUNS: dict[str, type[RunConfig]] = {"adr": ADRRun}
"""The settings of a run of each algorithm."""
