"""From arrays and matrices to the rows of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from operant.mdp.model import Floats, ModelError, Rows, unsigned


def rows_of(
    P: Any,
    R: Any,
    *,
    pairs: tuple[ArrayLike, ArrayLike] | None = None,
    terminal: ArrayLike | Mapping[int, float] | None = None,
) -> Rows:
    """The rows of a model from P and R in any of the forms that `MDP` takes.

    Raises:
        ModelError: if shapes do not fit.
    """
    matrix, state, action, states = _stack(P, pairs)
    reward, outcome, of_state = _rewards(R, matrix, state, action, states, single=pairs is not None)
    ends, worth = _terminal(terminal, states, of_state)
    keep = ~ends[state] & (reward != -np.inf)
    order = np.lexsort((action[keep], state[keep]))
    chosen = np.flatnonzero(keep)[order]
    if not np.array_equal(chosen, np.arange(len(state))):
        matrix, state, action, reward = matrix[chosen], state[chosen], action[chosen], reward[chosen]
        outcome = None if outcome is None else outcome[chosen]
    return Rows(
        pointer=unsigned(np.concatenate(([0], np.cumsum(np.bincount(state, minlength=states))))),
        action=action.astype(np.int32),
        indptr=unsigned(matrix.indptr),
        indices=unsigned(matrix.indices),
        data=np.asarray(matrix.data, dtype=np.float64),
        reward=np.ascontiguousarray(reward, dtype=np.float64),
        outcome_reward=None if outcome is None else np.asarray(outcome.data, dtype=np.float64),
        terminal=ends,
        terminal_value=worth,
    )


def _stack(P: Any, pairs: tuple[ArrayLike, ArrayLike] | None) -> tuple[Any, NDArray[Any], NDArray[Any], int]:
    """P as one CSR matrix [L, S] without duplicates, with the state and action of each row."""
    if pairs is not None:
        matrix = sp.csr_array(P)
        state, action = (np.asarray(index).astype(np.int64) for index in pairs)
        states = matrix.shape[1]
    elif isinstance(P, np.ndarray) or not any(sp.issparse(p) for p in P):
        dense = np.asarray(P, dtype=np.float64)
        if dense.ndim != 3 or dense.shape[0] != dense.shape[2]:
            raise ModelError(
                f"P has shape {dense.shape}: expected [S, A, S'], states first. "
                "For matrices [A, S, S'] use operant.mdp.from_mdptoolbox."
            )
        states, actions = dense.shape[:2]
        matrix = sp.csr_array(dense.reshape(states * actions, states))
        state, action = np.divmod(np.arange(states * actions), actions)
    else:
        states, actions = P[0].shape[1], len(P)
        stacked = sp.csr_array(sp.vstack([sp.csr_array(p) for p in P]))
        order = np.arange(states * actions).reshape(actions, states).T.ravel()
        matrix = stacked[order]
        state, action = np.divmod(np.arange(states * actions), actions)
    matrix = matrix.copy() if matrix is P else matrix
    matrix.sum_duplicates()
    if len(state) != matrix.shape[0] or len(action) != matrix.shape[0]:
        raise ModelError(f"P has {matrix.shape[0]} rows but pairs names {len(state)} states and {len(action)} actions.")
    return matrix, state, action, states


def _rewards(
    R: Any, matrix: Any, state: NDArray[Any], action: NDArray[Any], states: int, *, single: bool
) -> tuple[Floats, Any, Floats | None]:
    """r(s, a) [L]; R(s, a, s') on the pattern of the matrix, or None; R(s) or None."""
    if sp.issparse(R) or (isinstance(R, list | tuple) and any(sp.issparse(r) for r in R)):
        at, _, _, _ = _stack(R, (state, action) if sp.issparse(R) else None)
        return _averaged(matrix, at)
    R = np.asarray(R, dtype=np.float64)
    if R.ndim == 3:
        at = matrix.copy()
        at.data = R[np.repeat(state, np.diff(matrix.indptr)), np.repeat(action, np.diff(matrix.indptr)), matrix.indices]
        return _averaged(matrix, at)
    if single and R.shape == (len(state),):
        return R, None, None
    if R.shape == (states,):
        return R[state], None, R
    if R.ndim == 2 and R.shape[0] == states and R.shape[1] > action.max(initial=0):
        return R[state, action], None, None
    raise ModelError(f"R has shape {R.shape}, which is none of R(s), R(s, a), R(s, a, s') for {states} states.")


def _averaged(matrix: Any, at: Any) -> tuple[Floats, Any, None]:
    product = matrix.multiply(at)
    outcome = matrix.copy()
    outcome.data = np.zeros(matrix.nnz)
    outcome = sp.csr_array(outcome)
    if np.array_equal(at.indptr, matrix.indptr) and np.array_equal(at.indices, matrix.indices):
        outcome.data = at.data.copy()
    else:
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        outcome.data = np.asarray(at[rows, matrix.indices]).ravel()
    return np.asarray(product.sum(axis=1)).ravel(), outcome, None


def _terminal(
    terminal: ArrayLike | Mapping[int, float] | None, states: int, of_state: Floats | None
) -> tuple[NDArray[np.bool_], Floats]:
    ends, worth = np.zeros(states, dtype=bool), np.zeros(states)
    if terminal is None:
        return ends, worth
    if isinstance(terminal, Mapping):
        index = np.fromiter(terminal.keys(), dtype=np.int64, count=len(terminal))
        ends[index], worth[index] = True, np.fromiter(terminal.values(), dtype=np.float64, count=len(terminal))
        return ends, worth
    given = np.asarray(terminal)
    ends[given] = True
    if of_state is not None:
        worth[ends] = of_state[ends]
    return ends, worth
