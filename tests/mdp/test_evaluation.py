"""Policies and what they are worth: closed forms, published numbers, simulation-free identities, bounds that hold."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.mdp import (
    MDP,
    ModelError,
    best_epsilon_soft,
    evaluate,
    evaluation_sweeps,
    expected_steps,
    occupancy,
    return_variance,
    solve,
    stationary,
)
from operant.mdp.analyse.rational import evaluate_exactly, simplest
from operant.mdp.analyse.td_fixed_point import td_fixed_point
from operant.mdp.policies import deterministic, epsilon_greedy, epsilon_soft, induced, over_actions, softmax, uniform
from operant.mdp.worlds.classics import forest, taxicab
from operant.mdp.worlds.grids import (
    COMPASS,
    KING,
    KING_AND_STAY,
    cliff_walking,
    dyna_maze,
    five_by_five,
    four_by_four,
    windy_grid,
)


def model(seed, S=7, A=3, discount=0.9, sparse=0.4, **options):
    """Ragged: some pairs are not admissible."""
    rng = np.random.default_rng(seed)
    P, R = rng.dirichlet(np.full(S, sparse), (S, A)), rng.normal(size=(S, A))
    R[:, 1:][rng.random((S, A - 1)) < 0.3] = -np.inf
    return MDP(P, R, discount, **options)


def random_policy(mdp, seed=0):
    return softmax(mdp, np.random.default_rng(seed).normal(size=mdp.num_rows))


def dense(mdp, policy):
    """P_π [S, S] and r_π [S] with loops, row by row."""
    S = mdp.num_states
    P, r = np.zeros((S, S)), np.zeros(S)
    for row in range(mdp.num_rows):
        s, at = mdp.row_state[row], slice(int(mdp.rows.indptr[row]), int(mdp.rows.indptr[row + 1]))
        P[s, mdp.rows.indices[at]] += policy[row] * mdp.rows.data[at]
        r[s] += policy[row] * mdp.rows.reward[row]
    return P, r


# ------------------------------------------------------------------ policies
def test_policies_as_rows():
    mdp = model(0, terminal=[3])
    assert over_actions(mdp, uniform(mdp)).tolist() == pytest.approx([1, 1, 1, 0, 1, 1, 1])
    first = mdp.rows.action[mdp.rows.pointer[:-1].astype(int).clip(max=mdp.num_rows - 1)]
    policy = deterministic(mdp, first)
    assert policy.sum() == 6
    soft = epsilon_soft(mdp, policy, 0.3)
    np.testing.assert_allclose(soft, 0.7 * policy + 0.3 * uniform(mdp))
    table = np.random.default_rng(1).normal(size=(7, 3))
    probability = softmax(mdp, table)
    np.testing.assert_allclose(probability, softmax(mdp, table[mdp.row_state, mdp.rows.action]))
    np.testing.assert_allclose(probability, softmax(mdp, table + 900 * np.arange(7)[:, None]))
    with pytest.raises(ModelError, match="state 2 sum to 2"):
        evaluate(mdp, uniform(mdp) * (1 + (mdp.row_state == 2)))
    with pytest.raises(ModelError, match="not a probability"):
        evaluate(mdp, -uniform(mdp))
    with pytest.raises(ModelError, match="shape"):
        evaluate(mdp, np.zeros(7))
    with pytest.raises(ModelError, match="action 9 is not admissible in state 0"):
        deterministic(mdp, np.full(7, 9))


def test_greedy_ties():
    P = np.ones((1, 4, 1))
    mdp = MDP(P, np.zeros((1, 4)), 0.5)
    q = np.array([1.0, 2.0, 2.0 - 1e-12, 0.0])
    np.testing.assert_allclose(epsilon_greedy(mdp, q, 0.2), [0.05, 0.45, 0.45, 0.05])
    np.testing.assert_allclose(epsilon_greedy(mdp, q, 0.2, ties="first"), [0.05, 0.85, 0.05, 0.05])
    np.testing.assert_allclose(epsilon_greedy(mdp, q, 0.0, tolerance=0.0), [0, 1, 0, 0])


# ------------------------------------------------------------------ values
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 0.9, 0.999, 1.0]))
@settings(max_examples=60, deadline=None)
def test_exact_and_iterative_equal_the_dense_solution(seed, discount):
    ends = {2: 1.5} if discount == 1.0 or seed % 2 else None
    mdp = model(seed, discount=discount, sparse=1.0, terminal=ends)
    policy = random_policy(mdp, seed)
    P, r = dense(mdp, policy)
    if ends:
        P[2], r[2] = 0.0, 1.5
    want = np.linalg.solve(
        np.eye(7) - (discount * P if not ends else np.where(np.arange(7)[:, None] == 2, 0, discount * P)), r
    )
    exact, swept = evaluate(mdp, policy), evaluate(mdp, policy, method="iterative", epsilon=1e-7)
    np.testing.assert_allclose(exact.values, want, atol=1e-10)
    for found in (exact, swept):
        assert found.certificate.radius <= 1.0001e-7
        assert (found.certificate.lower <= want + 1e-11).all()
        assert (found.certificate.upper >= want - 1e-11).all()
        np.testing.assert_allclose(over_actions(mdp, policy * found.advantages), 0.0, atol=1e-6)


def test_bounds_hold_against_exact_fractions():
    """The interval of the exact solver, wide by rounding alone, contains the true rational value."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        P = np.stack([rng.multinomial(10, np.full(5, 0.2), size=2) for _ in range(5)]) / 10
        discount = [0.5, 0.99, 0.9999][seed % 3]
        mdp = MDP(P, rng.integers(-9, 9, (5, 2)) / 4, discount)
        policy = np.tile([0.25, 0.75], 5)
        found, want = evaluate(mdp, policy), evaluate_exactly(mdp, policy)
        # the floats 0.3 and 0.99 are not those fractions: that alone moves the value by u / (1 - γ)², relatively
        off = 4e-16 / (1 - discount) ** 2 * 3
        for low, high, exact in zip(found.certificate.lower, found.certificate.upper, want, strict=True):
            assert Fraction(float(low)) - simplest(off) <= exact <= Fraction(float(high)) + simplest(off)
        assert found.certificate.gap < 1e-14 * 100 / (1 - discount) ** 2


