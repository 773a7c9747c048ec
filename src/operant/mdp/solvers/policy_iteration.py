"""Policy iteration in its forms: improve, evaluate (exactly, by some sweeps, or by a Krylov method), repeat."""

from __future__ import annotations

from itertools import count
from typing import Unpack, cast

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from operant.mdp.bounds.certify import Progress
from operant.mdp.bounds.sweeps import PaddedSweeps, PolicySweeps, Sweeps
from operant.mdp.model import MDP
from operant.mdp.options import Limits
from operant.mdp.rows import Floats
from operant.mdp.solution import Solution

SMALL = 300
"""States up to which a dense factorisation is faster than a sparse one."""
SWEEPS = 50
"""Sweeps of a policy after an improvement, at most: 20 to 100 take as long, on grids as on queues."""


def policy_iteration(mdp: MDP, **limits: Unpack[Limits]) -> Solution:
    """Howard's policy iteration: each greedy policy is evaluated exactly, (I - γ P_π) v = r_π.

    The system is factorised as it is, dense if it is small or full (LAPACK), sparse otherwise (SuperLU): fast up to
    some ten thousand states, and a matter of the fill beyond, which `inexact_policy_iteration` does without.
    Source: Howard (1960); Puterman (1994), section 6.4.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    bellman = Sweeps(mdp, run.threads)
    own = PolicySweeps(mdp, bellman.threads)
    v, choice = run.initial_values(), np.empty(mdp.num_states, dtype=np.int64)
    out = np.empty_like(v)
    while True:
        low, high = bellman.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            return run.finish(v, method="policy-iteration", why="policy iteration")
        if own.take(choice):
            v = exact(own)


def exact(own: PolicySweeps) -> Floats:
    """The values of the policy that is held, by one factorisation."""
    states, entries = own.mdp.num_states, int(own.indptr[-1])
    scaled = -own.mdp.discount * own.data[:entries]
    if states <= SMALL or entries > 0.2 * states * states:
        dense = np.eye(states)
        dense[np.repeat(np.arange(states), np.diff(own.indptr)), own.indices[:entries]] += scaled
        return cast("Floats", np.linalg.solve(dense, own.reward))
    signed = np.int32 if entries < 2**31 else np.int64
    sparse = sp.csr_array(
        (scaled, own.indices[:entries].astype(signed), own.indptr.astype(signed)), shape=(states, states)
    )
    return splu(sp.csc_array(sp.eye_array(states, format="csr") + sparse)).solve(own.reward)


def modified_policy_iteration(mdp: MDP, *, sweeps: int = SWEEPS, **limits: Unpack[Limits]) -> Solution:
    """Modified policy iteration: after each improvement at most `sweeps` sweeps of the greedy policy alone.

    An evaluation also ends when the span of its change is a tenth of the improvement's (.3 of it for γ > .999).
    Source: Puterman (1994), section 6.5.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    modified = Modified(mdp, run.threads, run.initial_values(), sweeps)
    modified.advance(run)
    return run.finish(
        modified.release(),
        method="modified-policy-iteration",
        why="modified policy iteration",
        evaluations=modified.evaluations,
    )


class Modified:
    """Modified policy iteration that can be halted and taken up again."""

    def __init__(self, mdp: MDP, threads: int | None, values: Floats, sweeps: int = SWEEPS) -> None:
        self.bellman, self.most = Sweeps(mdp, threads), sweeps
        padded = PaddedSweeps.fits(mdp)
        self.own = PaddedSweeps(mdp, self.bellman.threads) if padded else PolicySweeps(mdp, self.bellman.threads)
        self.part = 0.3 if mdp.discount > 0.999 else 0.1
        self.v, self.choice = values, np.empty(mdp.num_states, dtype=np.int64)
        self.out = np.empty_like(self.v)
        self.evaluations, self.slow = 0, False

    def advance(self, run: Progress, improvements: int | None = None) -> bool:
        """Improve and evaluate until `run` is done, or for so many improvements; is it done?"""
        for _ in count() if improvements is None else range(improvements):
            low, high = self.bellman.backup(self.v, self.out, self.choice)
            self.v, self.out = self.out, self.v
            if run.done(low, high, self.v):
                return True
            self.own.take(self.choice)
            enough = self.part * (high - low)
            for _ in range(self.most):
                low, high = self.own.evaluate(self.v, self.out)
                self.v, self.out = self.out, self.v
                self.evaluations += 1
                if high - low <= enough:
                    break
            else:
                self.slow = True  # a policy took all of its sweeps
        return False

    def release(self) -> Floats:
        """The values; all other memory is given back, as the certificate needs it."""
        values = self.v
        del self.own, self.out, self.choice, self.v, self.bellman
        return values
