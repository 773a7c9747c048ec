"""The settings of the tabular control algorithms, and the memory that each begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.algo.tabular.one_step import DoubleQLearning, ExpectedSarsa, QLearning, Sarsa
from operant.algo.tabular.rules import Table
from operant.algo.tabular.schedules import Schedule, schedule, warn_of
from operant.config.errors import ConfigError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a control algorithm is told; what an algorithm does not use it does not read."""

    algorithm: str = "q-learning"
    discount: float = 1.0  # γ
    step_size: float | Schedule = 0.5  # α
    epsilon: float | Schedule = 0.1  # ε
    initial: float = 0.0  # of every pair; high values are optimism


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How a memory is made, and what the warnings about schedules must know."""

    make: Callable[[Table, Settings], Any]
    on_policy: bool = False


def _double(table: Table, _: Settings) -> DoubleQLearning:
    return DoubleQLearning(table, table.q.copy(), table.q.copy())


ALGORITHMS: dict[str, Algorithm] = {
    "q-learning": Algorithm(lambda table, _: QLearning(table)),
    "sarsa": Algorithm(lambda table, _: Sarsa(table), on_policy=True),
    "expected-sarsa": Algorithm(lambda table, _: ExpectedSarsa(table), on_policy=True),
    "double-q-learning": Algorithm(_double),
}
"""By the name under which `operant train` knows them."""


def memory(settings: Settings, pointer: NDArray[np.int64], worth: Floats, random: NDArray[np.uint64]) -> Any:
    """The memory with which an algorithm begins.

    Args:
        settings: what to learn with.
        pointer: rows of state s are pointer[s] … pointer[s+1]-1, [S+1].
        worth: values of terminal states, [S+1].
        random: generator state of the choices, [4]; the memory owns it.

    Raises:
        ConfigError: if a setting is out of range or no algorithm has that name.
    """
    if not 0.0 <= settings.discount <= 1.0:
        raise ConfigError(f"discount is {settings.discount}: γ lies in [0, 1].")
    states, pairs = len(pointer) - 1, int(pointer[-1])
    table = Table(
        q=np.full(pairs, float(settings.initial)),
        pointer=pointer,
        worth=worth,
        pair_visits=np.zeros(pairs, dtype=np.int64),
        state_visits=np.zeros(states, dtype=np.int64),
        clock=np.zeros(1, dtype=np.int64),
        error=np.zeros(1),
        random=random,
        step_size=schedule(settings.step_size, what="step_size").encode(),
        epsilon=schedule(settings.epsilon, what="epsilon").encode(),
        discount=float(settings.discount),
    )
    return named(settings.algorithm).make(table, settings)


def named(algorithm: str) -> Algorithm:
    """The algorithm of that name.

    Raises:
        ConfigError: if there is none; lists those that there are.
    """
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"no tabular algorithm is named {algorithm!r}: choose one of {', '.join(ALGORITHMS)}.")
    return ALGORITHMS[algorithm]


def warn_of_settings(settings: Settings, *, noisy: bool) -> None:
    """A `ConvergenceWarning` where the schedules violate what the algorithm needs; see `schedules`."""
    warn_of(
        settings.algorithm,
        steps=schedule(settings.step_size, what="step_size"),
        epsilon=schedule(settings.epsilon, what="epsilon"),
        on_policy=named(settings.algorithm).on_policy,
        noisy=noisy,
    )
