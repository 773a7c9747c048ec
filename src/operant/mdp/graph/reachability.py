"""What the graph of a model decides before any number does: components, where plays may stay, and who terminates.

An edge of the graph is an entry of positive probability. An episode *terminates* when it enters a terminal state, or,
in a model with `leak=True`, through the missing mass of a row. Every function costs a few passes over the entries, and
the nested ones repeat such passes only while states are struck out.

Sources: Tarjan (1972); Baier & Katoen (2008), Principles of Model Checking, section 10.6 (the sets Prob0 and Prob1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from operant.data.ranges import indices
from operant.mdp.graph.graph import Components, EndComponents, Graph
from operant.mdp.kernels import graph as kernels
from operant.mdp.model import MDP
from operant.mdp.rows import Mask, ModelError
from operant.mdp.validate import public


@public()
def components(mdp: MDP) -> Components:
    """Strongly connected components of a model's graph, sinks first.

    Solving the components in this order needs every value once it is asked for. O(S + nnz) time, 24 bytes a state of
    work space. Source: Tarjan (1972), Depth-first search and linear graph algorithms.
    """
    graph = Graph(mdp.rows)
    return graph.strong(graph.every_row())


@public()
def maximal_end_components(mdp: MDP) -> EndComponents:
    """The maximal end components of a model; terminal states and rows that leak are in none."""
    graph = Graph.of(mdp)
    return graph.end_components(graph.every_row())


def must_end(mdp: MDP, name: str) -> None:
    """For what counts only policies that end: refuse a model in which others win, if there are any.

    Raises:
        ModelError: if an endless play wins, and some policy never ends.
    """
    if mdp.kind == "total" and mdp.endless == "wins" and maximal_end_components(mdp).count:
        raise ModelError(f"{name} counts policies that end, and an endless play wins here: use operant.mdp.solve.")


@public()
def reachable(mdp: MDP, states: ArrayLike | None = None) -> Mask:
    """States that some policy visits with positive probability from `states` (a mask or indices), [S] bool.

    From the start distribution if `states` is None, and from everywhere if there is none.

    Raises:
        ModelError: if there is no such state.
    """
    rows = mdp.rows
    if states is None and mdp.start is None:
        return np.ones(mdp.num_states, dtype=bool)
    seen = _mask(mdp.start > 0 if states is None and mdp.start is not None else states, mdp.num_states)
    graph, queue = Graph(rows), np.empty(mdp.num_states, dtype=np.int64)
    nowhere = np.zeros(mdp.num_states, dtype=bool)
    kernels.forward(rows.pointer, rows.indptr, rows.indices, rows.data, graph.every_row(), nowhere, seen, queue)
    return seen


@public()
def can_terminate(mdp: MDP) -> Mask:
    """States from which some policy terminates with positive probability, [S] bool."""
    return ~prob0_every(mdp)


@public()
def proper(mdp: MDP, policy_rows: ArrayLike) -> Mask:
    """States from which a policy terminates with probability one, [S] bool; it is proper if that is all of them.

    Args:
        policy_rows: the row that the policy takes in each state, [S]; ignored in terminal states.

    Raises:
        ModelError: if there is no such row, or it is another state's.

    Source: Bertsekas & Tsitsiklis (1991), An analysis of stochastic shortest path problems.
    """
    graph, acts, rows = Graph.of(mdp), ~mdp.rows.terminal, np.asarray(policy_rows)
    if rows.shape != acts.shape:
        raise ModelError(f"policy_rows has shape {list(rows.shape)}: expected a row for each state, [{len(acts)}].")
    chosen = indices("policy_rows", rows[acts], mdp.num_rows, error=ModelError)
    other = np.flatnonzero(mdp.row_state[chosen] != np.flatnonzero(acts))
    if len(other):
        state = int(np.flatnonzero(acts)[other[0]])
        raise ModelError(f"policy_rows names row {chosen[other[0]]} for state {mdp.name(state)}, which is another's.")
    live = np.zeros(mdp.num_rows, dtype=bool)
    live[chosen] = True
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
    if given.dtype == bool and given.shape != mask.shape:
        raise ModelError(f"states are a mask of shape {list(given.shape)}: expected one bit per state, [{count}].")
    mask[given if given.dtype == bool else indices("states", given, count, error=ModelError)] = True
    return mask
