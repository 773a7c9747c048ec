"""Backward induction against enumeration of every plan, published limits, and exact fractions."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from operant.mdp import MDP, ModelError, evaluate, finite_horizon, finite_horizon_values, from_gymnasium, solve
from operant.mdp.policies import deterministic, softmax, uniform


def model(seed=0, S=3, A=2, discount=0.9, **options):
    rng = np.random.default_rng(seed)
    return MDP(rng.dirichlet(np.ones(S), (S, A)), rng.normal(size=(S, A)), discount, **options)


@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("terminal", [None, {2: 1.5}])
def test_every_plan(discount, terminal):
    """Two decisions: all time-dependent policies, by brute force."""
    mdp = model(discount=discount, terminal=terminal, horizon=2)
    best = np.full(3, -np.inf)
    each = [deterministic(mdp, actions) for actions in itertools.product(range(2), repeat=3)]
    for plan in itertools.product(each, repeat=2):
        values = np.where(mdp.rows.terminal, mdp.rows.terminal_value, 0.0)
        for policy in plan[::-1]:
            P = np.zeros((3, 3))
            r = np.zeros(3)
            np.add.at(r, mdp.row_state, policy * mdp.rows.reward)
            np.add.at(P, mdp.row_state, policy[:, None] * mdp.matrix.toarray())
            values = np.where(mdp.rows.terminal, mdp.rows.terminal_value, r + discount * P @ values)
        np.testing.assert_allclose(finite_horizon_values(mdp, np.stack(plan))[0], values, atol=1e-12)
        best = np.maximum(best, values)
    found = finite_horizon(mdp)
    np.testing.assert_allclose(found.values[0], best, atol=1e-12)
    assert found.values.shape == (3, 3)
    assert found.policy.shape == found.rows.shape == (2, 3)
    plan = np.stack([deterministic(mdp, actions) for actions in found.policy])
    np.testing.assert_allclose(finite_horizon_values(mdp, plan), found.values, atol=1e-12)
    assert (found.policy[:, mdp.rows.terminal] == -1).all()


def test_published_limits():
    """FrozenLake with its limit of 100 steps; without it 14/17."""
    lake = from_gymnasium("FrozenLake-v1", discount=1.0).replace(horizon=100)
    found = solve(lake)
    assert found.method == "finite-horizon"
    assert found.values[0] @ lake.start == pytest.approx(0.744190, abs=5e-7)
    assert found.certificate.gap < 1e-12
    long = finite_horizon(lake, horizon=3000).values[0] @ lake.start
    assert long == pytest.approx(14 / 17, abs=1e-9)


def test_the_bounds_hold_in_fractions():
    """300 backups in exact arithmetic stay inside of the interval, which is wide by rounding alone."""
    mdp = model(4, S=4, discount=0.999)
    found = finite_horizon(mdp, horizon=300)
    P = [[[Fraction(float(p)) for p in mdp.matrix.toarray()[2 * s + a]] for a in range(2)] for s in range(4)]
    R = [[Fraction(float(mdp.rows.reward[2 * s + a])) for a in range(2)] for s in range(4)]
    values, unit = [Fraction(0)] * 4, Fraction(1, 2**120)
    for _ in range(300):
        values = [
            max(R[s][a] + Fraction(0.999) * sum(p * v for p, v in zip(P[s][a], values, strict=True)) for a in range(2))
            for s in range(4)
        ]
        values = [Fraction(round(v / unit)) * unit for v in values]  # 120 bits keep the fractions short
    for s in range(4):
        assert (
            Fraction(float(found.certificate.lower[0, s]))
            <= values[s]
            <= Fraction(float(found.certificate.upper[0, s]))
        )
    assert found.certificate.gap < 1e-9


def test_many_steps_are_the_infinite_horizon():
    mdp = model(1)
    found = finite_horizon(mdp, horizon=400)
    np.testing.assert_allclose(found.values[0], solve(mdp, 1e-10).values, atol=1e-9)
    policy = softmax(mdp, np.random.default_rng(0).normal(size=mdp.num_rows))
    np.testing.assert_allclose(
        finite_horizon_values(mdp, policy, horizon=400)[0], evaluate(mdp, policy).values, atol=1e-9
    )


def test_final_values_and_the_watch():
    mdp = model(2, terminal=[0])
    seen = []
    found = finite_horizon(mdp, horizon=3, final=[9.0, 1.0, -1.0], watch=lambda k, gap, v: seen.append((k, v.copy())))
    assert found.values[3].tolist() == [0.0, 1.0, -1.0]  # a terminal state keeps its own value
    assert [k for k, _ in seen] == [1, 2, 3]
    np.testing.assert_array_equal(seen[-1][1], found.values[0])
    np.testing.assert_allclose(
        finite_horizon_values(mdp, uniform(mdp), horizon=1, final=[9.0, 1.0, -1.0])[0],
        np.where(
            mdp.rows.terminal, 0, [0, *np.reshape(mdp.rows.reward + 0.9 * mdp.matrix @ [0, 1.0, -1.0], (2, 2)).mean(1)]
        ),
    )
    none = finite_horizon(mdp, horizon=0)
    assert none.values.shape == (1, 3)
    assert none.policy.shape == (0, 3)


def test_average_criterion_counts_every_step():
    mdp = model(3, discount=1.0).replace(criterion="average")
    found = finite_horizon(mdp, horizon=2000).values[0] / 2000
    gain = max(
        evaluate(mdp, deterministic(mdp, actions)).gain[0] for actions in itertools.product(range(2), repeat=3)
    )  # fmt: skip
    np.testing.assert_allclose(found, gain, atol=2e-3)


def test_threads_do_not_matter():
    mdp = model(5, S=60, A=3, horizon=20)
    one, two = (finite_horizon(mdp, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.rows, two.rows)


def test_errors():
    mdp = model()
    for call in (finite_horizon, lambda m: finite_horizon_values(m, uniform(m))):
        with pytest.raises(ModelError, match="no horizon"):
            call(mdp)
    with pytest.raises(ModelError, match="rounding"):
        finite_horizon(mdp, horizon=10, epsilon=1e-18)
    with pytest.raises(ModelError, match="final has shape"):
        finite_horizon(mdp, horizon=1, final=[0.0])
    with pytest.raises(ModelError, match="max_iterations"):
        finite_horizon(mdp, horizon=5, max_iterations=4)
    with pytest.raises(ModelError, match=r"\[H, L\]"):
        finite_horizon_values(mdp, np.zeros((2, mdp.num_rows)), horizon=3)
