"""Average reward per step: relative value iteration, and Howard's policy iteration for models of any chain structure.

The gain of a policy is g(s) = lim (1/n) E[r_0 + … + r_{n-1}]; a terminal state, and what a leak leads to, earns 0.
The values returned are relative values h, with g + h = max over a of (r + P h), zero at one reference state of each
recurrent class. The discount of the model is not used.

Source: Puterman (1994), chapters 8 and 9; Howard (1960), Dynamic Programming and Markov Processes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
import scipy.sparse as sp

from operant.data.ranges import index
from operant.mdp.analyse.average import GainAndBias, gain_and_bias
from operant.mdp.bounds.gain import gain_bounds
from operant.mdp.bounds.sweeps import Choice, Sweeps
from operant.mdp.graph.graph import EndComponents, Graph
from operant.mdp.kernels.interval import UNIT
from operant.mdp.model import MDP
from operant.mdp.options import Stop, Watch
from operant.mdp.rows import Floats, Mask, ModelError
from operant.mdp.solution import Certificate, Solution
from operant.mdp.validate import public, stopping

STAY = 0.05  # of the aperiodicity transform P ← (1 - STAY) P + STAY I (Puterman 8.5.4)
SMALL = 20_000


def auto(mdp: MDP, *, threads: int | None = None, **stop: Unpack[Stop]) -> Solution:
    """The method that fits the size and the classes of the model."""
    if mdp.num_states <= SMALL:
        why = "average reward: correct for any chain structure, exact gain and bias"
    elif len(_classes(mdp)) == 1:
        why = f"average reward, {mdp.num_states:,} states, weakly communicating"
        solution = relative_value_iteration(mdp, threads=threads, **stop)
        return replace(solution, why=f"{why}; {solution.why}")
    else:
        why = "average reward: the model is multichain, the gain differs between states"
    solution = multichain_policy_iteration(mdp, **stop)
    return replace(solution, why=f"{why}; {solution.why}")


@public("average")
def relative_value_iteration(
    mdp: MDP, *, threads: int | None = None, reference: int | None = None, **stop: Unpack[Stop]
) -> Solution:
    """Relative value iteration: v ← v + (1 - 0.05) (d - d(reference)), d = Tv - v, until min d and max d meet.

    For every v, min d ≤ g_policy ≤ g* ≤ max d, the policy being greedy to v. The step of 0.95 is value iteration after
    the aperiodicity transform, which leaves gain and relative values as they are and lets periodic models converge.

    Args:
        mdp: a weakly communicating model: one class of states that reach each other, the others transient under every
            policy. That is so if there is one maximal end component, counting all termination as one.
        threads: how many; the answer does not depend on it.
        reference: the state with relative value 0; the last one if None. Termination, if there is any, has value 0.
        stop: as for every solver; the gap is that of the bounds of the gain.

    Raises:
        ModelError: if the model is not weakly communicating, naming a state of each of two classes.

    Source: White (1963); Puterman (1994), sections 8.5.4, 8.5.5 and theorem 8.5.5 for the bounds.
    """
    started, states = time.perf_counter(), mdp.num_states
    epsilon, watch, max_iterations = stopping(stop)
    classes = _classes(mdp)
    if len(classes) > 1:
        raise ModelError(
            f"the model is not weakly communicating: {mdp.name(classes[0])} and {mdp.name(classes[1])} lie in "
            f"different classes ({len(classes)} in all) and may have different gains; use multichain-policy-iteration."
        )
    at = states - 1 if reference is None else index("reference", reference, states, error=ModelError)
    run = _Relative(mdp, threads, at)
    stopped = run.iterate(epsilon, watch, max_iterations)
    return Solution(
        mdp=mdp,
        values=run.v if run.ends else run.v - run.v[run.reference],
        policy=mdp.action_labels(run.best),
        rows=run.best,
        certificate=Certificate(
            criterion="average",
            lower=np.full(states, run.lower),
            upper=np.full(states, run.upper),
            policy_loss=run.upper - run.lower,
            rounding=run.slack,
            why="min d ≤ g_policy ≤ g* ≤ max d for d = Tv - v (Puterman 8.5.5)",
        ),
        method="relative-value-iteration",
        why=f"weakly communicating; {stopped}",
        iterations=run.iterations,
        seconds=time.perf_counter() - started,
        gain=np.full(states, (run.lower + run.upper) / 2),
        history=tuple(run.history),
    )


class _Relative:
    """Relative values v, and the bounds of the gain that their sweeps have proved so far."""

    def __init__(self, mdp: MDP, threads: int | None, reference: int) -> None:
        graph = Graph.of(mdp)
        rows = graph.normalised(graph.every_row()).rows
        self.sweeps = Sweeps(MDP.from_rows(rows, 1.0, criterion="average", leak=True, check=False), threads)
        self.leaks, self.reference = bool(graph.leaks.any()), reference
        self.ends = bool(rows.terminal.any()) or self.leaks
        self.v, self.out = np.where(rows.terminal, rows.terminal_value, 0.0), np.empty(mdp.num_states)
        self.choice, self.best = np.full(mdp.num_states, -1), np.full(mdp.num_states, -1)
        self.longest = float(np.diff(rows.indptr.astype(np.int64)).max(initial=0))
        self.most = float(np.abs(rows.reward).max(initial=0.0))
        self.lower, self.upper, self.slack = -np.inf, np.inf, 0.0
        self.iterations, self.history = 0, list[tuple[int, float]]()

    def iterate(self, epsilon: float, watch: Watch | None, max_iterations: int | None) -> str:
        """Sweep until the bounds are within ε, or cannot become so, or the allowance is spent: which, in words."""
        while True:
            span = self.sweep()
            gap = self.upper - self.lower
            if watch is not None:
                watch(self.iterations, gap, self.v)
            if not self.history or self.history[-1][1] > 1.25 * gap:
                self.history.append((self.iterations, gap))
            if gap <= epsilon:
                return f"bounds within ε = {epsilon:g} of each other"
            if span <= 4.0 * self.slack:
                return f"rounding stops the bounds {gap:.3g} apart: ε is too small for this model"
            if self.iterations == max_iterations:
                return f"stopped at {self.iterations} iterations, as asked"
            step = self.out - self.v
            self.v += (1.0 - STAY) * (step if self.ends else step - step[self.reference])

    def sweep(self) -> float:
        """One sweep from v into `out`; the bounds follow. Returns max d - min d."""
        self.iterations += 1
        low, high = self.sweeps.backup(self.v, self.out, self.choice)
        scale = float(np.abs(self.v).max(initial=0.0))
        self.slack = (3.0 * self.longest + 12.0) * UNIT * (self.most + scale) + 2.0 * UNIT * scale
        if self.leaks:
            low, high = min(low, 0.0), max(high, 0.0)
        if low - self.slack > self.lower:
            self.lower, self.best = low - self.slack, self.choice.copy()
        self.upper = min(self.upper, high + self.slack)
        return high - low


@public("average")
def multichain_policy_iteration(mdp: MDP, **stop: Unpack[Stop]) -> Solution:
    """Howard's policy iteration: exact gain and relative values by sparse factorisations, nested improvement.

    A policy is improved where some row has a greater P g; if none has, where, among the rows with the greatest P g, one
    has a greater r + P h. The answer is certified apart from that: `operant.mdp.bounds.gain` bounds the optimal gain
    from above and the policy's own from below.

    Args:
        mdp: a model of any chain structure.
        stop: as for every solver; `watch` is called as (iteration, inf, relative values [S]) for each policy.

    Returns:
        values h, zero at the last state of each recurrent class of the policy; gain g; `extra["bias"]`, the relative
        values with P* h = 0 (Puterman 8.2.2).

    Raises:
        ModelError: if a policy's equations are singular in floating point.

    Source: Howard (1960); Puterman (1994), section 9.2.1.
    """
    return _multichain(mdp, stop, bias=False)


def _multichain(mdp: MDP, stop: Stop, *, bias: bool) -> Solution:
    """Howard's policy iteration, on to the greatest bias or not, and the certificate of its gain."""
    started = time.perf_counter()
    epsilon, watch, max_iterations = stopping(stop)
    graph = Graph.of(mdp)
    normalised = graph.normalised(graph.every_row())
    graph = Graph(normalised.rows, normalised.leaks)
    chosen, chain, classes, iterations, stopped = _howard(graph, watch, max_iterations, bias)
    own = np.zeros(graph.num_rows, dtype=bool)
    own[chosen[chosen >= 0]] = True
    lower, above = gain_bounds(graph, own, chain.relative, epsilon=epsilon)
    _, upper = gain_bounds(graph, graph.every_row(), chain.relative, epsilon=epsilon)
    loss = float(np.max(upper - lower, initial=0.0))
    if loss > epsilon:
        stopped += f"; the certificate reaches {loss:.3g}, not ε = {epsilon:g}"
    return Solution(
        mdp=mdp,
        values=chain.relative,
        policy=mdp.action_labels(chosen),
        rows=chosen,
        certificate=Certificate(
            criterion="average",
            lower=lower,
            upper=upper,
            policy_loss=loss,
            rounding=float(np.max(above - lower, initial=0.0)),
            why="min d ≤ g* ≤ max d in each end component, and bounds of the total reward of where a policy ends up",
        ),
        method="multichain-policy-iteration",
        why=stopped,
        iterations=iterations,
        seconds=time.perf_counter() - started,
        gain=np.clip(chain.gain, lower, upper),
        extra={"bias": chain.bias, "recurrent": classes.label},
    )


