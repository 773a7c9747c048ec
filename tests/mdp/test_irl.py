"""Maximum-entropy inverse reinforcement learning on grids and on paths that can be counted."""

import itertools

import numpy as np
import pytest

from operant.mdp import MDP, ModelError, occupancy
from operant.mdp.analyse.finite_horizon import finite_horizon_visits
from operant.mdp.policies import softmax
from operant.mdp.solvers.irl import _Dual, _Passes, feature_expectations, maxent_irl
from operant.mdp.solvers.soft import soft_value_iteration


def grid(size=4, slip=0.1, discount=0.9):
    """A grid with walls around it and four moves that slip sideways."""
    S = size * size
    P = np.zeros((S, 4, S))
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    for s in range(S):
        y, x = divmod(s, size)
        for a in range(4):
            for turn, p in ((0, 1 - 2 * slip), (1, slip), (-1, slip)):
                dy, dx = moves[(a + turn) % 4]
                P[s, a, min(max(y + dy, 0), size - 1) * size + min(max(x + dx, 0), size - 1)] += p
    return MDP(P, np.zeros((S, 4)), discount, start=np.full(S, 1 / S))


def expert_of(mdp, reward):
    """The soft optimal policy of a reward [L], and its occupancy."""
    rows = {f: getattr(mdp.rows, f) for f in mdp.rows.__slots__} | {"reward": reward}
    model = mdp.replace(rows=type(mdp.rows)(**rows))
    found = soft_value_iteration(model, temperature=1.0, epsilon=1e-10)
    policy = softmax(model, found.action_values)
    return policy, occupancy(model, policy)


def test_recovers_reward_and_policy_on_a_grid():
    """Rewards of states: the policy is recovered, the reward up to a constant; a new grid is then solved as well."""
    mdp = grid()
    truth = np.random.default_rng(0).normal(size=16)
    policy, visits = expert_of(mdp, truth[mdp.row_state])
    features = np.eye(16)
    found = maxent_irl(mdp, features, visits @ features[mdp.row_state])
    assert found.mismatch < 1e-6
    np.testing.assert_allclose(found.policy, policy, atol=1e-5)
    constant = found.weights - truth
    np.testing.assert_allclose(constant, constant.mean(), atol=1e-3)


def test_rewards_of_pairs_up_to_potentials():
    """r(s, a) is only known up to φ(s) - γ E[φ(s')]: the difference from the truth is of that form, and no other."""
    mdp = grid(3)
    truth = np.random.default_rng(1).normal(size=mdp.num_rows)
    policy, visits = expert_of(mdp, truth)
    found = maxent_irl(mdp, np.eye(mdp.num_rows), visits, penalty=0.0)
    np.testing.assert_allclose(found.policy, policy, atol=1e-5)
    shaping = np.eye(9)[mdp.row_state] - 0.9 * mdp.matrix.toarray()
    left = found.weights - truth
    left = left - shaping @ np.linalg.lstsq(shaping, left, rcond=None)[0]
    assert np.abs(left).max() < 1e-4
    assert np.abs(found.weights - truth).max() > 0.1  # nor is it the truth itself


def test_log_likelihood_is_that_of_the_demonstrator():
    """E_E[Σ γ^t log π_w], computed from the expert's own visits; no other weights have more."""
    mdp = grid(3)
    policy, visits = expert_of(mdp, np.random.default_rng(2).normal(size=9)[mdp.row_state])
    features = np.random.default_rng(3).normal(size=(mdp.num_rows, 4))
    found = maxent_irl(mdp, features, visits @ features)
    assert found.log_likelihood == pytest.approx(float(visits @ np.log(found.policy)), abs=1e-6)
    rng = np.random.default_rng(4)
    for _ in range(10):
        other, _ = expert_of(mdp, features @ (found.weights + 0.3 * rng.normal(size=4)))
        assert visits @ np.log(other) < found.log_likelihood
    assert visits @ np.log(policy) > found.log_likelihood  # the truth is not of these four features


@pytest.mark.parametrize("terminal", [None, [3]])
def test_finite_horizon_is_the_distribution_over_paths(terminal):
    """Deterministic dynamics: the policy found draws each path with probability ∝ exp(w · f(path)), and at the weights
    that made the demonstrations."""
    rng = np.random.default_rng(5)
    S, A, H, K = 4, 2, 5, 3
    to = rng.integers(0, S, (S, A))
    mdp = MDP(np.eye(S)[to], np.zeros((S, A)), 1.0, terminal=terminal, start=0, horizon=H, criterion="total")
    features, truth = rng.normal(size=(S, A, K)), np.array([1.0, -0.5, 0.3])
    paths, sums = [], []
    for choice in itertools.product(range(A), repeat=H):
        state, total, path = 0, np.zeros(K), []
        for action in choice:
            if mdp.rows.terminal[state]:
                break
            total = total + features[state, action]
            path.append((state, action))
            state = to[state, action]
        if path not in paths:
            paths.append(path)
            sums.append(total)
    sums = np.array(sums)
    weight = np.exp(sums @ truth)
    expert = weight @ sums / weight.sum()
    table = features[mdp.row_state, mdp.rows.action]
    found = maxent_irl(mdp, table, expert, tolerance=1e-9)
    drawn = [np.prod([found.policy[t][mdp.row(s, a)] for t, (s, a) in enumerate(path)]) for path in paths]
    np.testing.assert_allclose(drawn, weight / weight.sum(), atol=1e-7)
    np.testing.assert_allclose(
        sums @ found.weights - (sums @ found.weights)[0], sums @ truth - (sums @ truth)[0], atol=1e-5
    )
    np.testing.assert_allclose(finite_horizon_visits(mdp, found.policy).sum(0) @ table, expert, atol=1e-8)


