"""Means–ends analysis, the General Problem Solver (Newell, Shaw and Simon 1959; Ernst and Newell 1969).

    transform(state, goal):  take the most difficult difference between them, reduce it, transform what comes of it
    reduce(difference):      take an operator that the table of connections has for it, and apply it
    apply(operator):         transform the state into one in which it can be taken, then take it

The table is made from the operators: those whose effect is the value that is wanted, those first whose own demands are
easiest. Demands of demands are nested no deeper than a limit, which rises until there is a plan. Differences are
looked at one by one, and what was done about one is not reconsidered for another's sake: where goals interfere (the
Sussman anomaly) a plan undoes what it did, and with `protect` there is none. `operant.search.regression` plans there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from operant.search.planning_problem import Operator, Problem, State, Value, end_of

_Plan = tuple[Operator, ...]
_Key = tuple[frozenset[tuple[str, Value]], frozenset[tuple[str, Value]], int]


@dataclass(slots=True, kw_only=True)
class Trace:
    """What a search did: how many goals it set."""

    goals: int = 0


def means_ends(
    problem: Problem, *, protect: bool = False, deepest: int = 32, trace: Trace | None = None
) -> list[Operator] | None:
    """A plan by means–ends analysis, or None where it finds none.

    Args:
        problem: what is wanted, and what can be done.
        protect: a difference that was reduced must not be back when another one is (what Ernst and Newell ask of a good
            ordering of differences).
        deepest: the most demands that are nested in one another.
        trace: filled with what it did.

    Source: Ernst and Newell (1969), GPS: a case study in generality and problem solving, chapter 2.
    """
    search = _Search(problem, protect, trace or Trace())
    for depth in range(1, deepest + 1):
        plan = search.transform(problem.initial, problem.goal, depth)
        if plan is not None:
            return [*plan]
    return None


class _Search:
    def __init__(self, problem: Problem, protect: bool, trace: Trace) -> None:
        self.rank = {name: rank for rank, name in enumerate(problem.order)}  # 0 is the most difficult
        self.protect, self.trace = protect, trace
        self.known: dict[_Key, _Plan | None] = {}
        self.table: dict[tuple[str, Value], list[Operator]] = {}
        for operator in problem.operators:
            for name, value in operator.after.items():
                if operator.before.get(name) != value:
                    self.table.setdefault((name, value), []).append(operator)

    def transform(self, state: State, goal: State, depth: int) -> _Plan | None:
        """From a state to one in which the goal holds."""
        key = (frozenset(state.items()), frozenset(goal.items()), depth)
        if key not in self.known:
            self.trace.goals += 1
            self.known[key] = self._reduce(state, goal, depth, (key[0],), frozenset())
        return self.known[key]

    def _reduce(
        self, state: State, goal: State, depth: int, passed: tuple[frozenset[tuple[str, Value]], ...],
        kept: frozenset[str],
    ) -> _Plan | None:  # fmt: skip
        """The differences one by one; `passed` are states in which this goal stood already, `kept` must stay."""
        differences = [name for name, value in goal.items() if state[name] != value]
        if not differences:
            return ()
        if depth == 0:
            return None
        name = min(differences, key=self.rank.__getitem__)
        for operator in self._connected(name, goal[name], state):
            way = self.transform(state, operator.before, depth - 1)
            if way is None:
                continue
            after = end_of(state, (*way, operator))
            there = frozenset(after.items())
            if there in passed or any(after[n] != goal[n] for n in kept):
                continue
            done = frozenset(n for n in goal if after[n] == goal[n]) if self.protect else frozenset[str]()
            rest = self._reduce(after, goal, depth, (*passed, there), done)
            if rest is not None:
                return (*way, operator, *rest)
        return None

    def _connected(self, name: str, value: Value, state: State) -> Sequence[Operator]:
        """The operators that the table has for a difference: first those whose own differences are easy, then few."""

        def demand(operator: Operator) -> tuple[int, int]:
            unmet = [self.rank[n] for n, v in operator.before.items() if state[n] != v]
            return -min(unmet, default=len(self.rank)), len(unmet)

        return sorted(self.table.get((name, value), []), key=demand)
