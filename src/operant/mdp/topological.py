"""Topological value iteration: strongly connected components in order, each solved once with final values beyond it."""

from __future__ import annotations

import numpy as np

from operant.mdp import local_kernels as kernels
from operant.mdp.certify import Progress, begin
from operant.mdp.graph import Components, components
from operant.mdp.model import MDP, Floats
from operant.mdp.solution import Solution, Watch
from operant.mdp.sweeps import Sweeps

INNER = 8
"""Passes of the greedy policy alone after each improvement of a component."""


def topological(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    threads: int | None = None,
    initial: Floats | None = None,
    found: Components | None = None,
) -> Solution:
    """Solve component after component, in reverse topological order; acyclic states take one backup each.

    An iteration is a pass through all components, then one Jacobi sweep for the certificate; a second pass is rare.
    `found`: the components, where they are known already. Source: Dai, Mausam, Weld & Goldsmith (2011), JAIR 42.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, epsilon, watch, max_iterations, threads)
    sweeps = Sweeps(mdp, threads)
    found = found or components(mdp)
    v, choice = begin(mdp, initial), np.empty(mdp.num_states, dtype=np.int64)
    out = np.empty_like(v)
    goal, backups = goal_of(run), 0
    while True:
        backups += kernels.solve_components(
            found.order, found.start, found.label, *sweeps.arrays, mdp.discount, v, choice, goal, INNER
        )
        goal *= 0.25
        low, high = sweeps.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            largest = int(found.sizes.max(initial=0))
            why = f"{found.count:,} strongly connected components in order, the largest of {largest:,} states"
            return run.finish(v, method="topological", why=why, components=found.count, backups=backups)


def in_place(run: Progress, sweeps: Sweeps, v: Floats, most: int) -> bool:
    """All states as one component, in one compiled call of at most `most` passes, then a Jacobi sweep; is it done?

    For small models, on which a call costs more than a sweep. v [S] is moved in place.
    """
    mdp, choice = run.mdp, np.empty(run.mdp.num_states, dtype=np.int64)
    states = np.flatnonzero(~mdp.rows.terminal)
    label = np.zeros(mdp.num_states, dtype=np.int64)
    if len(states):
        goal = goal_of(run)
        kernels.solve_component(states, label, 0, *sweeps.arrays, mdp.discount, v, choice, goal, INNER, most)
    out = np.empty_like(v)
    low, high = sweeps.backup(v, out, choice)
    v[:] = out
    return run.done(low, high, v)


def goal_of(run: Progress) -> float:
    """The change of a pass in place below which a Jacobi sweep certifies ε."""
    rate = run.mdp.discount * run.contraction.most
    return 0.45 * run.epsilon * (1 - rate) / max(rate, 1e-3)
