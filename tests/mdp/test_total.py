"""Total reward against every deterministic policy in exact rational arithmetic, and the cases that have a name."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.mdp import MDP, ModelError, Solution
from operant.mdp.graph.reachability import proper
from operant.mdp.solvers.total import interval_iteration, optimistic_value_iteration, policy_iteration
from reference import chains

SOLVERS = [interval_iteration, optimistic_value_iteration, policy_iteration]
INF = float("inf")


def check(model: chains.Model, found: Solution, best: list, epsilon: float) -> None:
    """Bounds contain the best value, the policy attains its bound, and both are within ε."""
    policy = tuple(int(a) for a in found.policy[: model.n])
    mine = chains.total(model, policy)
    certificate = found.certificate
    for s, want in enumerate(best):
        if isinstance(want, float):
            assert certificate.lower[s] == certificate.upper[s] == found.values[s] == want, (s, want)
            assert mine[s] == want or (want == INF and mine[s] is None), (s, mine[s])
            continue
        lower, upper = Fraction(float(certificate.lower[s])), Fraction(float(certificate.upper[s]))
        assert lower <= want <= upper, (s, float(want), float(lower), float(upper))
        assert abs(Fraction(float(found.values[s])) - want) <= Fraction(epsilon)
        assert isinstance(mine[s], Fraction)
        assert mine[s] >= lower
        assert want - mine[s] <= Fraction(certificate.policy_loss) <= Fraction(epsilon)


def best_of(columns: list[list]) -> list:
    """The greatest defined value for each state over policies."""
    return [max((v for v in values if v is not None), default=None) for values in zip(*columns, strict=True)]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([[-2, -1], [-1, 0, 0], [0, 0, 1], [-3, -1, 0, 1], [-1, 0, 0, 0, 1], [0]]),
    st.sampled_from([0.0, 0.25]),
    st.sampled_from(SOLVERS),
)
def test_every_policy_tried(seed: int, rewards: list[int], leak: float, solver) -> None:
    rng = np.random.default_rng(seed)
    model = chains.random_model(rng, int(rng.integers(1, 5)), rewards, ends=int(rng.integers(1, 3)), leak=leak)
    columns = [chains.total(model, policy) for policy in model.policies()]
    try:
        found = solver(model.mdp("total"), epsilon=1e-6)
    except ModelError:
        found = None
    if found is None:
        assert min(rewards) < 0 < max(rewards)
        assert any(v is None for column in columns for v in column), "refused without reason"
        return
    check(model, found, best_of(columns), 1e-6)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([[-2, -1], [-1, 0, 0], [0]]), st.sampled_from(SOLVERS))
def test_every_policy_that_terminates_tried(seed: int, rewards: list[int], solver) -> None:
    rng = np.random.default_rng(seed)
    model = chains.random_model(rng, int(rng.integers(1, 5)), rewards, ends=2)
    columns = [
        [v if sure else None for v, sure in zip(chains.total(model, p), chains.ends_surely(model, p), strict=True)]
        for p in model.policies()
    ]
    best = [-INF if v is None else v for v in best_of(columns)]
    mdp = model.mdp("total")
    found = solver(mdp, epsilon=1e-6, must_terminate=True)
    finite = np.array([not isinstance(v, float) for v in best] + [True, True])
    np.testing.assert_array_equal(np.isfinite(found.values), finite)
    assert proper(mdp, found.rows)[finite].all()
    for s in np.flatnonzero(finite[: model.n]):
        assert found.certificate.lower[s] <= best[s] <= found.certificate.upper[s]
        mine = chains.total(model, tuple(int(a) for a in found.policy[: model.n]))[s]
        assert best[s] - mine <= found.certificate.policy_loss <= 1e-6


def world(living: float) -> MDP:
    """The 4×3 world of Russell & Norvig, living reward in every state that is not terminal."""
    cells = [(x, y) for y in (3, 2, 1) for x in (1, 2, 3, 4) if (x, y) != (2, 2)]
    at = {cell: i for i, cell in enumerate(cells)}
    moves = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    P = np.zeros((11, 4, 11))
    for (x, y), s in at.items():
        for a in range(4):
            for turn, p in ((0, 0.8), (1, 0.1), (3, 0.1)):
                dx, dy = moves[(a + turn) % 4]
                P[s, a, at.get((x + dx, y + dy), s)] += p
    return MDP(P, np.full((11, 4), living), 1.0, terminal={at[4, 3]: 1.0, at[4, 2]: -1.0})


@pytest.mark.parametrize("solver", SOLVERS)
def test_russell_and_norvig(solver) -> None:
    want = [0.811558, 0.867808, 0.917808, 1, 0.761558, 0.660274, -1, 0.705308, 0.655308, 0.611416, 0.387925]
    found = solver(world(-0.04), epsilon=1e-8)
    np.testing.assert_allclose(found.values, want, atol=6e-7)
    assert found.certificate.gap <= 1e-8
    without_cost = solver(world(0.0))
    np.testing.assert_allclose(without_cost.values, [1, 1, 1, 1, 1, 1, -1, 1, 1, 1, 1], atol=1e-6)
    assert proper(without_cost.mdp, without_cost.rows).all(), "value 1 is attained by who arrives"


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_living_reward_is_unbounded(solver) -> None:
    found = solver(world(0.01))
    ends = found.mdp.rows.terminal
    assert (found.values[~ends] == INF).all()
    assert np.array_equal(found.values[ends], [1.0, -1.0])
    assert "unbounded" in found.why
    assert "end component" in found.why
    assert len(found.extra["component"]) == 9
    assert not proper(found.mdp, found.rows)[~ends].any()


def chain_of(rewards: list[float], rows: list[dict[int, float]], states: list[int], ends: dict[int, float]) -> MDP:
    """A model from its rows; `states` names the state of each."""
    size = max(max(max(row, default=0) for row in rows), *ends, *states) + 1
    P = sp.lil_array((len(rows), size))
    for i, row in enumerate(rows):
        for t, p in row.items():
            P[i, t] = p
    actions = [states[:i].count(s) for i, s in enumerate(states)]
    return MDP(
        P.tocsr(), np.array(rewards), 1.0, pairs=(states, actions), terminal=ends, leak=any(not row for row in rows)
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_tie_is_broken_towards_the_exit(solver) -> None:
    """0 ⇄ 1 at no cost, and 1 → goal worth 1: "0 → 1 → 0 → …" ties in every state and earns nothing."""
    mdp = chain_of([0, 0, 0], [{1: 1.0}, {0: 1.0}, {2: 1.0}], [0, 1, 1], {2: 1.0})
    found = solver(mdp)
    assert proper(mdp, found.rows).all()
    np.testing.assert_allclose(found.values, 1.0, atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_staying_at_no_cost_beats_a_goal_that_costs_unless_one_must_terminate(solver) -> None:
    mdp = chain_of([0, -5], [{0: 1.0}, {1: 1.0}], [0, 0], {1: 0.0})
    assert abs(solver(mdp).values[0]) <= 1e-6
    assert solver(mdp).rows[0] == 0
    forced = solver(mdp, must_terminate=True)
    assert abs(forced.values[0] + 5) <= 1e-6
    assert forced.rows[0] == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_negative_rewards_before_a_goal_are_counted(solver) -> None:
    """A known bug elsewhere: -1 a step, the goal after 100 expected steps, reported as 0 or -59.5, not as -100."""
    mdp = chain_of([-1], [{0: 0.99, 1: 0.01}], [0], {1: 0.0})
    found = solver(mdp)
    assert abs(found.values[0] + 100) <= 1e-6
    assert found.certificate.lower[0] <= -100 <= found.certificate.upper[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_where_every_policy_loses_without_limit(solver) -> None:
    mdp = chain_of([-1, -1, -2, -1], [{0: 1.0}, {0: 0.5, 2: 0.5}, {2: 1.0}, {2: 1.0}], [0, 1, 1, 3], {2: 7.0})
    found = solver(mdp)
    assert found.values[0] == -INF
    np.testing.assert_allclose(found.values[[1, 2, 3]], [5.0, 7.0, 6.0], atol=1e-6)
    assert "loses without limit" in found.why
    assert found.certificate.gap <= 1e-6


@pytest.mark.parametrize("solver", SOLVERS)
def test_signs_in_an_end_component(solver) -> None:
    """Two states in a cycle: +1 and then x; the sign of 1 + x decides, and 0 is refused."""

    def cycle(back: float) -> MDP:
        return chain_of([1, back, 0], [{1: 1.0}, {0: 1.0}, {2: 1.0}], [0, 1, 1], {2: 3.0})

    assert (solver(cycle(-0.5)).values[:2] == INF).all()
    np.testing.assert_allclose(solver(cycle(-1.5)).values[:2], [4.0, 3.0], atol=1e-6)
    with pytest.raises(ModelError, match="both signs"):
        solver(cycle(-1.0))


@pytest.mark.parametrize("solver", SOLVERS)
def test_infinity_minus_infinity_is_refused(solver) -> None:
    mdp = chain_of([0, 1, -1], [{1: 0.5, 2: 0.5}, {1: 1.0}, {2: 1.0}], [0, 1, 2], {3: 0.0})
    with pytest.raises(ModelError, match=r"state 0.*does not exist"):
        solver(mdp)


def test_rewards_that_cancel_up_to_rounding_are_zero() -> None:
    """A mean over successors that is 0 but for rounding is 0: no end component earns 1e-17 a step."""
    P = np.array([[[0.1, 0.3, 0.6], [0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[0.0] * 3] * 2])
    P[0, 0] = [0.1, 0.9, 0.0]
    R = np.zeros((3, 2, 3))
    R[0, 0, 0], R[0, 0, 1] = 0.9 * 0.7, -0.1 * 0.7
    R[0, 1, 2] = 1.0
    mdp = MDP(P, R, 1.0, terminal=[2])
    found = interval_iteration(mdp)
    assert np.isfinite(found.values).all()
    np.testing.assert_allclose(found.values, [1.0, 1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("solver", [interval_iteration, optimistic_value_iteration])
def test_large_and_slow_by_sweeps_alone(solver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk on 30 states with a drift away from the exit: certified without a factorisation."""
    monkeypatch.setattr("operant.mdp.bounds.interval_iteration.SMALL", 0)
    n = 30
    rows = [{max(s - 1, 0) if s else n: 0.49, min(s + 1, n - 1): 0.51} for s in range(n)]
    mdp = chain_of([-1.0] * n, rows, list(range(n)), {n: 0.0})
    P = mdp.matrix.toarray()[:, :n]
    want = np.linalg.solve(np.eye(n) - P, np.full(n, -1.0))
    found = solver(mdp, epsilon=1e-5)
    assert found.certificate.gap <= 1e-5
    assert (found.certificate.lower[:n] <= want + 1e-9).all()
    assert (found.certificate.upper[:n] >= want - 1e-9).all()
    early = solver(mdp, epsilon=1e-5, max_iterations=3)
    assert early.iterations == 3
    assert (early.certificate.lower[:n] <= want).all()
    assert (early.certificate.upper[:n] >= want).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_cannot_be_certified_is_said(solver) -> None:
    found = solver(world(-0.04), epsilon=1e-18)
    assert 1e-18 < found.certificate.gap < 1e-12
    assert "rounding" in found.why
    with pytest.raises(ModelError, match="for total models"):
        solver(world(-0.04).replace(discount=0.9))
    with pytest.raises(ModelError, match="epsilon"):
        solver(world(-0.04), epsilon=0.0)


def test_watch_sees_the_gap_close() -> None:
    seen: list[tuple[int, float]] = []
    found = optimistic_value_iteration(world(-0.04), watch=lambda i, gap, values: seen.append((i, gap)))
    assert [i for i, _ in seen] == list(range(1, found.iterations + 1))
    assert seen[-1][1] <= 1e-6


def test_an_end_component_of_half_a_million_states() -> None:
    """A long corridor of free moves is merged, and the policy walks out of it, in a few passes."""
    n = 500_000
    left, right = np.maximum(np.arange(n) - 1, 0), np.arange(1, n + 1)
    P = sp.csr_array((np.ones(2 * n), np.stack([left, right], 1).ravel(), np.arange(2 * n + 1)), shape=(2 * n, n + 1))
    mdp = MDP(P, np.zeros(2 * n), 1.0, pairs=(np.repeat(np.arange(n), 2), np.tile([0, 1], n)), terminal={n: 2.0})
    found = interval_iteration(mdp)
    assert np.array_equal(found.values, np.full(n + 1, 2.0)) or found.certificate.gap <= 1e-6
    assert (found.policy[:n] == 1).all()
