"""Planning problems of named variables: what means–ends analysis and regression planning work on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

Value = Hashable
State = Mapping[str, Value]
"""A value for every variable; a goal, or a precondition, is one for some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """An action: where `before` holds it can be taken, and `after` holds then; all else stays as it is."""

    name: str
    before: State
    after: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Where one begins, what is wanted, and what can be done.

    Attributes:
        initial: a value for every variable.
        goal: a value for some.
        operators: all that there are; their effects are known, which is the assumption of planning.
        difficulty: the variables, the most difficult difference first; as they come in `initial` if empty.
    """

    initial: State
    goal: State
    operators: Sequence[Operator]
    difficulty: Sequence[str] = field(default=())

    @property
    def order(self) -> Sequence[str]:
        """The variables, the most difficult first."""
        return self.difficulty or [*self.initial]


def holds(condition: State, state: State) -> bool:
    """Whether a state has all values of a condition."""
    return all(state[name] == value for name, value in condition.items())


def apply(operator: Operator, state: State) -> dict[str, Value]:
    """The state behind an operator.

    Raises:
        ValueError: if it cannot be taken there.
    """
    if not holds(operator.before, state):
        raise ValueError(f"{operator.name} needs {dict(operator.before)}, and the state is {dict(state)}")
    return {**state, **operator.after}


def end_of(state: State, plan: Sequence[Operator]) -> dict[str, Value]:
    """The state in which a plan ends, each of its operators checked.

    Raises:
        ValueError: if one of them cannot be taken where it stands.
    """
    now = dict(state)
    for operator in plan:
        now = apply(operator, now)
    return now
