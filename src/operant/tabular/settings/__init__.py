"""The settings of the tabular algorithms, once: what a person may set, its default, its range and its help text.

`Settings` has all of them, and `READS` says which algorithm reads which. The sections of runs (`runs.py`) and the
keywords of functions (`operant.tabular.keywords`) are made from the two. Importing this imports nothing heavy.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    FiniteFloat,
    ModelWrapValidatorHandler,
    NonNegativeFloat,
    NonNegativeInt,
    PlainValidator,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from operant.config.errors import ConfigError
from operant.config.fields import leaves, nearest_keys
from operant.config.schema import Section
from operant.config.suggest import did_you_mean, nearest
from operant.config.values import refusal
from operant.tabular.schedules import Schedule, schedule, violations

TraceKind = Literal["accumulating", "replacing", "dutch"]
Visits = Literal["first", "every"]

ON_POLICY = {
    *("sarsa", "expected-sarsa", "n-step-sarsa", "tree-backup", "q-sigma"),
    *("sarsa-lambda", "true-online-sarsa", "monte-carlo"),
}
"""The algorithms that learn about the policy that acts."""


def _rate(value: Any, info: ValidationInfo) -> float | Schedule:
    schedule(value, what=info.field_name or "value")
    return value


Rate = Annotated[
    float | Schedule, PlainValidator(_rate, json_schema_input_type=Annotated[float, Field(ge=0.0, le=1.0)])
]
"""A number from 0 to 1, or a schedule of such numbers."""

Discount = Annotated[float, Field(description="γ, weight of the next step's value", ge=0.0, le=1.0)]
Initial = Annotated[FiniteFloat, Field(description="value with which every pair begins; high is optimistic")]


class Settings(Section):
    """What a tabular algorithm is told. What an algorithm does not use it does not read.

    Raises:
        ConfigError: if a setting is out of range, or there is none of that name.
    """

    algorithm: str = Field(default="q-learning", description="name of the algorithm")
    discount: Discount = 1.0
    step_size: Rate = Field(default=0.5, description="α, or its schedule")
    epsilon: Rate = Field(default=0.1, description="ε, share of random actions, or its schedule")
    initial: Initial = 0.0
    n: PositiveInt = Field(default=4, description="steps of the return")
    target_epsilon: NonNegativeFloat | None = Field(
        default=None, description="ε of the policy that is learned about; that of the policy that acts if unset", le=1.0
    )
    sigma: float = Field(default=0.5, description="σ: 1 samples, 0 takes expectations", ge=0.0, le=1.0)
    lam: float = Field(default=0.9, description="λ of the traces", ge=0.0, le=1.0)
    traces: TraceKind = Field(default="replacing", description="kind of traces")
    planning: NonNegativeInt = Field(default=5, description="remembered steps learned from after each step")
    kappa: NonNegativeFloat = Field(default=1e-4, description="κ of the bonus κ √(steps since the pair was tried)")
    threshold: NonNegativeFloat = Field(default=1e-4, description="error below which a pair is not queued")
    visits: Visits = Field(default="first", description="which visits of a pair are averaged")
    exploring_starts: bool = Field(default=False, description="draw the first action of an episode uniformly")
    longest: PositiveInt = Field(default=10_000, description="steps of the longest episode that is learned from")

    @field_validator("algorithm")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in READS:
            guess, known = did_you_mean(nearest(name, READS)), ", ".join(READS)
            raise ConfigError(f"no tabular algorithm is named {name!r}: choose one of {known}.{guess}")
        return name

    @model_validator(mode="wrap")
    @classmethod
    def _in_words(cls, given: Any, handler: ModelWrapValidatorHandler[Settings]) -> Settings:
        try:
            return handler(given)
        except ValidationError as error:
            raise ConfigError("\n".join(_wrong(problem) for problem in error.errors())) from None

    @property
    def on_policy(self) -> bool:
        """Whether the policy that is learned about is the one that acts."""
        return self.algorithm in ON_POLICY and self.target_epsilon is None

    def violations(self, *, noisy: bool) -> list[tuple[str, str]]:
        """The conditions for convergence that the schedules break; see `schedules.violations`."""
        steps, epsilon = schedule(self.step_size, what="step_size"), schedule(self.epsilon, what="epsilon")
        return violations(steps, epsilon, on_policy=self.on_policy, noisy=noisy)


def _wrong(problem: Any) -> str:
    """A problem that pydantic found, in our words."""
    name = str(problem["loc"][0])
    leaf = leaves(Settings).get((name,))
    if leaf is None:
        return f"there is no setting {name!r}.{did_you_mean(nearest_keys(Settings, name))}"
    return refusal(leaf, problem["input"])


READS: dict[str, tuple[str, *tuple[str, ...]]] = {
    "q-learning": ("Q-learning: towards r + γ max q(s', ·) (Watkins 1989).",),
    "sarsa": ("SARSA: towards r + γ q(s', a') of the action taken next (Rummery and Niranjan 1994).",),
    "expected-sarsa": ("Expected SARSA: towards r + γ Σ π(a|s') q(s', a) (van Seijen et al. 2009).",),
    "double-q-learning": ("Double Q-learning: one table chooses, the other values (van Hasselt 2010).",),
    "n-step-sarsa": ("n-step SARSA: n rewards, then q (Sutton and Barto 2018, section 7.2).", "n"),
    "tree-backup": (
        "n-step tree backup: expectations all along, off-policy without ratios (Precup et al. 2000).",
        "n",
        "target_epsilon",
    ),
    "q-sigma": ("Q(σ): between n-step SARSA and tree backup (De Asis et al. 2018).", "n", "sigma"),
    "sarsa-lambda": ("SARSA(λ) with traces (Rummery and Niranjan 1994).", "lam", "traces"),
    "true-online-sarsa": (
        "True online SARSA(λ): equal to the online λ-return at every step (van Seijen et al. 2016).",
        "lam",
    ),
    "watkins-q": (
        "Watkins's Q(λ): traces until the first action that is not greedy (Watkins 1989).",
        "lam",
        "traces",
    ),
    "dyna-q": ("Dyna-Q: Q-learning that also learns from remembered steps (Sutton 1990).", "planning"),
    "dyna-q-plus": ("Dyna-Q+: with a bonus for what was not tried for long (Sutton 1990).", "planning", "kappa"),
    "prioritised-sweeping": (
        "Prioritised sweeping from samples: the largest errors first, and backwards (Moore and Atkeson 1993).",
        "planning",
        "threshold",
    ),
    "monte-carlo": (
        "Monte Carlo control: whole returns of episodes (Sutton and Barto 2018, sections 5.3 and 5.4).",
        "visits",
        "exploring_starts",
        "longest",
    ),
    "off-policy-monte-carlo": (
        "Off-policy Monte Carlo control by weighted importance sampling (Sutton and Barto 2018, section 5.7).",
        "longest",
    ),
}
"""What each algorithm is, and the settings that it reads beside those of all."""
