"""Policy iteration in its forms: improve, evaluate (exactly, by some sweeps, or by a Krylov method), repeat."""

from __future__ import annotations

import numpy as np

from operant.mdp.certify import Progress, begin
from operant.mdp.model import MDP, Floats
from operant.mdp.solution import Solution, Watch
from operant.mdp.sweeps import PolicySweeps, Sweeps


def modified_policy_iteration(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    threads: int | None = None,
    initial: Floats | None = None,
    sweeps: int = 50,
) -> Solution:
    """Modified policy iteration: after each improvement at most `sweeps` sweeps of the greedy policy alone.

    An evaluation also ends when the span of its change is a tenth of the improvement's (half of it for γ > .999).
    Source: Puterman (1994), section 6.5.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, epsilon, watch, max_iterations, threads)
    whole = Sweeps(mdp, threads)
    own = PolicySweeps(mdp, whole.threads)
    part = 0.5 if mdp.discount > 0.999 else 0.1
    v, choice = begin(mdp, initial), np.empty(mdp.num_states, dtype=np.int64)
    out = np.empty_like(v)
    while True:
        low, high = whole.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            del own, out, choice  # the certificate needs their memory
            return run.finish(v, method="modified-policy-iteration", why="modified policy iteration")
        own.take(choice)
        enough = part * (high - low)
        for _ in range(sweeps):
            low, high = own.evaluate(v, out)
            v, out = out, v
            if high - low <= enough:
                break
