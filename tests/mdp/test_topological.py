"""Components in order, each solved once."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from operant.mdp import MDP
from operant.mdp.topological import topological
from reference import mdp as slow
from reference.mdp_models import line


def test_an_acyclic_model_takes_one_backup_a_state() -> None:
    here = np.arange(199)
    P = sp.csr_array((np.ones(199), (here, here + 1)), shape=(199, 200))
    mdp = MDP(P, -np.ones(199), 0.99, pairs=(here, np.zeros(199, int)), terminal={199: 5.0})
    found = topological(mdp, epsilon=1e-9)
    assert found.extra == {"components": 200, "backups": 199}
    assert found.iterations == 1
    np.testing.assert_allclose(found.values, slow.best_values(mdp), atol=1e-9)


def test_a_state_that_may_stay_is_not_acyclic() -> None:
    mdp = MDP(np.array([[[0.5, 0.5]], [[0.0, 1.0]]]), np.array([[1.0], [0.0]]), 0.9, terminal={1: 2.0})
    found = topological(mdp, epsilon=1e-9)
    assert found.values[0] == (1 + 0.9 * 0.5 * 2) / (1 - 0.9 * 0.5) or abs(found.values[0] - 1.9 / 0.55) < 1e-9


def test_one_component_is_solved_too() -> None:
    for discount in (0.9, 0.9999):
        mdp = line(60, 0.4, discount)
        found = topological(mdp, epsilon=1e-7)
        assert np.abs(found.values - slow.best_values(mdp)).max() <= 1e-7
        assert found.extra["components"] == 2


def test_a_closed_component_with_a_large_discount() -> None:
    """Moved as a whole by its mean change: without that, γ = .99999 takes some million passes."""
    mdp = slow.random_mdp(np.random.default_rng(0), 20, 0.99999)
    found = topological(mdp, epsilon=1e-3)
    assert np.abs(found.values - slow.best_values(mdp)).max() <= 1e-3
    assert found.extra["backups"] < 20 * 20_000
