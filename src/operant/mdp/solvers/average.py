"""Average reward per step: relative value iteration, and Howard's policy iteration for models of any chain structure.

The gain of a policy is g(s) = lim (1/n) E[r_0 + … + r_{n-1}]; a terminal state, and what a leak leads to, earns 0.
The values returned are relative values h, with g + h = max over a of (r + P h), zero at one reference state of each
recurrent class. The discount of the model is not used.

Source: Puterman (1994), chapters 8 and 9; Howard (1960), Dynamic Programming and Markov Processes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from operant.mdp.bounds.gain import gain_bounds
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.graph.end_components import EndComponents, end_components, quotient
from operant.mdp.graph.reachability import Graph
from operant.mdp.kernels.interval import UNIT
from operant.mdp.model import MDP
from operant.mdp.options import Watch
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Certificate, Solution

STAY = 0.05  # of the aperiodicity transform P ← (1 - STAY) P + STAY I (Puterman 8.5.4)
SMALL = 20_000


def choose(mdp: MDP) -> tuple[str, str]:
    """The method for an average-reward model, and why."""
    if mdp.num_states <= SMALL:
        return "multichain-policy-iteration", "average reward: correct for any chain structure, exact gain and bias"
    if len(_classes(mdp)) == 1:
        return "relative-value-iteration", f"average reward, {mdp.num_states:,} states, weakly communicating"
    return "multichain-policy-iteration", "average reward: the model is multichain, the gain differs between states"


def relative_value_iteration(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    threads: int | None = None,
    reference: int | None = None,
) -> Solution:
    """Relative value iteration: v ← v + (1 - 0.05) (d - d(reference)), d = Tv - v, until min d and max d meet.

    For every v, min d ≤ g_policy ≤ g* ≤ max d, the policy being greedy to v. The step of 0.95 is value iteration after
    the aperiodicity transform, which leaves gain and relative values as they are and lets periodic models converge.

    Args:
        mdp: a weakly communicating model: one class of states that reach each other, the others transient under every
            policy. That is so if there is one maximal end component, counting all termination as one.
        epsilon: how far apart the bounds of the gain may be, and how much the policy may lose.
        watch: called as (iteration, gap, values [S]) after each sweep.
        max_iterations: stop then, with the bounds reached.
        threads: how many; the answer does not depend on it.
        reference: the state with relative value 0; the last one if None. Termination, if there is any, has value 0.

    Raises:
        ModelError: if the model is not weakly communicating, naming a state of each of two classes.

    Source: White (1963); Puterman (1994), sections 8.5.4, 8.5.5 and theorem 8.5.5 for the bounds.
    """
    started = time.perf_counter()
    _check(mdp, epsilon)
    classes = _classes(mdp)
    if len(classes) > 1:
        raise ModelError(
            f"the model is not weakly communicating: {mdp.name(classes[0])} and {mdp.name(classes[1])} lie in "
            f"different classes ({len(classes)} in all) and may have different gains; use multichain-policy-iteration."
        )
    graph, states, none = Graph.of(mdp), mdp.num_states, np.zeros(0, dtype=np.int64)
    rows = quotient(graph, mdp.rows.reward, np.arange(states), graph.every_row(), none, np.zeros(0)).rows
    sweeps = Sweeps(MDP.from_rows(rows, 1.0, criterion="average", leak=True, check=False), threads)
    ends = bool(rows.terminal.any() or graph.leaks.any())
    reference = states - 1 if reference is None else reference
    v, out, choice = np.where(rows.terminal, rows.terminal_value, 0.0), np.empty(states), np.full(states, -1)
    longest = float(np.diff(rows.indptr.astype(np.int64)).max(initial=0))
    most = float(np.abs(rows.reward).max(initial=0.0))
    lower, upper, iteration, best = -np.inf, np.inf, 0, np.full(states, -1)
    history: list[tuple[int, float]] = []
    while True:
        iteration += 1
        low, high = sweeps.backup(v, out, choice)
        scale = float(np.abs(v).max(initial=0.0))
        slack = (3.0 * longest + 12.0) * UNIT * (most + scale) + 2.0 * UNIT * scale
        if graph.leaks.any():
            low, high = min(low, 0.0), max(high, 0.0)
        if low - slack > lower:
            lower, best = low - slack, choice.copy()
        upper = min(upper, high + slack)
        gap = upper - lower
        if watch is not None:
            watch(iteration, gap, v)
        if not history or history[-1][1] > 1.25 * gap:
            history.append((iteration, gap))
        if gap <= epsilon:
            stopped = f"bounds within ε = {epsilon:g} of each other"
        elif high - low <= 4.0 * slack:
            stopped = f"rounding stops the bounds {gap:.3g} apart: ε is too small for this model"
        elif iteration == max_iterations:
            stopped = f"stopped at {iteration} iterations, as asked"
        else:
            step = out - v
            v += (1.0 - STAY) * (step if ends else step - step[reference])
            continue
        break
    if not ends:
        v -= v[reference]
    certificate = Certificate(
        criterion="average",
        lower=np.full(states, lower),
        upper=np.full(states, upper),
        policy_loss=gap,
        rounding=slack,
        why="min d ≤ g_policy ≤ g* ≤ max d for d = Tv - v (Puterman 8.5.5)",
    )
    return Solution(
        mdp=mdp,
        values=v,
        policy=_labels(mdp, best),
        rows=best,
        certificate=certificate,
        method="relative-value-iteration",
        why=f"weakly communicating; {stopped}",
        iterations=iteration,
        seconds=time.perf_counter() - started,
        gain=np.full(states, (lower + upper) / 2),
        history=tuple(history),
    )


def multichain_policy_iteration(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
) -> Solution:
    """Howard's policy iteration: exact gain and relative values by sparse factorisations, nested improvement.

    A policy is improved where some row has a greater P g; if none has, where, among the rows with the greatest P g, one
    has a greater r + P h. The answer is certified apart from that: `operant.mdp.bounds.gain` bounds the optimal gain
    from above and the policy's own from below.

    Args:
        mdp: a model of any chain structure.
        epsilon: how far apart the bounds of the gain may be, and how much the policy may lose.
        watch: called as (iteration, inf, relative values [S]) for each policy.
        max_iterations: policies to evaluate at most.

    Returns:
        values h, zero at the last state of each recurrent class of the policy; gain g; `extra["bias"]`, the relative
        values with P* h = 0 (Puterman 8.2.2).

    Raises:
        ModelError: if a policy's equations are singular in floating point.

    Source: Howard (1960); Puterman (1994), section 9.2.1.
    """
    started = time.perf_counter()
    _check(mdp, epsilon)
    graph, states, none = Graph.of(mdp), mdp.num_states, np.zeros(0, dtype=np.int64)
    whole = quotient(graph, mdp.rows.reward, np.arange(states), graph.every_row(), none, np.zeros(0))
    graph = Graph(whole.rows, whole.leaks)
    chosen = whole.rows.pointer[:-1].astype(np.int64)
    chosen[whole.rows.terminal] = -1
    seen: set[bytes] = set()
    iteration, stopped = 0, "no row improves gain or relative values"
    while True:
        iteration += 1
        chain = evaluate(graph, chosen)
        if watch is not None:
            watch(iteration, np.inf, chain.relative)
        seen.add(chosen.tobytes())
        better = _improve(graph, chosen, chain)
        if np.array_equal(better, chosen):
            break
        if better.tobytes() in seen:
            stopped = "policies that floating point cannot tell apart"
            break
        if iteration == max_iterations:
            stopped = f"stopped at {iteration} iterations, as asked"
            break
        chosen = better
    own = np.zeros(graph.num_rows, dtype=bool)
    own[chosen[chosen >= 0]] = True
    reward = whole.rows.reward
    lower, above = gain_bounds(graph, reward, own, chain.relative, epsilon=epsilon)
    _, upper = gain_bounds(graph, reward, graph.every_row(), chain.relative, epsilon=epsilon)
    loss = float(np.max(upper - lower, initial=0.0))
    if loss > epsilon:
        stopped += f"; the certificate reaches {loss:.3g}, not ε = {epsilon:g}"
    certificate = Certificate(
        criterion="average",
        lower=lower,
        upper=upper,
        policy_loss=loss,
        rounding=float(np.max(above - lower, initial=0.0)),
        why="min d ≤ g* ≤ max d in each end component, and bounds of the total reward of where a policy ends up",
    )
    return Solution(
        mdp=mdp,
        values=chain.relative,
        policy=_labels(mdp, chosen),
        rows=chosen,
        certificate=certificate,
        method="multichain-policy-iteration",
        why=stopped,
        iterations=iteration,
        seconds=time.perf_counter() - started,
        gain=np.clip(chain.gain, lower, upper),
        extra={"bias": chain.bias, "recurrent": chain.recurrent.label},
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """A policy's gain and relative values, and its recurrent classes."""

    gain: Floats  # [S]
    relative: Floats  # [S]  zero at the last state of each recurrent class
    bias: Floats  # [S]  with P* h = 0
    recurrent: EndComponents


