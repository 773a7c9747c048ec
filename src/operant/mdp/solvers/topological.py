"""Topological value iteration: strongly connected components in order, each solved once with final values beyond it."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from operant.mdp.bounds.certify import Progress
from operant.mdp.bounds.sweeps import Choice, PolicySweeps, Sweeps
from operant.mdp.graph.graph import Components
from operant.mdp.graph.reachability import components
from operant.mdp.kernels import local as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Limits
from operant.mdp.rows import Floats, Rows, unsigned
from operant.mdp.solution import Solution
from operant.mdp.solvers.policy_iteration import exact

INNER = 8
"""Passes of the greedy policy alone after each improvement of a component."""
PASSES = 2_000
"""Improvements of one component within an iteration; then its policies are evaluated exactly, if that is possible."""
FACTORISED = 20_000
"""States up to which it is: beyond, the factors of a policy fill the memory."""
POLICIES = 100
"""Policies of a component that are evaluated so within an iteration: there are rarely more than ten."""
WORK = 20_000_000
"""Backups in one compiled call, during which nothing else is heard: about a second."""


def topological(mdp: MDP, *, scc: Components | None = None, **limits: Unpack[Limits]) -> Solution:
    """Solve component after component, in reverse topological order; acyclic states take one backup each.

    An iteration is a pass through all components, then one Jacobi sweep for the certificate; a second pass is rare. A
    component is improved by modified policy iteration in place, and by policy iteration with exact evaluation where
    that does not end: discounts near 1 take sweeps without number. One too large for that is left to the next
    iteration, so that `max_iterations` and `watch` are heeded. `scc`: the components, where they are known already.
    Source: Dai, Mausam, Weld & Goldsmith (2011), JAIR 42.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    sweeps = Sweeps(mdp, run.threads)
    scc = scc or components(mdp)
    v, choice = run.initial_values(), np.full(mdp.num_states, -1, dtype=np.int64)
    out, place = np.empty_like(v), np.empty(mdp.num_states, dtype=np.int64)
    goal, backups = run.goal(0.45), 0
    while True:
        at, whole, memo = 0, True, kernels.begun()
        while at < scc.count:
            at, more = kernels.solve_components(
                scc.order, scc.start, scc.label, place, *sweeps.arrays, mdp.discount, v, choice, goal, INNER, at,
                PASSES, WORK, memo,
            )  # fmt: skip
            backups += more
            if memo[kernels.PASSES] >= PASSES:
                whole &= evaluated(mdp, scc.order[scc.start[at] : scc.start[at + 1]], v, choice)
                at, memo = at + 1, kernels.begun()
        goal *= 0.25 if whole else 1.0
        low, high = sweeps.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            largest = int(scc.sizes.max(initial=0))
            why = f"{scc.count:,} strongly connected components in order, the largest of {largest:,} states"
            return run.finish(v, method="topological", why=why, components=scc.count, backups=backups)


def evaluated(mdp: MDP, states: Choice, v: Floats, choice: Choice) -> bool:
    """Policy iteration on one component, with v [S] as it is beyond; False, and nothing done, if it is too large."""
    if len(states) > FACTORISED:
        return False
    model, row = inside(mdp, states, v)
    sweeps, own = Sweeps(model, 1), PolicySweeps(model, 1)
    values, out, best = v[states], np.empty(len(states)), np.empty(len(states), dtype=np.int64)
    for _ in range(POLICIES):
        sweeps.backup(values, out, best)
        if not own.take(best):
            break
        values = exact(own)
    v[states], choice[states] = values, row[best]
    return True


def inside(mdp: MDP, states: Choice, v: Floats) -> tuple[MDP, Choice]:
    """The model of some states alone, that earns v [S] where it leads beyond them; and its rows in the whole one."""
    rows, place = mdp.rows, np.full(mdp.num_states, -1, dtype=np.int64)
    place[states] = np.arange(len(states))
    first, last = rows.pointer[states].astype(np.int64), rows.pointer[states + 1].astype(np.int64)
    row = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
    matrix = mdp.matrix[row].tocoo()
    to = place[matrix.col]
    stays = to >= 0
    beyond = np.bincount(matrix.row[~stays], (matrix.data * v[matrix.col])[~stays], minlength=len(row))
    lengths = np.bincount(matrix.row[stays], minlength=len(row))
    order = np.lexsort((to[stays], matrix.row[stays]))
    part = Rows(
        pointer=unsigned(np.concatenate(([0], np.cumsum(last - first)))),
        action=rows.action[row],
        indptr=unsigned(np.concatenate(([0], np.cumsum(lengths)))),
        indices=unsigned(to[stays][order]),
        data=matrix.data[stays][order],
        reward=rows.reward[row] + mdp.discount * beyond,
        terminal=np.zeros(len(states), dtype=bool),
        terminal_value=np.zeros(len(states)),
    )
    return MDP.from_rows(part, mdp.discount, leak=True, check=False), row
