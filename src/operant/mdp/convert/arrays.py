"""From arrays and matrices to the rows of a model, without a second copy of what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from operant.mdp.convert.row_builder import assemble, shrink, terminal_states, without
from operant.mdp.kernels.rows import copy_rows, is_tidy, look_up, tidy
from operant.mdp.rows import Floats, Integers, ModelError, Rows, unsigned


@dataclass(frozen=True, kw_only=True, eq=False)
class Pieces:
    """The rows of a model still lying in one or several CSR matrices."""

    parts: list[Any]  # CSR matrices with S columns
    part: NDArray[Any]  # [L]  in which of them a row lies
    line: NDArray[Any]  # [L]  and which of its rows it is
    state: NDArray[Any]  # [L]
    action: NDArray[Any]  # [L]
    states: int
    actions: int
    several: bool = False  # P was a sequence of matrices, one per action


def rows_of(
    P: Any,
    R: Any,
    *,
    pairs: tuple[ArrayLike, ArrayLike] | None = None,
    terminal: ArrayLike | Mapping[Any, float] | None = None,
) -> Rows:
    """The rows of a model from P and R in any of the forms that `MDP` takes, but for dictionaries.

    Raises:
        ModelError: if shapes do not fit.
    """
    pieces = _pieces(P, pairs)
    reward, outcome, of_state = _rewards(R, pieces, single=pairs is not None)
    ends, worth = terminal_states(terminal, pieces.states, of_state)
    keep = ~ends[pieces.state]
    if reward is not None:
        keep &= reward != -np.inf
    chosen = _ordered(pieces.state, pieces.action, keep)
    indptr, indices, data, owned = _gather(pieces, chosen)
    if outcome is not None:
        columns: tuple[Any, ...] = _with_outcomes((indptr, indices, data), _gather(outcome, chosen), owned)
        state, action = pieces.state[chosen], pieces.action[chosen]
        if np.isneginf(columns[3]).any():
            barred = np.bincount(
                np.repeat(np.arange(len(state)), np.diff(columns[0]).astype(np.int64)),
                weights=np.isneginf(columns[3]),
                minlength=len(state),
            )
            columns, stays = without(barred > 0, *columns), barred == 0
            state, action = state[stays], action[stays]
        return assemble(
            state,
            action,
            *columns,
            reward=None,
            terminal=ends,
            terminal_value=worth,
        )
    assert reward is not None
    if not is_tidy(indptr, indices, data):
        if not owned:
            indptr, indices, data = indptr.copy(), indices.copy(), data.copy()
        left = tidy(indptr, indices, data, np.empty(0))
        indices, data = shrink(indices, left), shrink(data, left)
    return assemble(
        pieces.state[chosen],
        pieces.action[chosen],
        indptr,
        indices,
        data,
        None,
        reward=np.ascontiguousarray(reward[chosen]),
        terminal=ends,
        terminal_value=worth,
    )


def _pieces(P: Any, pairs: tuple[ArrayLike, ArrayLike] | None) -> Pieces:
    """P as CSR matrices, with the place, state and action of each row."""
    if pairs is not None:
        return _of_pairs(P, pairs)
    if sp.issparse(P):
        raise ModelError(
            f"P is one sparse matrix of shape {P.shape} without pairs: say which state and action each row is, "
            "MDP(P, R, discount, pairs=(states, actions)), or give a list of one matrix per action."
        )
    matrices = _matrices(P)
    if matrices is not None:
        parts = [csr_of(p, f"P[{a}]") for a, p in enumerate(matrices)]
        states, actions = parts[0].shape[1], len(parts)
        for a, part in enumerate(parts):
            if part.shape != (states, states):
                raise ModelError(f"P[{a}] has shape {part.shape}: expected {(states, states)} like the others.")
        several = True
        line, part = np.divmod(np.arange(states * actions), actions)
        state, action = line, part
    else:
        dense = numbers_of(P, "P")
        if dense.ndim != 3 or dense.shape[0] != dense.shape[2]:
            raise ModelError(
                f"P has shape {dense.shape}: expected [S, A, S'], states first. "
                "For matrices [A, S, S'] use operant.mdp.from_mdptoolbox."
            )
        states, actions = dense.shape[:2]
        parts, several = [sp.csr_array(dense.reshape(states * actions, states))], False
        line, part = np.arange(states * actions), np.zeros(states * actions, dtype=np.int8)
        state, action = np.divmod(line, actions)
    return Pieces(
        parts=parts, part=part, line=line, state=state, action=action, states=states, actions=actions, several=several
    )


def _matrices(given: Any) -> list[Any] | None:
    """The matrices of a list of one for each action, whatever holds their numbers; None where it is no such list.

    One matrix among the items (sparse, of NumPy or of pandas) makes it a list of matrices, each [S, S']. A list of
    matrices that are not square is an array of numbers, [S, A, S'], and so are nested lists.
    """
    listed = isinstance(given, list | tuple) or (isinstance(given, np.ndarray) and given.dtype == object and given.ndim)
    parts: list[Any] = list(given) if listed else []
    if not any(getattr(part, "ndim", 0) == 2 for part in parts):
        return None
    shapes = {tuple(np.shape(part)) for part in parts}
    square = all(len(shape) == 2 and shape[0] == shape[1] for shape in shapes)
    return parts if square or any(sp.issparse(part) for part in parts) else None


def numbers_of(given: Any, what: str) -> Floats:
    """An array of numbers.

    Raises:
        ModelError: if it is none.
    """
    try:
        array = np.asarray(given)
        if array.dtype.kind not in "biuf":
            array = np.asarray(given, dtype=np.float64) if array.dtype.kind == "O" else None
        if array is not None:
            return np.asarray(array, dtype=np.float64)
        why = "it holds something else"
    except (TypeError, ValueError) as error:
        why = str(error)
    raise ModelError(f"{what} is {type(given).__name__}: expected an array of numbers, and {why}.")


def _of_pairs(P: Any, pairs: tuple[ArrayLike, ArrayLike]) -> Pieces:
    matrix = csr_of(P, "P")
    state, action = (np.asarray(index) for index in pairs)
    count, states = matrix.shape
    for name, index, limit in (("states", state, states), ("actions", action, 2**31 - 1)):
        if index.shape != (count,):
            raise ModelError(f"pairs names {name} of shape {index.shape}: P has {count} rows, give one for each.")
        if not np.issubdtype(index.dtype, np.integer):
            raise ModelError(f"pairs names {name} of type {index.dtype}: expected integers.")
        wrong = np.flatnonzero((index < 0) | (index >= limit))
        if len(wrong):
            raise ModelError(f"pairs: row {wrong[0]} has {name[:-1]} {index[wrong[0]]}: {name} are 0 to {limit - 1}.")
    return Pieces(
        parts=[matrix],
        part=np.zeros(count, dtype=np.int8),
        line=np.arange(count),
        state=state,
        action=action,
        states=states,
        actions=int(action.max(initial=-1)) + 1,
    )


def csr_of(matrix: Any, name: str) -> Any:
    """A matrix, dense or sparse in any format, as CSR; ModelError with its `name` where it is none of numbers."""
    if not sp.issparse(matrix):
        matrix = numbers_of(matrix, name)
        if matrix.ndim != 2:
            raise ModelError(f"{name} has shape {matrix.shape}: expected a matrix.")
    elif matrix.dtype.kind not in "biuf":
        raise ModelError(f"{name} is of type {matrix.dtype}: expected a matrix of numbers.")
    csr = matrix if sp.issparse(matrix) and matrix.format == "csr" else _coo_to_csr(matrix)
    indptr, indices = csr.indptr, csr.indices
    if len(indptr) != csr.shape[0] + 1 or indptr[0] != 0 or indptr[-1] > len(indices) or np.any(np.diff(indptr) < 0):
        raise ModelError(f"{name} is damaged: its indptr does not rise from 0 to {len(indices)}, its entries.")
    if indices.itemsize > 4 and len(indices) and not 0 <= indices.min() <= indices.max() < csr.shape[1]:
        raise ModelError(f"{name} is damaged: it has an entry beyond its {csr.shape[1]} columns.")
    if csr.data.dtype != np.float64:
        csr = sp.csr_array((csr.data.astype(np.float64), csr.indices, csr.indptr), shape=csr.shape)
    return csr


def _coo_to_csr(matrix: Any) -> Any:
    """CSR with the duplicates of a COO matrix kept, so that rewards in the same form can be averaged over them."""
    if not sp.issparse(matrix) or matrix.format != "coo":
        return sp.csr_array(matrix)
    row, column = matrix.coords if hasattr(matrix, "coords") else (matrix.row, matrix.col)
    order = np.argsort(row, kind="stable")
    indptr = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=matrix.shape[0]))))
    return sp.csr_array((matrix.data[order], column[order], indptr), shape=matrix.shape)


def _rewards(R: Any, pieces: Pieces, *, single: bool) -> tuple[Floats | None, Pieces | None, Floats | None]:
    """One of r(s, a) [L] and R(s, a, s') in pieces like those of P; and R(s), where it is that."""
    states, actions = pieces.states, pieces.actions
    wanted = f"R(s) [{states}], R(s, a) " + (f"[{len(pieces.state)}]" if single else f"[{states}, {actions}]")
    if R is None:
        raise ModelError(f"R is missing: give {wanted} or R(s, a, s') in the form of P.")
    if sp.issparse(R):
        if single and R.shape == pieces.parts[0].shape:
            return None, replace(pieces, parts=[csr_of(R, "R")]), None
        if not single and R.shape == (states, actions):
            return np.asarray(sp.csr_array(R)[pieces.state, pieces.action], dtype=np.float64).ravel(), None, None
        raise ModelError(f"R is a sparse matrix of shape {R.shape}: expected {wanted} or R(s, a, s') in the form of P.")
    matrices = None if single else _matrices(R)
    if matrices is not None:
        parts = [csr_of(r, f"R[{a}]") for a, r in enumerate(matrices)]
        if len(parts) != actions or any(part.shape != (states, states) for part in parts):
            raise ModelError(
                f"R is a list of matrices of shape {[part.shape for part in parts]}: expected {actions}, one for each "
                f"action, of shape {(states, states)}."
            )
        return None, replace(pieces, parts=parts, part=pieces.action, line=pieces.state), None
    given = numbers_of(R, "R")
    if given.shape == (states, actions, states) and not single:
        if pieces.several and states == actions:
            raise ModelError(
                f"R is an array of shape {given.shape}, and P a list of matrices: R may be [S, A, S'] or a matrix for "
                "each action. Give it as a list of matrices too, or P as an array [S, A, S']."
            )
        flat = given.reshape(states * actions, states)
        line = pieces.state * actions + pieces.action
        return None, replace(pieces, parts=[flat], part=np.zeros(len(line), dtype=np.int8), line=line), None
    if single and given.shape == (len(pieces.state),):
        return given, None, None
    if given.shape == (states,):
        return given[pieces.state], None, given
    if given.shape == (states, actions):
        return given[pieces.state, pieces.action], None, None
    raise ModelError(f"R has shape {given.shape}: expected {wanted} or R(s, a, s') in the form of P.")


def _ordered(state: NDArray[Any], action: NDArray[Any], keep: NDArray[np.bool_]) -> NDArray[np.int64] | slice:
    """Which rows are kept, in order of state and action; `slice(None)` if that is all of them as they are."""
    after = (state[1:] > state[:-1]) | ((state[1:] == state[:-1]) & (action[1:] > action[:-1]))
    if after.all():
        return slice(None) if keep.all() else np.flatnonzero(keep)
    kept = np.flatnonzero(keep)
    return kept[np.lexsort((action[kept], state[kept]))]


def _gather(pieces: Pieces, chosen: NDArray[np.int64] | slice) -> tuple[Any, Any, Any, bool]:
    """(indptr, indices, data, whether they are ours) of the chosen rows, in their order."""
    if len(pieces.parts) == 1 and isinstance(chosen, slice) and sp.issparse(pieces.parts[0]):
        only = pieces.parts[0]
        return unsigned(only.indptr), unsigned(only.indices, pieces.states - 1), only.data, False
    part, line = pieces.part[chosen], pieces.line[chosen]
    if not sp.issparse(pieces.parts[0]):
        return None, line, pieces.parts[0], False
    lengths = np.zeros(len(line) + 1, dtype=np.int64)
    members = [np.flatnonzero(part == number) for number in range(len(pieces.parts))]
    for to, matrix in zip(members, pieces.parts, strict=True):
        lengths[1:][to] = np.diff(matrix.indptr)[line[to]]
    indptr = unsigned(np.cumsum(lengths))
    indices = np.empty(int(indptr[-1]), dtype=np.uint32 if pieces.states <= 2**32 else np.uint64)
    data = np.empty(int(indptr[-1]))
    for to, matrix in zip(members, pieces.parts, strict=True):
        copy_rows(matrix.indptr, matrix.indices, matrix.data, line[to], to, indptr, indices, data)
    return indptr, indices, data, True


def _with_outcomes(
    entries: tuple[Any, Any, Any], other: tuple[Any, Any, Any, bool], owned: bool
) -> tuple[Integers, Integers, Floats, Floats]:
    """Tidy entries with the reward of each, from the rewards' own matrix."""
    indptr, indices, data = entries
    if other[0] is None:  # a dense array [S·A, S'], of which the rows other[1] are wanted
        rows = np.repeat(other[1], np.diff(indptr).astype(np.int64))
        outcome, mine = np.asarray(other[2][rows, indices], dtype=np.float64), True
    elif np.array_equal(other[0], indptr) and np.array_equal(other[1], indices):
        outcome, mine = other[2], other[3]
    else:
        outcome, mine = None, True
    if not is_tidy(indptr, indices, data):
        if not owned:
            indptr, indices, data = indptr.copy(), indices.copy(), data.copy()
        if outcome is not None and not mine:
            outcome = outcome.copy()
        left = tidy(indptr, indices, data, np.empty(0) if outcome is None else outcome)
        indices, data = shrink(indices, left), shrink(data, left)
        outcome = None if outcome is None else shrink(outcome, left)
    if outcome is None:
        o_indptr, o_indices, o_data, o_owned = other
        if not is_tidy(o_indptr, o_indices, np.ones(len(o_data))):
            if not o_owned:
                o_indptr, o_indices, o_data = o_indptr.copy(), o_indices.copy(), o_data.copy()
            before = len(o_data)
            marks = np.ones(before)
            if tidy(o_indptr, o_indices, marks, o_data) < before:
                raise ModelError("R(s, a, s') names an entry twice and P does not: give one reward for each s'.")
        outcome = np.empty(len(data))
        look_up(indptr, indices, o_indptr, o_indices, o_data, outcome)
    return indptr, indices, data, outcome
