"""Schedules of step sizes and of ε, and what they must satisfy for a tabular algorithm to converge.

Stochastic approximation (Robbins and Monro 1951; for Q-learning Watkins and Dayan 1992, Tsitsiklis 1994) converges with
probability one if for every pair Σ α_n = ∞ and Σ α_n² < ∞, every pair is visited infinitely often, rewards are bounded,
and γ < 1 or all policies are proper. On-policy control converges to q* if moreover its policy is greedy in the limit
with infinite exploration (GLIE; Singh et al. 2000).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.mdp.analyse.sampler import part

Encoded = NDArray[np.float64]


class ConvergenceWarning(UserWarning):
    """The schedules violate a condition under which the algorithm is known to converge."""


@dataclass(frozen=True, slots=True)
class Constant:
    """value, always."""

    value: float

    def encode(self) -> Encoded:
        """The four numbers that `evaluate` reads."""
        return np.array([0.0, self.value, 0.0, 0.0])


@dataclass(frozen=True, slots=True)
class Linear:
    """From `start` to `end` in a straight line over the first `steps` steps, then `end`."""

    start: float
    end: float
    steps: int

    def encode(self) -> Encoded:
        """The four numbers that `evaluate` reads."""
        return np.array([1.0, self.start, self.end, float(self.steps)])


@dataclass(frozen=True, slots=True)
class Exponential:
    """max(end, start · exp(-t / steps)) at step t."""

    start: float
    end: float
    steps: float

    def encode(self) -> Encoded:
        """The four numbers that `evaluate` reads."""
        return np.array([2.0, self.start, self.end, float(self.steps)])


@dataclass(frozen=True, slots=True)
class Polynomial:
    """(c / (c + n))^ω, where n counts the earlier visits: of the pair for a step size, of the state for ε.

    It starts at 1. As a step size it satisfies Robbins–Monro for 1/2 < ω ≤ 1, as ε it is GLIE for 0 < ω ≤ 1.
    """

    c: float
    omega: float

    def encode(self) -> Encoded:
        """The four numbers that `evaluate` reads."""
        return np.array([3.0, self.c, self.omega, 0.0])


@dataclass(frozen=True, slots=True)
class Harmonic:
    """1 / (n + 1) = 1/N with N the visits so far, this one included: sample averages, and GLIE as ε = 1/N(s)."""

    def encode(self) -> Encoded:
        """The four numbers that `evaluate` reads."""
        return np.array([3.0, 1.0, 1.0, 0.0])


Schedule = Constant | Linear | Exponential | Polynomial | Harmonic


def schedule(value: float | Schedule, *, what: str) -> Schedule:
    """A number stands for `Constant`.

    Raises:
        ConfigError: if a value of the schedule lies outside of [0, 1], or a scale is not positive.
    """
    found = Constant(float(value)) if isinstance(value, int | float) else value
    if isinstance(found, Constant):
        _within(what, found.value)
    elif isinstance(found, Linear | Exponential):
        _within(what, found.start, found.end)
        _positive(what, steps=found.steps)
    elif isinstance(found, Polynomial):
        _positive(what, c=found.c, omega=found.omega)
    return found


def _within(what: str, *values: float) -> None:
    for value in values:
        if not 0.0 <= value <= 1.0:
            raise ConfigError(f"{what} is {value}: it lies in [0, 1].")


def _positive(what: str, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ConfigError(f"{name} of the schedule of {what} is {value}: it is positive.")


@part
def evaluate(encoded, clock, visits):  # pyright: ignore
    """The value of a schedule at step `clock` after `visits` earlier visits."""
    kind, a, b, c = encoded[0], encoded[1], encoded[2], encoded[3]
    if kind == 0.0:
        return a
    if kind == 1.0:
        return a + (b - a) * min(1.0, clock / c)
    if kind == 2.0:
        return max(b, a * np.exp(-clock / c))
    ratio = a / (a + visits)
    return ratio if b == 1.0 else ratio**b


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


def warn_of(
    algorithm: str, *, steps: Schedule | None = None, epsilon: Schedule | None = None, on_policy: bool = False,
    noisy: bool = True,
) -> None:  # fmt: skip
    """Warn once per call site of every condition that is violated.

    Args:
        algorithm: its name, for the message.
        steps: the step sizes, or None where the algorithm averages by itself.
        epsilon: the exploration, or None for prediction.
        on_policy: the policy that is learned about is the one that acts.
        noisy: transitions or rewards are random; if not, constant steps converge too.
    """
    found: list[str] = []
    if steps is not None and (why := step_size_violation(steps)):
        constant_is_fine = not noisy and isinstance(steps, Constant) and steps.value > 0
        found += [] if constant_is_fine else [f"step size: {why}"]
    if epsilon is not None and (why := exploration_violation(epsilon, on_policy=on_policy)):
        found.append(f"epsilon: {why}")
    if found:
        warnings.warn(f"{algorithm} need not converge. " + ". ".join(found) + ".", ConvergenceWarning, stacklevel=4)