def test_leak():
    """Missing mass ends the episode with value 0, under γ = 1 too."""
    mdp = MDP(np.array([[[0.5, 0.25]], [[0.0, 0.5]]]), np.ones((2, 1)), 1.0, leak=True)
    found = evaluate(mdp, uniform(mdp))
    np.testing.assert_allclose(found.values, [3.0, 2.0])
    assert found.certificate.gap < 1e-12
    np.testing.assert_allclose(expected_steps(mdp, uniform(mdp)), [3.0, 2.0])


def test_improper_policies_are_named():
    """0 ↔ 1 earns for ever; 2 idles for nothing, which is worth 0; 3 may go anywhere."""
    P = np.zeros((5, 1, 5))
    P[0, 0, 1] = P[1, 0, 0] = P[2, 0, 2] = 1.0
    P[3, 0, [2, 4]] = 0.5
    R = np.array([[1.0], [-1.0], [0.0], [3.0], [0.0]])
    mdp = MDP(P, R, 1.0, terminal={4: 10.0})
    with pytest.raises(ModelError, match="from state 0 it never ends"):
        evaluate(mdp, uniform(mdp))
    R[:2] = 0.0
    found = evaluate(MDP(P, R, 1.0, terminal={4: 10.0}), uniform(mdp))
    np.testing.assert_allclose(found.values, [0, 0, 0, 8, 10])
    with pytest.raises(ModelError, match="never ends"):
        expected_steps(mdp, uniform(mdp))


