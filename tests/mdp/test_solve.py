"""`solve`: names, fits, messages, cold starts, limits, watching, and what "auto" chooses."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from operant.mdp import MDP, METHODS, ModelError, solve
from operant.mdp.graph import ordering
from operant.mdp.solvers import auto
from operant.mdp.solvers.auto import predicted
from operant.mdp.solvers.krylov import promising
from operant.mdp.solvers.solve import _function
from reference import mdp as slow
from reference.mdp_models import grid

DISCOUNTED = [name for name, method in METHODS.items() if "discounted" in method.fits]
SWEEPING = [name for name in DISCOUNTED if name not in ("linear-programming", "policy-iteration")]


@pytest.fixture(scope="module")
def model() -> MDP:
    return slow.random_mdp(np.random.default_rng(0), 40, 0.95, terminal=True)


def big(states: int, discount: float, *, local: bool, ends: bool = False) -> MDP:
    """Two actions, three successors: near ones on a ring or any."""
    rng = np.random.default_rng(1)
    to = rng.integers(-2, 3, size=(2 * states, 3)) + np.repeat(np.arange(states), 2)[:, None]
    to = to % states if local else rng.integers(0, states, size=to.shape)
    P = sp.coo_array(
        (rng.dirichlet(np.ones(3), 2 * states).ravel(), (np.repeat(np.arange(2 * states), 3), to.ravel())),
        shape=(2 * states, states),
    )
    pairs = np.divmod(np.arange(2 * states), 2)
    return MDP(P, rng.normal(size=2 * states), discount, pairs=pairs, terminal=[0] if ends else None)


def test_every_method_can_be_loaded_and_refuses_a_misspelt_limit(model: MDP) -> None:
    assert list(METHODS) == [
        "auto", "value-iteration", "gauss-seidel", "red-black", "q-value-iteration", "policy-iteration",
        "modified-policy-iteration", "inexact-policy-iteration", "prioritised-sweeping", "topological", "anderson",
        "linear-programming", "finite-horizon", "relative-value-iteration", "multichain-policy-iteration",
        "bias-policy-iteration", "interval-iteration", "optimistic-value-iteration",
    ]  # fmt: skip
    for where in {where for method in METHODS.values() for where in method.where.values()}:
        with pytest.raises(TypeError, match=r"takes no 'epsilom'\. Did you mean 'epsilon'\?"):
            _function(where)(model, epsilom=1e-3)


def test_the_page_of_solvers_has_a_line_for_every_method_for_discounted_models() -> None:
    page = (Path(__file__).parents[2] / "docs/tabular/solvers.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE) == [name for name in DISCOUNTED if name != "auto"]


def test_unknown_names_get_the_nearest(model: MDP) -> None:
    for wrong, right in [
        ("value-itration", "value-iteration"),
        ("gauss", "gauss-seidel"),
        ("policy", "policy-iteration"),
    ]:
        with pytest.raises(ModelError, match=f"did you mean '{right}'"):
            solve(model, method=wrong)


def test_a_method_that_does_not_fit_names_those_that_do(model: MDP) -> None:
    with pytest.raises(ModelError, match=r"finite-horizon does not solve a discounted problem: use one of value-iter"):
        solve(model, method="finite-horizon")
    with pytest.raises(ModelError, match="value-iteration does not solve a finite-horizon problem: use one of finite"):
        solve(model.replace(horizon=3), method="value-iteration")
    total = model.replace(discount=1.0)
    with pytest.raises(ModelError, match="does not solve a total problem: use one of policy-iteration, linear"):
        solve(total, method="topological")


def test_other_criteria_are_dispatched(model: MDP) -> None:
    horizon = solve(model.replace(horizon=3))
    assert horizon.method == "finite-horizon"
    assert horizon.values.shape == (4, 40)
    loop = MDP(np.array([[[0.0, 1.0]], [[1.0, 0.0]]]), np.array([[1.0], [3.0]]), 1.0, criterion="average")
    found = solve(loop)
    assert found.gain == pytest.approx(2.0)
    assert "average" in found.why
    walk = MDP(np.array([[[0.5, 0.5]], [[0.0, 1.0]]]), np.array([[-1.0], [0.0]]), 1.0, terminal=[1])
    assert solve(walk).values[0] == pytest.approx(-2.0, abs=1e-6)


def test_total_reward_by_every_method_that_fits_and_only_policies_that_end_if_asked() -> None:
    """Staying is free and ending costs one: staying wins, unless only policies that terminate count."""
    costly = MDP(
        np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]), [[0.0, -1.0], [0.0, 0.0]], 1.0, terminal=[1]
    )
    for name, method in METHODS.items():
        if "total" in method.fits and name != "linear-programming":
            assert solve(costly, method=name).values[0] == pytest.approx(0.0, abs=1e-6), name
    for name in ("interval-iteration", "optimistic-value-iteration", "policy-iteration", "auto"):
        assert solve(costly, method=name, must_terminate=True).values[0] == pytest.approx(-1.0, abs=1e-6), name
    with pytest.raises(ModelError, match="the program counts only policies that end"):
        solve(costly, method="linear-programming")
    with pytest.raises(ModelError, match="value-iteration does not ask whether policies terminate"):
        solve(costly.replace(discount=0.9), method="value-iteration", must_terminate=True)


@pytest.mark.parametrize("method", SWEEPING)
def test_a_limit_is_kept_and_the_certificate_says_what_was_reached(model: MDP, method: str) -> None:
    found = solve(model, 1e-9, method, max_iterations=2)
    best = slow.best_values(model)
    assert found.iterations <= 2 or method == "topological"
    assert (found.certificate.lower <= best + 1e-11).all()
    assert (best <= found.certificate.upper + 1e-11).all()
    if found.certificate.gap > 1e-9:
        assert "stopped after max_iterations=2" in found.why


def test_limits_that_are_none(model: MDP) -> None:
    with pytest.raises(ModelError, match="max_iterations is 0"):
        solve(model, max_iterations=0)
    with pytest.raises(ModelError, match="epsilon is -1"):
        solve(model, -1.0)
    with pytest.raises(ModelError, match="epsilon is nan"):
        solve(model, float("nan"))


@pytest.mark.parametrize("method", SWEEPING)
def test_watch_sees_every_iteration_and_true_gaps(model: MDP, method: str) -> None:
    best = slow.best_values(model)
    seen: list[tuple[int, float, float]] = []
    found = solve(
        model,
        1e-6,
        method,
        watch=lambda i, gap, v: seen.append((i, gap, float(np.ptp((v - best)[~model.rows.terminal])))),
    )
    assert [i for i, _, _ in seen] == list(range(1, found.iterations + 1))
    assert seen[-1][1] <= 1e-6
    assert [(i, gap) for i, gap in found.history if gap <= 1e-6] == [found.history[-1]]


@pytest.mark.parametrize("method", DISCOUNTED)
def test_a_second_solve_starts_cold(model: MDP, method: str) -> None:
    one, two = solve(model, 1e-8, method), solve(model, 1e-8, method)
    assert one.iterations == two.iterations
    assert np.array_equal(one.values, two.values)
    assert np.array_equal(one.rows, two.rows)


@pytest.mark.parametrize("method", SWEEPING)
def test_a_warm_start_is_asked_for(model: MDP, method: str) -> None:
    cold = solve(model, 1e-8, method)
    given = cold.values.copy()
    warm = solve(model, 1e-8, method, initial=given)
    assert warm.iterations <= max(2, cold.iterations // 2)
    assert np.array_equal(given, cold.values)
    np.testing.assert_allclose(warm.values, cold.values, atol=1e-8)
    with pytest.raises(ModelError, match="initial has shape"):
        solve(model, method=method, initial=np.zeros(3))


def test_methods_without_a_start_say_so(model: MDP) -> None:
    with pytest.raises(ModelError, match="leave `initial` out"):
        solve(model, method="linear-programming", initial=np.zeros(40))


def test_auto_small_models() -> None:
    found = solve(slow.random_mdp(np.random.default_rng(1), 20, 0.999), 1e-8)
    assert found.iterations == 1
    assert found.why.startswith("20 states: modified policy iteration in place, in one call")
    slowly = grid(15, 0.99999)
    found = solve(slowly, 1e-6)
    assert found.method == "policy-iteration" or found.iterations == 1
    assert np.abs(found.values - slow.best_values(slowly)).max() <= 1e-6


def test_auto_a_model_that_mixes() -> None:
    found = solve(big(2000, 0.99, local=False), 1e-4)
    assert found.method == "modified-policy-iteration"
    assert "before a choice was due" in found.why


def test_auto_components_in_order() -> None:
    rng = np.random.default_rng(2)
    size, states = 20, 2000
    block = np.arange(states) // size * size
    to = block[:, None] + rng.integers(0, size, size=(states, 3))
    to[:, 2] = np.minimum(to[:, 2] + size, states - 1)
    P = sp.coo_array((np.tile([0.6, 0.38, 0.02], states), (np.repeat(np.arange(states), 3), to.ravel())))
    mdp = MDP(
        P, rng.normal(size=states), 0.9999, pairs=(np.arange(states), np.zeros(states, int)), terminal=[states - 1]
    )
    found = solve(mdp, 1e-6)
    assert found.method == "topological"
    assert "no component has more than" in found.why
    assert found.iterations == found.history[-1][0] <= 11
    np.testing.assert_allclose(found.values, slow.policy_values(mdp, found.rows), atol=1e-6)


def test_auto_one_component() -> None:
    mdp = grid(32, 0.9)
    found = solve(mdp, 1e-11)
    assert found.method == "modified-policy-iteration"
    assert "one large component" in found.why
    assert np.abs(found.values - slow.policy_values(mdp, found.rows)).max() <= 2e-6


def test_auto_numbers_a_scattered_model_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shuffled grid: found local again, and the answer is in the user's order."""
    mdp = grid(32, 0.99)
    shuffled = ordering.permuted(mdp, np.random.default_rng(0).permutation(mdp.num_states))
    monkeypatch.setattr(ordering, "LARGE", 1000)
    assert ordering.local(mdp) is None
    found = ordering.local(shuffled)
    assert found is not None
    assert ordering.spread(found[0]) < 0.1 * ordering.spread(shuffled)
    monkeypatch.setattr(auto, "LONG", np.inf)
    seen: list[np.ndarray] = []
    solution = solve(shuffled, 1e-6, watch=lambda i, gap, v: seen.append(v.copy()))
    assert "numbered anew" in solution.why
    assert np.abs(solution.values - slow.policy_values(shuffled, solution.rows)).max() <= 2e-6
    assert np.ptp((seen[-1] - solution.values)[~shuffled.rows.terminal]) < 1e-7


