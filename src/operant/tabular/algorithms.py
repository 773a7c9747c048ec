"""The tabular control algorithms by name, and the memory that each begins with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.tabular.rules import Table, encode
from operant.tabular.rules.dyna import DynaQ, DynaQPlus, PrioritisedSweeping, Seen
from operant.tabular.rules.monte_carlo import Episode, MonteCarlo, OffPolicyMonteCarlo
from operant.tabular.rules.n_step import NStep
from operant.tabular.rules.one_step import DoubleQLearning, ExpectedSarsa, QLearning, Sarsa
from operant.tabular.rules.traces import KINDS, SarsaLambda, Trace, TrueOnlineSarsa, WatkinsQ
from operant.tabular.settings import Settings

Floats = NDArray[np.float64]


def _n_step(table: Table, n: int, sigma: float, target_epsilon: float | None = None) -> NStep:
    target = np.nan if target_epsilon is None else target_epsilon
    ring = np.zeros(n + 1, dtype=np.int64)
    return NStep(table, n, sigma, target, _one(), ring, ring.copy(), np.zeros(n + 1))


def trace_of(entries: int, settings: Settings) -> Trace:
    """Traces that are all zero."""
    decay, kind = settings.discount * settings.lam, KINDS[settings.traces]
    return Trace(np.zeros(entries), np.zeros(entries, dtype=np.int64), _one(), decay, kind)


def _trace(table: Table, settings: Settings) -> Trace:
    return trace_of(len(table.q), settings)


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


def _prioritised(table: Table, settings: Settings) -> PrioritisedSweeping:
    none = np.full(len(table.q), -1, dtype=np.int64)
    return PrioritisedSweeping(
        table,
        _seen(table),
        settings.planning,
        settings.threshold,
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


ALGORITHMS: dict[str, Callable[[Table, Settings], Any]] = {
    "q-learning": lambda table, _: QLearning(table),
    "sarsa": lambda table, _: Sarsa(table),
    "expected-sarsa": lambda table, _: ExpectedSarsa(table),
    "double-q-learning": lambda table, _: DoubleQLearning(table, table.q.copy(), table.q.copy()),
    "n-step-sarsa": lambda table, cfg: _n_step(table, cfg.n, 1.0),
    "tree-backup": lambda table, cfg: _n_step(table, cfg.n, 0.0, cfg.target_epsilon),
    "q-sigma": lambda table, cfg: _n_step(table, cfg.n, cfg.sigma),
    "sarsa-lambda": lambda table, cfg: SarsaLambda(table, _trace(table, cfg)),
    "true-online-sarsa": lambda table, cfg: TrueOnlineSarsa(table, _trace(table, cfg), np.full(1, np.nan)),
    "watkins-q": lambda table, cfg: WatkinsQ(table, _trace(table, cfg)),
    "dyna-q": lambda table, cfg: DynaQ(table, _seen(table), cfg.planning),
    "dyna-q-plus": lambda table, cfg: DynaQPlus(table, _seen(table), cfg.planning, cfg.kappa),
    "prioritised-sweeping": _prioritised,
    "monte-carlo": _monte_carlo,
    "off-policy-monte-carlo": _off_policy,
}
"""By the name under which `operant train` knows them."""


def new_table(settings: Settings, pointer: NDArray[np.int64], worth: Floats, random: NDArray[np.uint64]) -> Table:
    """The table with which control begins; arguments as `memory`."""
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
        step_size=encode(settings.step_size),
        epsilon=encode(settings.epsilon),
        discount=settings.discount,
    )


def memory(settings: Settings, pointer: NDArray[np.int64], worth: Floats, random: NDArray[np.uint64]) -> Any:
    """The memory with which an algorithm begins.

    Args:
        settings: what to learn with.
        pointer: rows of state s are pointer[s] … pointer[s+1]-1, [S+1].
        worth: values of terminal states, [S+1].
        random: generator state of the choices, [4]; the memory owns it.
    """
    return ALGORITHMS[settings.algorithm](new_table(settings, pointer, worth, random), settings)
