"""Inexact policy iteration: policies evaluated by a Krylov method where that is faster than sweeps, as measured."""

from __future__ import annotations

import math
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from operant.mdp.bounds.certify import Progress
from operant.mdp.bounds.sweeps import PolicySweeps, Sweeps, using
from operant.mdp.kernels import krylov as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Limits
from operant.mdp.rows import Floats
from operant.mdp.solution import Solution

BLOCKS = 16
"""Blocks of the preconditioner: as many for any number of threads, so that results do not depend on threads."""
FIRST, SWEEPS = 5, 50
"""Policies evaluated by sweeps before BiCGStab is tried, and the most sweeps of one."""
MOST = 30
"""Iterations of BiCGStab on one policy."""
PATIENCE = 3
"""Improvements without a better certified gap, after which sweeps take over for a while."""
STALE = 0.02
"""The preconditioner is made anew after this part of all states has changed its action."""


class Krylov:
    """BiCGStab with incomplete LU on blocks, for the policies of one model; memory is allocated once."""

    def __init__(self, own: PolicySweeps) -> None:
        states, entries = own.mdp.num_states, len(own.data)
        self.own, self.discount = own, own.mdp.discount
        blocks = min(BLOCKS, max(1, states // 64))
        self.starts = np.linspace(0, states, blocks + 1).astype(np.uint64)
        self.low, self.diagonal, self.high = (np.empty(states, dtype=own.indptr.dtype) for _ in range(3))
        self.factor, self.pivot = np.empty(entries), np.empty(states)
        self.place = np.zeros(states, dtype=own.indptr.dtype)
        self.work, self.sums = np.zeros((9, states)), np.empty((blocks, 2))

    @property
    def arrays(self) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer], Floats, Floats]:
        """low, diagonal, high, factor, pivot."""
        return self.low, self.diagonal, self.high, self.factor, self.pivot

    def factorise(self) -> None:
        """Prepare for the policy that `own` holds now."""
        indptr, indices, data, _ = self.own.arrays
        with using(self.own.threads):
            kernels.factorise(self.starts, indptr, indices, data, self.discount, *self.arrays, self.place)

    def improve(self, v: Floats, out: Floats, part: float, most: int) -> tuple[int, bool]:
        """Solve from v into `out`, ended by one sweep: iterations, and whether max |r + γPv - v| halved.

        That is measured, not what the recursion of BiCGStab believes.
        """
        with using(self.own.threads):
            iterations, before = self._solve(v, part, most)
        np.add(v, self.work[0], out=self.work[1])
        low, high = self.own.evaluate(self.work[1], out)
        if max(-low, high) <= 0.5 * before:
            return iterations, True
        self.work[:] = 0.0  # a breakdown may have left what is not a number
        return iterations, False

    def _solve(self, values: Floats, part: float, most: int) -> tuple[int, float]:
        """Iterations, and max |r| before; work[0] = x with (I - γP) x ≈ r = reward + γP values - values."""
        indptr, indices, data, reward = self.own.arrays
        x, r, shadow, p, v, s, t, p_hat, s_hat = self.work
        given = (self.starts, indices, *self.arrays)
        product = (self.starts, indptr, indices, data, self.discount)
        start = (self.starts, indptr, indices, data, reward, self.discount)
        kernels.start(*start, values, r, shadow, p, v, x, self.sums)
        rho, before = float(self.sums[:, 0].sum()), float(self.sums[:, 1].max())
        alpha, omega, last, now = 1.0, 1.0, 1.0, before
        for iteration in range(most):
            if now <= part * before or rho == 0.0 or omega == 0.0 or not math.isfinite(now):
                return iteration, before
            keep = rho / last * alpha / omega
            kernels.direction(*given, keep, keep * omega, r, v, p, p_hat)
            kernels.multiply(*product, p_hat, v, shadow, self.sums)
            along = float(self.sums[:, 0].sum())
            if along == 0.0:
                return iteration, before
            alpha = rho / along
            kernels.direction(*given, 0.0, alpha, r, v, s, s_hat)
            kernels.multiply(*product, s_hat, t, s, self.sums)
            first, square = (float(value) for value in self.sums.sum(axis=0))
            omega = first / square if square > 0.0 else 0.0
            kernels.finish(self.starts, alpha, omega, p_hat, s_hat, s, t, x, r, shadow, self.sums)
            last, rho, now = rho, float(self.sums[:, 0].sum()), float(self.sums[:, 1].max())
        return most, before


def inexact_policy_iteration(mdp: MDP, *, part: float = 0.1, **limits: Unpack[Limits]) -> Solution:
    """Policy iteration that solves each policy's system by BiCGStab, until its residual is `part` of what it was.

    The preconditioner is an incomplete LU of blocks of states, kept while few states change their action. The first
    policies, and those on which BiCGStab does not halve the residual, are evaluated by sweeps instead (as in modified
    policy iteration), and then for some more iterations, twice as many after every failure: so it converges as modified
    policy iteration does. Source: Gargiani et al. (2022), arXiv 2211.04299; van der Vorst (1992).

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    bellman = Sweeps(mdp, run.threads)
    own = PolicySweeps(mdp, bellman.threads)
    krylov = Krylov(own)
    v, choice = run.initial_values(), np.empty(mdp.num_states, dtype=np.int64)
    out = np.empty_like(v)
    by_sweeps, pause, stale = FIRST, FIRST, mdp.num_states
    products = evaluations = 0
    while True:
        low, high = bellman.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            return run.finish(
                v,
                method="inexact-policy-iteration",
                why=f"inexact policy iteration, {products} iterations of BiCGStab and {evaluations} sweeps of policies",
                products=products,
                evaluations=evaluations,
            )
        stale += own.take(choice)
        if by_sweeps == 0:
            run.recentre(v, low, high)
            if stale > STALE * mdp.num_states:
                krylov.factorise()
                stale = 0
            iterations, halved = krylov.improve(v, out, part, MOST)
            products += iterations
            if halved and run.stalled < PATIENCE:
                v, out = out, v
                continue
            by_sweeps, pause = pause, 2 * pause
        by_sweeps -= 1
        enough = part * (high - low)
        for _ in range(SWEEPS):
            low, high = own.evaluate(v, out)
            v, out = out, v
            evaluations += 1
            if high - low <= enough:
                break


def promising(mdp: MDP, values: Floats, threads: int | None) -> bool:
    """Does BiCGStab reduce the residual of the policy that is greedy to `values` tenfold within twenty iterations?"""
    bellman = Sweeps(mdp, threads)
    own = PolicySweeps(mdp, bellman.threads)
    out, choice = np.empty_like(values), np.empty(mdp.num_states, dtype=np.int64)
    bellman.backup(values, out, choice)
    own.take(choice)
    krylov = Krylov(own)
    krylov.factorise()
    iterations, halved = krylov.improve(out, np.empty_like(out), 0.1, 20)
    return halved and iterations < 20