def test_iterative_refuses_what_it_cannot_certify():
    mdp = model(1)
    with pytest.raises(ModelError, match="rounding"):
        evaluate(mdp, uniform(mdp), method="iterative", epsilon=1e-17)
    with pytest.raises(ModelError, match="max_iterations"):
        evaluate(mdp, uniform(mdp), method="iterative", epsilon=1e-9, max_iterations=20)
    seen = []
    evaluate(mdp, uniform(mdp), method="iterative", watch=lambda k, gap, values: seen.append((k, gap, values.copy())))
    assert [k for k, _, _ in seen[:3]] == [1, 2, 3]
    np.testing.assert_allclose(seen[0][2], dense(mdp, uniform(mdp))[1])


# ------------------------------------------------------------------ published numbers
def test_five_by_five():
    mdp = five_by_five()
    want = (
        "3.3090 8.7893 4.4276 5.3224 1.4922 1.5216 2.9923 2.2501 1.9076 .5474 .0508 .7382 .6731 .3582 -.4031 "
        "-.9736 -.4355 -.3549 -.5856 -1.1831 -1.8577 -1.3452 -1.2293 -1.4229 -1.9752"
    )
    np.testing.assert_allclose(evaluate(mdp, uniform(mdp)).values, [float(x) for x in want.split()], atol=5e-5)


def test_four_by_four_and_its_sweeps():
    mdp = four_by_four()
    values = evaluate(mdp, uniform(mdp)).values
    np.testing.assert_allclose(
        values, [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0], atol=1e-11
    )
    rows = {k: v for k, (v, _) in zip(range(1, 11), evaluation_sweeps(mdp, uniform(mdp)), strict=False)}
    assert set(rows[1][1:15]) == {-1.0}
    assert rows[2][[1, 2, 5]].tolist() == [-1.75, -2.0, -2.0]
    assert rows[3][[1, 2, 3, 5, 6]].tolist() == [-2.4375, -2.9375, -3.0, -2.875, -3.0]
    np.testing.assert_allclose(rows[10][[1, 2, 3, 5, 6]], [-6.138, -8.3524, -8.9673, -7.7374, -8.4278], atol=5e-5)
    large = {
        order: sum(
            1 for _ in itertools.takewhile(lambda x: x[1] >= 1e-4, evaluation_sweeps(mdp, uniform(mdp), order=order))
        )
        for order in ("synchronous", "in-place")
    }
    assert large == {"synchronous": 172, "in-place": 113}
    assert expected_steps(mdp, uniform(mdp)) == pytest.approx(-values)


@pytest.mark.parametrize(("epsilon", "want"), [(0.1, -20.7077), (0.01, -15.4408)])
def test_the_limit_of_sarsa_on_the_cliff(epsilon, want):
    mdp = cliff_walking()
    found, policy = best_epsilon_soft(mdp, epsilon)
    assert found.values @ mdp.start == pytest.approx(want, abs=5e-5)
    assert found.certificate.policy_loss < 1e-7
    assert evaluate(mdp, policy).values @ mdp.start == pytest.approx(float(found.values @ mdp.start), abs=1e-9)


def test_greedy_on_the_cliff():
    mdp = cliff_walking()
    q = solve(mdp).action_values
    got = [
        evaluate(mdp, epsilon_greedy(mdp, q, 0.1, ties=ties, tolerance=1e-5)).values @ mdp.start
        for ties in ("random", "first")
    ]
    assert got[0] == pytest.approx(-50.8, abs=5e-5)


@pytest.mark.parametrize(
    ("moves", "greedy", "best"), [(COMPASS, 17.0533, 17.0483), (KING, 9.2655, 8.1869), (KING_AND_STAY, 9.3128, 8.1665)]
)
def test_windy_grids(moves, greedy, best):
    mdp = windy_grid(moves)
    q = solve(mdp, 1e-8).action_values
    policy = epsilon_greedy(mdp, q, 0.1, tolerance=1e-5)
    assert evaluate(mdp, policy).values @ mdp.start == pytest.approx(-greedy, abs=5e-5)
    assert best_epsilon_soft(mdp, 0.1)[0].values @ mdp.start == pytest.approx(-best, abs=5e-5)


def test_dyna_maze_takes_this_long():
    mdp = dyna_maze()
    assert expected_steps(mdp, uniform(mdp)) @ mdp.start == pytest.approx(868.725, abs=5e-4)


