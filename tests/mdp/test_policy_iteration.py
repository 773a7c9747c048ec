"""Policy iteration, exact, by sweeps and by BiCGStab."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from operant.mdp import MDP
from operant.mdp.bounds.sweeps import PolicySweeps, Sweeps
from operant.mdp.solvers.krylov import Krylov, inexact_policy_iteration
from operant.mdp.solvers.policy_iteration import SMALL, exact, modified_policy_iteration, policy_iteration
from reference import mdp as slow
from reference.mdp_models import grid


def first_policy(mdp: MDP) -> PolicySweeps:
    """The rows of the policy that is greedy to zero."""
    own, v = PolicySweeps(mdp, 1), np.where(mdp.rows.terminal, mdp.rows.terminal_value, 0.0)
    choice = np.empty(mdp.num_states, dtype=np.int64)
    Sweeps(mdp, 1).backup(v, np.empty_like(v), choice)
    own.take(choice)
    return own


@pytest.mark.parametrize("side", [4, 25])
def test_exact_evaluation_dense_and_sparse(side: int) -> None:
    mdp = grid(side, 0.999)
    assert (mdp.num_states <= SMALL) == (side == 4)
    own = first_policy(mdp)
    assert own.choice is not None
    np.testing.assert_allclose(exact(own), slow.policy_values(mdp, own.choice), rtol=1e-10)


def test_howard_improves_monotonically_and_ends() -> None:
    mdp = slow.random_mdp(np.random.default_rng(3), 50, 0.99)
    seen: list[np.ndarray] = []
    found = policy_iteration(mdp, epsilon=1e-9, watch=lambda i, gap, v: seen.append(v.copy()))
    assert found.iterations < 15
    for before, after in itertools.pairwise(seen):
        assert (after >= before - 1e-9).all()


def test_jack_of_all_gammas() -> None:
    mdp = slow.random_mdp(np.random.default_rng(4), 30, 0.0, terminal=True)
    for discount in (0.0, 1e-8, 0.5, 0.9999):
        best = slow.best_values(mdp.replace(discount=discount))
        for solver in (policy_iteration, modified_policy_iteration, inexact_policy_iteration):
            found = solver(mdp.replace(discount=discount), epsilon=1e-5)
            assert np.abs(found.values - best).max() <= 1e-5


@pytest.mark.parametrize("blocks", [1, 16])
def test_the_factorisation_is_that_of_the_blocks(blocks: int) -> None:
    """On a pattern without fill (a line in one block) incomplete LU is LU: BiCGStab ends in one iteration."""
    states = 2048
    to = np.stack([np.maximum(np.arange(states) - 1, 0), np.minimum(np.arange(states) + 1, states - 1)], axis=1)
    P = sp.coo_array((np.tile([0.3, 0.7], states), (np.repeat(np.arange(states), 2), to.ravel())))
    reward = np.random.default_rng(0).normal(size=states)
    mdp = MDP(P, reward, 0.999, pairs=(np.arange(states), np.zeros(states, int)))
    own = first_policy(mdp)
    krylov = Krylov(own)
    if blocks == 1:
        krylov.starts = np.array([0, states], dtype=np.uint64)
        krylov.sums = np.empty((1, 2))
    krylov.factorise()
    out = np.empty(states)
    iterations, halved = krylov.improve(np.zeros(states), out, 1e-8, 200)
    assert halved
    assert iterations == 1 if blocks == 1 else 1 < iterations < 60
    np.testing.assert_allclose(out, slow.policy_values(mdp, own.choice), atol=1e-3 * np.abs(out).max())


def test_bicgstab_that_fails_leaves_the_values() -> None:
    mdp = grid(20, 0.9999)
    own = first_policy(mdp)
    krylov = Krylov(own)
    krylov.factorise()
    v = np.random.default_rng(0).normal(size=mdp.num_states)
    before, out = v.copy(), np.empty_like(v)
    assert krylov.improve(v, out, 1e-30, 0) == (0, False)
    assert np.array_equal(v, before)
    assert np.isfinite(krylov.work).all()


def test_inexact_policy_iteration_uses_bicgstab() -> None:
    mdp = grid(30, 0.999)
    found = inexact_policy_iteration(mdp, epsilon=1e-6)
    other = policy_iteration(mdp, epsilon=1e-6)
    assert found.extra["products"] > 0
    assert np.abs(found.values - other.values).max() <= 1e-6
