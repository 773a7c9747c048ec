"""A fixed number of decisions: backward induction."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from operant.mdp.analyse.finite_horizon import decisions, keep_terminal, last_values, undiscounted
from operant.mdp.bounds.certify import UNIT
from operant.mdp.bounds.sweeps import Choice, Sweeps
from operant.mdp.model import MDP
from operant.mdp.options import Stop, Watch
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Certificate, Solution
from operant.mdp.validate import public, stopping


def auto(mdp: MDP, *, threads: int | None = None, **stop: Unpack[Stop]) -> Solution:
    """Backward induction, as there is nothing to choose."""
    solution = finite_horizon(mdp, threads=threads, **stop)
    why = f"backward induction: the model has a horizon of {mdp.horizon}; {solution.why}"
    return replace(solution, why=why)


@public()
def finite_horizon(
    mdp: MDP,
    *,
    threads: int | None = None,
    horizon: int | None = None,
    final: ArrayLike | None = None,
    **stop: Unpack[Stop],
) -> Solution:
    """Backward induction: v_t(s) = max_a r(s, a) + γ Σ p(s' | s, a) v_{t+1}(s'), t = H-1, …, 0; any γ in [0, 1].

    Args:
        mdp: the model; for the average criterion γ = 1 is taken.
        threads: how many; None for all, or one if the model is small.
        horizon: H decisions; the model's own if None.
        final: v_H [S], what a state is worth once the last decision is made; 0 if None. Terminal states keep theirs.
        stop: as for every solver. Rounding is the only error, H sweeps are made, and a `max_iterations` below is
            refused; `watch` is called with (decisions to go, twice the rounding so far, v_t).

    Returns:
        values [H+1, S], policy and rows [H, S]; the bounds of the certificate are [H+1, S] too.

    Raises:
        ModelError: if there is no horizon, or `final` has another shape, or ε is below the rounding.

    Source: Puterman (1994), section 4.5.
    """
    started = time.perf_counter()
    epsilon, watch, max_iterations = stopping(stop)
    steps = decisions(mdp, horizon)
    if max_iterations is not None and max_iterations < steps:
        raise ModelError(f"max_iterations is {max_iterations}: a horizon of {steps} needs as many sweeps.")
    values, choice, off = _backwards(mdp, last_values(mdp, steps, final), threads, watch)
    worst = float(off.max(initial=0.0))
    if worst > epsilon:
        raise ModelError(
            f"epsilon is {epsilon:g}, but rounding may add {worst:.2g} to a value: ask for more than that."
        )
    return Solution(
        mdp=mdp,
        values=values,
        policy=mdp.action_labels(choice),
        rows=choice,
        certificate=Certificate(
            criterion=mdp.criterion,
            lower=values - off[:, None],
            upper=values + off[:, None],
            policy_loss=2 * worst,
            rounding=worst,
            why="backward induction is exact but for the rounding of its sums",
        ),
        method="finite-horizon",
        why=f"the horizon is finite: {steps} sweeps backwards from the end",
        iterations=steps,
        seconds=time.perf_counter() - started,
    )


def _rounding(mdp: MDP) -> Callable[[Floats], float]:
    """How far one entry of a sweep of values can be off: a sum of k products has a relative error of (k + 2) u."""
    most = int(np.diff(mdp.rows.indptr).max(initial=0))
    reward = float(np.abs(mdp.rows.reward).max(initial=0.0))
    return lambda values: (most + 2) * UNIT * (reward + float(np.abs(values).max(initial=0.0)))


def _backwards(mdp: MDP, values: Floats, threads: int | None, watch: Watch | None) -> tuple[Floats, Choice, Floats]:
    """The values [H+1, S] filled in from the last row on, the rows taken [H, S], and how far each is off, [H+1]."""
    engine, rounding, steps = Sweeps(undiscounted(mdp), threads), _rounding(mdp), len(values) - 1
    off, choice = np.zeros(steps + 1), np.full((steps, mdp.num_states), -1, dtype=np.int64)
    for t in range(steps - 1, -1, -1):
        after = values[t + 1]
        engine.backup(after, values[t], choice[t])
        keep_terminal(mdp, values[t])
        off[t] = engine.discount * (1.0 + 1e-8) * off[t + 1] + rounding(after)
        if watch is not None:
            watch(steps - t, 2 * off[t], values[t])
    return values, choice, off
