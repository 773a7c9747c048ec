"""A small model in exact fractions: its numbers, the value of a policy by elimination, which policies end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from operant.mdp.graph.reachability import must_end
from operant.mdp.model import MDP
from operant.mdp.policies import of_rows
from operant.mdp.rows import ModelError

Pair = tuple[Fraction, Fraction]
"""The polynomial a + b·parameter as (a, b)."""
ZERO, ONE = Fraction(0), Fraction(1)


def simplest(x: float, *, tolerance: float = 1e-14) -> Fraction:
    """The fraction of least denominator within `tolerance` (relative, and of 1 below 1) of a number.

    Source: Graham, Knuth and Patashnik (1994), Concrete Mathematics, section 4.5 (the Stern–Brocot tree).
    """
    exact = Fraction(x)
    width = Fraction(tolerance) * max(abs(exact), ONE)
    low, high = exact - width, exact + width
    if low <= 0 <= high:
        return ZERO
    return -_between(-high, -low) if high < 0 else _between(low, high)


def _between(low: Fraction, high: Fraction) -> Fraction:
    """The simplest fraction of a closed interval above 0, by continued fractions."""
    floor = low.numerator // low.denominator
    if floor == low:
        return Fraction(floor)
    if floor + 1 <= high:
        return Fraction(floor + 1)
    return floor + 1 / _between(1 / (high - floor), 1 / (low - floor))


@dataclass(frozen=True, kw_only=True, eq=False)
class Exact:
    """A model in fractions; rewards are affine in a parameter, (a, b) for a + b·parameter."""

    mdp: MDP
    discount: Fraction
    rows: tuple[range, ...]  # [S]
    successors: tuple[dict[int, Fraction], ...]  # [L]
    reward: tuple[Pair, ...]  # [L]
    worth: tuple[Pair, ...]  # [S]  of terminal states

    @classmethod
    def of(cls, mdp: MDP, slope: ArrayLike | None = None) -> Exact:
        """Read the numbers of a model; `slope` as in `breakpoints`.

        Raises:
            ModelError: if the simplest fractions of a row do not sum to one, or its state has no row.
        """
        must_end(mdp, "exact arithmetic")
        old = mdp.rows
        pointer, first = old.pointer.astype(np.int64), old.indptr.astype(np.int64)
        successors: list[dict[int, Fraction]] = []
        for row in range(mdp.num_rows):
            at = slice(first[row], first[row + 1])
            outcomes = {int(s): simplest(float(p)) for s, p in zip(old.indices[at], old.data[at], strict=True)}
            outcomes = {s: p for s, p in outcomes.items() if p}
            total = sum(outcomes.values(), ZERO)
            if total != 1 and not (mdp.leak and total < 1):
                raise ModelError(
                    f"the probabilities of state {mdp.name(int(mdp.row_state[row]))}, action {old.action[row]} are "
                    f"{', '.join(map(str, outcomes.values()))} as fractions, which sum to {total} and not to 1."
                )
            successors.append(outcomes)
        by_row, by_state = _slopes(mdp, slope)
        return cls(
            mdp=mdp,
            discount=simplest(mdp.discount),
            rows=tuple(range(int(pointer[s]), int(pointer[s + 1])) for s in range(mdp.num_states)),
            successors=tuple(successors),
            reward=tuple((simplest(float(r)), b) for r, b in zip(old.reward, by_row, strict=True)),
            worth=tuple((simplest(float(v)), b) for v, b in zip(old.terminal_value, by_state, strict=True)),
        )

    def evaluate(self, policy: Sequence[dict[int, Fraction]]) -> list[Pair]:
        """v_π of a policy given as {row: probability} for each state, by elimination.

        Raises:
            ModelError: under γ = 1, if the policy does not end from some state.
        """
        mixed = [_mix(rows, self.successors) for rows in policy]
        if self.discount == 1:
            stuck = self._stuck(mixed)
            if stuck is not None:
                raise ModelError(f"the policy is not proper: from state {self.mdp.name(stuck)} it never ends.")
        system: list[dict[int, Fraction]] = []
        right: list[Pair] = []
        for state, chain in enumerate(mixed):
            if not policy[state]:
                system.append({state: ONE})
                right.append(self.worth[state])
                continue
            row = {s: -self.discount * p for s, p in chain.items()}
            row[state] = row.get(state, ZERO) + 1
            system.append({s: x for s, x in row.items() if x})
            a = sum((p * self.reward[at][0] for at, p in policy[state].items()), ZERO)
            b = sum((p * self.reward[at][1] for at, p in policy[state].items()), ZERO)
            right.append((a, b))
        return _eliminate(system, right)

    def advantage(self, row: int, state: int, values: Sequence[Pair]) -> Pair:
        """q(s, a) - v(s) as (a, b)."""
        a, b = self.reward[row]
        for s, p in self.successors[row].items():
            a, b = a + self.discount * p * values[s][0], b + self.discount * p * values[s][1]
        return a - values[state][0], b - values[state][1]

    def proper(self) -> list[int]:
        """A policy (row of each state, -1 where terminal) that ends from everywhere: each step may come nearer.

        Raises:
            ModelError: if from some state nothing ends.
        """
        chosen = [-1] * len(self.rows)
        ended = {s for s, rows in enumerate(self.rows) if not len(rows)}
        while True:
            closer: dict[int, int] = {}
            for state, rows in enumerate(self.rows):
                if state in ended:
                    continue
                for row in rows:
                    total = sum(self.successors[row].values(), ZERO)
                    if total < 1 or any(s in ended for s in self.successors[row]):
                        closer[state] = row
                        break
            if not closer:
                break
            for state, row in closer.items():
                chosen[state] = row
            ended |= closer.keys()
        if len(ended) < len(self.rows):
            left = next(s for s in range(len(self.rows)) if s not in ended)
            raise ModelError(f"from state {self.mdp.name(left)} no policy ends: γ = 1 has no total; set a discount.")
        return chosen

    def is_proper(self, chosen: Sequence[int]) -> bool:
        """Does a policy (row of each state) end from every state?"""
        return self._stuck([self.successors[row] if row >= 0 else {} for row in chosen]) is None

    def _stuck(self, chain: Sequence[dict[int, Fraction]]) -> int | None:
        """The first state from which a chain never ends."""
        ends = [not len(self.rows[s]) or sum(row.values(), ZERO) < 1 for s, row in enumerate(chain)]
        before: list[list[int]] = [[] for _ in chain]
        for state, row in enumerate(chain):
            for after in row:
                before[after].append(state)
        front = [s for s, end in enumerate(ends) if end]
        while front:
            for state in before[front.pop()]:
                if not ends[state]:
                    ends[state] = True
                    front.append(state)
        return next((s for s, end in enumerate(ends) if not end), None)


def _slopes(mdp: MDP, slope: ArrayLike | None) -> tuple[list[Fraction], list[Fraction]]:
    """([L], [S]) of `slope`; a slope of R(s) counts for terminal states too."""
    zeros = [ZERO] * mdp.num_states
    if slope is None:
        return [ZERO] * mdp.num_rows, zeros
    given = np.asarray(slope)
    exact = np.array([as_fraction(x) for x in given.ravel()], dtype=object).reshape(given.shape)
    if given.shape == (mdp.num_states,) and mdp.num_states != mdp.num_rows:
        return list(exact[mdp.row_state]), [x if end else ZERO for x, end in zip(exact, mdp.rows.terminal, strict=True)]
    position = of_rows(mdp, np.arange(given.size, dtype=np.float64).reshape(given.shape)).astype(np.int64)
    return list(exact.ravel()[position]), zeros


def as_fraction(x: Fraction | float) -> Fraction:
    """A fraction as it is, a float as its simplest fraction."""
    return x if isinstance(x, Fraction) else simplest(float(x))


def _mix(policy: dict[int, Fraction], successors: Sequence[dict[int, Fraction]]) -> dict[int, Fraction]:
    mixed: dict[int, Fraction] = {}
    for row, weight in policy.items():
        for state, p in successors[row].items():
            mixed[state] = mixed.get(state, ZERO) + weight * p
    return mixed


def _eliminate(system: list[dict[int, Fraction]], right: list[Pair]) -> list[Pair]:
    """Gauss–Jordan on sparse rows, the shortest remaining row first; I - γP has its pivots on the diagonal."""
    left = set(range(len(system)))
    holders: list[set[int]] = [set() for _ in system]
    for i, row in enumerate(system):
        for j in row:
            holders[j].add(i)
    order: list[int] = []
    while left:
        pivot = min(left, key=lambda i: (len(system[i]), i))
        left.remove(pivot)
        order.append(pivot)
        scale = 1 / system[pivot].pop(pivot)
        system[pivot] = {j: x * scale for j, x in system[pivot].items()}
        a, b = right[pivot]
        right[pivot] = a * scale, b * scale
        for i in holders[pivot] & left:
            factor = system[i].pop(pivot)
            for j, x in system[pivot].items():
                value = system[i].get(j, ZERO) - factor * x
                if value:
                    system[i][j] = value
                    holders[j].add(i)
                elif j in system[i]:
                    del system[i][j]
                    holders[j].discard(i)
            right[i] = right[i][0] - factor * right[pivot][0], right[i][1] - factor * right[pivot][1]
    values: list[Pair] = [(ZERO, ZERO)] * len(system)
    for pivot in reversed(order):
        a, b = right[pivot]
        for j, x in system[pivot].items():
            a, b = a - x * values[j][0], b - x * values[j][1]
        values[pivot] = a, b
    return values
