"""Models in the form of MDPtoolbox: one matrix [S, S] per action, states last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from operant.mdp.model import MDP
from operant.mdp.options import About
from operant.mdp.rows import ModelError
from operant.mdp.validate import public


class Options(About, total=False):
    """What `MDP` takes besides."""

    terminal: ArrayLike | Mapping[int, float] | None


@public()
def from_mdptoolbox(P: Any, R: Any, discount: float, **options: Unpack[Options]) -> MDP:
    """The model of MDPtoolbox arrays: P as [A, S, S] or A matrices, R as [S], [S, A], [A, S, S] or A matrices.

    Args:
        P: p(s' | s, a) = P[a][s, s']: an array, or a sequence of dense or sparse matrices. Sparse ones stay sparse.
        R: rewards in one of the forms of that package.
        discount: γ.
        options: what `MDP` takes besides: terminal, start, horizon, criterion, names.

    Raises:
        ModelError: if shapes do not fit, or a row is no distribution.
    """
    matrices = _matrices(P, "P")
    states, actions = matrices[0].shape[0], len(matrices)
    for a, matrix in enumerate(matrices):
        if matrix.shape != (states, states):
            raise ModelError(f"P[{a}] has shape {matrix.shape}: expected {(states, states)} for each action.")
    if not sp.issparse(R) and not _sequence_of_sparse(R):
        dense = np.asarray(R, dtype=np.float64)
        if dense.shape in ((states,), (states, actions)):
            return MDP(matrices, dense, discount, **options)
        if dense.shape != (actions, states, states):
            raise ModelError(
                f"R has shape {dense.shape}: expected ({states},), ({states}, {actions}) or "
                f"({actions}, {states}, {states})."
            )
        return MDP(matrices, _matrices(dense, "R"), discount, **options)
    return MDP(matrices, R if sp.issparse(R) else _matrices(R, "R"), discount, **options)


def _sequence_of_sparse(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and any(sp.issparse(part) for part in value)


def _matrices(parts: Any, name: str) -> list[Any]:
    """One CSR matrix per action."""
    if sp.issparse(parts):
        raise ModelError(f"{name} is one sparse matrix: give a list of one per action.")
    matrices = [sp.csr_array(part if sp.issparse(part) else np.asarray(part, dtype=np.float64)) for part in parts]
    if not matrices:
        raise ModelError(f"{name} is empty: give one matrix per action.")
    return matrices