@pytest.mark.parametrize("horizon", [None, 6])
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_ends_below_where_a_line_search_stops(horizon, seed):
    """Values of a thousand hide what is left of the objective, to ten digits or so; the weights still come out."""
    rng = np.random.default_rng(seed)
    mdp = grid(3)
    features, truth = 100.0 + rng.normal(size=(mdp.num_rows, 4)), rng.normal(size=4)
    expert = _Passes(mdp, features, mdp.start, horizon)(truth)[1]
    found = maxent_irl(mdp, features, expert, horizon=horizon, tolerance=1e-8)
    assert found.mismatch < 1e-8
    np.testing.assert_allclose(found.weights, truth, atol=1e-7)


@pytest.mark.parametrize("horizon", [None, 4])
def test_the_gradient_is_the_expectations_of_the_policy_less_the_experts(horizon):
    """Ziebart et al. (2008): ∇L = μ_w − μ_E + penalty · w, by finite differences of L itself."""
    mdp, rng = grid(3), np.random.default_rng(8)
    dual = _Dual(_Passes(mdp, rng.normal(size=(mdp.num_rows, 5)), mdp.start, horizon), rng.normal(size=5), 0.3, None)
    weights = rng.normal(size=5)
    slope = [(dual(weights + 1e-5 * e)[0] - dual(weights - 1e-5 * e)[0]) / 2e-5 for e in np.eye(5)]
    np.testing.assert_allclose(dual(weights)[1], slope, atol=1e-7)


@pytest.mark.parametrize("horizon", [None, 4])
def test_curvature_is_the_derivative_of_the_gradient(horizon):
    mdp, rng = grid(3), np.random.default_rng(8)
    passes = _Passes(mdp, rng.normal(size=(mdp.num_rows, 5)), mdp.start, horizon)
    weights = rng.normal(size=5)
    moved = [passes(weights + 1e-5 * e)[1] - passes(weights - 1e-5 * e)[1] for e in np.eye(5)]
    np.testing.assert_allclose(passes.curvature(weights), np.array(moved) / 2e-5, atol=1e-7)


def test_feature_expectations_of_demonstrations():
    mdp = grid(2)
    features = np.arange(4.0)[:, None]
    got = feature_expectations(mdp, features, [([0, 1, 3], [1, 2]), ([2, 3], [1])])
    assert got == pytest.approx([((0 + 0.9 * 1) + 2) / 2])
    with pytest.raises(ModelError, match="no demonstrations"):
        feature_expectations(mdp, features, [])
    with pytest.raises(ModelError, match="not admissible"):
        feature_expectations(mdp, features, [([0], [7])])


def test_from_samples():
    """A thousand sampled demonstrations: the policy comes near."""
    mdp = grid(3)
    policy, _ = expert_of(mdp, np.random.default_rng(6).normal(size=9)[mdp.row_state])
    rng = np.random.default_rng(7)
    table, P = policy.reshape(9, 4).cumsum(1), mdp.matrix.toarray().reshape(9, 4, 9).cumsum(2)
    state = rng.integers(9, size=1000)
    states, actions = [], []
    for _ in range(60):
        action = (rng.random((1000, 1)) > table[state]).sum(1)
        states.append(state)
        actions.append(action)
        state = (rng.random((1000, 1)) > P[state, action]).sum(1)
    demonstrations = list(zip(np.transpose(states), np.transpose(actions), strict=True))
    features = np.eye(9)
    expert = feature_expectations(mdp, features, demonstrations)
    expert *= 10 / expert.sum()  # what is cut off after 60 steps
    found = maxent_irl(mdp, features, expert)
    assert np.abs(found.policy - policy).max() < 0.1


def test_what_no_policy_attains_is_an_error():
    mdp = grid(2)
    with pytest.raises(ModelError, match="penalty"):
        maxent_irl(mdp, np.eye(4), np.array([10.0, 0, 0, 0]), max_iterations=30)
    assert maxent_irl(mdp, np.eye(4), np.array([10.0, 0, 0, 0]), penalty=1.0).mismatch > 0.1
    with pytest.raises(ModelError, match="horizon"):
        maxent_irl(mdp.replace(discount=1.0), np.eye(4), np.zeros(4))
