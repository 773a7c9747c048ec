"""Total reward, γ = 1: graph analysis first, then sound bounds from both sides.

Which values are finite is decided by the graph (`operant.mdp.graph.finiteness` has the definitions): where a policy
can earn without limit the value is +inf, where every policy loses without limit it is -inf, and `solution.extra` says
which states, with one end component as the reason. Everywhere else the certificate has lower ≤ v* ≤ upper, and the
policy returned is worth at least `lower`: it terminates almost surely, or comes to rest where rewards are 0.

An infinite play earns what it earns: staying for ever where rewards are 0 is worth 0. With `must_terminate=True` only
policies that terminate almost surely count, the *proper* policies of a stochastic shortest path problem; then a state
that cannot terminate almost surely has the value -inf. For costs (negative rewards) that is the expected reward "min"
of probabilistic model checkers; a reachability probability is the total reward with reward 1 for entering the target.

Sources: Bertsekas & Tsitsiklis (1991), An analysis of stochastic shortest path problems; Haddad & Monmege (2018);
Baier et al. (2017); Hartmanns & Kaminski (2020).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operant.mdp.bounds.interval_iteration import (
    Bounds,
    Problem,
    Stopped,
    exact,
    from_above,
    from_below,
    margin,
    tighten,
)
from operant.mdp.graph.finiteness import Analysis, analyse, lift
from operant.mdp.kernels import interval as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Watch
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Certificate, Solution

SMALL = 100_000  # states up to which policies are evaluated by a factorisation first


def choose(mdp: MDP) -> tuple[str, str]:
    """The method for a total-reward model, and why."""
    if mdp.num_states <= SMALL:
        return "interval-iteration", f"total reward, {mdp.num_states:,} states: bounds around an exact policy iteration"
    return "optimistic-value-iteration", "total reward: iteration from below, an upper bound guessed and then verified"


def interval_iteration(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    must_terminate: bool = False,
) -> Solution:
    """Interval iteration: a sequence from below and one from above, x ← max(x, Tx) and y ← min(y, Ty), until they meet.

    Models of up to 100,000 states start at the bounds that exact policy iteration proves, if its checks hold; others at
    bounds from the expected number of steps of one policy, and from rewards raised until value iteration closes.

    Args:
        mdp: a model with γ = 1.
        epsilon: how far apart the bounds may be, and how much the policy may lose.
        watch: called as (iteration, gap, values [S]) after each sweep.
        max_iterations: stop then, with the bounds so far, which may be infinite.
        must_terminate: only policies that terminate almost surely count.

    Raises:
        ModelError: if γ < 1, or where the expected total reward does not exist.

    Source: Haddad & Monmege (2018); Baier, Klein, Leuschner, Parker & Wunderlich (2017).
    """
    return _solve(mdp, bound, "interval-iteration", epsilon, watch, max_iterations, must_terminate)


def optimistic_value_iteration(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    must_terminate: bool = False,
) -> Solution:
    """Optimistic value iteration: iterate from below, guess an upper bound close above, verify Ty ≤ y, then close in.

    The guess is the limit of value iteration with every reward raised by η, a fraction of ε over the expected number of
    steps, so that most guesses are within ε as they are found. Arguments and errors as for `interval_iteration`.

    Source: Hartmanns & Kaminski (2020), Optimistic value iteration; the guess by raised rewards is ours.
    """
    return _solve(mdp, _optimistic, "optimistic-value-iteration", epsilon, watch, max_iterations, must_terminate)


def policy_iteration(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    must_terminate: bool = False,
) -> Solution:
    """Howard's policy iteration from a policy that terminates almost surely, each evaluated by a sparse factorisation.

    The bounds are checked sweeps around the last one. Arguments as for `interval_iteration`; a factorisation of a large
    model may take much memory.

    Raises:
        ModelError: also if a policy cannot be evaluated in floating point; the other methods need no such thing.
    """
    return _solve(mdp, _exact, "policy-iteration", epsilon, watch, max_iterations, must_terminate)


def bound(problem: Problem) -> Bounds:
    """Interval iteration on an analysed problem."""
    if problem.size <= SMALL and (found := exact(problem)) is not None:
        return tighten(problem, found.lower, found.upper, found.choice)
    rows = problem.quotient.rows
    lower, choice = from_below(problem)
    most = float(rows.reward.max(initial=0.0))
    if most <= 0.0:
        upper = problem.values(max(0.0, float(rows.terminal_value.max(initial=0.0))))
    else:
        upper = from_above(problem, lower, choice, most)
    return tighten(problem, lower, upper, choice)


def _optimistic(problem: Problem) -> Bounds:
    rows = problem.quotient.rows
    lower, choice = from_below(problem)
    while problem.rise(rows.reward, 0.0, lower, choice, unit=1.0) > problem.epsilon / 4:
        problem.tick(lower, None, choice)
    steps = float(problem.steps(choice, lower).max(initial=1.0))
    eta = max(problem.epsilon / (4.0 * steps), 8.0 * margin(problem, kernels.magnitude(lower)))
    upper = from_above(problem, lower, choice, eta)
    problem.rounding = steps * margin(problem, kernels.magnitude(lower))
    return tighten(problem, lower, upper, choice)


def _exact(problem: Problem) -> Bounds:
    found = exact(problem)
    if found is None:
        raise ModelError("a policy cannot be evaluated to floating-point accuracy: use optimistic-value-iteration.")
    return tighten(problem, found.lower, found.upper, found.choice)


def _solve(
    mdp: MDP,
    method: Callable[[Problem], Bounds],
    name: str,
    epsilon: float,
    watch: Watch | None,
    max_iterations: int | None,
    must_terminate: bool,
) -> Solution:
    started = time.perf_counter()
    if mdp.discount != 1.0 or mdp.horizon is not None:
        raise ModelError(f"{name} is for total reward: γ = 1 and no horizon, not γ = {mdp.discount:g}.")
    if not epsilon > 0.0:
        raise ModelError(f"epsilon is {epsilon}: it must be positive.")
    found = analyse(mdp, must_terminate=must_terminate)
    block = found.core.block

    def spread(values: Floats) -> Floats:
        out = np.where(found.unbounded, np.inf, -np.inf)
        out[block >= 0] = values[block[block >= 0]]
        return out

    def report(iteration: int, gap: float, lower: Floats, upper: Floats) -> None:
        if watch is not None:
            watch(iteration, gap, spread(_middle(lower, upper)))

    problem = Problem(found.core, epsilon=epsilon, max_iterations=max_iterations, report=report if watch else None)
    if len(problem.order):
        try:
            bounds = method(problem)
        except Stopped as stopped:
            bounds = stopped.args[0]
    else:
        bounds = Bounds(problem.values(0.0), problem.values(0.0), problem.first, "the graph decides every state")
    rows = _policy(found, bounds)
    lower, upper = spread(bounds.lower), spread(bounds.upper)
    certificate = Certificate(
        criterion="total",
        lower=lower,
        upper=upper,
        policy_loss=bounds.gap,
        rounding=problem.rounding or margin(problem, kernels.magnitude(bounds.lower)),
        why="x ≥ Tx proves x ≥ v*, x ≤ T_π x proves x ≤ v_π, once end components are analysed (Bertsekas & Tsitsiklis "
        "1991); every sweep is rounded outwards",
    )
    return Solution(
        mdp=mdp,
        values=spread(_middle(bounds.lower, bounds.upper)),
        policy=np.where(rows >= 0, mdp.rows.action[rows], -1).astype(np.int32)
        if mdp.num_rows
        else rows.astype(np.int32),
        rows=rows,
        certificate=certificate,
        method=name,
        why=_why(mdp, found, bounds.stopped, must_terminate),
        iterations=problem.iterations,
        seconds=time.perf_counter() - started,
        history=tuple(problem.history),
        extra={
            "unbounded": found.unbounded,
            "hopeless": found.hopeless,
            "component": found.component,
            "merged": found.zero.count,
        },
    )


def _policy(found: Analysis, bounds: Bounds) -> NDArray[np.int64]:
    """The policy of the blocks as rows of the model."""
    rows, core = found.rows.copy(), found.core
    lift(
        found.graph,
        found.zero,
        core.block,
        core.source(bounds.choice),
        np.ones(len(core.rows.terminal), dtype=bool),
        rows,
    )
    return rows


def _middle(lower: Floats, upper: Floats) -> Floats:
    """Between the bounds; the finite one if the other is not known yet, else 0."""
    low, high = np.isfinite(lower), np.isfinite(upper)
    return (np.where(low, lower, np.where(high, upper, 0.0)) + np.where(high, upper, np.where(low, lower, 0.0))) / 2


def _why(mdp: MDP, found: Analysis, stopped: str, must_terminate: bool) -> str:
    parts: list[str] = []
    if found.unbounded.any():
        some = ", ".join(mdp.name(int(s)) for s in found.component[:5]) + (", …" if len(found.component) > 5 else "")
        parts.append(
            f"unbounded: from {int(found.unbounded.sum()):,} states a policy earns without limit, for one by staying "
            f"in the end component {{{some}}} ({len(found.component)} states); use γ < 1 or the average criterion, or "
            "negative rewards there"
        )
    if found.hopeless.any():
        one = mdp.name(int(np.flatnonzero(found.hopeless)[0]))
        parts.append(
            f"{int(found.hopeless.sum()):,} states ({one}, …) cannot terminate almost surely"
            if must_terminate
            else f"from {int(found.hopeless.sum()):,} states ({one}, …) every policy loses without limit: -inf"
        )
    if found.zero.count:
        parts.append(f"{found.zero.count:,} end components of reward 0 merged")
    return "; ".join([*parts, stopped])
