"""Prioritised sweeping on a known model: always the state whose value is most wrong."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from operant.mdp.bounds.certify import Progress
from operant.mdp.bounds.sweeps import Sweeps
from operant.mdp.graph.graph import Graph
from operant.mdp.kernels import local as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Limits
from operant.mdp.solution import Solution


def prioritised_sweeping(mdp: MDP, **limits: Unpack[Limits]) -> Solution:
    """Back up the state with the greatest bound on |Tv - v|, then raise the bounds of the states that lead to it.

    The queue has a bucket for every power of two. An iteration is as many backups as there are states. When no bound is
    above what ε needs, a Jacobi sweep certifies, and the queue starts again from its changes if that was not enough.
    Source: Moore & Atkeson (1993); Andre, Friedman & Parr (1998) for the bounds.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    sweeps = Sweeps(mdp, run.threads)
    graph = Graph.of(mdp)
    states = mdp.num_states
    v, choice = run.initial_values(), np.empty(states, dtype=np.int64)
    out, priority = np.empty_like(v), np.empty(states)
    level, after, before = (np.full(states, -1, dtype=np.int64) for _ in range(3))
    heads = np.full(kernels.LEVELS, -1, dtype=np.int64)
    least, backups = run.goal(0.5), 0
    while True:
        low, high = sweeps.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            return run.finish(v, method="prioritised-sweeping", why="prioritised sweeping", backups=backups)
        run.recentre(v, low, high)
        sweeps.backup(v, out, choice)
        np.abs(out - v, out=priority)
        top = float(priority.max())
        if top > 0.0:
            kernels.queue_all(priority, least, top, level, heads, after, before)
        while True:
            done = kernels.sweep_by_priority(
                *sweeps.arrays, mdp.discount, *graph.into, graph.owner, v, choice, priority, least, top, states,
                level, heads, after, before,
            )  # fmt: skip
            backups += done
            run.step(v)
            if run.spent:
                return run.finish(v, method="prioritised-sweeping", why="prioritised sweeping", backups=backups)
            if done < states:
                break
        least *= 0.5
