"""Total reward, γ = 1: graph analysis first, then sound bounds from both sides.

Which values are finite is decided by the graph (`operant.mdp.bounds.finiteness` has the definitions): where a policy
can earn without limit the value is +inf, where every policy loses without limit it is -inf, and `solution.extra` says
which states, with one end component as the reason. Everywhere else the certificate has lower ≤ v* ≤ upper, and the
policy returned is worth at least `lower`: it terminates almost surely, or comes to rest where rewards are 0.

An infinite play earns what it earns: staying for ever where rewards are 0 is worth 0. With `must_terminate=True`, or in
a model with `endless="loses"`, only policies that terminate almost surely count, the *proper* policies of a stochastic
shortest path problem; then a state that cannot terminate almost surely has the value -inf. For costs (negative rewards)
that is the expected reward "min" of probabilistic model checkers. Their "max" is `endless="wins"`: a state from which a
play may never terminate has the value +inf. A reachability probability is the total reward with reward 1 for entering
the target.

Sources: Bertsekas & Tsitsiklis (1991), An analysis of stochastic shortest path problems; Haddad & Monmege (2018);
Baier et al. (2017); Hartmanns & Kaminski (2020).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from operant.mdp.bounds.finiteness import Finiteness, finiteness, lift
from operant.mdp.bounds.interval_iteration import (
    SMALL,
    Bounds,
    ShortestPath,
    Stopped,
    bound,
    exact,
    from_above,
    from_below,
    margin,
    tighten,
)
from operant.mdp.kernels import interval as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Stop
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Certificate, Solution
from operant.mdp.validate import public, stopping


def auto(mdp: MDP, *, must_terminate: bool = False, **stop: Unpack[Stop]) -> Solution:
    """The method that fits the size of the model."""
    if mdp.num_states <= SMALL:
        method, why = interval_iteration, "bounds around an exact policy iteration"
        why = f"total reward, {mdp.num_states:,} states: {why}"
    else:
        method, why = optimistic_value_iteration, "iteration from below, an upper bound guessed and then verified"
        why = f"total reward: {why}"
    solution = method(mdp, must_terminate=must_terminate, **stop)
    return replace(solution, why=f"{why}; {solution.why}")


@public("total")
def interval_iteration(mdp: MDP, *, must_terminate: bool = False, **stop: Unpack[Stop]) -> Solution:
    """Interval iteration: a sequence from below and one from above, x ← max(x, Tx) and y ← min(y, Ty), until they meet.

    Models of up to 100,000 states start at the bounds that exact policy iteration proves, if its checks hold; others at
    bounds from the expected number of steps of one policy, and from rewards raised until value iteration closes.

    Args:
        mdp: a model with γ = 1.
        must_terminate: only policies that terminate almost surely count; implied by `endless="loses"` of the model.
        stop: as for every solver; if it stops after `max_iterations`, the bounds so far may be infinite.

    Raises:
        ModelError: if γ < 1, or where the expected total reward does not exist.

    Source: Haddad & Monmege (2018); Baier, Klein, Leuschner, Parker & Wunderlich (2017).
    """
    return _solve(mdp, bound, "interval-iteration", must_terminate, stop)


@public("total")
def optimistic_value_iteration(mdp: MDP, *, must_terminate: bool = False, **stop: Unpack[Stop]) -> Solution:
    """Optimistic value iteration: iterate from below, guess an upper bound close above, verify Ty ≤ y, then close in.

    The guess is the limit of value iteration with every reward raised by η, a fraction of ε over the expected number of
    steps, so that most guesses are within ε as they are found. Arguments and errors as for `interval_iteration`.

    Source: Hartmanns & Kaminski (2020), Optimistic value iteration; the guess by raised rewards is ours.
    """
    return _solve(mdp, _optimistic, "optimistic-value-iteration", must_terminate, stop)


@public("total")
def policy_iteration(mdp: MDP, *, must_terminate: bool = False, **stop: Unpack[Stop]) -> Solution:
    """Howard's policy iteration from a policy that terminates almost surely, each evaluated by a sparse factorisation.

    The bounds are checked sweeps around the last one. Arguments as for `interval_iteration`; a factorisation of a large
    model may take much memory.

    Raises:
        ModelError: also if a policy cannot be evaluated in floating point; the other methods need no such thing.
    """
    return _solve(mdp, _exact, "policy-iteration", must_terminate, stop)


def _optimistic(problem: ShortestPath) -> Bounds:
    rows = problem.quotient.rows
    lower, choice = from_below(problem)
    while problem.rise(rows.reward, 0.0, lower, choice, unit=1.0) > problem.epsilon / 4:
        problem.tick(lower, None, choice)
    steps = float(problem.steps(choice, lower).max(initial=1.0))
    eta = max(problem.epsilon / (4.0 * steps), 8.0 * margin(problem, kernels.magnitude(lower)))
    upper = from_above(problem, lower, choice, eta)
    problem.rounding = steps * margin(problem, kernels.magnitude(lower))
    return tighten(problem, lower, upper, choice)


def _exact(problem: ShortestPath) -> Bounds:
    bounds = exact(problem)
    if bounds is None:
        raise ModelError("a policy cannot be evaluated to floating-point accuracy: use optimistic-value-iteration.")
    return tighten(problem, bounds.lower, bounds.upper, bounds.choice)


def _solve(mdp: MDP, method: Callable[[ShortestPath], Bounds], name: str, must_terminate: bool, stop: Stop) -> Solution:
    started = time.perf_counter()
    epsilon, watch, most = stopping(stop)
    if must_terminate and mdp.endless == "wins":
        raise ModelError('an endless play wins in this model, endless="wins": leave must_terminate out.')
    must_terminate = must_terminate or mdp.endless == "loses"
    finite = finiteness(mdp, must_terminate=must_terminate)
    block = finite.core.block

    def spread(values: Floats) -> Floats:
        out = np.where(finite.unbounded, np.inf, -np.inf)
        out[block >= 0] = values[block[block >= 0]]
        return out

    def report(iteration: int, gap: float, lower: Floats, upper: Floats) -> None:
        if watch is not None:
            watch(iteration, gap, spread(_middle(lower, upper)))

    problem = ShortestPath(finite.core, epsilon=epsilon, max_iterations=most, report=report if watch else None)
    bounds = _bounds(problem, method)
    rows = _policy(finite, bounds)
    return Solution(
        mdp=mdp,
        values=spread(_middle(bounds.lower, bounds.upper)),
        policy=mdp.action_labels(rows),
        rows=rows,
        certificate=Certificate(
            criterion="total",
            lower=spread(bounds.lower),
            upper=spread(bounds.upper),
            policy_loss=bounds.gap,
            rounding=problem.rounding or margin(problem, kernels.magnitude(bounds.lower)),
            why="x ≥ Tx proves x ≥ v*, x ≤ T_π x proves x ≤ v_π, once end components are analysed (Bertsekas & "
            "Tsitsiklis 1991); every sweep is rounded outwards",
        ),
        method=name,
        why=_why(mdp, finite, bounds.stopped, must_terminate),
        iterations=problem.iterations,
        seconds=time.perf_counter() - started,
        history=tuple(problem.history),
        extra={
            "unbounded": finite.unbounded,
            "hopeless": finite.hopeless,
            "component": finite.component,
            "merged": finite.zero.count,
        },
    )


def _bounds(problem: ShortestPath, method: Callable[[ShortestPath], Bounds]) -> Bounds:
    """What a method proves, or has proved when it stops."""
    if not len(problem.order):
        return Bounds(problem.values(0.0), problem.values(0.0), problem.first, "the graph decides every state")
    try:
        return method(problem)
    except Stopped as stopped:
        return stopped.args[0]


def _policy(finite: Finiteness, bounds: Bounds) -> NDArray[np.int64]:
    """The policy of the blocks as rows of the model."""
    rows, core = finite.rows.copy(), finite.core
    every = np.ones(len(core.rows.terminal), dtype=bool)
    lift(finite.graph, finite.zero, core.block, core.source(bounds.choice), every, rows)
    return rows


def _middle(lower: Floats, upper: Floats) -> Floats:
    """Between the bounds; the finite one if the other is not known yet, else 0."""
    low, high = np.isfinite(lower), np.isfinite(upper)
    return (np.where(low, lower, np.where(high, upper, 0.0)) + np.where(high, upper, np.where(low, lower, 0.0))) / 2


def _why(mdp: MDP, finite: Finiteness, stopped: str, must_terminate: bool) -> str:
    parts: list[str] = []
    if finite.unbounded.any():
        some = ", ".join(mdp.name(int(s)) for s in finite.component[:5]) + (", …" if len(finite.component) > 5 else "")
        where = f"in the end component {{{some}}} ({len(finite.component)} states)"
        parts.append(
            f"from {int(finite.unbounded.sum()):,} states a play may never terminate, which wins: it may stay {where}"
            if mdp.endless == "wins"
            else f"unbounded: from {int(finite.unbounded.sum()):,} states a policy earns without limit, for one by "
            f"staying {where}; use γ < 1 or the average criterion, or negative rewards there"
        )
    if finite.hopeless.any():
        one = mdp.name(int(np.flatnonzero(finite.hopeless)[0]))
        parts.append(
            f"{int(finite.hopeless.sum()):,} states ({one}, …) cannot terminate almost surely"
            if must_terminate
            else f"from {int(finite.hopeless.sum()):,} states ({one}, …) every policy loses without limit: -inf"
        )
    if finite.zero.count:
        parts.append(f"{finite.zero.count:,} end components of reward 0 merged")
    return "; ".join([*parts, stopped])
