"""Regression planning: from the goal backwards, all that is wanted at once.

    regress(goal, operator) = (goal − what the operator brings about) ∪ what it needs

if it brings about something that is wanted, and nothing that contradicts what is. Breadth first over such goals the
first that holds in the initial state gives a shortest plan (Waldinger 1977; Nilsson 1980, chapter 7). It is complete
where means–ends analysis is not, and costs what a search costs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from operant.search.planning_problem import Operator, Problem, State, Value, holds

_Goal = frozenset[tuple[str, Value]]


def regression_plan(
    problem: Problem, *, most: int = 1_000_000, possible: Callable[[State], bool] | None = None
) -> list[Operator] | None:
    """A shortest plan, or None where there is none.

    Args:
        problem: what is wanted, and what can be done.
        most: goals that may be looked at.
        possible: False for conditions that hold in no state that can be reached, which are not looked at further.

    Raises:
        ValueError: if `most` goals were looked at and the search is not at its end.
    """
    first = frozenset(problem.goal.items())
    came: dict[_Goal, tuple[_Goal, Operator] | None] = {first: None}
    waiting = deque([first])
    while waiting:
        key = waiting.popleft()
        goal = dict(key)
        if holds(goal, problem.initial):
            return _plan(came, key)
        for operator in problem.operators:
            before = regressed(goal, operator)
            if before is None or (possible is not None and not possible(before)):
                continue
            there = frozenset(before.items())
            if there not in came:
                if len(came) >= most:
                    raise ValueError(f"no plan among {most:,} goals: give `most` more, or say what is `possible`")
                came[there] = (key, operator)
                waiting.append(there)
    return None


def regressed(goal: State, operator: Operator) -> dict[str, Value] | None:
    """What must hold before the operator so that the goal holds behind it; None where it does not help, or spoils."""
    helps = False
    for name, value in operator.after.items():
        if name in goal:
            if goal[name] != value:
                return None
            helps = True
    if not helps:
        return None
    before = {name: value for name, value in goal.items() if name not in operator.after}
    for name, value in operator.before.items():
        if before.setdefault(name, value) != value:
            return None
    return before


def _plan(came: dict[_Goal, tuple[_Goal, Operator] | None], key: _Goal) -> list[Operator]:
    """From where the search ended to the goal."""
    found: list[Operator] = []
    while (step := came[key]) is not None:
        key, operator = step
        found.append(operator)
    return found
