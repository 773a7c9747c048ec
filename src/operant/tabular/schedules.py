"""Schedules of step sizes and of ε, and what they must satisfy for a tabular algorithm to converge.

Stochastic approximation (Robbins and Monro 1951; for Q-learning Watkins and Dayan 1992, Tsitsiklis 1994) converges with
probability one if for every pair Σ α_n = ∞ and Σ α_n² < ∞, every pair is visited infinitely often, rewards are bounded,
and γ < 1 or all policies are proper. On-policy control converges to q* if moreover its policy is greedy in the limit
with infinite exploration (GLIE; Singh et al. 2000).
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from numbers import Real

from operant.config.errors import ConfigError


class ConvergenceWarning(UserWarning):
    """The schedules violate a condition under which the algorithm is known to converge."""


@dataclass(frozen=True, slots=True)
class Constant:
    """value, always."""

    value: float


@dataclass(frozen=True, slots=True)
class Linear:
    """From `start` to `end` in a straight line over the first `steps` steps, then `end`."""

    start: float
    end: float
    steps: int


@dataclass(frozen=True, slots=True)
class Exponential:
    """max(end, start · exp(-t / steps)) at step t."""

    start: float
    end: float
    steps: float


@dataclass(frozen=True, slots=True)
class Polynomial:
    """(c / (c + n))^ω, where n counts the earlier visits: of the pair for a step size, of the state for ε.

    It starts at 1. As a step size it satisfies Robbins–Monro for 1/2 < ω ≤ 1, as ε it is GLIE for 0 < ω ≤ 1.
    """

    c: float
    omega: float


@dataclass(frozen=True, slots=True)
class Harmonic:
    """1 / (n + 1) = 1/N with N the visits so far, this one included: sample averages, and GLIE as ε = 1/N(s)."""


Schedule = Constant | Linear | Exponential | Polynomial | Harmonic


def schedule(value: float | Schedule, *, what: str) -> Schedule:
    """A number stands for `Constant`.

    Raises:
        ConfigError: if it is neither, a value of the schedule lies outside of [0, 1], or a scale is not positive.
    """
    result = Constant(float(value)) if isinstance(value, Real) else value
    match result:
        case Constant():
            _within(what, result.value)
        case Linear() | Exponential():
            _within(what, result.start, result.end)
            _positive(what, steps=result.steps)
        case Polynomial():
            _positive(what, c=result.c, omega=result.omega)
        case Harmonic():
            pass
        case _:
            raise ConfigError(f"{what} is {result!r}: it is a number in [0, 1] or a schedule.")
    return result


def _within(what: str, *values: float) -> None:
    for value in values:
        if not 0.0 <= value <= 1.0:
            raise ConfigError(f"{what} is {value}: it lies in [0, 1].")


def _positive(what: str, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ConfigError(f"{name} of the schedule of {what} is {value}: it is positive.")


def step_size_violation(steps: Schedule) -> str | None:
    """Which of the Robbins–Monro conditions a step-size schedule breaks, or None."""
    match steps:
        case Polynomial(omega=omega) if omega <= 0.5:
            return f"Σ α² = ∞ with ω = {omega:g}: choose 1/2 < ω ≤ 1"
        case Polynomial(omega=omega) if omega > 1.0:
            return f"Σ α < ∞ with ω = {omega:g}: choose 1/2 < ω ≤ 1"
        case Constant(value=0.0) | Linear(end=0.0) | Exponential(end=0.0):
            return "Σ α < ∞: the steps end before the values are right; choose Harmonic() or Polynomial(c, omega)"
        case Constant() | Linear() | Exponential():
            return "Σ α² = ∞ with steps that stay constant: under noise the values keep fluctuating; choose Harmonic()"
        case _:
            return None


def exploration_violation(epsilon: Schedule, *, on_policy: bool) -> str | None:
    """Which condition an ε schedule breaks, or None: infinite exploration; on-policy, greedy in the limit as well."""
    match epsilon:
        case Constant(value=0.0) | Linear(end=0.0) | Exponential(end=0.0):
            return "exploration ends, so not every pair is visited infinitely often; choose Harmonic() or keep ε > 0"
        case Polynomial(omega=omega) if omega > 1.0:
            return f"Σ ε < ∞ with ω = {omega:g}: exploration ends; choose ω ≤ 1"
        case Constant() | Linear() | Exponential() if on_policy:
            return (
                "ε does not vanish: the values are those of an ε-soft policy, not q*; choose Harmonic(), which is GLIE"
            )
        case _:
            return None


def violations(
    steps: Schedule | None, epsilon: Schedule | None, *, on_policy: bool, noisy: bool
) -> list[tuple[str, str]]:
    """The conditions for convergence with probability one that schedules break: whose, and why it breaks one.

    Args:
        steps: the step sizes, or None where the algorithm averages by itself.
        epsilon: the exploration, or None for prediction.
        on_policy: the policy that is learned about is the one that acts.
        noisy: transitions or rewards are random; if not, constant steps converge too.
    """
    constant_is_fine = not noisy and isinstance(steps, Constant) and steps.value > 0
    pairs = (
        ("step size", None if steps is None or constant_is_fine else step_size_violation(steps)),
        ("epsilon", None if epsilon is None else exploration_violation(epsilon, on_policy=on_policy)),
    )
    return [(what, why) for what, why in pairs if why]


def warn_of(algorithm: str, violated: list[tuple[str, str]]) -> None:
    """Warn, once per place that calls into this room, of what `violations` found."""
    if not violated:
        return
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(__name__.rpartition(".")[0] + "."):
        level, frame = level + 1, frame.f_back
    conditions = ". ".join(f"{what}: {why}" for what, why in violated)
    warnings.warn(f"{algorithm} need not converge. {conditions}.", ConvergenceWarning, stacklevel=level)
