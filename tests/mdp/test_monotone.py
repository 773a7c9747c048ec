"""The policy iteration that never decreases the return, and the one that may."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize

from operant.mdp import MDP, ModelError, evaluate, monotone_policy_iteration, solve
from operant.mdp.kernels.improvement import penalised

GROUPS = [0, 0, 1, 1]


def draw(rng, discount=0.9):
    P = rng.dirichlet(np.full(4, 0.3), (4, 3))
    return MDP(P, rng.normal(size=(4, 3)), discount, start=rng.dirichlet(np.ones(4))), rng.dirichlet(np.ones(3), 2)


@pytest.mark.parametrize("seed", range(6))
def test_the_step_is_the_best_that_a_general_solver_finds(seed):
    rng = np.random.default_rng(seed)
    policy, gain, penalty = rng.dirichlet(np.ones(3), 2), rng.normal(size=(2, 3)), float(rng.uniform(0.3, 20))
    got = np.zeros_like(policy)
    bound = penalised(policy, gain, penalty, got)
    np.testing.assert_allclose(got.sum(-1), 1.0)
    divergence = (policy * np.log(policy / got)).sum(-1)
    assert divergence.max() == pytest.approx(bound, rel=1e-6)

    def loss(x):  # κ is a variable: the largest divergence is no smooth function
        return penalty * x[6] - (gain * x[:6].reshape(2, 3)).sum()

    within = {"type": "ineq", "fun": lambda x: x[6] - (policy * np.log(policy / x[:6].reshape(2, 3))).sum(-1)}
    sums = {"type": "eq", "fun": lambda x: x[:6].reshape(2, 3).sum(-1) - 1}
    best = minimize(
        loss, np.append(policy, 0.1), constraints=[within, sums], bounds=[(1e-9, 1)] * 6 + [(0, None)], method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )  # fmt: skip
    assert loss(np.append(got, divergence.max())) <= best.fun + 1e-6


def test_the_return_never_falls_and_keeps_what_was_promised():
    rng = np.random.default_rng(0)
    fell = 0
    for _ in range(60):
        mdp, policy = draw(rng, float(rng.choice([0.5, 0.9])))
        steps = monotone_policy_iteration(mdp, groups=GROUPS, initial=policy, iterations=3)
        assert steps[0].objective == pytest.approx(mdp.start @ evaluate(mdp, policy[GROUPS]).values)
        for before, after in pairwise(steps):
            assert after.objective >= before.objective
            assert before.objective <= after.bound + 1e-12  # the step maximises it, and π itself has η(π)
            assert after.bound <= after.objective + 1e-12
            largest = (before.policy * np.log(before.policy / after.policy)).sum(-1).max()
            assert largest == pytest.approx(after.divergence, rel=1e-3)
        greedy = monotone_policy_iteration(mdp, groups=GROUPS, initial=policy, penalty=0.0, iterations=1)
        fell += greedy[1].objective < greedy[0].objective - 1e-9
    assert fell > 0


def test_alone_in_their_groups_and_without_a_penalty_it_is_policy_iteration():
    mdp, _ = draw(np.random.default_rng(3))
    steps = monotone_policy_iteration(mdp, penalty=0.0, iterations=8)
    assert np.all(np.diff([s.objective for s in steps]) >= -1e-12)
    assert steps[-1].objective == pytest.approx(mdp.start @ solve(mdp).values, abs=1e-6)


def test_what_does_not_fit_is_refused():
    mdp, _ = draw(np.random.default_rng(0))
    with pytest.raises(ModelError, match="whole number from 0 for each of 4 states"):
        monotone_policy_iteration(mdp, groups=[0, 1])
    with pytest.raises(ModelError, match="initial has shape"):
        monotone_policy_iteration(mdp, initial=np.ones((3, 3)) / 3)
