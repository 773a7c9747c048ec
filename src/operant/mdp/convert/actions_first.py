"""Arrays with actions first, as MDPtoolbox has them, in the form that `rows_of` takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from operant.mdp.convert.arrays import csr_of, numbers_of
from operant.mdp.rows import ModelError


def actions_first(P: Any, R: Any) -> tuple[list[Any], Any]:
    """P [A, S, S'] and R in any form beside it as `rows_of` takes them: both a list of one matrix for each action.

    Raises:
        ModelError: if shapes do not fit; arrays with states first are told so.
    """
    matrices = _each_action(P, "P")
    states, actions = matrices[0].shape[0], len(matrices)
    for a, matrix in enumerate(matrices):
        if matrix.shape != (states, states):
            first = all(m.shape == (states, actions) for m in matrices) or len({m.shape for m in matrices}) == 1
            hint = ": this looks like [S, A, S'], states first, which MDP(P, R, discount) takes"
            raise ModelError(
                f"P[{a}] has shape {matrix.shape}: expected [A, S, S'], one matrix {(states, states)} for each action"
                + (hint if first and matrix.shape[1] == actions else "")
                + "."
            )
    if sp.issparse(R):
        return matrices, R
    if _holds_sparse(R):
        return matrices, _each_action(R, "R")
    dense = numbers_of(R, "R")
    if dense.shape not in ((states,), (states, actions), (actions, states, states)):
        raise ModelError(
            f"R has shape {dense.shape}: expected R(s) [{states}], R(s, a) [{states}, {actions}] or R(s, a, s') "
            f"[{actions}, {states}, {states}], actions first like P."
        )
    return matrices, _each_action(dense, "R") if dense.ndim == 3 else dense


def _holds_sparse(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return False
    return isinstance(value, list | tuple | np.ndarray) and any(sp.issparse(part) for part in value)


def _each_action(parts: Any, name: str) -> list[Any]:
    """One CSR matrix for each action."""
    if sp.issparse(parts):
        raise ModelError(f"{name} is one sparse matrix: give a list of one per action.")
    given = parts
    if not _holds_sparse(parts):
        given = numbers_of(parts, name)
        if given.size == 0:
            raise ModelError(f"{name} is empty: give one matrix for each action, [A, S, S'].")
        if given.ndim != 3:
            raise ModelError(f"{name} has shape {given.shape}: expected one matrix for each action, [A, S, S'].")
    return [csr_of(part, f"{name}[{a}]") for a, part in enumerate(given)]
