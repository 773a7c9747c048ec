"""Every solver against every other, dense against sparse, one thread against two, and against QuantEcon."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba.core import config

from operant.mdp import MDP, METHODS, solve
from operant.mdp.bounds import sweeps
from reference import mdp as slow
from reference.mdp_models import grid

DISCOUNTED = [name for name, method in METHODS.items() if "discounted" in method.fits]
"""Models of every shape; hypothesis shrinks the size and the seed."""
models = st.builds(
    lambda seed, states, discount, terminal, leak: slow.random_mdp(
        np.random.default_rng(seed), states, discount, terminal=terminal, leak=leak
    ),
    st.integers(0, 10**6),
    st.integers(2, 40),
    st.sampled_from([0.0, 0.3, 0.9, 0.99]),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(models, st.sampled_from([1e-2, 1e-5, 1e-8]))
def test_every_solver_equals_every_other(mdp: MDP, epsilon: float) -> None:
    found = {name: solve(mdp, epsilon, name, threads=1) for name in DISCOUNTED}
    for name, one in found.items():
        for other in found.values():
            assert (one.certificate.lower <= other.certificate.upper + 1e-12).all(), (name, other.method)
            assert np.abs(one.values - other.values).max() <= epsilon


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(2, 8), st.integers(1, 4), st.sampled_from(["array", "list", "pairs"]))
def test_dense_equals_sparse(seed: int, states: int, actions: int, form: str) -> None:
    """The same numbers given as an array, as a list of matrices and as pairs give the same bits."""
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(states, 0.5), size=(states, actions))
    P[P < 0.05] = 0.0
    P /= P.sum(axis=2, keepdims=True)
    R = rng.normal(size=(states, actions))
    one = solve(MDP(P, R, 0.9), 1e-8, "modified-policy-iteration")
    if form == "list":
        other = MDP([sp.csr_array(P[:, a]) for a in range(actions)], R, 0.9)
    elif form == "pairs":
        shuffled = rng.permutation(states * actions)
        other = MDP(
            sp.csr_array(P.reshape(-1, states)[shuffled]),
            R.ravel()[shuffled],
            0.9,
            pairs=tuple(index[shuffled] for index in np.divmod(np.arange(states * actions), actions)),
        )
    else:
        other = MDP(P.copy(order="F"), R, 0.9)
    two = solve(other, 1e-8, "modified-policy-iteration")
    assert np.array_equal(one.values, two.values)
    assert np.array_equal(one.policy, two.policy)
    assert np.abs(one.values - slow.best_values(other)).max() <= 1e-8


@pytest.mark.skipif(config.NUMBA_NUM_THREADS < 2, reason="one thread only")
@pytest.mark.parametrize(
    "method", [name for name in DISCOUNTED if name not in ("policy-iteration", "linear-programming")]
)
def test_two_threads_give_the_same_bits(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "SMALL", 0)  # this model is small
    mdp = grid(40, 0.8)
    one, two = (solve(mdp, 1e-2, method, threads=threads) for threads in (1, 2))
    assert one.iterations == two.iterations
    assert one.history == two.history
    assert one.values.tobytes() == two.values.tobytes()
    assert np.array_equal(one.rows, two.rows)
    assert one.certificate.gap == two.certificate.gap


@pytest.mark.parametrize("seed", range(5))
def test_equals_quantecon(seed: int) -> None:
    quantecon = pytest.importorskip("quantecon")
    mdp = slow.random_mdp(np.random.default_rng(seed), 60, 0.95)
    peer = quantecon.markov.DiscreteDP(
        mdp.rows.reward, sp.csr_matrix(mdp.matrix), mdp.discount, mdp.row_state, mdp.rows.action.astype(int)
    )
    want = peer.solve(method="policy_iteration")
    for method in DISCOUNTED:
        found = solve(mdp, 1e-9, method)
        assert np.abs(found.values - want.v).max() <= 1e-9
        assert found.certificate.policy_loss <= 1e-9