def evaluate(graph: Graph, chosen: NDArray[np.int64]) -> Chain:
    """Gain and relative values of the policy that takes the rows `chosen` [S] (-1 in terminal states).

    In each recurrent class the unknown relative value of the last state, which is 0, gives its place to the class's
    gain; then two solves with I - P of the transient states.
    """
    rows, states = graph.rows, graph.num_states
    live = np.zeros(graph.num_rows, dtype=bool)
    live[chosen[chosen >= 0]] = True
    classes = end_components(graph, live)
    at = np.flatnonzero(chosen >= 0)
    select = sp.csr_array((np.ones(len(at)), (at, chosen[at])), shape=(states, graph.num_rows))
    matrix = sp.csr_array(
        (rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64)), shape=(graph.num_rows, states)
    )
    P, r = sp.csr_array(select @ matrix), select @ rows.reward
    g, h, b = np.zeros(states), np.where(rows.terminal, rows.terminal_value, 0.0), np.zeros(states)
    inner = np.flatnonzero(classes.label >= 0)
    mean = np.zeros(states)  # of h over the recurrent class
    if len(inner):
        label = classes.label[inner]
        last = np.zeros(classes.count, dtype=np.int64)
        last[label] = np.arange(len(inner))
        keep = np.ones(len(inner))
        keep[last] = 0.0
        gains = sp.csc_array((np.ones(len(inner)), (np.arange(len(inner)), last[label])), shape=(len(inner),) * 2)
        system = (sp.eye_array(len(inner)) - P[inner][:, inner]) @ sp.diags_array(keep) + gains
        factor = _factor(system)
        x = factor.solve(r[inner])
        g[inner] = x[last][label]
        h[inner] = np.where(keep > 0, x, 0.0)
        mean[inner] = factor.solve(h[inner])[last][label]  # the gain of a chain whose reward is h
    outer = np.flatnonzero((classes.label < 0) & ~rows.terminal)
    if len(outer):
        factor, rest = _factor(sp.eye_array(len(outer)) - P[outer][:, outer]), P[outer]
        g[outer] = factor.solve(rest @ g)
        h[outer] = factor.solve(r[outer] - g[outer] + rest @ h)
        mean[outer] = factor.solve(rest @ mean)
    b = h - mean
    return Chain(gain=g, relative=h, bias=b, recurrent=classes)


