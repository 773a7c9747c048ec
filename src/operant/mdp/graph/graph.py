"""The graph of a model: its edges are the entries of positive probability. What several questions share is kept.

An *end component* is a set of states with, in each, some rows that lead nowhere else, strongly connected by these rows:
a policy can stay in it for ever and visit all of it. Every policy ends up in end components or terminates, which makes
them decide total and average reward.

Sources: Tarjan (1972), Depth-first search and linear graph algorithms; de Alfaro (1997), Formal verification of
probabilistic systems, chapter 3; Baier & Katoen (2008), Principles of Model Checking, section 10.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from operant.mdp.kernels import graph as kernels
from operant.mdp.model import MDP
from operant.mdp.rows import Floats, Integers, Mask, Rows

NONE, ZERO = np.zeros(0, dtype=np.int64), np.zeros(0)
"""No blocks, and no rewards of theirs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """Strongly connected components in reverse topological order: an edge never leads to a larger label."""

    count: int
    label: NDArray[np.int64]  # [S]  component of each state, 0 … count-1; successors' labels are never larger
    order: NDArray[np.int64]  # [S]  the states, by component
    start: NDArray[np.int64]  # [count+1]  states of component c are order[start[c]:start[c+1]]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """States in each component, [count]."""
        return np.diff(self.start)

    def states(self, component: int) -> NDArray[np.int64]:
        """The states of one component, in increasing order."""
        return self.order[self.start[component] : self.start[component + 1]]


@dataclass(frozen=True, kw_only=True, eq=False)
class EndComponents:
    """Maximal end components, numbered from 0."""

    count: int
    label: NDArray[np.int64]  # [S]  the component of each state, -1 for none
    inside: Mask  # [L]  the rows by which one stays in a component

    def states(self, component: int) -> NDArray[np.int64]:
        """The states of one component, in increasing order."""
        return np.flatnonzero(self.label == component)


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


