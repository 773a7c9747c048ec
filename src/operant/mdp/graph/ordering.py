"""Orders of states: colours for parallel sweeps in place, and a numbering that keeps neighbours near in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from operant.mdp.graph.graph import Graph
from operant.mdp.kernels import local as kernels
from operant.mdp.model import MDP
from operant.mdp.rows import Floats

LARGE, LARGEST = 200_000, 20_000_000
"""States from which the values no longer fit into a core's own cache, and up to which a second copy of a model does."""


def two_colours(mdp: MDP) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The states with rows in two classes, by the parity of their distance in the undirected graph of the model.

    On a bipartite graph, such as a grid, no state leads to another one of its colour but itself.
    """
    rows, graph = mdp.rows, Graph.of(mdp)
    distance, queue = np.full(mdp.num_states, -1, dtype=np.int64), np.empty(mdp.num_states, dtype=np.int64)
    kernels.distances(rows.pointer, rows.indptr, rows.indices, *graph.into, graph.owner, distance, queue)
    live = np.diff(rows.pointer.astype(np.int64)) > 0
    return np.flatnonzero(live & (distance % 2 == 0)), np.flatnonzero(live & (distance % 2 == 1))


def spread(mdp: MDP) -> float:
    """The mean distance |s - s'| in memory between a state and its successors, over a sample of rows."""
    rows = mdp.rows
    if mdp.nnz == 0:
        return 0.0
    picked = np.linspace(0, mdp.nnz - 1, min(mdp.nnz, 100_000)).astype(np.int64)
    row = np.searchsorted(rows.indptr, picked, side="right") - 1
    state = np.searchsorted(rows.pointer, row, side="right") - 1
    return float(np.abs(state - rows.indices[picked].astype(np.int64)).mean())


def local(mdp: MDP) -> tuple[MDP, NDArray[np.int64]] | None:
    """The model with its states numbered anew (reverse Cuthill–McKee), and the old number of each new state.

    None where it would not pay: a small model, one that is local already, or one that no numbering makes local.
    """
    if not LARGE <= mdp.num_states <= LARGEST or spread(mdp) < mdp.num_states / 20:
        return None
    rows = mdp.rows
    signed = np.int32 if mdp.nnz < 2**31 else np.int64
    pattern = sp.csr_array(
        (np.ones(mdp.nnz, dtype=np.int8), rows.indices.astype(signed), rows.indptr[rows.pointer].astype(signed)),
        shape=(mdp.num_states, mdp.num_states),
    )
    pattern.sum_duplicates()
    order = np.asarray(sp.csgraph.reverse_cuthill_mckee(pattern, symmetric_mode=False)).astype(np.int64)
    moved = permuted(mdp, order)
    return (moved, order) if spread(moved) < spread(mdp) / 4 else None


def permuted(mdp: MDP, order: NDArray[np.int64]) -> MDP:
    """The same model with state order[i] as state i; names and start are left out."""
    rows = mdp.rows
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    counts = np.diff(rows.pointer.astype(np.int64))[order]
    pointer = np.concatenate(([0], np.cumsum(counts)))
    chosen = np.arange(pointer[-1]) - np.repeat(pointer[:-1] - rows.pointer.astype(np.int64)[order], counts)
    matrix = mdp.matrix[chosen]
    matrix.indices = place[matrix.indices].astype(matrix.indices.dtype)
    matrix.has_sorted_indices = False
    matrix.sort_indices()
    fresh = replace(
        rows,
        pointer=pointer.astype(rows.pointer.dtype),
        action=rows.action[chosen],
        indptr=matrix.indptr.astype(rows.indptr.dtype),
        indices=matrix.indices.astype(rows.indices.dtype),
        data=matrix.data,
        reward=rows.reward[chosen],
        outcome_reward=None,
        terminal=rows.terminal[order],
        terminal_value=rows.terminal_value[order],
    )
    return MDP.from_rows(fresh, mdp.discount, criterion=mdp.criterion, leak=mdp.leak, check=False)


def restored(values: Floats, order: NDArray[np.int64]) -> Floats:
    """Values of a permuted model in the order of the model itself."""
    out = np.empty_like(values)
    out[order] = values
    return out
