"""Soft value iteration: its fixed point, its certificate, its limits, and the backup of operant.math."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from operant.math.bellman import soft_backup
from operant.mdp import MDP, ModelError, evaluate, solve
from operant.mdp.policies import epsilon_soft, over_actions, softmax, uniform
from operant.mdp.solvers.soft import soft_evaluate, soft_policy_iteration, soft_value_iteration


def model(seed=0, states=8, actions=3, discount=0.9, **options):
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(states, 0.5), (states, actions))
    return MDP(P, rng.normal(size=(states, actions)), discount, **options)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("terminal", [None, {2: -1.5}])
def test_fixed_point_and_certificate(temperature, terminal):
    """The policy returned has, evaluated exactly with its entropy, the values found; the bounds hold both."""
    mdp = model(terminal=terminal)
    found = soft_value_iteration(mdp, temperature=temperature, epsilon=1e-6)
    policy = found.extra["policy"]
    exact = soft_evaluate(mdp, policy, temperature=temperature)
    sharp = soft_value_iteration(mdp, temperature=temperature, epsilon=1e-10)
    assert found.certificate.gap <= 1e-6
    assert sharp.certificate.gap <= 1e-10
    assert (found.certificate.lower <= sharp.values + 1e-10).all()
    assert (found.certificate.upper >= sharp.values - 1e-10).all()
    assert (sharp.values - exact.values).max() <= found.certificate.policy_loss + 1e-10
    np.testing.assert_allclose(exact.values, sharp.values, atol=1e-6)
    bracket = exact.action_values - temperature * np.log(policy)
    np.testing.assert_allclose(
        over_actions(mdp, policy * bracket)[~mdp.rows.terminal], exact.values[~mdp.rows.terminal]
    )
    newton = soft_policy_iteration(mdp, temperature=temperature)
    np.testing.assert_allclose(newton.values, sharp.values, atol=1e-10)
    rng = np.random.default_rng(1)
    for _ in range(20):  # no other policy does better
        other = softmax(mdp, rng.normal(size=mdp.num_rows))
        assert (soft_evaluate(mdp, other, temperature=temperature).values <= sharp.values + 1e-9).all()


@pytest.mark.parametrize("seed", range(4))
def test_newton_ends_where_values_are_large(seed):
    """Rounding is relative: with values of 1e12 no round moves them by less than 1e-6, the last ones neither."""
    mdp = model(seed, states=12, discount=0.999999)
    large = mdp.replace(rows=replace(mdp.rows, reward=1e6 * mdp.rows.reward))
    found = soft_policy_iteration(large, temperature=1e5)
    bounds = soft_value_iteration(large, temperature=1e5, epsilon=1e6, initial=found.values).certificate
    slack = 1e-9 * np.abs(found.values).max()
    assert (bounds.lower - slack <= found.values).all()
    assert (found.values <= bounds.upper + slack).all()


def test_a_coarse_answer_is_certified_too():
    mdp = model(3, discount=0.99)
    sharp = soft_value_iteration(mdp, temperature=0.3, epsilon=1e-9)
    for sweeps in (1, 3, 10):
        found = soft_value_iteration(mdp, temperature=0.3, epsilon=1e-9, max_iterations=sweeps)
        assert found.iterations <= sweeps
        assert (found.certificate.lower <= sharp.values).all()
        assert (found.certificate.upper >= sharp.values).all()
        loss = sharp.values - soft_evaluate(mdp, found.extra["policy"], temperature=0.3).values
        assert loss.max() <= found.certificate.policy_loss + 1e-9


def test_limits():
    mdp = model(4)
    hard = solve(mdp, 1e-9)
    for temperature in (0.1, 0.01, 0.001):
        soft = soft_value_iteration(mdp, temperature=temperature)
        excess = soft.values - hard.values
        assert excess.min() > -1e-6
        assert excess.max() <= temperature * np.log(3) / 0.1 + 1e-6
    np.testing.assert_array_equal(soft.policy, hard.policy)
    hot = soft_value_iteration(mdp, temperature=1e5).extra["policy"]
    np.testing.assert_allclose(hot, uniform(mdp), atol=1e-4)


def test_equals_the_backup_of_the_math_room():
    """On a deterministic model one sweep is `soft_backup` of every transition."""
    rng = np.random.default_rng(5)
    S, A, tau, discount = 6, 3, 0.7, 0.8
    to, R = rng.integers(0, S, (S, A)), rng.normal(size=(S, A))
    P = np.eye(S)[to]
    mdp = MDP(P, R, discount, terminal=[5])
    found = soft_value_iteration(mdp, temperature=tau, epsilon=1e-10)
    q = np.zeros((S, A))
    q[:5] = found.action_values.reshape(5, A)
    target = soft_backup(
        torch.tensor(R), torch.tensor(q[to]), torch.tensor(to == 5), discount, temperature=tau
    ).numpy()  # fmt: skip
    np.testing.assert_allclose(target[:5], q[:5], atol=1e-9)


def test_rounding_is_refused_and_not_looped_on():
    with pytest.raises(ModelError, match="double precision"):
        soft_value_iteration(model(), temperature=1.0, epsilon=1e-16)
    with pytest.raises(ModelError, match="temperature"):
        soft_value_iteration(model(), temperature=0.0)
    with pytest.raises(ModelError, match="discounted"):
        soft_value_iteration(model().replace(criterion="average"), temperature=1.0)


def test_entropy_of_a_policy():
    """With rewards 0 the soft value of the uniform policy is the discounted entropy."""
    mdp = model()
    bare = MDP.from_rows(mdp.rows, 0.9)
    bare.rows.reward[:] = 0.0
    found = soft_evaluate(bare, uniform(bare), temperature=2.0)
    np.testing.assert_allclose(found.values, 2.0 * np.log(3) / 0.1)
    policy = epsilon_soft(bare, uniform(bare), 0.5)
    np.testing.assert_allclose(soft_evaluate(bare, policy, temperature=0.0).values, evaluate(bare, policy).values)
