# pyright: basic
"""What every tabular algorithm is: a memory of arrays and compiled rules over it, found by the memory's type.

An algorithm is a NamedTuple (its memory) with

    begin(memory, state) -> row                an episode begins: choose
    observe(memory, state, row, reward, following, terminated, truncated) -> row
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

from operant.mdp.analyse.sampler import below, compiled, part, uniform
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


def observe(memory: Any, state: Any, row: Any, reward: Any, following: Any, terminated: Any, truncated: Any) -> Any:
    """The `observe` of the memory's type, for compiled loops."""
    return RULES[type(memory)].observe(memory, state, row, reward, following, terminated, truncated)


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
def _observe(memory, state, row, reward, following, terminated, truncated):
    if isinstance(memory, NAMED):
        rule = RULES[getattr(memory, "instance_class")].observe  # noqa: B009
        return lambda memory, state, row, reward, following, terminated, truncated: rule(
            memory, state, row, reward, following, terminated, truncated
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


class Table(NamedTuple):
    """Action values and what every control algorithm keeps beside them. Pairs are rows, as in a model."""

    q: Any  # [L]    action values
    pointer: Any  # [S+1]  rows of state s are pointer[s] … pointer[s+1]-1; int64
    worth: Any  # [S+1]  value of a terminal state
    pair_visits: Any  # [L]    updates of each pair so far
    state_visits: Any  # [S]    choices made in each state so far
    clock: Any  # [1]    steps so far
    error: Any  # [1]    the last temporal-difference error
    random: Any  # [4]    generator of the choices
    step_size: Any  # [4]    schedule
    epsilon: Any  # [4]    schedule
    discount: float


@part
def largest(values, pointer, state):
    """max over rows of a state."""
    best = values[pointer[state]]
    for row in range(pointer[state] + 1, pointer[state + 1]):
        best = max(best, values[row])
    return best


@part
def greedy(values, pointer, state, g):
    """A maximal row of a state, ties broken at random."""
    first, last = pointer[state], pointer[state + 1]
    best, at, ties = values[first], first, 1
    for row in range(first + 1, last):
        if values[row] > best:
            best, at, ties = values[row], row, 1
        elif values[row] == best:
            ties += 1
    if ties > 1:
        skip = below(g, ties)
        for row in range(at, last):
            if values[row] == best:
                if skip == 0:
                    return row
                skip -= 1
    return at


@part
def soft_value(values, pointer, state, epsilon):
    """Σ π(a|s) q(s, a) of the ε-greedy policy: (1 - ε) max q + ε mean q, however ties are broken."""
    first, last = pointer[state], pointer[state + 1]
    total = 0.0
    for row in range(first, last):
        total += values[row]
    return (1.0 - epsilon) * largest(values, pointer, state) + epsilon * (total / (last - first))


@compiled
def epsilon_of(table, state):
    """ε in a state now."""
    return evaluate(table.epsilon, table.clock[0], table.state_visits[state])


@part
def choose(table, values, state):
    """An ε-greedy row of a state; counts the visit."""
    epsilon = epsilon_of(table, state)
    table.state_visits[state] += 1
    first, last = table.pointer[state], table.pointer[state + 1]
    if epsilon > 0.0 and uniform(table.random) < epsilon:
        return first + below(table.random, last - first)
    return greedy(values, table.pointer, state, table.random)


@part
def choose_unless(table, values, state, over):
    """The next choice, or -1 where the episode is over."""
    return np.int64(-1) if over else choose(table, values, state)


@part
def next_step_size(table, row):
    """α of a pair now; counts the update."""
    alpha = evaluate(table.step_size, table.clock[0], table.pair_visits[row])
    table.pair_visits[row] += 1
    return alpha


@part
def shift(table, values, row, target):
    """values(row) += α (target - values(row))."""
    error = target - values[row]
    values[row] += next_step_size(table, row) * error
    return error


@part
def move(table, values, row, target):
    """`shift` for what just happened: one step of the clock; the temporal-difference error is kept."""
    table.error[0] = shift(table, values, row, target)
    table.clock[0] += 1


@part
def soft_probability(values, pointer, state, epsilon, row):
    """π(a|s) of the ε-greedy policy, greedy mass shared by the maximal rows."""
    first, last = pointer[state], pointer[state + 1]
    best, ties = largest(values, pointer, state), 0
    for other in range(first, last):
        ties += values[other] == best
    return epsilon / (last - first) + ((1.0 - epsilon) / ties if values[row] == best else 0.0)


@compiled
def best_value(memory, state):
    """max_a q(s, a): the `estimate` of control algorithms."""
    return largest(memory.table.q, memory.table.pointer, state)


@compiled
def begin_greedily(memory, state):
    """The `begin` of control algorithms that keep nothing from one episode to the next."""
    return choose(memory.table, memory.table.q, state)
