"""Topological value iteration: strongly connected components in order, each solved once with final values beyond it."""

from __future__ import annotations

import numpy as np

from operant.mdp.bounds.certify import Progress, begin
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.graph.reachability import Components, components
from operant.mdp.kernels import local as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Watch
from operant.mdp.rows import Floats
from operant.mdp.solution import Solution

INNER = 8
"""Passes of the greedy policy alone after each improvement of a component."""
CARRIED = 8
"""Sweeps to and fro in which the ends must have reached all states."""
NEAR = 0.5
"""Steps to an end, in units of the horizon 1 / (1 - γ), up to which the ends decide."""


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
    v, choice = begin(mdp, initial), np.full(mdp.num_states, -1, dtype=np.int64)
    out, place = np.empty_like(v), np.empty(mdp.num_states, dtype=np.int64)
    goal, backups = goal_of(run), 0
    while True:
        backups += kernels.solve_components(
            found.order, found.start, found.label, place, *sweeps.arrays, mdp.discount, v, choice, goal, INNER
        )
        goal *= 0.25
        low, high = sweeps.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            largest = int(found.sizes.max(initial=0))
            why = f"{found.count:,} strongly connected components in order, the largest of {largest:,} states"
            return run.finish(v, method="topological", why=why, components=found.count, backups=backups)


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
        goal = goal_of(run)
        place = np.empty_like(choice)
        passes = kernels.solve_component(
            states, label, 0, place, *sweeps.arrays, mdp.discount, v, choice, goal, inner, most, wait
        )
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
    found = kernels.farthest(rows.pointer, rows.indptr, rows.indices, steps, CARRIED)
    long = 4 * np.log2(mdp.num_states)
    return bool(long <= found < mdp.num_states) and found * (1.0 - mdp.discount) <= NEAR


def goal_of(run: Progress) -> float:
    """The change of a pass in place below which a Jacobi sweep certifies ε."""
    rate = run.mdp.discount * run.contraction.most
    return 0.45 * run.epsilon * (1 - rate) / max(rate, 1e-3)
