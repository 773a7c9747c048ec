"""Robust value iteration against linear programs for nature's choice, and against the game solved by brute force."""

import numpy as np
import pytest
from scipy.optimize import linprog

from operant.mdp import MDP, ModelError, evaluate, solve
from operant.mdp.policies import deterministic
from operant.mdp.solvers.robust import Distance, Intervals, robust_value_iteration


def model(seed=0, states=7, actions=3, discount=0.9, **options):
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(states, 0.4), (states, actions))
    P[P < 0.03] = 0.0
    P /= P.sum(-1, keepdims=True)
    return MDP(P, rng.normal(size=(states, actions)), discount, **options)


def intervals(mdp, seed=0, width=0.2):
    rng = np.random.default_rng(seed)
    p = mdp.rows.data
    return np.maximum(p - width * rng.random(len(p)), 0.0), np.minimum(p + width * rng.random(len(p)), 1.0)


def by_linear_program(mdp, values, sign, lower=None, upper=None, radius=None):
    """q(s, a) [L] where nature's row comes from a linear program."""
    rows, q = mdp.rows, mdp.rows.reward.copy()
    for row in range(mdp.num_rows):
        at = slice(int(rows.indptr[row]), int(rows.indptr[row + 1]))
        v, p = values[rows.indices[at]], rows.data[at]
        n = len(p)
        if radius is None:
            found = linprog(
                sign * v, A_eq=np.ones((1, n)), b_eq=[1.0], bounds=list(zip(lower[at], upper[at], strict=True))
            )
            assert found.status == 0
            best = found.fun
        else:  # p + up - down with 1·(up + down) ≤ radius
            A_ub, b_ub = np.vstack([np.ones(2 * n), np.hstack([-np.eye(n), np.eye(n)])]), np.concatenate([[radius], p])
            found = linprog(
                sign * np.concatenate([v, -v]),
                A_ub=A_ub,
                b_ub=b_ub,
                A_eq=np.concatenate([np.ones(n), -np.ones(n)])[None],
                b_eq=[0.0],
            )
            assert found.status == 0
            best = found.fun + sign * float(p @ v)
        q[row] += mdp.discount * sign * best
    return q


@pytest.mark.parametrize("attitude", ["pessimistic", "optimistic"])
@pytest.mark.parametrize("kind", ["intervals", "distance"])
@pytest.mark.parametrize("terminal", [None, {1: 3.0}])
def test_against_linear_programs(attitude, kind, terminal):
    """The values found solve v = max_a r + γ min_p p·v, with the minimum by HiGHS."""
    mdp, sign = model(terminal=terminal), 1.0 if attitude == "pessimistic" else -1.0
    lower, upper = intervals(mdp)
    uncertainty = Intervals(lower=lower, upper=upper) if kind == "intervals" else Distance(radius=0.3)
    found = robust_value_iteration(mdp, uncertainty=uncertainty, attitude=attitude, epsilon=1e-8)
    assert found.certificate.gap <= 1e-8
    bounds = {"lower": lower, "upper": upper} if kind == "intervals" else {"radius": 0.3}
    q = by_linear_program(mdp, found.values, sign, **bounds)
    best = np.where(mdp.rows.terminal, mdp.rows.terminal_value, -np.inf)
    np.maximum.at(best, mdp.row_state, q)
    np.testing.assert_allclose(best, found.values, atol=1e-7)
    picked = found.extra["model"]  # nature's row is admissible, and its model has these values
    p = found.extra["probabilities"]
    assert p.min() >= 0
    np.testing.assert_allclose(np.asarray(picked.matrix.sum(axis=1)).ravel(), 1.0, atol=1e-12)
    if kind == "intervals":
        assert (p >= lower - 1e-15).all()
        assert (p <= upper + 1e-15).all()
    else:
        assert abs(picked.matrix - mdp.matrix).sum(axis=1).max() <= 0.3 + 1e-12
    np.testing.assert_allclose(evaluate(picked, deterministic(picked, found.policy)).values, found.values, atol=1e-7)


def test_nature_is_worse_than_any_model_of_the_set():
    mdp = model(2)
    lower, upper = intervals(mdp, 2)
    sets = Intervals(lower=lower, upper=upper)
    low = robust_value_iteration(mdp, uncertainty=sets).values
    high = robust_value_iteration(mdp, uncertainty=sets, attitude="optimistic").values
    plain = solve(mdp, 1e-9).values
    assert (low < plain).all()
    assert (plain < high).all()
    rng = np.random.default_rng(0)
    for _ in range(10):  # other models of the same set: mixtures of nature's two extremes
        share = rng.random(mdp.num_rows)[np.repeat(np.arange(mdp.num_rows), np.diff(mdp.rows.indptr.astype(int)))]
        extremes = [
            robust_value_iteration(mdp, uncertainty=sets, attitude=a).extra["probabilities"]
            for a in ("pessimistic", "optimistic")
        ]
        rows = {f: getattr(mdp.rows, f) for f in mdp.rows.__slots__}
        other = type(mdp.rows)(**rows | {"data": share * extremes[0] + (1 - share) * extremes[1]})
        values = solve(MDP.from_rows(other, mdp.discount, check=False), 1e-8).values
        assert (low <= values + 1e-6).all()
        assert (values <= high + 1e-6).all()


def test_certificates_of_coarse_answers():
    mdp = model(3, discount=0.99)
    sets = Distance(radius=0.2)
    sharp = robust_value_iteration(mdp, uncertainty=sets, epsilon=1e-8).values
    for sweeps in (1, 5, 20, 80):
        found = robust_value_iteration(mdp, uncertainty=sets, epsilon=1e-8, max_iterations=sweeps)
        assert (found.certificate.lower <= sharp + 1e-8).all()
        assert (found.certificate.upper >= sharp - 1e-8).all()


def test_no_uncertainty_is_value_iteration():
    mdp = model(4)
    want = solve(mdp, 1e-9).values
    for sets in (Intervals(lower=mdp.rows.data, upper=mdp.rows.data), Distance(radius=0.0)):
        np.testing.assert_allclose(robust_value_iteration(mdp, uncertainty=sets, epsilon=1e-9).values, want, atol=1e-8)


def test_full_uncertainty_is_the_worst_successor():
    """Radius 2 puts all on the worst successor: a deterministic game."""
    mdp = model(5)
    values = robust_value_iteration(mdp, uncertainty=Distance(radius=2.0), epsilon=1e-9).values
    rows = mdp.rows
    least = np.minimum.reduceat(values[rows.indices], rows.indptr[:-1].astype(int))
    q = rows.reward + 0.9 * least
    np.testing.assert_allclose(np.maximum.reduceat(q, rows.pointer[:-1].astype(int)), values, atol=1e-8)


def test_empty_sets_are_named():
    mdp = model()
    p = mdp.rows.data.copy()
    lower, upper = p.copy(), p.copy()
    at = int(mdp.rows.indptr[4])
    upper[at], lower[at] = lower[at] * 0.5, 0.0
    with pytest.raises(ModelError, match="state 1, action 1"):
        robust_value_iteration(mdp, uncertainty=Intervals(lower=lower, upper=upper))
    with pytest.raises(ModelError, match="radius"):
        robust_value_iteration(mdp, uncertainty=Distance(radius=-0.1))