def _factor(matrix: sp.sparray) -> sp.linalg.SuperLU:
    try:
        return splu(sp.csc_array(matrix))
    except RuntimeError as error:
        raise ModelError(
            "a policy's equations are singular in floating point: use relative-value-iteration."
        ) from error


def _improve(graph: Graph, chosen: NDArray[np.int64], chain: Chain) -> NDArray[np.int64]:
    """The next policy: the same one if neither P g nor, where P g ties, r + P h can be improved."""
    rows = graph.rows
    matrix = sp.csr_array(
        (rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64)),
        shape=(graph.num_rows, graph.num_states),
    )
    at = np.flatnonzero(chosen >= 0)
    start, owner = rows.pointer[at].astype(np.int64), graph.owner.astype(np.int64)
    gain, mine = matrix @ chain.gain, chosen.copy()
    close = 1e-10 * max(1e-300, float(np.abs(chain.gain).max(initial=0.0)), float(np.abs(rows.reward).max(initial=0.0)))
    best = np.zeros(graph.num_states)
    best[at] = np.maximum.reduceat(gain, start)
    behind = at[best[at] > gain[chosen[at]] + close]
    if len(behind):
        mine[behind] = _first(gain >= best[owner] - close / 4, owner, graph.num_states)[behind]
        return mine
    value = np.where(gain >= best[owner] - close, rows.reward + matrix @ chain.relative, -np.inf)
    best[at] = np.maximum.reduceat(value, start)
    close = 1e-10 * max(1e-300, float(np.abs(value[np.isfinite(value)]).max(initial=0.0)))
    behind = at[best[at] > value[chosen[at]] + close]
    mine[behind] = _first(value >= best[owner] - close / 4, owner, graph.num_states)[behind]
    return mine


def _first(mask: NDArray[np.bool_], owner: NDArray[np.int64], states: int) -> NDArray[np.int64]:
    """The first row of each state in `mask`."""
    out, rows = np.full(states, -1), np.flatnonzero(mask)[::-1]
    out[owner[rows]] = rows
    return out


def _classes(mdp: MDP) -> list[int]:
    """A state of each maximal end component; one more for termination, all of it together."""
    graph = Graph.of(mdp)
    ends = end_components(graph, graph.every_row())
    inside = np.flatnonzero(ends.label >= 0)
    states = [int(s) for s in inside[np.unique(ends.label[inside], return_index=True)[1]]]
    if mdp.rows.terminal.any():
        states.append(int(np.flatnonzero(mdp.rows.terminal)[0]))
    elif graph.leaks.any():
        states.append(int(graph.owner[np.flatnonzero(graph.leaks)[0]]))
    return states


def _labels(mdp: MDP, rows: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.where(rows >= 0, mdp.rows.action[rows] if mdp.num_rows else -1, -1).astype(np.int32)


def _check(mdp: MDP, epsilon: float) -> None:
    if mdp.criterion != "average":
        raise ModelError(f'the criterion of the model is {mdp.criterion!r}: use mdp.replace(criterion="average").')
    if not epsilon > 0.0:
        raise ModelError(f"epsilon is {epsilon}: it must be positive.")
