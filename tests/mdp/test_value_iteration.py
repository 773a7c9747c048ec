"""The forms of value iteration, sweep for sweep."""

from __future__ import annotations

import numpy as np
import pytest

from operant.mdp import MDP
from operant.mdp.solvers.anderson import anderson
from operant.mdp.solvers.value_iteration import gauss_seidel, q_value_iteration, red_black, value_iteration
from reference import mdp as slow
from reference.mdp_models import grid


@pytest.fixture(scope="module")
def model() -> MDP:
    return slow.random_mdp(np.random.default_rng(5), 25, 0.9, terminal=True)


def watched(solver, mdp: MDP, sweeps: int) -> list[np.ndarray]:
    """The values after each iteration."""
    seen: list[np.ndarray] = []
    solver(mdp, epsilon=1e-12, max_iterations=sweeps, watch=lambda i, gap, v: seen.append(v.copy()))
    return seen


@pytest.mark.parametrize("solver", [value_iteration, q_value_iteration])
def test_jacobi_goes_through_the_plain_sequence(solver, model: MDP) -> None:
    for sweeps, values in enumerate(watched(solver, model, 6), start=1):
        np.testing.assert_allclose(values, slow.value_iteration(model, sweeps), rtol=1e-14, atol=1e-14)


def test_action_values_are_those_of_the_last_sweep(model: MDP) -> None:
    found = q_value_iteration(model, epsilon=1e-10)
    best = slow.best_values(model)
    want = [slow.q_value(model, row, best) for row in range(model.num_rows)]
    np.testing.assert_allclose(found.extra["action_values"], want, atol=1e-8)


def test_gauss_seidel_uses_new_values_forwards_then_backwards(model: MDP) -> None:
    v = slow.value_iteration(model, 1)
    seen = watched(gauss_seidel, model, 3)
    for order, got in zip((range(25), reversed(range(25))), seen[1:], strict=True):
        for s in order:
            rows = slow.rows_of(model, s)
            if len(rows):
                v[s] = max(slow.q_value(model, row, v) for row in rows)
        np.testing.assert_allclose(got, v, rtol=1e-13, atol=1e-13)


def test_red_black_needs_about_half_of_the_sweeps_on_a_grid() -> None:
    """A goal's value travels two cells a sweep, and the bits do not depend on the order within a colour."""
    mdp = grid(12, 0.9999)
    mdp = mdp.replace(
        rows=type(mdp.rows)(
            **{k: getattr(mdp.rows, k) for k in mdp.rows.__slots__} | {"reward": 0 * mdp.rows.reward - 1}
        )
    )
    plain, coloured, serial = (
        solver(mdp, epsilon=1e-3).iterations for solver in (value_iteration, red_black, gauss_seidel)
    )
    assert coloured < 0.8 * plain
    assert serial < 0.8 * plain


def test_anderson_needs_fewer_sweeps_and_its_safeguard_holds() -> None:
    mdp = slow.random_mdp(np.random.default_rng(5), 100, 0.99, terminal=True)
    plain, fast = value_iteration(mdp, epsilon=1e-6), anderson(mdp, epsilon=1e-6)
    assert fast.iterations < 0.3 * plain.iterations
    assert np.abs(plain.values - fast.values).max() <= 1e-6
    spans = [gap for _, gap in fast.history]
    assert spans[-1] <= 1e-6


def test_a_model_that_never_ends_is_recentred() -> None:
    """γ = .9999 and fast mixing: a constant error alone would take 1e5 in-place sweeps."""
    mdp = slow.random_mdp(np.random.default_rng(8), 30, 0.9999)
    for solver in (gauss_seidel, red_black):
        assert solver(mdp, epsilon=1e-4).iterations < 2000


@pytest.mark.parametrize(("seed", "states"), [(634413, 38), (76910, 30), (419925, 26)])
def test_moving_the_middle_does_not_undo_the_sweeps_for_ever(seed: int, states: int) -> None:
    """Models on which every move of all values undoes what eight sweeps in place have done."""
    mdp = slow.random_mdp(np.random.default_rng(seed), states, 0.99)
    found = gauss_seidel(mdp, epsilon=1e-8, max_iterations=5000)
    assert found.certificate.gap <= 1e-8
