"""Average reward against every deterministic policy in exact rational arithmetic, and the numbers of the books."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.mdp import MDP, ModelError, bias_policy_iteration, evaluate, solve
from operant.mdp.solvers.average import multichain_policy_iteration, relative_value_iteration
from reference import chains

SOLVERS = [relative_value_iteration, multichain_policy_iteration]


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2), st.sampled_from([0.0, 0.2]))
def test_every_policy_tried(seed: int, ends: int, leak: float) -> None:
    rng = np.random.default_rng(seed)
    model = chains.random_model(rng, int(rng.integers(1, 5)), [-3, -1, 0, 2, 5], ends=ends, leak=leak)
    gains = {policy: chains.gain(model, policy) for policy in model.policies()}
    best = [max(column) for column in zip(*gains.values(), strict=True)]
    mdp = model.mdp("average")
    solvers, refused = [multichain_policy_iteration], "weakly communicating"
    try:
        relative_value_iteration(mdp, max_iterations=1)
        solvers.append(relative_value_iteration)
        assert len({*best, *([Fraction(0)] if ends else [])}) == 1, "accepted though gains differ"
    except ModelError as error:
        refused = str(error)
    assert "weakly communicating" in refused
    for solver in solvers:
        found = solver(mdp, epsilon=1e-6)
        mine = gains[tuple(int(a) for a in found.policy[: model.n])]
        certificate = found.certificate
        assert certificate.policy_loss <= 1e-6
        for s, want in enumerate(best):
            assert certificate.lower[s] <= want <= certificate.upper[s]
            assert certificate.lower[s] <= mine[s]
            assert want - mine[s] <= certificate.policy_loss
            assert abs(found.gain[s] - want) <= 1e-6
        assert (np.abs(found.gain[model.n :]) <= 1e-6).all(), "who has terminated earns nothing"


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 1), st.booleans())
def test_the_greatest_bias_of_all_policies_of_the_greatest_gain(seed: int, ends: int, certain: bool) -> None:
    rng = np.random.default_rng(seed)
    states, actions = int(rng.integers(2, 5)), 2
    P = rng.dirichlet(np.ones(states), (states, actions))
    if certain:
        P = np.eye(states)[rng.integers(states, size=(states, actions))]
    reward = rng.integers(-1, 2, (states, actions)).astype(float)
    mdp = MDP(P, reward, 1.0, criterion="average", terminal={states - 1: 1.0} if ends else None)
    worths = [evaluate(mdp, policy) for policy in product(*[range(actions)] * (states - ends), *[[-1]] * ends)]
    best_gain = np.max([worth.gain for worth in worths], axis=0)
    of_best = [worth.values for worth in worths if np.allclose(worth.gain, best_gain, atol=1e-9)]
    found = bias_policy_iteration(mdp)
    np.testing.assert_allclose(found.gain, best_gain, atol=1e-7)
    np.testing.assert_allclose(found.values, np.max(of_best, axis=0), atol=1e-7)
    np.testing.assert_allclose(evaluate(mdp, found.policy).values, found.values, atol=1e-7)


def test_gain_alone_leaves_open_what_bias_decides() -> None:
    """From 0 either way leads to 1, where nothing is earned; one of them earns 1 more on the way, later."""
    P = np.zeros((4, 2, 4))
    P[0, 0, 1] = P[0, 1, 2] = P[1, :, 3] = P[2, :, 3] = P[3, :, 3] = 1.0
    mdp = MDP(P, [[0, 0], [0, 0], [1, 1], [0, 0]], 1.0, criterion="average")
    found = solve(mdp, method="bias-policy-iteration")
    assert found.policy[0] == 1
    np.testing.assert_allclose(found.values, [1, 0, 1, 0], atol=1e-12)


def stacked(*actions: list[list[float]]) -> np.ndarray:
    return np.stack([np.array(a) for a in actions], axis=1)


def forest() -> MDP:
    """Forest management with three ages: wait or cut, fire with probability 0.1."""
    wait, cut = [[0.1, 0.9, 0], [0.1, 0, 0.9], [0.1, 0, 0.9]], [[1, 0, 0]] * 3
    return MDP(stacked(wait, cut), np.array([[0, 0], [0, 1], [4, 2.0]]), 1.0, criterion="average")


def taxi() -> MDP:
    """Howard's taxicab: towns A, B, C; cruise, stand, radio call (not in B)."""
    P = np.zeros((3, 3, 3))
    P[:, 0] = [[1 / 2, 1 / 4, 1 / 4], [1 / 2, 0, 1 / 2], [1 / 4, 1 / 4, 1 / 2]]
    P[:, 1] = [[1 / 16, 3 / 4, 3 / 16], [1 / 16, 7 / 8, 1 / 16], [1 / 8, 3 / 4, 1 / 8]]
    P[0, 2], P[2, 2], P[1, 2] = [1 / 4, 1 / 8, 5 / 8], [3 / 4, 1 / 16, 3 / 16], [0, 1, 0]
    R = np.zeros((3, 3, 3))
    R[:, 0] = [[10, 4, 8], [14, 0, 18], [10, 2, 8]]
    R[:, 1] = [[8, 2, 4], [8, 16, 8], [6, 4, 2]]
    R[0, 2], R[2, 2] = [4, 6, 4], [4, 0, 8]
    mean = np.einsum("sat,sat->sa", P, R)
    mean[1, 2] = -np.inf
    return MDP(P, mean, 1.0, criterion="average")