@public("average")
def bias_policy_iteration(mdp: MDP, **stop: Unpack[Stop]) -> Solution:
    """Policy iteration for bias optimality: of all policies of the greatest gain, one of the greatest bias everywhere.

    As `multichain_policy_iteration`; where no row improves P g or r + P h, h being the bias with P* h = 0, one is taken
    of those that tie in both if it has a greater P w - h, where w solves h + w = P w with P* w = 0. Ties are equal to
    10 digits. Policies that agree in gain and bias may still differ for discounts near 1: what is optimal for all of
    them (Blackwell optimality) is not looked for.

    Args:
        mdp: a model of any chain structure.
        stop: as for every solver.

    Returns:
        values h, the optimal bias, with P* h = 0; gain g, with the certificate of gains. Nothing is certified of h.

    Raises:
        ModelError: if a policy's equations are singular in floating point.

    Source: Veinott (1966); Puterman (1994), sections 10.2 and 10.3.
    """
    solution = _multichain(mdp, stop, bias=True)
    return replace(solution, values=np.asarray(solution.extra["bias"]), method="bias-policy-iteration")


def _howard(
    graph: Graph, watch: Watch | None, max_iterations: int | None, bias: bool
) -> tuple[Choice, GainAndBias, EndComponents, int, str]:
    """The last policy's rows [S], what it is worth, its recurrent classes, how many there were, and why it ended."""
    chosen = graph.rows.pointer[:-1].astype(np.int64)
    chosen[graph.rows.terminal] = -1
    seen: set[bytes] = set()
    iteration = 0
    while True:
        iteration += 1
        chain, classes = _evaluate(graph, chosen)
        if watch is not None:
            watch(iteration, np.inf, chain.relative)
        seen.add(chosen.tobytes())
        better = _improve(graph, chosen, _levels(graph, chosen, chain, classes, bias))
        if np.array_equal(better, chosen):
            return chosen, chain, classes, iteration, "no row improves gain or relative values"
        if better.tobytes() in seen:
            return chosen, chain, classes, iteration, "policies that floating point cannot tell apart"
        if iteration == max_iterations:
            return chosen, chain, classes, iteration, f"stopped at {iteration} iterations, as asked"
        chosen = better


