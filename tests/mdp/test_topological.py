"""Components in order, each solved once."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from operant.mdp import MDP, ModelError, solve
from operant.mdp.kernels import local as kernels
from operant.mdp.solvers.auto import ends_decide
from operant.mdp.solvers.topological import PASSES, topological
from reference import mdp as slow
from reference.mdp_models import grid, line


def test_an_acyclic_model_takes_one_backup_a_state() -> None:
    here = np.arange(199)
    P = sp.csr_array((np.ones(199), (here, here + 1)), shape=(199, 200))
    mdp = MDP(P, -np.ones(199), 0.99, pairs=(here, np.zeros(199, int)), terminal={199: 5.0})
    found = topological(mdp, epsilon=1e-9)
    assert found.extra == {"components": 200, "backups": 199}
    assert found.iterations == 1
    np.testing.assert_allclose(found.values, slow.best_values(mdp), atol=1e-9)


def test_a_state_that_may_stay_is_not_acyclic() -> None:
    mdp = MDP(np.array([[[0.5, 0.5]], [[0.0, 1.0]]]), np.array([[1.0], [0.0]]), 0.9, terminal={1: 2.0})
    found = topological(mdp, epsilon=1e-9)
    assert found.values[0] == (1 + 0.9 * 0.5 * 2) / (1 - 0.9 * 0.5) or abs(found.values[0] - 1.9 / 0.55) < 1e-9


def test_one_component_is_solved_too() -> None:
    for discount in (0.9, 0.9999):
        mdp = line(60, 0.4, discount)
        found = topological(mdp, epsilon=1e-7)
        assert np.abs(found.values - slow.best_values(mdp)).max() <= 1e-7
        assert found.extra["components"] == 2


def test_a_closed_component_with_a_large_discount() -> None:
    """Moved as a whole by its mean change: without that, γ = .99999 takes some million passes."""
    mdp = slow.random_mdp(np.random.default_rng(0), 20, 0.99999)
    found = topological(mdp, epsilon=1e-3)
    assert np.abs(found.values - slow.best_values(mdp)).max() <= 1e-3
    assert found.extra["backups"] < 20 * 20_000


def ring(states: int, discount: float) -> MDP:
    """From each state on by one, or by up to four; nothing mixes, and all of it is one component."""
    rng, state = np.random.default_rng(0), np.repeat(np.arange(states), 2)
    steps = np.where(np.arange(2 * states) % 2, rng.integers(1, 5, 2 * states), 1)
    P = sp.csr_array((np.ones(2 * states), (np.arange(2 * states), (state + steps) % states)))
    return MDP(P, rng.normal(size=2 * states), discount, pairs=(state, np.arange(2 * states) % 2))


@pytest.mark.parametrize(("states", "discount", "epsilon"), [(4, 1 - 1e-9, 1e4), (150, 1 - 1e-6, 1e-2)])
def test_a_discount_near_one_takes_no_sweeps_without_number(states: int, discount: float, epsilon: float) -> None:
    mdp = ring(states, discount)
    found, exact = topological(mdp, epsilon=epsilon), solve(mdp, epsilon, "policy-iteration")
    assert found.certificate.gap <= epsilon
    assert (found.certificate.lower <= exact.certificate.upper).all()
    assert (exact.certificate.lower <= found.certificate.upper).all()
    assert isinstance(backups := found.extra["backups"], int)
    assert backups <= 2 * PASSES * states


def test_work_that_is_taken_up_again_is_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    mdp = ring(150, 0.99999)
    at_once = topological(mdp, epsilon=1e-2)
    monkeypatch.setattr("operant.mdp.solvers.topological.WORK", 10_000)
    in_parts = topological(mdp, epsilon=1e-2)
    np.testing.assert_array_equal(at_once.values, in_parts.values)
    assert at_once.extra == in_parts.extra


def test_what_is_too_large_for_factors_heeds_limits_and_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operant.mdp.solvers.topological.FACTORISED", 100)
    monkeypatch.setattr("operant.mdp.solvers.topological.PASSES", 20)
    mdp, seen = ring(150, 1 - 1e-9), list[int]()
    found = topological(mdp, epsilon=1.0, max_iterations=3, watch=lambda i, gap, v: seen.append(i))
    assert seen == [1, 2, 3]
    assert found.iterations == 3
    assert "stopped after max_iterations=3" in found.why
    assert found.certificate.gap > 1.0
    exact = solve(mdp, 1e4, "policy-iteration")
    assert (found.certificate.lower <= exact.certificate.upper).all()
    assert (exact.certificate.lower <= found.certificate.upper).all()


def test_what_is_asked_beyond_double_precision_is_refused() -> None:
    with pytest.raises(ModelError, match=r"cannot be certified in double precision"):
        topological(ring(4, 1 - 1e-9), epsilon=1e-4)


def test_a_policy_that_has_settled_is_evaluated_by_elimination() -> None:
    rng = np.random.default_rng(3)
    model = slow.random_mdp(rng, 30, 0.99, terminal=True)
    rows, states = model.rows, np.flatnonzero(~model.rows.terminal)
    choice = np.full(30, -1, dtype=np.int64)
    choice[states] = rows.pointer[states]
    v, label = rows.terminal_value.copy(), rows.terminal.astype(np.int64)
    arrays = (rows.indptr, rows.indices, rows.data, rows.reward)
    kernels.evaluate_exactly(states, label, 0, np.empty(30, dtype=np.int64), *arrays, 0.99, v, choice)
    P = model.matrix[choice[states]].toarray()
    ends = P[:, rows.terminal] @ rows.terminal_value[rows.terminal]
    wanted = np.linalg.solve(np.eye(len(states)) - 0.99 * P[:, states], rows.reward[choice[states]] + 0.99 * ends)
    np.testing.assert_allclose(v[states], wanted, rtol=1e-10)
    np.testing.assert_array_equal(v[rows.terminal], rows.terminal_value[rows.terminal])


def test_steps_to_the_nearest_end_are_those_of_a_breadth_first_search() -> None:
    for model in (grid(12, 0.9), line(40, 0.3, 0.9)):
        rows, ends = model.rows, model.rows.terminal
        steps = np.where(ends, 0, model.num_states).astype(np.int64)
        found = kernels.farthest(rows.pointer, rows.indptr, rows.indices, steps, 8)
        row, to = model.matrix.nonzero()
        leads = sp.csr_array((np.ones(len(row)), (model.row_state[row], to)), shape=(model.num_states,) * 2)
        wanted = dijkstra(leads.T, unweighted=True, indices=np.flatnonzero(ends), min_only=True)
        np.testing.assert_array_equal(steps, wanted)
        assert found == wanted.max()
        assert kernels.farthest(rows.pointer, rows.indptr, rows.indices, np.where(ends, 0, 10**6), 1) == -1


def test_the_ends_decide_where_they_are_near_in_units_of_the_horizon() -> None:
    assert ends_decide(grid(40, 0.9999))
    assert not ends_decide(grid(40, 0.9))  # 78 steps: what is there is discounted to nothing
    assert not ends_decide(slow.random_mdp(np.random.default_rng(0), 50, 0.99, terminal=False))
    closed = MDP([[[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]]], [[1.0], [1.0], [0.0]], 0.9, terminal=[2])
    assert not ends_decide(closed)


def test_auto_goes_in_place_where_the_ends_decide_and_agrees_with_policy_iteration() -> None:
    model = grid(40, 0.9999)
    seen: list[int] = []
    found = solve(model, 1e-5, watch=lambda i, gap, v: seen.append(i))
    assert "in place" in found.why
    exact = solve(model, 1e-6, "policy-iteration")
    assert (found.certificate.lower <= exact.certificate.upper).all()
    assert (exact.certificate.lower <= found.certificate.upper).all()
    assert found.certificate.gap <= 1e-5
    assert seen == list(range(1, found.iterations + 1))
    short = solve(model, 1e-5, max_iterations=2)
    assert "stopped after max_iterations=2" in short.why
    assert (short.certificate.lower <= exact.values + 1e-6).all()
    assert (exact.values - 1e-6 <= short.certificate.upper).all()
