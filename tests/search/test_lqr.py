"""The linear-quadratic regulator against SciPy, against dynamic programming by hand, and against trajectories."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_are, solve_discrete_are

from operant.search.ilqr import ilqr, predictive_sampling, rolled
from operant.search.lqr import continuous_cost, continuous_lqr, finite_lqr, lqr


def problem(seed, n=4, m=2, cross=True):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, n)), rng.normal(size=(n, m))
    whole = rng.normal(size=(n + m, n + m))
    whole = whole @ whole.T + 0.1 * np.eye(n + m)
    return a, b, whole[:n, :n], whole[n:, n:], whole[:n, n:] if cross else None


@pytest.mark.parametrize("seed", range(8))
def test_infinite_horizons_are_scipy_s(seed):
    a, b, q, r, n = problem(seed)
    np.testing.assert_allclose(lqr(a, b, q, r, n).cost, solve_discrete_are(a, b, q, r, s=n), rtol=1e-7)
    np.testing.assert_allclose(continuous_lqr(a, b, q, r, n).cost, solve_continuous_are(a, b, q, r, s=n), rtol=1e-6)
    g = 0.9
    want = solve_discrete_are(g**0.5 * a, g**0.5 * b, q, r, s=n)
    np.testing.assert_allclose(lqr(a, b, q, r, n, discount=g).cost, want, rtol=1e-7)


def test_a_finite_horizon_is_what_it_costs_and_nothing_costs_less():
    a, b, q, r, n = problem(3)
    its, x0, rng = finite_lqr(a, b, q, r, n, horizon=12, last=2 * q), np.ones(4), np.random.default_rng(0)

    def cost(perturbed):
        x, total = x0, 0.0
        for t in range(12):
            u = its.control(x, t) + perturbed[t]
            total += x @ q @ x + u @ r @ u + 2 * x @ n @ u
            x = a @ x + b @ u
        return total + x @ (2 * q) @ x

    best = cost(np.zeros((12, 2)))
    assert best == pytest.approx(float(its.expected_cost(x0)), rel=1e-8)
    assert all(cost(0.1 * rng.normal(size=(12, 2))) > best for _ in range(50))
    long = finite_lqr(a, b, q, r, n, horizon=400)
    np.testing.assert_allclose(long.cost[0], lqr(a, b, q, r, n).cost, rtol=1e-6)


def test_a_finite_time_solves_the_riccati_equation():
    a, b, q, r, n = problem(5)

    def slope(_, flat):
        p = flat.reshape(4, 4)
        k = p @ b + n
        return (a.T @ p + p @ a - k @ np.linalg.solve(r, k.T) + q).ravel()

    found = solve_ivp(slope, (0.0, 0.7), q.ravel(), rtol=1e-10, atol=1e-10).y[:, -1].reshape(4, 4)
    np.testing.assert_allclose(continuous_cost(a, b, q, r, n, time=0.7, last=q), found, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"r": -np.eye(2)}, "positive definite"), ({"q": np.triu(np.ones((4, 4)))}, "not symmetric"),
     ({"b": np.ones((3, 2))}, "B is"), ({"a": np.full((4, 4), np.nan)}, "A is")],
)  # fmt: skip
def test_what_is_no_problem_is_named(change, said):
    a, b, q, r, _ = problem(0)
    given = {"a": a, "b": b, "q": q, "r": r} | change
    for solve in (lqr, continuous_lqr):
        with pytest.raises(ValueError, match=said):
            solve(**given)


def test_what_nothing_stabilises_is_said():
    for solve, a in ((lqr, np.diag([2.0, 0.5])), (continuous_lqr, np.diag([1.0, -1.0]))):
        with pytest.raises(ValueError, match="no control stabilises"):
            solve(a, np.array([[0.0], [1.0]]), np.eye(2), np.eye(1))


def test_on_a_linear_problem_ilqr_is_there_in_one_step():
    a, b, q, r, _ = problem(1, cross=False)
    ta, tb, tq, tr = (torch.from_numpy(x) for x in (0.3 * a, b, q, r))
    start, controls = torch.ones(4, dtype=torch.float64), torch.zeros(15, 2, dtype=torch.float64)
    args = (lambda x, u: ta @ x + tb @ u, lambda x, u: x @ tq @ x + u @ tr @ u, lambda x: x @ tq @ x, start)
    want = float(finite_lqr(0.3 * a, b, q, r, horizon=15, last=q).expected_cost(start.numpy()))
    assert float(ilqr(*args, controls, iterations=1).cost) == pytest.approx(want, rel=1e-5)
    found = ilqr(*args, controls)
    assert float(found.cost) == pytest.approx(want, rel=1e-9)
    assert float(rolled(*args[:3], start, found.controls)[1]) == pytest.approx(want, rel=1e-9)


def swing(x, u):
    angle, spin = x[0], x[1]
    spin = spin + 0.05 * (15.0 * torch.sin(angle) + 3.0 * u[0])
    return torch.stack([angle + 0.05 * spin, spin])


def test_ilqr_swings_a_pendulum_up_where_sampling_gets_part_of_the_way():
    def cost(x, u):
        return 1.0 - torch.cos(x[0]) + 0.01 * x[1] ** 2 + 0.01 * u[0] ** 2

    def last(x):
        return 100.0 * (1.0 - torch.cos(x[0])) + 10.0 * x[1] ** 2

    start = torch.tensor([torch.pi, 0.0], dtype=torch.float64)  # hanging; 0 is up
    controls = torch.zeros(60, 1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    first = predictive_sampling(swing, cost, last, start, controls, generator, samples=256, noise=3.0)
    hanging = rolled(swing, cost, last, start, controls)[1]
    assert first.cost < hanging
    assert float(rolled(swing, cost, last, start, first.controls)[1]) == pytest.approx(float(first.cost))
    found = ilqr(swing, cost, last, start, first.controls)
    assert found.cost < 0.5 * first.cost
    assert abs(float(torch.cos(found.states[-1, 0])) - 1.0) < 0.01
    again = predictive_sampling(swing, cost, last, start, found.controls, generator, samples=8, noise=1.0)
    assert again.cost <= found.cost + 1e-9  # what was given is among what is tried