def test_auto_krylov_where_the_end_is_far() -> None:
    """A model that mixes at once but ends rarely: sweeps lose the constant at 1 - 1/S a sweep, BiCGStab finds it."""
    mdp = big(1000, 0.9999, local=False, ends=True)
    assert promising(mdp, np.where(mdp.rows.terminal, 0.0, 1.0), 1)
    found = solve(mdp, 1e-4)
    assert found.method == "inexact-policy-iteration"
    assert "BiCGStab reduced the residual tenfold" in found.why
    assert np.abs(found.values - slow.policy_values(mdp, found.rows)).max() <= 2e-4
    assert found.iterations < 60


def test_prediction() -> None:
    assert predicted([(i, 0.5**i) for i in range(10)], 0.5**20) == pytest.approx(11)
    assert predicted([(1, 1.0), (2, 1.0)], 0.1) == np.inf


def test_nothing_is_densified() -> None:
    """30,000 states: one array of S×S would take 7 GB; a solve stays within a few times the model's own size."""
    mdp = big(30_000, 0.9, local=False)
    solve(mdp, 1e-3, threads=1)
    for method in (
        "value-iteration",
        "modified-policy-iteration",
        "inexact-policy-iteration",
        "topological",
        "anderson",
    ):
        tracemalloc.start()
        solve(mdp, 1e-3, method, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 12 * mdp.rows.nbytes, method
