"""Settings of the tabular algorithms: a section for each, and the config class of a run for each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, FiniteFloat, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, create_model

from operant.config.schema import EnvConfig, RunConfig, Section

Shape = Literal["constant", "linear", "exponential", "polynomial", "harmonic"]


class EpisodesConfig(EnvConfig):
    """The environment, whose states and actions are Discrete, in one copy."""

    max_steps: PositiveInt = Field(
        default=1_000, description="steps after which an episode is cut, unless the environment cuts it sooner"
    )


class ControlConfig(Section):
    """What every tabular control algorithm is told."""

    discount: float = Field(default=0.99, description="γ, weight of the next step's value", ge=0.0, le=1.0)
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
    initial: FiniteFloat = Field(default=0.0, description="value with which every pair begins; high is optimistic")
    every: PositiveInt = Field(default=1_000, description="environment steps between two rows of metrics")


class QLearningConfig(ControlConfig):
    """Q-learning: towards r + γ max q(s', ·) (Watkins 1989)."""


class SarsaConfig(ControlConfig):
    """SARSA: towards r + γ q(s', a') of the action taken next (Rummery and Niranjan 1994)."""


class ExpectedSarsaConfig(ControlConfig):
    """Expected SARSA: towards r + γ Σ π(a|s') q(s', a) (van Seijen et al. 2009)."""


class DoubleQLearningConfig(ControlConfig):
    """Double Q-learning: one table chooses, the other values (van Hasselt 2010)."""


class NStepSarsaConfig(ControlConfig):
    """n-step SARSA: n rewards, then q (Sutton and Barto 2018, section 7.2)."""

    n: PositiveInt = Field(default=4, description="steps of the return")


class TreeBackupConfig(ControlConfig):
    """n-step tree backup: expectations all along, off-policy without ratios (Precup et al. 2000)."""

    n: PositiveInt = Field(default=4, description="steps of the return")
    target_epsilon: NonNegativeFloat | None = Field(
        default=None, description="ε of the policy that is learned about; that of the policy that acts if unset", le=1.0
    )


class QSigmaConfig(ControlConfig):
    """Q(σ): between n-step SARSA and tree backup (De Asis et al. 2018)."""

    n: PositiveInt = Field(default=4, description="steps of the return")
    sigma: float = Field(default=0.5, description="σ: 1 samples, 0 takes expectations", ge=0.0, le=1.0)


class TracesConfig(ControlConfig):
    """Control with eligibility traces."""

    lam: float = Field(default=0.9, description="λ of the traces", ge=0.0, le=1.0)


class SarsaLambdaConfig(TracesConfig):
    """SARSA(λ) with traces (Rummery and Niranjan 1994)."""

    traces: Literal["accumulating", "replacing", "dutch"] = Field(default="replacing", description="kind of traces")


class TrueOnlineSarsaConfig(TracesConfig):
    """True online SARSA(λ): equal to the online λ-return at every step (van Seijen et al. 2016)."""


class WatkinsQConfig(TracesConfig):
    """Watkins's Q(λ): traces until the first action that is not greedy (Watkins 1989)."""

    traces: Literal["accumulating", "replacing", "dutch"] = Field(default="replacing", description="kind of traces")


class DynaQConfig(ControlConfig):
    """Dyna-Q: Q-learning that also learns from remembered steps (Sutton 1990)."""

    planning: NonNegativeInt = Field(default=5, description="remembered steps learned from after each step")


class DynaQPlusConfig(DynaQConfig):
    """Dyna-Q+: with a bonus for what was not tried for long (Sutton 1990)."""

    kappa: NonNegativeFloat = Field(default=1e-4, description="κ of the bonus κ √(steps since the pair was tried)")


class PrioritisedSweepingConfig(DynaQConfig):
    """Prioritised sweeping from samples: the largest errors first, and backwards (Moore and Atkeson 1993)."""

    threshold: NonNegativeFloat = Field(default=1e-4, description="error below which a pair is not queued")


class MonteCarloConfig(ControlConfig):
    """Monte Carlo control: whole returns of episodes (Sutton and Barto 2018, sections 5.3 and 5.4)."""

    visits: Literal["first", "every"] = Field(default="first", description="which visits of a pair are averaged")
    exploring_starts: bool = Field(default=False, description="draw the first action of an episode uniformly")
    longest: PositiveInt = Field(default=10_000, description="steps of the longest episode that is learned from")


class OffPolicyMonteCarloConfig(ControlConfig):
    """Off-policy Monte Carlo control by weighted importance sampling (Sutton and Barto 2018, section 5.7)."""

    longest: PositiveInt = Field(default=10_000, description="steps of the longest episode that is learned from")


class TabularRun(RunConfig):
    """A run of a tabular algorithm."""

    env: EpisodesConfig = Field(default_factory=EpisodesConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    algo: ControlConfig = Field(default_factory=ControlConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


def _run(name: str, section: type[ControlConfig]) -> type[TabularRun]:
    return create_model(
        f"{section.__name__.removesuffix('Config')}Run",
        __base__=TabularRun,
        __doc__=section.__doc__,
        algorithm=(str, Field(default=name, description="name of the algorithm")),
        algo=(section, Field(default_factory=section)),
    )


TABULAR: dict[str, type[TabularRun]] = {
    name: _run(name, section)
    for name, section in {
        "q-learning": QLearningConfig,
        "sarsa": SarsaConfig,
        "expected-sarsa": ExpectedSarsaConfig,
        "double-q-learning": DoubleQLearningConfig,
        "n-step-sarsa": NStepSarsaConfig,
        "tree-backup": TreeBackupConfig,
        "q-sigma": QSigmaConfig,
        "sarsa-lambda": SarsaLambdaConfig,
        "true-online-sarsa": TrueOnlineSarsaConfig,
        "watkins-q": WatkinsQConfig,
        "dyna-q": DynaQConfig,
        "dyna-q-plus": DynaQPlusConfig,
        "prioritised-sweeping": PrioritisedSweepingConfig,
        "monte-carlo": MonteCarloConfig,
        "off-policy-monte-carlo": OffPolicyMonteCarloConfig,
    }.items()
}
"""The config class of each tabular algorithm."""
