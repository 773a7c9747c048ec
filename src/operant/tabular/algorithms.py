"""The settings of the tabular control algorithms, and the memory that each begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.tabular.rules import Table
from operant.tabular.rules.dyna import DynaQ, DynaQPlus, PrioritisedSweeping, Seen
from operant.tabular.rules.monte_carlo import Episode, MonteCarlo, OffPolicyMonteCarlo
from operant.tabular.rules.n_step import NStep
from operant.tabular.rules.one_step import DoubleQLearning, ExpectedSarsa, QLearning, Sarsa
from operant.tabular.rules.traces import KINDS, SarsaLambda, Trace, TrueOnlineSarsa, WatkinsQ
from operant.tabular.schedules import Schedule, schedule, warn_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a control algorithm is told; what an algorithm does not use it does not read."""

    algorithm: str = "q-learning"
    discount: float = 1.0  # γ
    step_size: float | Schedule = 0.5  # α
    epsilon: float | Schedule = 0.1  # ε
    initial: float = 0.0  # of every pair; high values are optimism
    n: int = 4  # steps of n-step methods
    sigma: float = 0.5  # σ of Q(σ): 1 samples, 0 takes expectations
    target_epsilon: float | None = (
        None  # tree backup learns about the policy that is ε-greedy with this; None: that acts
    )
    lam: float = 0.9  # λ of eligibility traces
    traces: Literal["accumulating", "replacing", "dutch"] = "replacing"
    planning: int = 5  # imagined updates per step
    kappa: float = 1e-4  # κ of Dyna-Q+'s bonus
    threshold: float = 1e-4  # of prioritised sweeping
    visits: Literal["first", "every"] = "first"  # of Monte Carlo
    exploring_starts: bool = False  # of Monte Carlo: the first action of an episode is drawn uniformly
    longest: int = 10_000  # steps of the longest episode that Monte Carlo keeps


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How a memory is made, and what the warnings about schedules must know."""

    make: Callable[[Table, Settings], Any]
    on_policy: bool = False


def _double(table: Table, _: Settings) -> DoubleQLearning:
    return DoubleQLearning(table, table.q.copy(), table.q.copy())


def _n_step(table: Table, n: int, sigma: float, target_epsilon: float = np.nan) -> NStep:
    if n < 1:
        raise ConfigError(f"n is {n}: it is at least 1.")
    if not 0.0 <= sigma <= 1.0:
        raise ConfigError(f"sigma is {sigma}: σ lies in [0, 1].")
    ring = np.zeros(n + 1, dtype=np.int64)
    return NStep(table, n, float(sigma), target_epsilon, _one(), ring, ring.copy(), np.zeros(n + 1))


def _tree_backup(table: Table, settings: Settings) -> NStep:
    target = settings.target_epsilon
    return _n_step(table, settings.n, 0.0, np.nan if target is None else float(target))


def trace_of(entries: int, lam: float, discount: float, kind: str) -> Trace:
    """Traces that are all zero.

    Raises:
        ConfigError: if λ is out of range, or there is no such kind of trace.
    """
    if not 0.0 <= lam <= 1.0:
        raise ConfigError(f"lam is {lam}: λ lies in [0, 1].")
    if kind not in KINDS:
        raise ConfigError(f"no traces are called {kind!r}: choose one of {', '.join(KINDS)}.")
    return Trace(np.zeros(entries), np.zeros(entries, dtype=np.int64), _one(), discount * lam, KINDS[kind])


def _trace(table: Table, settings: Settings) -> Trace:
    return trace_of(len(table.q), settings.lam, settings.discount, settings.traces)


def _true_online(table: Table, settings: Settings) -> TrueOnlineSarsa:
    return TrueOnlineSarsa(table, _trace(table, settings), np.full(1, np.nan))


def _seen(table: Table) -> Seen:
    pairs = len(table.q)
    return Seen(
        known=np.zeros(pairs, dtype=np.int64),
        count=_one(),
        place=np.full(pairs, -1, dtype=np.int64),
        reward=np.zeros(pairs),
        following=np.zeros(pairs, dtype=np.int64),
        ended=np.zeros(pairs, dtype=np.bool_),
        tried=np.zeros(pairs, dtype=np.int64),
        state_of=_state_of(table),
    )


def _state_of(table: Table) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(table.pointer) - 1), np.diff(table.pointer))


def _planning(settings: Settings) -> int:
    if settings.planning < 0:
        raise ConfigError(f"planning is {settings.planning}: it counts updates per step, 0 or more.")
    return settings.planning


def _prioritised(table: Table, settings: Settings) -> PrioritisedSweeping:
    none = np.full(len(table.q), -1, dtype=np.int64)
    return PrioritisedSweeping(
        table,
        _seen(table),
        _planning(settings),
        float(settings.threshold),
        first_into=np.full(len(table.pointer), -1, dtype=np.int64),
        next_into=none.copy(),
        previous_into=none.copy(),
        heap=none.copy(),
        size=_one(),
        at=none.copy(),
        priority=np.zeros(len(table.q)),
    )


def _episode(table: Table, settings: Settings) -> Episode:
    pairs, kept = len(table.q), settings.longest
    return Episode(
        rows=np.zeros(kept, dtype=np.int64),
        rewards=np.zeros(kept),
        length=_one(),
        number=_one(),
        stamp=np.zeros(pairs, dtype=np.int64),
        first=np.zeros(pairs, dtype=np.int64),
    )


def _monte_carlo(table: Table, settings: Settings) -> MonteCarlo:
    every, exploring = settings.visits == "every", settings.exploring_starts
    return MonteCarlo(table, _episode(table, settings), int(every), int(exploring))


def _off_policy(table: Table, settings: Settings) -> OffPolicyMonteCarlo:
    episode = _episode(table, settings)
    return OffPolicyMonteCarlo(
        table, episode, np.zeros(settings.longest), np.zeros(len(table.q)), np.zeros(1), _state_of(table)
    )


def _one() -> NDArray[np.int64]:
    return np.zeros(1, dtype=np.int64)


ALGORITHMS: dict[str, Algorithm] = {
    "q-learning": Algorithm(lambda table, _: QLearning(table)),
    "sarsa": Algorithm(lambda table, _: Sarsa(table), on_policy=True),
    "expected-sarsa": Algorithm(lambda table, _: ExpectedSarsa(table), on_policy=True),
    "double-q-learning": Algorithm(_double),
    "n-step-sarsa": Algorithm(lambda table, cfg: _n_step(table, cfg.n, 1.0), on_policy=True),
    "tree-backup": Algorithm(_tree_backup, on_policy=True),
    "q-sigma": Algorithm(lambda table, cfg: _n_step(table, cfg.n, cfg.sigma), on_policy=True),
    "sarsa-lambda": Algorithm(lambda table, cfg: SarsaLambda(table, _trace(table, cfg)), on_policy=True),
    "true-online-sarsa": Algorithm(_true_online, on_policy=True),
    "watkins-q": Algorithm(lambda table, cfg: WatkinsQ(table, _trace(table, cfg))),
    "dyna-q": Algorithm(lambda table, cfg: DynaQ(table, _seen(table), _planning(cfg))),
    "dyna-q-plus": Algorithm(lambda table, cfg: DynaQPlus(table, _seen(table), _planning(cfg), float(cfg.kappa))),
    "prioritised-sweeping": Algorithm(_prioritised),
    "monte-carlo": Algorithm(_monte_carlo, on_policy=True),
    "off-policy-monte-carlo": Algorithm(_off_policy),
}
"""By the name under which `operant train` knows them."""


def new_table(settings: Settings, pointer: NDArray[np.int64], worth: Floats, random: NDArray[np.uint64]) -> Table:
    """The table with which control begins; arguments and errors as `memory`."""
    if not 0.0 <= settings.discount <= 1.0:
        raise ConfigError(f"discount is {settings.discount}: γ lies in [0, 1].")
    states, pairs = len(pointer) - 1, int(pointer[-1])
    return Table(
        q=np.full(pairs, float(settings.initial)),
        pointer=pointer,
        worth=worth,
        pair_visits=np.zeros(pairs, dtype=np.int64),
        state_visits=np.zeros(states, dtype=np.int64),
        clock=_one(),
        error=np.zeros(1),
        random=random,
        step_size=schedule(settings.step_size, what="step_size").encode(),
        epsilon=schedule(settings.epsilon, what="epsilon").encode(),
        discount=float(settings.discount),
    )


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
    return named(settings.algorithm).make(new_table(settings, pointer, worth, random), settings)


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
        on_policy=named(settings.algorithm).on_policy and settings.target_epsilon is None,
        noisy=noisy,
    )
