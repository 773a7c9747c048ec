"""Topological value iteration: strongly connected components in order, each solved once with final values beyond it."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from operant.mdp.bounds.certify import Progress
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.graph.graph import Components
from operant.mdp.graph.reachability import components
from operant.mdp.kernels import local as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Limits
from operant.mdp.solution import Solution

INNER = 8
"""Passes of the greedy policy alone after each improvement of a component."""


def topological(mdp: MDP, *, scc: Components | None = None, **limits: Unpack[Limits]) -> Solution:
    """Solve component after component, in reverse topological order; acyclic states take one backup each.

    An iteration is a pass through all components, then one Jacobi sweep for the certificate; a second pass is rare.
    `scc`: the components, where they are known already. Source: Dai, Mausam, Weld & Goldsmith (2011), JAIR 42.

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
        backups += kernels.solve_components(
            scc.order, scc.start, scc.label, place, *sweeps.arrays, mdp.discount, v, choice, goal, INNER
        )
        goal *= 0.25
        low, high = sweeps.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            largest = int(scc.sizes.max(initial=0))
            why = f"{scc.count:,} strongly connected components in order, the largest of {largest:,} states"
            return run.finish(v, method="topological", why=why, components=scc.count, backups=backups)
