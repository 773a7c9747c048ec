"""What the graph of a model decides before any number does: components, reachability, and who terminates.

An edge of the graph is an entry of positive probability. An episode *terminates* when it enters a terminal state, or,
in a model with `leak=True`, through the missing mass of a row. Every function costs a few passes over the entries, and
the nested ones repeat such passes only while states are struck out.

Sources: Tarjan (1972); Baier & Katoen (2008), Principles of Model Checking, section 10.6 (the sets Prob0 and Prob1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.kernels import graph as kernels
from operant.mdp.model import MDP
from operant.mdp.rows import Integers, Rows

Mask = NDArray[np.bool_]


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
        owner = np.empty(self.num_rows, dtype=np.uint32 if self.num_states < 2**32 else np.uint64)
        kernels.owners(self.rows.pointer, owner)
        return owner

    @cached_property
    def into(self) -> tuple[NDArray[np.int64], Integers]:
        """(start [S+1], rows [nnz]): the rows that lead to state s are rows[start[s]:start[s+1]]."""
        start = np.zeros(self.num_states + 1, dtype=np.int64)
        into = np.empty(len(self.rows.data), dtype=np.uint32 if self.num_rows < 2**32 else np.uint64)
        kernels.transpose(self.rows.indptr, self.rows.indices, self.rows.data, start, into)
        return start, into

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


def components(mdp: MDP) -> Components:
    """Strongly connected components of a model's graph, sinks first.

    Solving the components in this order needs every value once it is asked for. O(S + nnz) time, 24 bytes a state of
    work space. Source: Tarjan (1972), Depth-first search and linear graph algorithms.
    """
    graph = Graph(mdp.rows)
    return graph.strong(graph.every_row())


def reachable(mdp: MDP, states: ArrayLike | None = None) -> Mask:
    """States that some policy visits with positive probability from `states` (a mask or indices), [S] bool.

    From the start distribution if `states` is None, and from everywhere if there is none.
    """
    rows = mdp.rows
    if states is None and mdp.start is None:
        return np.ones(mdp.num_states, dtype=bool)
    seen = _mask(mdp.start > 0 if states is None and mdp.start is not None else states, mdp.num_states)
    graph, queue = Graph(rows), np.empty(mdp.num_states, dtype=np.int64)
    nowhere = np.zeros(mdp.num_states, dtype=bool)
    kernels.forward(rows.pointer, rows.indptr, rows.indices, rows.data, graph.every_row(), nowhere, seen, queue)
    return seen


def can_terminate(mdp: MDP) -> Mask:
    """States from which some policy terminates with positive probability, [S] bool."""
    return ~prob0_every(mdp)


def proper(mdp: MDP, policy_rows: ArrayLike) -> Mask:
    """States from which a policy terminates with probability one, [S] bool; it is proper if that is all of them.

    Args:
        policy_rows: the row that the policy takes in each state, [S]; ignored in terminal states.

    Source: Bertsekas & Tsitsiklis (1991), An analysis of stochastic shortest path problems.
    """
    graph, rows = Graph.of(mdp), np.asarray(policy_rows, dtype=np.int64)
    live = np.zeros(mdp.num_rows, dtype=bool)
    live[rows[~mdp.rows.terminal]] = True
    return graph.sure(mdp.rows.terminal, live, ends=True)[0]


def prob1_some(mdp: MDP, target: ArrayLike | None = None) -> Mask:
    """Prob1E: states from which some policy reaches `target` (None: terminates) with probability one, [S] bool."""
    graph, at = Graph.of(mdp), _target(mdp, target)
    return graph.sure(at, graph.every_row(), ends=target is None)[0]


def prob1_every(mdp: MDP, target: ArrayLike | None = None) -> Mask:
    """Prob1A: states from which every policy reaches `target` (None: terminates) with probability one, [S] bool."""
    graph, at = Graph.of(mdp), _target(mdp, target)
    never = graph.avoid(at, graph.every_row(), ends=target is None)
    return ~graph.attractor(never, graph.every_row(), ends=False, blocked=at)[0]


def prob0_some(mdp: MDP, target: ArrayLike | None = None) -> Mask:
    """Prob0E: states from which some policy never reaches `target` (never terminates, if None), [S] bool."""
    graph, at = Graph.of(mdp), _target(mdp, target)
    return graph.avoid(at, graph.every_row(), ends=target is None)


def prob0_every(mdp: MDP, target: ArrayLike | None = None) -> Mask:
    """Prob0A: states from which no policy reaches `target` (none terminates, if None), [S] bool."""
    graph, at = Graph.of(mdp), _target(mdp, target)
    return ~graph.attractor(at, graph.every_row(), ends=target is None)[0]


def _target(mdp: MDP, target: ArrayLike | None) -> Mask:
    return mdp.rows.terminal if target is None else _mask(target, mdp.num_states)


def _mask(states: Any, count: int) -> Mask:
    given, mask = np.asarray(states), np.zeros(count, dtype=bool)
    mask[given] = True
    return mask
