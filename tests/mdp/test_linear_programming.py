"""The two programs against each other, against other solvers, and against exact numbers."""

import numpy as np
import pytest

from operant.mdp import MDP, ModelError, best_epsilon_soft, evaluate, occupancy, solve
from operant.mdp.analyse.rational import solve_exactly
from operant.mdp.policies import deterministic, soften
from operant.mdp.solvers.epsilon_soft import certify_policy
from operant.mdp.solvers.linear_programming import linear_programming
from operant.mdp.worlds.games import gambler
from operant.mdp.worlds.grids import cliff_walking, five_by_five, four_by_three


def ragged(seed, states=12, discount=0.95):
    """A sparse model with one to four actions in a state, a terminal state worth something, and a pair left out."""
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(states, 0.3), (states, 4))
    R = rng.normal(size=(states, 4))
    R[rng.random((states, 4)) < 0.3] = -np.inf
    R[:, 0] = rng.normal(size=states)
    return MDP(P, R, discount, terminal={states - 1: 2.5}, start=0)


@pytest.mark.parametrize("seed", range(4))
def test_primal_and_dual(seed):
    mdp = ragged(seed)
    weight = np.random.default_rng(seed).dirichlet(np.ones(mdp.num_states))
    primal, dual = (linear_programming(mdp, form=form, weight=weight) for form in ("primal", "dual"))
    for found in (primal, dual):
        assert found.certificate.gap < 1e-9
        assert abs(found.extra["duality_gap"]) < 1e-9
        np.testing.assert_allclose(found.extra["program_values"], found.values, atol=1e-8)
    np.testing.assert_allclose(primal.values, dual.values, atol=1e-10)
    np.testing.assert_array_equal(primal.policy, dual.policy)
    exact = occupancy(mdp, deterministic(mdp, primal.policy), start=weight)
    for found in (primal, dual):
        np.testing.assert_allclose(found.extra["occupancy"], exact, atol=1e-8)
    np.testing.assert_allclose(primal.values, solve(mdp, 1e-9).values, atol=1e-9)
    ends = mdp.rows.terminal
    assert primal.extra["objective"] == pytest.approx(float(weight[~ends] @ primal.values[~ends]), abs=1e-9)


@pytest.mark.parametrize("form", ["primal", "dual"])
def test_known_numbers(form):
    grid = linear_programming(five_by_five(), form=form)
    assert grid.values[1] == pytest.approx(10 / (1 - 0.9**5), abs=1e-9)
    world = four_by_three(-0.04)
    found = linear_programming(world, form=form)
    np.testing.assert_allclose(found.values, [float(v) for v in solve_exactly(world).values], atol=1e-10)
    assert found.certificate.gap < 1e-9
    bets = linear_programming(gambler(), form=form)  # every policy ends; steps are free
    assert bets.values[[25, 50, 75]] == pytest.approx([0.16, 0.4, 0.64], abs=1e-9)
    assert bets.certificate.gap < 1e-8
    cliff = linear_programming(cliff_walking(), form=form)  # some policies never end; steps cost
    assert cliff.values @ cliff.mdp.start == pytest.approx(-13.0, abs=1e-9)


@pytest.mark.parametrize("form", ["primal", "dual"])
def test_unbounded_and_endless(form):
    with pytest.raises(ModelError, match="unbounded"):
        linear_programming(four_by_three(0.04), form=form)
    stuck = MDP(np.eye(2)[:, None, :], np.array([[-1.0], [0.0]]), 1.0, terminal=[1])
    with pytest.raises(ModelError, match="no policy ends"):
        linear_programming(stuck, form=form)
    with pytest.raises(ModelError, match="discounted and total"):
        linear_programming(ragged(0).replace(criterion="average"), form=form)


def test_weights_must_be_positive():
    mdp = ragged(1)
    with pytest.raises(ModelError, match="above 0"):
        linear_programming(mdp, weight=mdp.start)


def test_a_bad_policy_is_certified_as_bad():
    """The certificate of a policy that is not optimal must hold: its upper bound lies above v*."""
    world = four_by_three(-0.04)
    best = np.array([float(v) for v in solve_exactly(world).values])
    for action in range(4):
        policy = deterministic(world, np.full(world.num_states, action))
        softened = 0.8 * policy + 0.2 * np.repeat(1 / 4, world.num_rows)
        found = certify_policy(evaluate(world, softened))
        assert (found.lower <= best + 1e-12).all()
        assert (found.upper >= best - 1e-12).all()
        assert found.policy_loss >= (best - evaluate(world, softened).values).max()


def test_soft_environments_agree_with_policy_iteration():
    """The best ε-soft policy as a linear program of the softened model."""
    mdp = ragged(2)
    found, policy = best_epsilon_soft(mdp, 0.2)
    np.testing.assert_allclose(linear_programming(soften(mdp, 0.2)).values, found.values, atol=1e-9)
    np.testing.assert_allclose(evaluate(mdp, policy).values, found.values, atol=1e-10)