# ------------------------------------------------------------------ average reward
def test_gain_and_bias_of_classics():
    """The policies of these two books' examples, with the bias made 0 where the books do."""
    woods = forest(discount=1.0).replace(criterion="average")
    wait = evaluate(woods, deterministic(woods, np.zeros(3, dtype=int)))
    np.testing.assert_allclose(wait.gain, 3.24, atol=1e-12)
    np.testing.assert_allclose(wait.values - wait.values[2], [-7.6, -4.0, 0.0], atol=1e-11)
    taxi = taxicab().replace(criterion="average")
    drive = evaluate(taxi, deterministic(taxi, [1, 1, 1]))
    np.testing.assert_allclose(drive.gain, 13.344538, atol=1e-6)
    np.testing.assert_allclose(drive.values - drive.values[2], [-1.176471, 12.655462, 0], atol=1e-6)


def test_several_classes():
    """Two closed classes, a terminal state and transient states: g = P g, g + h = r + P h, h has mean 0 in a class."""
    P = np.zeros((7, 1, 7))
    P[0, 0, [1]] = 1
    P[1, 0, [0, 1]] = 0.5  # class {0, 1}
    P[2, 0, 3] = P[3, 0, 2] = 1  # class {2, 3}, periodic
    P[4, 0, [0, 2, 4, 5]] = 0.25
    P[5, 0, [4, 6]] = 0.5
    R = np.array([1.0, 4, -1, 5, 7, 2, 0])[:, None]
    mdp = MDP(P, R, 1.0, terminal={6: 3.0}, criterion="average", start=4)
    found = evaluate(mdp, uniform(mdp))
    g, h, chain, r = found.gain, found.values, P[:, 0].copy(), R[:, 0].copy()
    np.testing.assert_allclose(g[:4], [3, 3, 2, 2], atol=1e-12)
    assert g[6] == 0
    assert h[6] == 3
    inner = np.arange(6)
    np.testing.assert_allclose((chain @ g)[inner], g[inner], atol=1e-12)
    np.testing.assert_allclose((r + chain @ h - g)[inner], h[inner], atol=1e-12)
    assert h[:2] @ [1 / 3, 2 / 3] == pytest.approx(0, abs=1e-12)
    assert h[2] + h[3] == pytest.approx(0, abs=1e-12)
    long = stationary(mdp, uniform(mdp))
    chain[6, 6] = 1
    power = np.linalg.matrix_power((chain + np.eye(7)) / 2, 4000)
    np.testing.assert_allclose(long, power[4], atol=1e-9)
    assert long @ np.append(r[:6], 0) == pytest.approx(g[4], abs=1e-9)
    assert (found.certificate.upper - found.certificate.lower).max() < 1e-12


def test_average_is_the_limit_of_discounting():
    mdp = model(3, sparse=1.0)
    policy = random_policy(mdp)
    average = evaluate(mdp.replace(criterion="average"), policy)
    discount = 1 - 1e-6
    near = evaluate(mdp.replace(discount=discount), policy).values
    np.testing.assert_allclose(near - average.gain / (1 - discount), average.values, atol=1e-4)
    np.testing.assert_allclose(stationary(mdp, policy) @ dense(mdp, policy)[1], average.gain[0])


# ------------------------------------------------------------------ occupancy, steps, variance
def test_occupancy_is_the_sum_of_powers():
    mdp = model(5, start=2)
    policy = random_policy(mdp)
    P, _ = dense(mdp, policy)
    state, total = mdp.start.copy(), np.zeros(7)
    for t in range(400):
        total += 0.9**t * state
        state = state @ P
    np.testing.assert_allclose(occupancy(mdp, policy), total[mdp.row_state] * policy, atol=1e-12)
    assert occupancy(mdp, policy) @ mdp.rows.reward == pytest.approx(evaluate(mdp, policy).values[2])


