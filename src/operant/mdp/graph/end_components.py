"""Where a process may stay for ever: maximal end components, and models in which they are merged.

An end component is a set of states with, in each, some rows that lead nowhere else, strongly connected by these rows: a
policy can stay in it for ever and visit all of it. Every policy ends up in end components or terminates, which makes
them decide total and average reward.

Sources: de Alfaro (1997), Formal verification of probabilistic systems, chapter 3; Baier & Katoen (2008), section 10.6;
for the quotient, Haddad & Monmege (2018), Interval iteration algorithm for MDPs and IMDPs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operant.mdp.graph.reachability import Graph, Mask
from operant.mdp.kernels import graph as kernels
from operant.mdp.model import MDP
from operant.mdp.rows import Floats, Rows, unsigned


@dataclass(frozen=True, kw_only=True, eq=False)
class EndComponents:
    """Maximal end components, numbered from 0."""

    count: int
    label: NDArray[np.int64]  # [S]  the component of each state, -1 for none
    inside: Mask  # [L]  the rows by which one stays in a component

    def states(self, component: int) -> NDArray[np.int64]:
        """The states of one component, in increasing order."""
        return np.flatnonzero(self.label == component)


def maximal_end_components(mdp: MDP) -> EndComponents:
    """The maximal end components of a model; terminal states and rows that leak are in none.

    Strongly connected components are found, rows that leave theirs struck out with what they leave stranded, and the
    components that lost a row searched again, until none does. A pass costs O(S + nnz); few are needed in practice.
    """
    graph = Graph.of(mdp)
    return end_components(graph, graph.every_row())


def end_components(graph: Graph, live: Mask) -> EndComponents:
    """The maximal end components made of the rows in `live`."""
    rows, live = graph.rows, live & ~graph.leaks
    label, queue = np.full(graph.num_states, -1, dtype=np.int64), np.empty(graph.num_states, dtype=np.int64)
    count = graph.counted(live)
    gone: Mask = count == 0
    graph.strike(np.flatnonzero(gone), live, count, gone)
    fresh, first, work = np.flatnonzero(~gone), 0, graph.scratch()
    while len(fresh):
        after = graph.label(live, fresh, label, first, work)
        before = count[fresh]
        height = int(
            kernels.leaving(rows.pointer, rows.indptr, rows.indices, rows.data, live, label, fresh, count, queue)
        )
        graph.strike(queue[:height].copy(), live, count, gone)
        hit = np.zeros(after - first, dtype=bool)
        hit[label[fresh[count[fresh] != before]] - first] = True
        fresh, first = fresh[hit[label[fresh] - first] & ~gone[fresh]], after
    kept = np.flatnonzero(~gone)
    found = np.full(graph.num_states, -1, dtype=np.int64)
    names, found[kept] = np.unique(label[kept], return_inverse=True)
    return EndComponents(count=len(names), label=found, inside=live)


@dataclass(frozen=True, kw_only=True, eq=False)
class Quotient:
    """A model whose states are blocks of states of another one. Some rows end the episode: those in `leaks`."""

    rows: Rows
    leaks: Mask  # [L']
    block: NDArray[np.int64]  # [S]  the block of each state of the other model, -1 where it was left out
    origin: NDArray[np.int64]  # [L']  the row of the other model, -1 for the added rows that end the episode at once

    def source(self, choice: NDArray[np.int64]) -> NDArray[np.int64]:
        """The other model's rows for rows of this one; -1 for -1 and for added rows."""
        return np.append(self.origin, -1)[choice]


def quotient(
    graph: Graph, reward: Floats, block: NDArray[np.int64], keep: Mask, stay: NDArray[np.int64], worth: Floats
) -> Quotient:
    """Merge states: a model of their blocks, with the rows in `keep`, and a row that ends it in each block of `stay`.

    Rows that do not leak are made to sum to one (validation lets them miss by 1e-8).

    Args:
        reward: reward of each row, [L].
        block: the block of each state, -1 for states left out, which no row in `keep` may lead to, [S].
        stay: blocks that get a row without entries.
        worth: the rewards of these rows.
    """
    rows = graph.rows
    blocks = int(block.max(initial=-1)) + 1
    kept = np.flatnonzero(keep)
    origin = np.concatenate((kept, np.full(len(stay), -1)))
    owner = np.concatenate((block[graph.owner[kept].astype(np.int64)], stay))
    order = np.argsort(owner, kind="stable")
    origin, owner = origin[order], owner[order]
    lengths = np.diff(rows.indptr.astype(np.int64))[kept].sum() if len(kept) else 0
    indptr, indices = np.empty(len(origin) + 1, dtype=np.int64), np.empty(lengths, dtype=np.uint32)
    data = np.empty(lengths)
    size = int(kernels.gather(rows.indptr, rows.indices, rows.data, origin, block, ~graph.leaks, indptr, indices, data))
    earned = np.concatenate((reward[kept], worth))[order]
    terminal, value = np.zeros(blocks, dtype=bool), np.zeros(blocks)
    ends = np.flatnonzero(rows.terminal & (block >= 0))
    terminal[block[ends]], value[block[ends]] = True, rows.terminal_value[ends]
    return Quotient(
        rows=Rows(
            pointer=unsigned(np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=blocks))))),
            action=np.zeros(len(origin), dtype=np.int32),
            indptr=unsigned(indptr),
            indices=indices[:size],
            data=data[:size],
            reward=earned,
            terminal=terminal,
            terminal_value=value,
        ),
        leaks=np.where(origin >= 0, graph.leaks[origin], True) if graph.num_rows else np.ones(len(origin), dtype=bool),
        block=block,
        origin=origin,
    )
