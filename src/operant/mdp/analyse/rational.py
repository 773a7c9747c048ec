"""Exact rational arithmetic for small models: evaluation, policy iteration, and all breakpoints of a parameter.

Nothing here is rounded: a value is a `Fraction`, and "optimal" means that no action is better by anything at all. The
floats of a model are read as the simplest fractions that round to them, so that 0.8 is 4/5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.analyse.exact import ONE, ZERO, Exact, Pair, as_fraction, simplest
from operant.mdp.graph.graph import Graph
from operant.mdp.model import MDP
from operant.mdp.policies import checked
from operant.mdp.rows import Floats, ModelError
from operant.mdp.validate import public


@dataclass(frozen=True, kw_only=True, eq=False)
class ExactSolution:
    """The exact answer of `solve_exactly`."""

    mdp: MDP
    values: tuple[Fraction, ...]  # [S]
    policy: NDArray[np.int32]  # [S]  action labels, -1 where terminal
    rows: NDArray[np.int64]  # [S]
    optimal: NDArray[np.bool_]  # [L]  every row that is optimal, ties included
    iterations: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """An interval of the parameter, and what is optimal all over it (at its ends too, where neighbours tie)."""

    low: Fraction | None  # None: -∞
    high: Fraction | None  # None: +∞
    policy: NDArray[np.int32] | None  # [S]  action labels, -1 where terminal; None where unbounded
    values: tuple[Fraction, ...]  # [S]  v*(s) = values + parameter · slopes; empty where unbounded
    slopes: tuple[Fraction, ...]  # [S]
    optimal: NDArray[np.bool_] | None  # [L]  rows optimal all over the interval: more than one of a state tie
    unbounded: bool = False  # some policy never ends and earns without limit


@public("discounted", "total")
def evaluate_exactly(mdp: MDP, policy: Sequence[Fraction] | Floats) -> tuple[Fraction, ...]:
    """v_π of a policy π(a | s) over rows [L] (floats are read as their simplest fractions), exactly: [S].

    An action for each state, integers [S], is a policy too.

    Raises:
        ModelError: if the policy is none, or under γ = 1 does not end.

    Source: Puterman (1994), section 6.1.
    """
    given: NDArray[Any] = np.asarray(policy)
    if given.dtype.kind in "iuUS":
        policy = checked(mdp, given)  # an action for each state
    checked(mdp, np.array([float(p) for p in policy]))
    model = Exact.of(mdp)
    exact = [p if isinstance(p, Fraction) else simplest(float(p)) for p in policy]
    values = model.evaluate([{row: exact[row] for row in rows if exact[row]} for rows in model.rows])
    return tuple(a for a, _ in values)


@public("discounted", "total")
def solve_exactly(mdp: MDP, *, must_terminate: bool = False, max_iterations: int = 1000) -> ExactSolution:
    """v* by policy iteration in fractions; γ below 1, or γ = 1, where it is the best of all policies that end.

    Args:
        mdp: the model.
        must_terminate: under γ = 1, policies that end are meant, and those that stay for ever without earning anything
            are not; implied by `endless="loses"` of the model.
        max_iterations: improvements at most.

    Raises:
        ModelError: under γ = 1, if nothing ends from some state, or some policy never ends and earns without limit, or
            one is better that stays for ever; if the policy still improves after `max_iterations`.

    Source: Puterman (1994), sections 6.4 and 7.2.
    """
    model = Exact.of(mdp)
    improved = _improve(model, _initial(model), lambda a: (a[0], ZERO), max_iterations)
    if improved is None:
        raise ModelError("the total reward is unbounded: a policy that never ends earns more than 0 per round.")
    chosen, values, iterations = improved
    for state in [] if must_terminate else _resting(model):
        _refuse_resting(model, state, values[state][0] < 0)
    rows = np.array(chosen, dtype=np.int64)
    tie = [model.advantage(row, s, values)[0] == 0 for s, pairs in enumerate(model.rows) for row in pairs]
    return ExactSolution(
        mdp=mdp,
        values=tuple(a for a, _ in values),
        policy=mdp.action_labels(rows),
        rows=rows,
        optimal=np.array(tie, dtype=bool),
        iterations=iterations,
    )


@public("discounted", "total")
def breakpoints(
    mdp: MDP,
    slope: ArrayLike,
    *,
    at: Fraction | float = 0,
    low: Fraction | float | None = None,
    high: Fraction | float | None = None,
    must_terminate: bool = False,
    max_iterations: int = 1000,
) -> list[Piece]:
    """The optimal policy of r(s, a) + x · slope(s, a) for every value of the parameter x, in order of x.

    Parametric policy iteration: a policy's value is affine in x, so it stays optimal up to the least x at which the
    advantage of another row rises through 0, an exact fraction. There policy iteration goes on in the lexicographic
    order of (advantage at x, its slope), which is the order just beyond x. Nothing is searched by bisection.

    Args:
        mdp: the model at x = 0; with γ = 1 policies that end compete, and an interval in which one that never ends
            earns without limit is returned as unbounded.
        slope: how much each reward grows with x: [L], [S, A], or [S] for R(s) (with terminal states' own worth).
        at: a value of x at which the total is bounded, where the walk begins in both directions.
        low, high: the interval of x; None: no limit.
        must_terminate: as in `solve_exactly`.
        max_iterations: improvements at most, of each policy iteration.

    Returns:
        Pieces that cover the interval; a breakpoint is the `high` of one and the `low` of the next.

    Raises:
        ModelError: if the total is unbounded at `at`, or under γ = 1 nothing ends from some state, or for some x it is
            better to stay for ever without earning anything.

    Source: Gass and Saaty (1955), The computational algorithm for the parametric objective function; Puterman (1994),
    section 6.4.
    """
    model, begin = Exact.of(mdp, slope), as_fraction(at)
    ends = None if low is None else as_fraction(low), None if high is None else as_fraction(high)
    if (ends[0] is not None and begin < ends[0]) or (ends[1] is not None and begin > ends[1]):
        raise ModelError(f"at is {begin}, outside of the interval from {ends[0]} to {ends[1]}.")
    start = _improve(model, _initial(model), lambda a: (a[0] + begin * a[1], ZERO), max_iterations)
    if start is None:
        raise ModelError(f"the total is unbounded at x = {begin}: pass at=, a value of x at which it is not.")
    left = _walk(model, start[0], begin, ends[0], -1, max_iterations)[::-1]
    right = _walk(model, start[0], begin, ends[1], 1, max_iterations)
    if left and right and _same(left[-1], right[0]):
        middle = right.pop(0)  # the walk began inside of a piece
        left[-1] = replace(left[-1], high=middle.high)
    for state in [] if must_terminate else _resting(model):
        for piece in left + right:
            _refuse_resting(model, state, not piece.unbounded and _falls(piece, state))
    return left + right


def _resting(model: Exact) -> list[int]:
    """States in which a policy may stay for ever without earning anything, which is worth 0 if that counts."""
    if model.discount != 1 or model.mdp.endless == "loses":
        return []
    free = np.array([pair == (ZERO, ZERO) for pair in model.reward], dtype=bool)
    return np.flatnonzero(Graph.of(model.mdp).end_components(free).label >= 0).tolist()


def _refuse_resting(model: Exact, state: int, better: bool) -> None:
    if better:
        raise ModelError(
            f"to stay for ever in state {model.mdp.name(state)} earns nothing, which is better than any policy that "
            "ends: use operant.mdp.solve, or must_terminate=True where policies that end are meant."
        )


def _falls(piece: Piece, state: int) -> bool:
    """Is the value of a state below 0 somewhere in the piece?"""
    a, b = piece.values[state], piece.slopes[state]
    ends = [None if x is None else a + b * x for x in (piece.low, piece.high)]
    return any(v is not None and v < 0 for v in ends) or (ends[0] is None and b > 0) or (ends[1] is None and b < 0)


def _same(a: Piece, b: Piece) -> bool:
    return a.optimal is not None and b.optimal is not None and np.array_equal(a.optimal, b.optimal)


def _walk(
    model: Exact, chosen: list[int], x: Fraction, end: Fraction | None, sign: int, max_iterations: int
) -> list[Piece]:
    """The pieces from x on, upwards (sign 1) or downwards (-1), for a policy that is optimal at x."""
    pieces: list[Piece] = []
    while end is None or sign * x < sign * end:
        now = x
        improved = _improve(model, chosen, lambda a, now=now: (a[0] + now * a[1], sign * a[1]), max_iterations)
        if improved is None:
            edge = (now, end) if sign > 0 else (end, now)
            nothing = Piece(low=edge[0], high=edge[1], policy=None, values=(), slopes=(), optimal=None, unbounded=True)
            return [*pieces, nothing]
        chosen, values, _ = improved
        gaps = [model.advantage(row, s, values) for s, rows in enumerate(model.rows) for row in rows]
        meets = [-a / b for a, b in gaps if sign * b > 0]
        x_next = (min(meets) if sign > 0 else max(meets)) if meets else None
        if end is not None and (x_next is None or sign * x_next > sign * end):
            x_next = end
        edge = (now, x_next) if sign > 0 else (x_next, now)
        pieces.append(
            Piece(
                low=edge[0],
                high=edge[1],
                policy=model.mdp.action_labels(np.array(chosen, dtype=np.int64)),
                values=tuple(a for a, _ in values),
                slopes=tuple(b for _, b in values),
                optimal=np.array([gap == (0, 0) for gap in gaps], dtype=bool),
            )
        )
        if x_next is None:
            return pieces
        x = x_next
    return pieces


def _improve(
    model: Exact, chosen: list[int], key: Callable[[Pair], Pair], max_iterations: int
) -> tuple[list[int], list[Pair], int] | None:
    """Policy iteration in the lexicographic order of `key(advantage)`; None if it comes to a policy that never ends.

    A state changes its row only for a strictly better one. Then a class that the new policy never leaves holds a state
    that changed (the old policy left it), so its mean advantage is above 0, and that is what it earns per step.
    """
    chosen = list(chosen)
    for iteration in range(1, max_iterations + 1):
        values = model.evaluate([{row: ONE} if row >= 0 else {} for row in chosen])
        changed = False
        for state, rows in enumerate(model.rows):
            keys = {row: key(model.advantage(row, state, values)) for row in rows}
            best = max(keys, key=lambda row: keys[row]) if keys else -1
            if keys and keys[best] > (ZERO, ZERO):
                chosen[state], changed = best, True
        if not changed:
            return chosen, values, iteration
        if model.discount == 1 and not model.is_proper(chosen):
            return None
    raise ModelError(f"the policy still improves after {max_iterations} rounds: raise max_iterations.")


def _initial(model: Exact) -> list[int]:
    if model.discount == 1:
        return model.proper()
    return [rows[0] if len(rows) else -1 for rows in model.rows]
