"""Gain and bias of a Markov chain with any number of recurrent classes, by sparse factorisations.

Source: Puterman (1994), section 8.2; Howard (1960), Dynamic Programming and Markov Processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from operant.mdp.rows import Floats, ModelError, Rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GainAndBias:
    """The solution of g = P g, g + h = r + P h; terminal states have g = 0 and h = their value."""

    gain: Floats  # [S]
    relative: Floats  # [S]  h, zero at the last state of each recurrent class
    bias: Floats  # [S]  h with P* h = 0: its mean under the stationary distribution of each class is 0


def gain_and_bias(rows: Rows, P: Any, r: Floats, label: NDArray[np.integer]) -> GainAndBias:
    """Gain and relative values of a chain.

    In each recurrent class the unknown relative value of the last state, which is 0, gives its place to the class's
    gain; then two solves with I - P of the transient states.

    Args:
        rows: the model, whose terminal states and their values are read.
        P: the transitions [S, S]; what rows lack ends the episode.
        r: the rewards [S].
        label: the recurrent class of each state, -1 for transient and terminal ones, [S].

    Raises:
        ModelError: if the equations are singular in floating point.
    """
    states = len(r)
    g, h = np.zeros(states), np.where(rows.terminal, rows.terminal_value, 0.0)
    mean = np.zeros(states)  # of h over the recurrent class
    inner = np.flatnonzero(label >= 0)
    if len(inner):
        _, of = np.unique(label[inner], return_inverse=True)
        last = np.zeros(int(of.max()) + 1, dtype=np.int64)
        last[of] = np.arange(len(inner))
        keep = np.ones(len(inner))
        keep[last] = 0.0
        gains = sp.csc_array((np.ones(len(inner)), (np.arange(len(inner)), last[of])), shape=(len(inner),) * 2)
        system = (sp.eye_array(len(inner)) - P[inner][:, inner]) @ sp.diags_array(keep) + gains
        factor = _factor(system)
        x = factor.solve(r[inner])
        g[inner] = x[last][of]
        h[inner] = np.where(keep > 0, x, 0.0)
        mean[inner] = factor.solve(h[inner])[last][of]  # the gain of a chain whose reward is h
    outer = np.flatnonzero((label < 0) & ~rows.terminal)
    if len(outer):
        factor, rest = _factor(sp.eye_array(len(outer)) - P[outer][:, outer]), P[outer]
        g[outer] = factor.solve(rest @ g)
        h[outer] = factor.solve(r[outer] - g[outer] + rest @ h)
        mean[outer] = factor.solve(rest @ mean)
    return GainAndBias(gain=g, relative=h, bias=h - mean)


def _factor(matrix: sp.sparray) -> sp.linalg.SuperLU:
    try:
        return splu(sp.csc_array(matrix))
    except RuntimeError as error:
        raise ModelError(
            "a policy's equations are singular in floating point: use relative-value-iteration."
        ) from error
