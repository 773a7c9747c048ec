"""From a transition function in Python to a model, for worlds of at most some thousand pairs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import fsum
from typing import TypeVar

import numpy as np

from operant.mdp.model import MDP
from operant.mdp.rows import Grid, Rows, unsigned

State = TypeVar("State", bound=Hashable)
Outcome = tuple[float, State, float]
"""(probability, successor, reward) of one outcome of a pair; outcomes with one successor are merged."""


def table(
    states: Sequence[State],
    actions: Sequence[str],
    step: Callable[[State, str], Iterable[Outcome[State]]],
    discount: float,
    *,
    terminal: Mapping[State, float] | None = None,
    start: State | Mapping[State, float] | None = None,
    horizon: int | None = None,
    grid: Grid | None = None,
) -> MDP:
    """The model with p(s', r | s, a) = `step(s, a)`, states and actions numbered and named in the order given.

    Args:
        step: the outcomes of a pair; none at all where the action is not admissible. Not called for terminal states.
        terminal: value of each terminal state.
        start: the first state, or its distribution.
        grid: where the states lie on a map.
    """
    terminal = terminal or {}
    at = {state: index for index, state in enumerate(states)}
    pointer, label, indptr, indices = [0], list[int](), [0], list[int]()
    data, outcome, reward = list[float](), list[float](), list[float]()
    for state in states:
        for action, word in enumerate(actions if state not in terminal else ()):
            merged = dict[int, list[tuple[float, float]]]()  # successor → (probability, reward) of each way there
            for p, successor, r in step(state, word):
                merged.setdefault(at[successor], []).append((p, r))
            if not merged:
                continue
            label.append(action)
            for successor in sorted(merged):
                indices.append(successor)
                data.append(fsum(p for p, _ in merged[successor]))
                outcome.append(_mean(merged[successor]))
            reward.append(_mean([way for ways in merged.values() for way in ways]))
            indptr.append(len(indices))
        pointer.append(len(label))
    first = None if start is None else np.zeros(len(states))
    if first is not None and start is not None:
        for state, p in (start if isinstance(start, Mapping) else {start: 1.0}).items():
            first[at[state]] += p
    plain = np.allclose(outcome, np.repeat(reward, np.diff(indptr)), rtol=0.0, atol=1e-15)
    rows = Rows(
        pointer=unsigned(pointer),
        action=np.array(label, dtype=np.int32),
        indptr=unsigned(indptr),
        indices=unsigned(indices),
        data=np.array(data),
        reward=np.array(reward),
        outcome_reward=None if plain else np.array(outcome),
        terminal=np.array([state in terminal for state in states]),
        terminal_value=np.array([terminal.get(state, 0.0) for state in states]),
    )
    names = None if list(states) == list(range(len(states))) else states
    return MDP.from_rows(rows, discount, start=first, horizon=horizon, states=names, actions=actions, grid=grid)


def _mean(ways: Sequence[tuple[float, float]]) -> float:
    """The mean reward of ways (probability, reward), exactly r where all pay r."""
    paid = {r for _, r in ways}
    return paid.pop() if len(paid) == 1 else fsum(p * r for p, r in ways) / fsum(p for p, _ in ways)
