"""Sweeps of any operator that is monotone and carries constants as the Bellman operator does, to a certified end.

If T v ≤ T w for v ≤ w, and T(v + c) = T v + γ c up to the sums of rows, the bounds of one Bellman sweep hold word for
word: soft and robust backups are such operators.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Unpack

import numpy as np

from operant.mdp.bounds.certify import Contraction, Stopping, initial_values, norm_of
from operant.mdp.bounds.sweeps import Choice
from operant.mdp.model import MDP
from operant.mdp.options import Limits
from operant.mdp.rows import Floats, ModelError
from operant.mdp.solution import Certificate, Solution


def fixed_point(
    mdp: MDP,
    sweep: Callable[[Floats], tuple[Floats, Choice]],
    contraction: Contraction,
    *,
    method: str,
    theorem: str,
    **limits: Unpack[Limits],
) -> Solution:
    """Sweep until the certified gap is at most ε.

    Args:
        mdp: the model.
        sweep: from values [S] to (T v as a new array [S], the row taken in each state [S]); terminal states keep
            their values.
        contraction: what the operator does to constants, and how much it rounds.
        method: its name.
        theorem: why the bounds hold.
        limits: as for every solver.

    Raises:
        ModelError: if floating point cannot certify ε, or values are not finite.
    """
    stop = Stopping(contraction, **limits)
    values, rows = initial_values(mdp, stop.initial), np.full(mdp.num_states, -1)
    low = high = 0.0
    finished = False
    while not finished:
        before = values
        values, rows = sweep(before)
        change = values - before
        low, high = float(change.min(initial=np.inf)), float(change.max(initial=-np.inf))
        if not np.isfinite(high - low):
            raise ModelError("the values are not finite: rewards or terminal values are too large, or no numbers.")
        finished = stop.done(low, high, values)
    norm = norm_of(values) + max(abs(low), abs(high))
    least, most, gap, rounding = contraction.proof(low, high, norm, acts=mdp.num_rows > 0)
    ends = mdp.rows.terminal
    return Solution(
        mdp=mdp,
        values=np.where(ends, values, values + 0.5 * (least + most)),
        policy=mdp.action_labels(rows),
        rows=rows,
        certificate=Certificate(
            criterion=mdp.criterion,
            lower=np.where(ends, values, values + least),
            upper=np.where(ends, values, values + most),
            policy_loss=gap,
            rounding=rounding,
            why=theorem,
        ),
        method=method,
        why=stop.verdict(gap, rounding, norm, method),
        iterations=stop.iterations,
        seconds=time.perf_counter() - stop.started,
        history=tuple(stop.history),
    )