@pytest.mark.parametrize("solver", SOLVERS)
def test_forest_and_taxi(solver) -> None:
    found = solver(forest(), epsilon=1e-9)
    np.testing.assert_allclose(found.gain, 3.24, atol=1e-9)
    np.testing.assert_allclose(found.values, [-7.6, -4, 0], atol=1e-6)
    assert found.policy.tolist() == [0, 0, 0]
    found = solver(taxi(), epsilon=1e-9)
    np.testing.assert_allclose(found.gain, 13.344538, atol=1e-6)
    np.testing.assert_allclose(found.values, [-1.176471, 12.655462, 0], atol=1e-6)
    assert found.policy.tolist() == [1, 1, 1]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_periodic_chain_converges(solver) -> None:
    mdp = MDP(np.array([[[0, 1.0]], [[1.0, 0]]]), np.array([[2.0], [0.0]]), 1.0, criterion="average")
    found = solver(mdp)
    np.testing.assert_allclose(found.gain, 1.0, atol=1e-6)
    np.testing.assert_allclose(found.values, [1.0, 0.0], atol=1e-5)


def test_a_multichain_model_is_refused_by_one_and_solved_by_the_other() -> None:
    """Two islands with gains 1 and 2, and a state that may sail to either or gamble."""
    P = stacked(
        [[1, 0, 0], [0, 1, 0], [1, 0, 0]],
        [[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]],
    )
    mdp = MDP(P, np.array([[1, 1], [2, 2], [100, 0.0]]), 1.0, criterion="average", states=["a", "b", "c"])
    with pytest.raises(ModelError, match=r"weakly communicating.*\(a\).*\(b\).*multichain"):
        relative_value_iteration(mdp)
    found = multichain_policy_iteration(mdp)
    np.testing.assert_allclose(found.gain, [1, 2, 1.5], atol=1e-9)
    assert found.policy[2] == 1, "the gain comes before any reward on the way"


def test_bias_solves_the_evaluation_equations_and_has_no_mean() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        model = chains.random_model(rng, 6, [-3, -1, 0, 2, 5], ends=0)
        found = multichain_policy_iteration(model.mdp("average"))
        P = found.mdp.matrix.toarray()[found.rows]
        r = found.mdp.rows.reward[found.rows]
        limit = np.linalg.matrix_power(0.5 * P + 0.5 * np.eye(6), 2**20)  # the Cesàro limit of P
        np.testing.assert_allclose(found.gain, limit @ r, atol=1e-7)
        bias = found.extra["bias"]
        for h in (found.values, bias):
            np.testing.assert_allclose(found.gain + h, r + P @ h, atol=1e-8)
        np.testing.assert_allclose(limit @ bias, 0.0, atol=1e-7)


def test_relative_value_iteration_is_the_same_for_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.full(40, 0.1), size=(40, 3))
    mdp = MDP(P, rng.normal(size=(40, 3)), 1.0, criterion="average")
    one, two = (relative_value_iteration(mdp, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.values, two.values)
    assert one.certificate.gap == two.certificate.gap
    exact = multichain_policy_iteration(mdp)
    assert one.certificate.lower[0] <= exact.gain[0] + 1e-12
    assert exact.gain[0] - 1e-12 <= one.certificate.upper[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_criterion_is_asked_for(solver) -> None:
    with pytest.raises(ModelError, match="criterion"):
        solver(forest().replace(criterion="total"))


def test_a_bound_below_rounding_is_said() -> None:
    found = relative_value_iteration(taxi(), epsilon=1e-18)
    assert 1e-18 < found.certificate.gap < 1e-11
    assert "rounding" in found.why
    assert relative_value_iteration(taxi(), max_iterations=2).iterations == 2
