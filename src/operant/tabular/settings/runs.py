"""The settings of runs of tabular algorithms: a section for each, and the config class of a run for each."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt, create_model

from operant.config.schema import EpisodesConfig, RunConfig, Section
from operant.tabular.schedules import Constant, Exponential, Harmonic, Linear, Polynomial, Schedule
from operant.tabular.settings import READS, Discount, Initial, Settings, TraceKind

Shape = Literal["constant", "linear", "exponential", "polynomial", "harmonic"]


class ControlConfig(Section):
    """What every tabular control algorithm is told."""

    discount: Discount = 0.99
    step_size: float = Field(default=0.1, description="α, at the start", gt=0.0, le=1.0)
    step_size_schedule: Shape = Field(
        default="constant",
        description="linear, exponential: to step_size_end; polynomial: 1/N^omega; harmonic: 1/N visits of the pair",
    )
    step_size_end: float = Field(default=0.01, description="α at the end of its schedule", ge=0.0, le=1.0)
    step_size_steps: PositiveInt | None = Field(
        default=None, description="steps that its schedule takes (exponential: in which it falls to 1/e); all if unset"
    )
    step_size_omega: PositiveFloat = Field(default=0.8, description="ω of a polynomial step size")
    epsilon: float = Field(default=0.1, description="ε, share of random actions, at the start", ge=0.0, le=1.0)
    epsilon_schedule: Shape = Field(
        default="constant",
        description="linear, exponential: to epsilon_end; polynomial: 1/N^omega; harmonic: 1/N visits of the state",
    )
    epsilon_end: float = Field(default=0.01, description="ε at the end of its schedule", ge=0.0, le=1.0)
    epsilon_steps: PositiveInt | None = Field(
        default=None, description="steps that its schedule takes (exponential: in which it falls to 1/e); all if unset"
    )
    epsilon_omega: PositiveFloat = Field(default=0.5, description="ω of a polynomial ε")
    initial: Initial = 0.0
    every: PositiveInt = Field(default=1_000, description="environment steps between two rows of metrics")


class TabularRun(RunConfig):
    """A run of a tabular algorithm."""

    kind: ClassVar[str] = "table"
    unused: ClassVar[tuple[str, ...]] = ("eval.max_steps",)  # env.max_steps holds there too

    env: EpisodesConfig = Field(default_factory=EpisodesConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    algo: ControlConfig = Field(default_factory=ControlConfig)  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def learner(self) -> str:
        """The algorithm as `Settings` calls it."""
        return self.algorithm

    def settings(self) -> Settings:
        """What the learner is told: the algorithm's section, with its schedules."""
        own = {name: value for name, value in self.algo if name in Settings.model_fields}
        rates = {name: self._schedule(name) for name in ("step_size", "epsilon")}
        return Settings.model_validate(own | rates | {"algorithm": self.learner})

    def _schedule(self, name: str) -> Schedule:
        """The schedule that the section describes; one that takes all steps ends with the run."""
        start, end, steps, omega, shape = (
            getattr(self.algo, name + suffix) for suffix in ("", "_end", "_steps", "_omega", "_schedule")
        )
        match shape:
            case "linear":
                return Linear(start, end, steps or self.total_steps)
            case "exponential":
                return Exponential(start, end, steps or self.total_steps)
            case "polynomial":
                return Polynomial(1.0, omega)
            case "harmonic":
                return Harmonic()
            case _:
                return Constant(start)


def _run(algorithm: str, what: str, *reads: str) -> type[TabularRun]:
    """The config class of an algorithm's run."""
    name = algorithm.title().replace("-", "")
    known = Settings.model_fields
    own: dict[str, Any] = {field: (known[field].annotation, known[field]) for field in reads}
    section = create_model(f"{name}Config", __base__=ControlConfig, __doc__=what, **own)
    return create_model(
        f"{name}Run",
        __base__=TabularRun,
        __doc__=what,
        algorithm=(str, Field(default=algorithm, description="name of the algorithm")),
        algo=(section, Field(default_factory=section)),
    )


class LinearConfig(ControlConfig):
    """What control with values that are linear in tiles is told; schedules go by the step."""

    step_size: float = Field(default=0.5, description="α, at the start; each tiling moves by its share", gt=0.0, le=1.0)
    discount: Discount = 1.0
    epsilon: float = Field(default=0.0, description="ε, share of random actions, at the start", ge=0.0, le=1.0)
    lam: float = Field(default=0.9, description="λ of the traces", ge=0.0, le=1.0)
    traces: TraceKind = Field(default="replacing", description="kind of traces")
    tiles: tuple[PositiveInt, ...] = Field(
        default=(8,), description="tiles along each number that is observed: one for all, or one for each", min_length=1
    )
    tilings: PositiveInt = Field(default=8, description="grids, each shifted against the others")
    low: tuple[FiniteFloat, ...] = Field(
        default=(), description="least of each number that is observed; that of the observation space if unset"
    )
    high: tuple[FiniteFloat, ...] = Field(default=(), description="largest of each, likewise")


class LinearRun(TabularRun):
    """A run of such an algorithm."""

    kind: ClassVar[str] = "tiles"
    greedy: ClassVar[bool] = False  # towards the largest value that follows
    algo: LinearConfig = Field(default_factory=LinearConfig)  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def learner(self) -> str:
        return "watkins-q" if self.greedy else "sarsa-lambda"


class LinearSarsaRun(LinearRun):
    """SARSA(λ) with linear values over tiles (Sutton and Barto 2018, section 12.7)."""

    algorithm: str = Field(default="linear-sarsa", description="name of the algorithm")


class LinearQRun(LinearRun):
    """Watkins's Q(λ) with linear values over tiles (Sutton and Barto 2018, section 12.10)."""

    greedy: ClassVar[bool] = True
    algorithm: str = Field(default="linear-q-learning", description="name of the algorithm")


TABLES: dict[str, type[TabularRun]] = {name: _run(name, *of) for name, of in READS.items()}
"""The settings of a run of each algorithm whose values stand in a table."""

RUNS: dict[str, type[TabularRun]] = TABLES | {"linear-q-learning": LinearQRun, "linear-sarsa": LinearSarsaRun}
"""The settings of a run of each algorithm."""