class Graph:
    """The edges of some rows, with what several questions share: the rows' states and the rows that lead to a state."""

    def __init__(self, rows: Rows, leaks: Mask | None = None) -> None:
        self.rows = rows
        self.num_states, self.num_rows = len(rows.terminal), len(rows.action)
        self.leaks: Mask = np.zeros(self.num_rows, dtype=bool) if leaks is None else leaks  # [L]  rows that may end it

    @classmethod
    def of(cls, mdp: MDP) -> Graph:
        """The graph of a model."""
        leaks = np.zeros(mdp.num_rows, dtype=bool)
        if mdp.leak:
            kernels.missing(mdp.rows.indptr, mdp.rows.data, leaks)
        return cls(mdp.rows, leaks)

    @cached_property
    def owner(self) -> Integers:
        """The state of each row, [L]."""
        owner = np.empty(self.num_rows, dtype=_index(self.num_states))
        kernels.owners(self.rows.pointer, owner)
        return owner

    @cached_property
    def into(self) -> tuple[NDArray[np.int64], Integers]:
        """(start [S+1], rows [nnz]): the rows that lead to state s are rows[start[s]:start[s+1]]."""
        start = np.zeros(self.num_states + 1, dtype=np.int64)
        into = np.empty(len(self.rows.data), dtype=_index(self.num_rows))
        kernels.transpose(self.rows.indptr, self.rows.indices, self.rows.data, start, into)
        return start, into

    @cached_property
    def matrix(self) -> sp.csr_array:
        """The transitions, [L, S]."""
        rows = self.rows
        indices, indptr = rows.indices.astype(np.int64), rows.indptr.astype(np.int64)
        return sp.csr_array((rows.data, indices, indptr), shape=(self.num_rows, self.num_states))

    def every_row(self) -> Mask:
        """A mask of all rows, [L]."""
        return np.ones(self.num_rows, dtype=bool)

    def strong(self, live: Mask) -> Components:
        """Strongly connected components of the graph of the rows in `live`."""
        states = self.num_states
        label = np.full(states, -1, dtype=np.int64)
        count = int(self.label(live, np.arange(states), label, 0, self.scratch()))
        order = np.argsort(label, kind="stable")
        start = np.concatenate(([0], np.cumsum(np.bincount(label, minlength=count)))).astype(np.int64)
        return Components(count=count, label=label, order=order, start=start)

    def scratch(self) -> tuple[NDArray[Any], ...]:
        """Work space of `label`: number, low, stack, calls, row, entry; each [S]."""
        small = max(self.num_states, self.num_rows, len(self.rows.data)) < 2**31 - 1
        return tuple(np.zeros(self.num_states, dtype=np.int32 if small else np.int64) for _ in range(6))

    def label(
        self, live: Mask, roots: NDArray[np.int64], label: NDArray[np.int64], first: int, work: tuple[NDArray[Any], ...]
    ) -> int:
        """Labels the components met from `roots` from `first` on; returns the next free label."""
        rows = self.rows
        label[roots], work[0][roots] = -1, 0
        return int(
            kernels.strong(
                rows.pointer, rows.indptr, rows.indices, rows.data, live, roots, label, np.int64(first), *work
            )
        )

    def attractor(
        self, target: Mask, live: Mask, *, ends: bool, blocked: Mask | None = None
    ) -> tuple[Mask, NDArray[np.int64]]:
        """States that reach `target` with positive probability through live rows, and for each a row that comes closer.

        With `ends`, a live row that leaks reaches the target too. States in `blocked` are not passed. The row is -1 in
        the target and where it is out of reach. Following the rows, the distance falls with positive probability at
        every step, so where the rows' other successors are in the attractor too, the target is reached almost surely.
        """
        seen, queue, choice = target.copy(), np.empty(self.num_states, dtype=np.int64), np.full(self.num_states, -1)
        blocked = np.zeros(self.num_states, dtype=bool) if blocked is None else blocked
        if ends and self.leaks.any():
            rows = np.flatnonzero(self.leaks & live)
            state = self.owner[rows].astype(np.int64)
            keep = ~seen[state] & ~blocked[state]
            choice[state[keep]] = rows[keep]
            seen[state[keep]] = True
        first = np.flatnonzero(seen)
        queue[: len(first)] = first
        start, into = self.into
        level = np.zeros(self.num_states, dtype=np.int64)
        kernels.attract(start, into, self.owner, live, blocked, seen, queue, len(first), choice, level)
        return seen, choice

    def approach(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A policy that terminates almost surely where all states can, and heads for the exit.

        Of the rows that come closer with positive probability it takes the one of the least mean distance. Returns rows
        and distances, [S] each.
        """
        rows, queue = self.rows, np.empty(self.num_states, dtype=np.int64)
        seen, level = rows.terminal.copy(), np.zeros(self.num_states, dtype=np.int64)
        leaky = self.owner[np.flatnonzero(self.leaks)].astype(np.int64)
        seen[leaky], level[leaky] = True, 1
        first, choice = np.concatenate((np.flatnonzero(rows.terminal), np.unique(leaky))), np.full(self.num_states, -1)
        queue[: len(first)] = first
        start, into = self.into
        nowhere = np.zeros(self.num_states, dtype=bool)
        live = self.every_row()
        kernels.attract(start, into, self.owner, live, nowhere, seen, queue, len(first), choice, level)
        kernels.approach(rows.pointer, rows.indptr, rows.indices, rows.data, self.leaks, level, choice)
        return choice, level

    def strike(self, dead: NDArray[np.int64], live: Mask, count: NDArray[np.int64], gone: Mask) -> None:
        """Removes states and their rows, every row that may lead to them, every state left without rows, and so on."""
        queue = np.empty(self.num_states, dtype=np.int64)
        queue[: len(dead)] = dead
        kernels.bury(self.rows.pointer, live, gone, dead, count)
        start, into = self.into
        kernels.remove(start, into, self.owner, live, count, gone, queue, len(dead))

    def counted(self, live: Mask) -> NDArray[np.int64]:
        """The number of live rows of each state, [S]."""
        count = np.empty(self.num_states, dtype=np.int64)
        kernels.counted(self.rows.pointer, live, count)
        return count

    def sure(self, target: Mask, live: Mask, *, ends: bool) -> tuple[Mask, NDArray[np.int64], Mask]:
        """Prob1E: states from which some policy reaches the target almost surely, through live rows.

        Returns the states, for each a row that such a policy takes (-1 in the target and elsewhere), and the live rows
        that lead nowhere but to such states [L].
        """
        live = live.copy()
        live[target[self.owner]] = False
        count, gone = self.counted(live), np.zeros(self.num_states, dtype=bool)
        while True:
            seen, choice = self.attractor(target, live, ends=ends)
            lost = np.flatnonzero(~seen & ~gone)
            if not len(lost):
                return seen, choice, live
            self.strike(lost, live, count, gone)

    def avoid(self, target: Mask, live: Mask, *, ends: bool) -> Mask:
        """Prob0E: states from which some policy never reaches the target."""
        count, seen = self.counted(live), target.copy()
        touched = ~live
        if ends:
            touched |= self.leaks
            count = self.counted(~touched)
            seen |= (count == 0) & (self.counted(live) > 0)
        first, queue = np.flatnonzero(seen), np.empty(self.num_states, dtype=np.int64)
        queue[: len(first)] = first
        start, into = self.into
        kernels.forced(start, into, self.owner, seen, touched, count, queue, len(first))
        return ~seen

    def end_components(self, live: Mask) -> EndComponents:
        """The maximal end components made of the rows in `live`.

        Strongly connected components are found, rows that leave theirs struck out with what they leave stranded, and
        the components that lost a row searched again, until none does. A pass costs O(S + nnz); few are needed in
        practice. Source: de Alfaro (1997), chapter 3.
        """
        rows, live = self.rows, live & ~self.leaks
        label, queue = np.full(self.num_states, -1, dtype=np.int64), np.empty(self.num_states, dtype=np.int64)
        count = self.counted(live)
        gone: Mask = count == 0
        self.strike(np.flatnonzero(gone), live, count, gone)
        fresh, first, work = np.flatnonzero(~gone), 0, self.scratch()
        while len(fresh):
            after = self.label(live, fresh, label, first, work)
            before = count[fresh]
            height = int(
                kernels.leaving(rows.pointer, rows.indptr, rows.indices, rows.data, live, label, fresh, count, queue)
            )
            self.strike(queue[:height].copy(), live, count, gone)
            hit = np.zeros(after - first, dtype=bool)
            hit[label[fresh[count[fresh] != before]] - first] = True
            fresh, first = fresh[hit[label[fresh] - first] & ~gone[fresh]], after
        kept = np.flatnonzero(~gone)
        numbered = np.full(self.num_states, -1, dtype=np.int64)
        names, numbered[kept] = np.unique(label[kept], return_inverse=True)
        return EndComponents(count=len(names), label=numbered, inside=live)

    def quotient(
        self, reward: Floats, block: NDArray[np.int64], keep: Mask, stay: NDArray[np.int64] = NONE, worth: Floats = ZERO
    ) -> Quotient:
        """Merge states: a model of their blocks, with the rows in `keep`, and one that ends it in each block of `stay`.

        Rows that do not leak are made to sum to one (validation lets them miss by 1e-8).

        Args:
            reward: reward of each row, [L].
            block: the block of each state, -1 for states left out, which no row in `keep` may lead to, [S].
            keep: which rows, [L].
            stay: blocks that get a row without entries.
            worth: the rewards of these rows.

        Source: Haddad & Monmege (2018), Interval iteration algorithm for MDPs and IMDPs.
        """
        rows = self.rows
        blocks = int(block.max(initial=-1)) + 1
        kept = np.flatnonzero(keep)
        origin = np.concatenate((kept, np.full(len(stay), -1)))
        owner = np.concatenate((block[self.owner[kept].astype(np.int64)], stay))
        order = np.argsort(owner, kind="stable")
        origin, owner = origin[order], owner[order]
        lengths = np.diff(rows.indptr.astype(np.int64))[kept].sum() if len(kept) else 0
        indptr, indices = np.empty(len(origin) + 1, dtype=np.int64), np.empty(lengths, dtype=np.uint32)
        data = np.empty(lengths)
        size = int(
            kernels.gather(rows.indptr, rows.indices, rows.data, origin, block, ~self.leaks, indptr, indices, data)
        )
        earned = np.concatenate((reward[kept], worth))[order]
        pointer = np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=blocks))))
        terminal, value = np.zeros(blocks, dtype=bool), np.zeros(blocks)
        ends = np.flatnonzero(rows.terminal & (block >= 0))
        terminal[block[ends]], value[block[ends]] = True, rows.terminal_value[ends]
        return Quotient(
            rows=Rows(
                pointer=pointer.astype(_index(len(origin))),
                action=np.zeros(len(origin), dtype=np.int32),
                indptr=indptr.astype(_index(size)),
                indices=indices[:size],
                data=data[:size],
                reward=earned,
                terminal=terminal,
                terminal_value=value,
            ),
            leaks=np.where(origin >= 0, self.leaks[origin], True)
            if self.num_rows
            else np.ones(len(origin), dtype=bool),
            block=block,
            origin=origin,
        )

    def normalised(self, live: Mask) -> Quotient:
        """The model with the rows in `live` alone, which sum to one where they do not leak."""
        return self.quotient(self.rows.reward, np.arange(self.num_states), live)


def _index(count: int) -> type[np.unsignedinteger[Any]]:
    """The type of indices below `count`, as the kernels read them."""
    return np.uint32 if count < 2**32 else np.uint64
