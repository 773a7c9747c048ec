"""Policy iteration in its forms: improve, evaluate (exactly, by some sweeps, or by a Krylov method), repeat."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from operant.mdp.certify import Progress, begin
from operant.mdp.model import MDP, Floats
from operant.mdp.solution import Solution, Watch
from operant.mdp.sweeps import PaddedSweeps, PolicySweeps, Sweeps

SMALL = 300
"""States up to which a dense factorisation is faster than a sparse one."""


def policy_iteration(
    mdp: MDP,
    *,
    epsilon: float = 1e-6,
    watch: Watch | None = None,
    max_iterations: int | None = None,
    threads: int | None = None,
    initial: Floats | None = None,
) -> Solution:
    """Howard's policy iteration: each greedy policy is evaluated exactly, (I - γ P_π) v = r_π.

    The system is factorised as it is, dense if it is small or full (LAPACK), sparse otherwise (SuperLU): fast up to
    some ten thousand states, and a matter of the fill beyond, which `inexact_policy_iteration` does without.
    Source: Howard (1960); Puterman (1994), section 6.4.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, epsilon, watch, max_iterations, threads)
    whole = Sweeps(mdp, threads)
    own = PolicySweeps(mdp, whole.threads)
    v, choice = begin(mdp, initial), np.empty(mdp.num_states, dtype=np.int64)
    out = np.empty_like(v)
    while True:
        low, high = whole.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            return run.finish(v, method="policy-iteration", why="policy iteration")
        if own.take(choice):
            v = exact(own)


def exact(own: PolicySweeps) -> Floats:
    """The values of the policy that is held, by one factorisation."""
    states, entries = own.mdp.num_states, int(own.indptr[-1])
    signed = np.int32 if entries < 2**31 else np.int64
    P = sp.csr_array(
        (own.data[:entries], own.indices[:entries].astype(signed), own.indptr.astype(signed)), shape=(states, states)
    )
    system = sp.eye_array(states, format="csr") - own.mdp.discount * P
    if states <= SMALL or entries > 0.2 * states * states:
        return np.linalg.solve(system.toarray(), own.reward)
    return splu(system.tocsc()).solve(own.reward)


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

    An evaluation also ends when the span of its change is a tenth of the improvement's (.3 of it for γ > .999).
    Source: Puterman (1994), section 6.5.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, epsilon, watch, max_iterations, threads)
    whole = Sweeps(mdp, threads)
    own = PaddedSweeps(mdp, whole.threads) if PaddedSweeps.fits(mdp) else PolicySweeps(mdp, whole.threads)
    part = 0.3 if mdp.discount > 0.999 else 0.1
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
