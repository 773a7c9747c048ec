# pyright: basic
"""What every tabular algorithm is: a memory of arrays and compiled rules over it, found by the memory's type.

An algorithm is a NamedTuple (its memory) with

    begin(memory, state) -> row                an episode begins: choose
    observe(memory, state, row, reward, next_state, terminated, truncated) -> row
                                               one transition: learn, and choose again; -1 where the episode is over
    estimate(memory, state) -> float           the value that it gives a state now

each written once. The compiled loop over a model (`loop.py`) and the learner on an environment (`Learner`) call
the same functions, so the two learn the same thing bit for bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from operant.mdp.analyse.sampler import part
from operant.tabular.schedules import Constant, Exponential, Harmonic, Linear, Polynomial, Schedule


class Rules(NamedTuple):
    """The three compiled functions of an algorithm."""

    begin: Any
    observe: Any
    estimate: Any


UNCOUNTED: Any = {"_nrt": False, "error_model": "numpy", "forceinline": True}
"""As `compiled`."""

NAMED: Any = types.BaseNamedTuple

RULES: dict[type, Rules] = {}
"""By the type of the memory."""


def begin(memory: Any, state: Any) -> Any:
    """The `begin` of the memory's type, for compiled loops."""
    return RULES[type(memory)].begin(memory, state)


def observe(memory: Any, state: Any, row: Any, reward: Any, next_state: Any, terminated: Any, truncated: Any) -> Any:
    """The `observe` of the memory's type, for compiled loops."""
    return RULES[type(memory)].observe(memory, state, row, reward, next_state, terminated, truncated)


def estimate(memory: Any, state: Any) -> Any:
    """The `estimate` of the memory's type, for compiled loops."""
    return RULES[type(memory)].estimate(memory, state)


@overload(begin, jit_options=UNCOUNTED)
def _begin(memory, state):
    if isinstance(memory, NAMED):
        rule = RULES[getattr(memory, "instance_class")].begin  # noqa: B009
        return lambda memory, state: rule(memory, state)
    return None


@overload(observe, jit_options=UNCOUNTED)
def _observe(memory, state, row, reward, next_state, terminated, truncated):
    if isinstance(memory, NAMED):
        rule = RULES[getattr(memory, "instance_class")].observe  # noqa: B009
        return lambda memory, state, row, reward, next_state, terminated, truncated: rule(
            memory, state, row, reward, next_state, terminated, truncated
        )
    return None


@overload(estimate, jit_options=UNCOUNTED)
def _estimate(memory, state):
    if isinstance(memory, NAMED):
        rule = RULES[getattr(memory, "instance_class")].estimate  # noqa: B009
        return lambda memory, state: rule(memory, state)
    return None


def encode(schedule: float | Schedule) -> NDArray[np.float64]:
    """The four numbers of a schedule that `evaluate` reads."""
    match schedule:
        case Constant(value):
            numbers = (0.0, value, 0.0, 0.0)
        case Linear(start, end, steps):
            numbers = (1.0, start, end, steps)
        case Exponential(start, end, steps):
            numbers = (2.0, start, end, steps)
        case Polynomial(c, omega):
            numbers = (3.0, c, omega, 0.0)
        case Harmonic():
            numbers = (3.0, 1.0, 1.0, 0.0)
        case _:
            numbers = (0.0, schedule, 0.0, 0.0)
    return np.array(numbers, dtype=np.float64)


@part
def evaluate(encoded, clock, visits):
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
