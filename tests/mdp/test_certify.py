"""The certificate against exact solutions: bounds, policy loss, rounding, and the traps."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

from operant.mdp import MDP, METHODS, ModelError, solve
from operant.mdp.bounds.certify import Contraction, discounted
from reference import mdp as slow

DISCOUNTED = [name for name, method in METHODS.items() if "discounted" in method.fits]
FAST = [name for name in DISCOUNTED if name != "linear-programming"]


def check(mdp: MDP, epsilon: float, method: str, slack: float = 1e-11) -> None:
    """Bounds hold v*, gap and loss are within ε, the midpoints within the radius, and the policy keeps to it."""
    found = solve(mdp, epsilon, method, threads=1)
    best, certificate = slow.best_values(mdp), found.certificate
    assert certificate.gap <= epsilon, method
    assert certificate.policy_loss <= epsilon
    assert (certificate.lower <= best + slack).all(), method
    assert (best <= certificate.upper + slack).all(), method
    assert np.abs(found.values - best).max() <= certificate.radius + slack
    assert (best - slow.policy_values(mdp, found.rows)).max() <= certificate.policy_loss + slack
    live = ~mdp.rows.terminal
    assert (found.rows[~live] == -1).all()
    assert (found.policy[~live] == -1).all()
    assert np.array_equal(found.policy[live], mdp.rows.action[found.rows[live]])


@pytest.mark.parametrize("block", range(20))
def test_a_thousand_random_models(block: int) -> None:
    """50 models each: every shape, discounts from 0 to .999, every method in turn."""
    rng = np.random.default_rng(block)
    for index in range(50):
        discount = [0.0, 0.5, 0.9, 0.99, 0.999][index % 5]
        mdp = slow.random_mdp(
            rng, int(rng.integers(1, 13)), discount, terminal=bool(rng.random() < 0.4), leak=bool(rng.random() < 0.4)
        )
        if mdp.num_rows:
            check(mdp, 10.0 ** -rng.integers(1, 8), FAST[(block + index) % len(FAST)])


@pytest.mark.parametrize("seed", range(30))
def test_rounding_is_included(seed: int) -> None:
    """At the smallest ε there is, the bounds hold v* of the very floats, computed in fractions, without slack."""
    rng = np.random.default_rng(seed)
    mdp = slow.random_mdp(rng, 5, [0.9, 0.99, 0.3][seed % 3], terminal=seed % 2 == 0, leak=seed % 5 == 0)
    best = slow.exact_best_values(mdp)
    start = np.array([float(value) for value in best])
    values, rows, certificate = discounted(mdp, start, 1)
    assert certificate.gap < 1e-9
    policy = slow.exact_policy_values(mdp, rows)
    for s in range(mdp.num_states):
        assert Fraction(float(certificate.lower[s])) <= best[s] <= Fraction(float(certificate.upper[s]))
        assert Fraction(float(certificate.lower[s])) <= policy[s] or mdp.rows.terminal[s]
        assert abs(Fraction(float(values[s])) - best[s]) <= Fraction(certificate.radius)
    assert 0 < certificate.rounding <= certificate.policy_loss


@pytest.mark.parametrize("seed", range(40))
def test_bounds_hold_wherever_the_sweep_starts(seed: int) -> None:
    """Values that no solver would leave: all too high, all too low, noise."""
    rng = np.random.default_rng(seed)
    mdp = slow.random_mdp(rng, 6, 0.95, terminal=seed % 3 == 0, leak=seed % 2 == 0)
    best = slow.best_values(mdp)
    for values in (best + 50, best - 50, rng.normal(size=6) * 20, np.zeros(6)):
        _, rows, certificate = discounted(mdp, values, 1)
        assert (certificate.lower <= best + 1e-11).all()
        assert (best <= certificate.upper + 1e-11).all()
        assert (best - slow.policy_values(mdp, rows)).max() <= certificate.policy_loss + 1e-11


def test_mass_that_leaks_does_not_break_the_bound() -> None:
    """Dropped terminal mass: with min d and max d alone the upper bound would be 100 too low or the lower too high."""
    mdp = MDP(sp.csr_array(np.array([[0.5]])), np.array([1.0]), 0.99, pairs=([0], [0]), leak=True)
    best = 1 / (1 - 0.99 * 0.5)
    for start in (0.0, 1.9, 10.0):
        _, _, certificate = discounted(mdp, np.array([start]), 1)
        assert certificate.lower[0] <= best <= certificate.upper[0]
    naive = 1.0 + 0.99 / 0.01 * 1.0  # one sweep from zero: Tv + γ/(1-γ) min d, as if nothing leaked
    assert naive > best
    assert solve(mdp, 1e-9).values[0] == pytest.approx(best, abs=1e-9)


def test_terminal_states_enter_the_span() -> None:
    """One sweep from zero: every live state gains 1, but no more than once, as all lead to the end."""
    mdp = MDP(sp.csr_array(np.array([[0.0, 1.0]])), np.array([1.0]), 0.99, pairs=([0], [0]), terminal={1: 0.0})
    _, _, certificate = discounted(mdp, np.zeros(2), 1)
    assert certificate.lower[0] <= 1.0 <= certificate.upper[0]
    assert certificate.lower[1] == certificate.upper[1] == 0.0


def test_values_carry_the_span_correction() -> None:
    """The forest of MDPtoolbox, S = 3, γ = .96: without the correction values stop at (5.93, 9.39, 13.39)."""
    P = np.array([[[0.1, 0.9, 0.0], [1, 0, 0]], [[0.1, 0.0, 0.9], [1, 0, 0]], [[0.1, 0.0, 0.9], [1, 0, 0]]])
    R = np.array([[0.0, 0.0], [0.0, 1.0], [4.0, 2.0]])
    for method in DISCOUNTED:
        found = solve(MDP(P, R, 0.96), 1e-6, method)
        np.testing.assert_allclose(found.values, [74.6496, 78.1056, 82.1056], atol=1e-6, err_msg=method)
        assert found.iterations < 400


def test_epsilon_below_rounding_is_refused_and_what_is_offered_works() -> None:
    mdp = slow.random_mdp(np.random.default_rng(0), 10, 0.99)
    for method in FAST:
        with pytest.raises(ModelError, match="cannot be certified in double precision") as caught:
            solve(mdp, 1e-15, method)
        offered = float(str(caught.value).split("epsilon=")[-1].split(" ")[0])
        assert solve(mdp, offered, method).certificate.gap <= offered


def test_rows_that_sum_to_more_than_one() -> None:
    """Sums that are off by the allowed rounding still give bounds, or no bounds at all."""
    P = sp.csr_array(np.array([[1 + 5e-9]]))
    mdp = MDP(P, np.array([1.0]), 0.999, pairs=([0], [0]))
    found = solve(mdp, 1e-3)
    best = 1 / (1 - 0.999 * (1 + 5e-9))
    assert best != pytest.approx(1000, abs=1e-3)
    assert found.certificate.lower[0] <= best <= found.certificate.upper[0]
    with pytest.raises(ModelError, match="does not contract"):
        solve(mdp.replace(discount=1 - 1e-9), 1e-3)


def test_contraction_shift_is_the_theorem() -> None:
    found = Contraction(0.9, 1.0, 1.0, 3, 1.0)
    assert found.shift(-1.0, 2.0) == pytest.approx((-9.0, 18.0))
    leaky = replace(found, least=0.5)
    assert leaky.shift(1.0, 2.0) == pytest.approx((0.45 / 0.55, 18.0))
    assert leaky.shift(-2.0, -1.0) == pytest.approx((-18.0, -0.45 / 0.55))


def test_values_that_are_not_finite() -> None:
    mdp = slow.random_mdp(np.random.default_rng(0), 3, 0.9)
    with pytest.raises(ModelError, match="not finite"):
        discounted(mdp, np.array([0.0, np.inf, 0.0]), 1)
