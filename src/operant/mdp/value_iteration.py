"""Value iteration: sweeps of the Bellman operator until the certificate holds."""

from __future__ import annotations

import numpy as np

from operant.mdp.certify import Progress, begin
from operant.mdp.model import MDP, Floats
from operant.mdp.solution import Solution, Watch
from operant.mdp.sweeps import Sweeps


def value_iteration(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    threads: int | None = None,
    initial: Floats | None = None,
) -> Solution:
    """Synchronous (Jacobi) value iteration: v ← Tv, (Tv)(s) = max over a of r(s, a) + γ Σ p(s' | s, a) v(s').

    Stops when the span bounds give ε, long before the values themselves settle (Puterman 1994, section 6.6).

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, epsilon, watch, max_iterations, threads)
    sweeps = Sweeps(mdp, threads)
    v, choice = begin(mdp, initial), np.empty(mdp.num_states, dtype=np.int64)
    out = np.empty_like(v)
    while True:
        low, high = sweeps.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            del out, choice  # the certificate needs their memory
            return run.finish(v, method="value-iteration", why="value iteration")