@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_variance_of_the_return(discount):
    """By enumeration of a model with outcome rewards whose episodes have at most three steps."""
    rng = np.random.default_rng(0)
    P = np.zeros((4, 2, 4))
    for s in range(3):
        P[s, :, s + 1 :] = rng.dirichlet(np.ones(3 - s), 2)
    R = rng.normal(size=(4, 2, 4))
    mdp = MDP(P, R, discount, terminal={3: 2.0})
    policy = random_policy(mdp)
    pi = policy.reshape(3, 2)
    paths = [(1.0, 0.0, 1.0, 0)]
    ends = []
    while paths:
        p, total, weight, s = paths.pop()
        if s == 3:
            ends.append((p, total + weight * 2.0))
            continue
        for a, to in itertools.product(range(2), range(4)):
            if P[s, a, to]:
                paths.append((p * pi[s, a] * P[s, a, to], total + weight * R[s, a, to], weight * discount, to))
    p, g = np.array(ends).T
    assert p.sum() == pytest.approx(1)
    assert evaluate(mdp, policy).values[0] == pytest.approx(p @ g)
    assert return_variance(mdp, policy)[0] == pytest.approx(p @ g**2 - (p @ g) ** 2)
    assert return_variance(mdp, policy)[3] == 0


# ------------------------------------------------------------------ linear features
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("discount", [0.9, 0.0])
def test_td_fixed_point(lam, discount):
    """The λ-return operator as the sum over n of (1 - λ) λ^(n-1) T^n, projected, leaves the solution where it is."""
    mdp = model(8, sparse=1.0, discount=discount)
    policy = random_policy(mdp)
    P, r = dense(mdp, policy)
    features = np.random.default_rng(2).normal(size=(7, 3))
    found = td_fixed_point(mdp, policy, features, lam=lam)
    weight = stationary(mdp, policy)
    v, total, now = features @ found, np.zeros(7), features @ found
    for n in range(1, 3000):
        now = r + discount * P @ now
        share = (1 - lam) * lam ** (n - 1)
        total += share * now
    if lam == 1.0:
        total = now
    root = np.sqrt(weight)[:, None]
    projected = features @ np.linalg.lstsq(root * features, root[:, 0] * total, rcond=None)[0]
    np.testing.assert_allclose(projected, v, atol=1e-9)
    np.testing.assert_allclose(
        td_fixed_point(mdp, policy, np.eye(7), lam=lam), evaluate(mdp, policy).values, atol=1e-10
    )


def test_td_fixed_point_of_episodes():
    """Weights are the expected visits; a terminal state's worth is a constant, not a feature."""
    mdp = model(9, sparse=1.0, discount=1.0, terminal={0: 2.0}, start=np.r_[0, np.full(6, 1 / 6)])
    policy = random_policy(mdp)
    np.testing.assert_allclose(
        td_fixed_point(mdp, policy, np.eye(7)[:, 1:]), evaluate(mdp, policy).values[1:], atol=1e-9
    )
    features = np.random.default_rng(3).normal(size=(7, 2))
    w = td_fixed_point(mdp, policy, features, lam=0.0)
    visits = occupancy(mdp, policy)
    v = np.where(np.arange(7) == 0, 2.0, features @ w)
    error = over_actions(mdp, policy * (mdp.rows.reward + mdp.matrix @ v)) - v  # E[δ x] = 0
    np.testing.assert_allclose((over_actions(mdp, visits) * error) @ features, 0.0, atol=1e-9)
    given = np.random.default_rng(4).random(7)
    other = td_fixed_point(mdp, policy, features, weight=given)
    v = np.where(np.arange(7) == 0, 2.0, features @ other)
    error = over_actions(mdp, policy * (mdp.rows.reward + mdp.matrix @ v)) - v
    np.testing.assert_allclose(((given * error)[1:]) @ features[1:], 0.0, atol=1e-9)
    with pytest.raises(ModelError, match="linearly"):
        td_fixed_point(mdp, policy, np.ones((7, 2)))


def test_induced_model():
    mdp = model(6, terminal={1: 4.0})
    policy = random_policy(mdp)
    chain = induced(mdp, policy)
    assert chain.num_rows == 6
    np.testing.assert_allclose(solve(chain, 1e-9).values, evaluate(mdp, policy).values, atol=1e-9)