def _evaluate(graph: Graph, chosen: Choice) -> tuple[GainAndBias, EndComponents]:
    """Gain and relative values of the policy that takes the rows `chosen`, and its recurrent classes."""
    live = np.zeros(graph.num_rows, dtype=bool)
    live[chosen[chosen >= 0]] = True
    classes = graph.end_components(live)
    P, r = _own(graph, chosen)
    return gain_and_bias(graph.rows, P, r, classes.label), classes


def _own(graph: Graph, chosen: Choice) -> tuple[Any, Floats]:
    """The transitions [S, S] and rewards [S] of the rows `chosen`."""
    at = np.flatnonzero(chosen >= 0)
    select = sp.csr_array((np.ones(len(at)), (at, chosen[at])), shape=(graph.num_states, graph.num_rows))
    return sp.csr_array(select @ graph.matrix), select @ graph.rows.reward


def _levels(
    graph: Graph, chosen: Choice, chain: GainAndBias, classes: EndComponents, bias: bool
) -> Iterator[tuple[Floats, float]]:
    """What a policy is to have most of, one behind the other: P g, r + P h and P w of every row [L], and their size.

    w solves h + w = P w with P* w = 0: it is the bias of the rewards -h, as P* h = 0.
    """
    rows, matrix = graph.rows, graph.matrix
    most = max(float(np.abs(chain.gain).max(initial=0.0)), float(np.abs(rows.reward).max(initial=0.0)))
    yield matrix @ chain.gain, most
    yield rows.reward + matrix @ (chain.bias if bias else chain.relative), 0.0
    if bias:
        ends = replace(rows, terminal_value=-chain.bias)
        yield matrix @ gain_and_bias(ends, _own(graph, chosen)[0], -chain.bias, classes.label).bias, 0.0


