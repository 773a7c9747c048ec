"""Value iteration: sweeps of the Bellman operator until the certificate holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import numpy as np

from operant.mdp.bounds.certify import Progress
from operant.mdp.bounds.sweeps import Choice, Sweeps, chunks_of, using
from operant.mdp.graph.ordering import two_colours
from operant.mdp.kernels import bellman as kernels
from operant.mdp.model import MDP
from operant.mdp.options import Limits
from operant.mdp.rows import Floats
from operant.mdp.solution import Solution

CHECK = 8
"""In-place sweeps between two Jacobi sweeps: only these prove span bounds."""


def value_iteration(mdp: MDP, **limits: Unpack[Limits]) -> Solution:
    """Synchronous (Jacobi) value iteration: v ← Tv, (Tv)(s) = max over a of r(s, a) + γ Σ p(s' | s, a) v(s').

    Stops when the span bounds give ε, long before the values themselves settle (Puterman 1994, section 6.6).

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    return run.finish(run.value_iteration(), method="value-iteration", why="value iteration")


def gauss_seidel(mdp: MDP, **limits: Unpack[Limits]) -> Solution:
    """Symmetric Gauss–Seidel value iteration: each state uses the newest values; sweeps go forwards, then backwards.

    In-place sweeps run in one thread. Every ninth sweep is a Jacobi sweep, which alone proves span bounds (an in-place
    one proves only those of the supremum norm). Source: Puterman (1994), section 6.3.3.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    sweeps = Sweeps(mdp, run.threads)
    states = np.uint64(mdp.num_states)

    def sweep(number: int, v: Floats, out: Floats, choice: Choice) -> None:
        if number % 2 == 0:
            kernels.backup_range(np.uint64(0), states, *sweeps.arrays, mdp.discount, v, v, choice)
        else:
            kernels.backup_backwards(*sweeps.arrays, mdp.discount, v, choice)

    return _in_place(run, sweeps, sweep, "gauss-seidel", "symmetric Gauss–Seidel value iteration")


def red_black(mdp: MDP, **limits: Unpack[Limits]) -> Solution:
    """Red-black value iteration: all states of one colour at once, then all of the other with the new values.

    Gauss–Seidel that runs on any number of threads with the same answer. The colours are the parities of the distance
    in the graph, those of a chessboard on a grid. Source: Bertsekas & Tsitsiklis (1989), section 1.2.4.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    sweeps = Sweeps(mdp, run.threads)
    colours = two_colours(mdp)
    chunks = [chunks_of(np.arange(len(states) + 1), sweeps.threads) for states in colours]

    def sweep(number: int, v: Floats, out: Floats, choice: Choice) -> None:
        for states, starts in zip(colours, chunks, strict=True):
            with using(sweeps.threads):
                kernels.backup_some(starts, states, *sweeps.arrays, mdp.discount, v, out, choice)
            v[states] = out[: len(states)]

    return _in_place(run, sweeps, sweep, "red-black", "red-black value iteration")


def _in_place(
    run: Progress,
    sweeps: Sweeps,
    sweep: Callable[[int, Floats, Floats, Choice], None],
    method: str,
    why: str,
) -> Solution:
    """`CHECK` sweeps in place, `sweep(number, v, out, choice)`, between each two Jacobi sweeps, until one proves ε."""
    v, choice = run.initial_values(), np.empty(run.mdp.num_states, dtype=np.int64)
    out = np.empty_like(v)
    while True:
        low, high = sweeps.backup(v, out, choice)
        v, out = out, v
        if run.done(low, high, v):
            return run.finish(v, method=method, why=why)
        run.recentre(v, low, high)
        for number in range(CHECK):
            sweep(number, v, out, choice)
            run.step(v)
            if run.spent:
                return run.finish(v, method=method, why=why)


def q_value_iteration(mdp: MDP, **limits: Unpack[Limits]) -> Solution:
    """Q-value iteration: q(s, a) ← r(s, a) + γ Σ p(s' | s, a) max over a' of q(s', a').

    The action values [L], one per row of the model, are returned in `.extra["action_values"]`; max q goes through the
    same sequence as the values of `value_iteration`. Source: Sutton & Barto (2018), equation 4.2.

    Raises:
        ModelError: if γ = 1, or ε is below what double precision can certify.
    """
    run = Progress(mdp, **limits)
    sweeps = Sweeps(mdp, run.threads)
    rows = mdp.rows
    v, choice = run.initial_values(), np.empty(mdp.num_states, dtype=np.int64)
    q, starts = np.empty(mdp.num_rows), chunks_of(rows.indptr, sweeps.threads)
    while True:
        before = v.copy()
        with using(sweeps.threads):
            kernels.row_values(starts, rows.indptr, rows.indices, rows.data, rows.reward, mdp.discount, v, q)
        kernels.greedy(rows.pointer, q, v, choice)
        change = v - before
        if run.done(float(change.min()), float(change.max()), v):
            return run.finish(v, method="q-value-iteration", why="Q-value iteration", action_values=q)
