"""How `method="auto"` chooses for a discounted model: by its structure, and by measuring where that does not tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Unpack

import numpy as np

from operant.mdp.bounds.certify import Progress
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.graph.ordering import local, restored
from operant.mdp.graph.reachability import components
from operant.mdp.kernels import local as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Limits
from operant.mdp.rows import Floats
from operant.mdp.solution import Solution
from operant.mdp.solvers.krylov import inexact_policy_iteration, promising
from operant.mdp.solvers.policy_iteration import SMALL, Modified, policy_iteration
from operant.mdp.solvers.topological import INNER, topological

PASSES = 200
"""Improvements in place on a small model, before its policies are evaluated exactly."""
PASSES_AT_ONCE = 16
"""Improvements in place of a large model between two sweeps that prove bounds."""
TRIAL = 10
"""Improvements of modified policy iteration after which components are looked for; as many more until BiCGStab is."""
LONG = 500
"""Improvements still to come, as predicted, from which a trial of BiCGStab is worth its cost: while policies still
change much the prediction is too high."""

CARRIED = 8
"""Sweeps to and fro in which the ends must have reached all states."""
NEAR = 0.5
"""Steps to an end, in units of the horizon 1 / (1 - γ), up to which the ends decide."""


def auto(mdp: MDP, **limits: Unpack[Limits]) -> Solution:
    """Solve a discounted model by the method that its structure suggests.

    Up to 300 states: modified policy iteration in place, then exact policy iteration if that was slow. Else modified
    policy iteration, which ends at once on models that mix. If it has not ended after ten improvements, or a policy
    took all of its sweeps, and no strongly connected component has more than half of the states: topological; or, if
    the ends of episodes decide values far away from them: in place, forwards and backwards in turn. If it has not after
    twenty, five hundred more are predicted and a trial of BiCGStab reduces the residual tenfold: inexact
    policy iteration. Otherwise on as before, on the model numbered anew if it is large and its neighbours are far apart
    in memory. The choice depends on the model alone, never on a clock, so that answers are the same for any machine
    and number of threads.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    if mdp.num_states <= SMALL:
        v = run.initial_values()
        done, backups = in_place(run, Sweeps(mdp, run.threads), v, PASSES, INNER, 0)
        if done:
            why = f"{mdp.num_states} states: modified policy iteration in place, in one call"
            return run.finish(v, method="modified-policy-iteration", why=why, backups=backups)
        why = f"{mdp.num_states} states, and sweeps are slow: policies are evaluated exactly"
        return taken_over(run, policy_iteration, v, why)
    modified = Modified(mdp, run.threads, run.initial_values())
    why = "modified policy iteration: the model was solved before a choice was due"
    if not tried(run, modified):
        scc = components(mdp)
        largest = int(scc.sizes.max())
        if largest <= mdp.num_states / 2:
            why = f"no component has more than {largest:,} of {mdp.num_states:,} states"
            return taken_over(run, partial(topological, scc=scc), modified.release(), why)
        if run.initial is None and ends_decide(mdp):
            sweeps, v = modified.bellman, modified.release()
            v[~mdp.rows.terminal] = worst(mdp)
            done, backups = False, 0
            while not done:
                done, more = in_place(run, sweeps, v, PASSES_AT_ONCE, INNER // 2, PASSES_AT_ONCE)
                backups += more
            why = "modified policy iteration in place: values come from the ends, and sweeps to and fro carry them far"
            return run.finish(v, method="modified-policy-iteration", why=why, backups=backups)
        why = "modified policy iteration: one large component, and nothing that promises more than sweeps"
        if not modified.advance(run, 2 * TRIAL - run.iterations):
            if predicted(run.history, run.epsilon) > LONG and promising(mdp, modified.v, run.threads):
                why = "sweeps are slow here, and a trial of BiCGStab reduced the residual tenfold"
                return taken_over(run, inexact_policy_iteration, modified.release(), why)
            why += renumbered(run, modified)
    return run.finish(modified.release(), method="modified-policy-iteration", why=why, evaluations=modified.evaluations)


def taken_over(run: Progress, solver: Callable[..., Solution], values: Floats, why: str) -> Solution:
    """What another solver makes of the values so far, with what is left of the allowance."""
    solution = solver(
        run.mdp,
        epsilon=run.epsilon,
        watch=run.later(),
        max_iterations=run.left,
        threads=run.threads,
        initial=values,
    )
    return run.joined(solution, why)


def in_place(run: Progress, sweeps: Sweeps, v: Floats, most: int, inner: int, wait: int) -> tuple[bool, int]:
    """All states as one component, in one compiled call of at most `most` passes, then a Jacobi sweep.

    Is it done, and how many backups of a state did it take? For small models, on which a call costs more than a sweep,
    and for those of which `ends_decide`. v [S] is moved in place, and not as a whole within the first `wait` passes.
    """
    mdp, choice = run.mdp, np.full(run.mdp.num_states, -1, dtype=np.int64)
    states = np.flatnonzero(~mdp.rows.terminal)
    label = mdp.rows.terminal.astype(np.int64)
    passes = 0
    if len(states):
        memo, goal = kernels.begun(wait), run.goal(0.45)
        place = np.empty_like(choice)
        kernels.solve_component(
            states, label, 0, place, *sweeps.arrays, mdp.discount, v, choice, goal, inner, most, memo
        )
        passes = int(memo[kernels.PASSES])
    out = np.empty_like(v)
    low, high = sweeps.backup(v, out, choice)
    v[:] = out
    return run.done(low, high, v), passes * len(states)


def ends_decide(mdp: MDP) -> bool:
    """Do values come from the ends of episodes, and do sweeps in place, to and fro, carry them to all states at once?

    They do if a few such sweeps find the fewest steps to an end, discounting leaves most of what is so far off, and
    ways are long: where they have some log S steps, as in a random graph, plays wander past the ends and mix.
    """
    rows = mdp.rows
    if not rows.terminal.any():
        return False
    steps = np.where(rows.terminal, 0, mdp.num_states).astype(np.int64)
    farthest = kernels.farthest(rows.pointer, rows.indptr, rows.indices, steps, CARRIED)
    long = 4 * np.log2(mdp.num_states)
    return bool(long <= farthest < mdp.num_states) and farthest * (1.0 - mdp.discount) <= NEAR


def worst(mdp: MDP) -> float:
    """A lower bound on all values: from there sweeps carry good news only, from the ends on."""
    rows = mdp.rows
    return min(float(rows.reward.min()) / (1.0 - mdp.discount), float(rows.terminal_value[rows.terminal].min()))


def tried(run: Progress, modified: Modified) -> bool:
    """Improve ten times, or until a policy takes all of its sweeps, a sign of slow mixing; is it done?"""
    for _ in range(TRIAL):
        if modified.advance(run, 1):
            return True
        if modified.slow:
            break
    return False


def renumbered(run: Progress, modified: Modified) -> str:
    """Go on to the end, on the model with its states in a local order if that pays; what was done, for `why`."""
    numbering = local(run.mdp)
    if numbering is None:
        modified.advance(run)
        return ""
    moved, order = numbering
    watch, inner = run.watch, Modified(moved, modified.bellman.threads, modified.v[order])

    def in_old_order(iteration: int, gap: float, values: Floats) -> None:
        if watch is not None:
            watch(iteration, gap, restored(values, order))

    run.watch = None if watch is None else in_old_order
    inner.advance(run)
    run.watch = watch
    modified.evaluations += inner.evaluations
    modified.v = restored(inner.release(), order)
    return ", states numbered anew so that neighbours are near in memory"


def predicted(history: list[tuple[int, float]], epsilon: float) -> float:
    """How many more improvements the gap needs at the rate of the last five."""
    gaps = [gap for _, gap in history[-6:]]
    rate = (gaps[-1] / gaps[0]) ** (1 / max(len(gaps) - 1, 1))
    return math.inf if rate >= 1 else math.log(epsilon / gaps[-1]) / math.log(rate)