def _improve(graph: Graph, chosen: Choice, levels: Iterable[tuple[Floats, float]]) -> Choice:
    """The next policy: better in the first of the levels in which one can be, among the rows that tie in those before.

    The same one if there is none.
    """
    at, mine = np.flatnonzero(chosen >= 0), chosen.copy()
    start, owner = graph.rows.pointer[at].astype(np.int64), graph.owner.astype(np.int64)
    tie, best = np.ones(graph.num_rows, dtype=bool), np.zeros(graph.num_states)
    for score, size in levels:
        value = np.where(tie, score, -np.inf)
        close = 1e-10 * max(1e-300, size or float(np.abs(value[np.isfinite(value)]).max(initial=0.0)))
        best[at] = np.maximum.reduceat(value, start)
        behind = at[best[at] > value[chosen[at]] + close]
        if len(behind):
            mine[behind] = _first(value >= best[owner] - close / 4, owner, graph.num_states)[behind]
            break
        tie = value >= best[owner] - close
    return mine


def _first(mask: Mask, owner: Choice, states: int) -> Choice:
    """The first row of each state in `mask`."""
    out, rows = np.full(states, -1), np.flatnonzero(mask)[::-1]
    out[owner[rows]] = rows
    return out


def _classes(mdp: MDP) -> list[int]:
    """A state of each maximal end component; one more for termination, all of it together."""
    graph = Graph.of(mdp)
    ends = graph.end_components(graph.every_row())
    inside = np.flatnonzero(ends.label >= 0)
    states = [int(s) for s in inside[np.unique(ends.label[inside], return_index=True)[1]]]
    if mdp.rows.terminal.any():
        states.append(int(np.flatnonzero(mdp.rows.terminal)[0]))
    elif graph.leaks.any():
        states.append(int(graph.owner[np.flatnonzero(graph.leaks)[0]]))
    return states
