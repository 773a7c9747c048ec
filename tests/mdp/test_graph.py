"""Components, reachability and termination against definitions on small random graphs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.mdp import MDP
from operant.mdp.graph.reachability import (
    can_terminate,
    components,
    prob0_every,
    prob0_some,
    prob1_every,
    prob1_some,
    proper,
    reachable,
)


def random_model(seed: int, states: int = 5, actions: int = 2, leak: bool = False) -> MDP:
    """A sparse random model with one or two terminal states and, with `leak`, rows that end the episode."""
    rng = np.random.default_rng(seed)
    P = np.zeros((states, actions, states))
    for s, a in itertools.product(range(states), range(actions)):
        k = int(rng.integers(1, 3))
        P[s, a, rng.choice(states, size=k, replace=False)] = 1.0 / k
        if leak and rng.random() < 0.2:
            P[s, a] *= 0.5
    terminal = np.zeros(states, dtype=bool)
    terminal[: int(rng.integers(0, 2 if leak else 3))] = True
    return MDP(P, rng.normal(size=(states, actions)), 1.0, terminal=terminal, leak=leak)


def policies(mdp: MDP):
    """Every deterministic policy, as rows [S]."""
    pointer = mdp.rows.pointer.astype(int)
    yield from map(
        np.array, itertools.product(*(range(pointer[s], pointer[s + 1]) or [-1] for s in range(mdp.num_states)))
    )


def ends_with(mdp: MDP, rows: np.ndarray) -> np.ndarray:
    """Probability that a policy terminates from each state, by the 2^12-step power of its matrix."""
    P = np.zeros((mdp.num_states + 1, mdp.num_states + 1))
    dense = mdp.matrix.toarray()
    for s in range(mdp.num_states):
        if mdp.rows.terminal[s]:
            P[s, -1] = 1.0
        else:
            P[s, :-1] = dense[rows[s]]
            P[s, -1] = 1.0 - dense[rows[s]].sum()
    P[-1, -1] = 1.0
    return np.linalg.matrix_power(P, 2**12)[:-1, -1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_termination_equals_every_policy_tried(seed: int, leak: bool) -> None:
    mdp = random_model(seed, leak=leak)
    chances = np.array([ends_with(mdp, rows) for rows in policies(mdp)])
    for rows, chance in zip(policies(mdp), chances, strict=True):
        np.testing.assert_array_equal(proper(mdp, rows), chance > 1 - 1e-6)
    np.testing.assert_array_equal(prob1_some(mdp), chances.max(0) > 1 - 1e-6)
    np.testing.assert_array_equal(prob1_every(mdp), chances.min(0) > 1 - 1e-6)
    np.testing.assert_array_equal(prob0_some(mdp), chances.min(0) < 1e-6)
    np.testing.assert_array_equal(prob0_every(mdp), chances.max(0) < 1e-6)
    np.testing.assert_array_equal(can_terminate(mdp), chances.max(0) > 1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_a_target_is_reached_like_a_terminal_state(seed: int) -> None:
    mdp = random_model(seed, states=5)
    target = np.array([3])
    again = MDP(
        [sp.csr_array(_action(mdp, a)) for a in range(2)],
        np.zeros((5, 2)),
        1.0,
        terminal=np.array([False] * 3 + [True, False]),
    )
    for ask in (prob1_some, prob1_every, prob0_some, prob0_every):
        np.testing.assert_array_equal(ask(mdp, target), ask(again))


def _action(mdp: MDP, action: int) -> np.ndarray:
    """The matrix of one action, terminal states made absorbing."""
    out, dense = np.eye(mdp.num_states), mdp.matrix.toarray()
    for row, (s, a) in enumerate(zip(mdp.row_state, mdp.rows.action, strict=True)):
        if a == action:
            out[s] = dense[row]
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_components_equal_mutual_reachability_and_come_sinks_first(seed: int, states: int) -> None:
    rng = np.random.default_rng(seed)
    P = np.zeros((states, 2, states))
    for s, a in itertools.product(range(states), range(2)):
        P[s, a, rng.integers(states)] += 0.5
        P[s, a, rng.integers(states)] += 0.5
    mdp = MDP(P, np.zeros((states, 2)), 0.9)
    reach = np.linalg.matrix_power(np.eye(states) + (P.sum(1) > 0), states) > 0  # s leads to t in 0 … S steps
    found = components(mdp)
    np.testing.assert_array_equal(found.label[:, None] == found.label, reach & reach.T)
    assert (found.label[:, None] >= found.label)[reach].all()
    assert np.array_equal(np.bincount(found.label), found.sizes)
    for c in range(found.count):
        assert (found.label[found.states(c)] == c).all()
    for s in range(states):
        np.testing.assert_array_equal(reachable(mdp, [s]), reach[s])


def test_an_entry_of_probability_zero_is_no_edge() -> None:
    P = sp.csr_array((np.array([0.5, 0.5, 1.0]), np.array([0, 1, 1]), np.array([0, 2, 3])), shape=(2, 2))
    mdp = MDP(P, np.zeros(2), 1.0, pairs=([0, 1], [0, 0]))
    mdp.rows.data[:2] = 0.0, 1.0
    assert components(mdp).count == 2
    assert not reachable(mdp, [1])[0]


def test_a_deep_chain_neither_recurses_nor_repeats_passes() -> None:
    states = 200_000
    index = np.arange(states)
    P = sp.csr_array(
        (
            np.full(2 * states, 0.5),
            np.stack([np.maximum(index - 1, 0), np.minimum(index + 1, states - 1)], 1).ravel(),
            np.arange(0, 2 * states + 1, 2),
        ),
        shape=(states, states),
    )
    mdp = MDP(P, np.full(states, -1.0), 1.0, pairs=(index, np.zeros(states, dtype=int)), terminal=[0])
    assert components(mdp).count == 2
    assert prob1_every(mdp).all()
    assert proper(mdp, np.maximum(index - 1, 0)).all()


@pytest.mark.parametrize("start", [None, 1])
def test_reachable_from_the_start(start: int | None) -> None:
    P = np.array([[[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]]])
    mdp = MDP(P, np.zeros((3, 1)), 0.9, start=start)
    assert reachable(mdp).tolist() == ([True] * 3 if start is None else [False, True, True])
