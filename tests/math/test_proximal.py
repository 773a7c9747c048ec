"""Proximal operators are the minimisers that they are said to be."""

import pytest
import torch

from operant.math.proximal import ball, box, proximal_point, quadratic, soft_threshold, trust_region


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sym(seed, n, shift=0.0):
    A = normal(seed, n, n)
    return (A + A.T) / 2 + shift * torch.eye(n, dtype=torch.float64)


@pytest.mark.parametrize("lam", [0.0, 0.1, 1.0])
def test_component_by_component_they_are_the_best_of_a_grid(lam):
    v, x = normal(0, 50), torch.linspace(-6, 6, 120_001, dtype=torch.float64)
    outside = torch.where((x < -0.5) | (x > 1.0), torch.inf, 0.0)
    for f, got in ((lam * x.abs(), soft_threshold(v, lam)), (outside, box(v, -0.5, 1.0))):
        want = x[(f + 0.5 * (x - v[:, None]).square()).argmin(-1)]
        torch.testing.assert_close(got, want, rtol=0, atol=1.01e-4)


def test_a_quadratic_is_left_where_its_slope_balances():
    A, b, v = sym(1, 4), normal(2, 4), normal(3, 4)
    A = A @ A
    x = quadratic(v, A, b, 0.7)
    torch.testing.assert_close(A @ x + b + (x - v) / 0.7, torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-10)
    step = (quadratic(v, A, b, 1e-6) - v) / 1e-6  # a gradient step for small λ
    torch.testing.assert_close(step, -(A @ v + b), rtol=1e-4, atol=1e-4)
    points = proximal_point(lambda y: quadratic(y, A + torch.eye(4), b, 2.0), v, iterations=60)
    torch.testing.assert_close(points[-1], torch.linalg.solve(A + torch.eye(4), -b))


def test_projections():
    v = normal(4, 5)
    assert torch.equal(ball(v, 100.0), v)
    torch.testing.assert_close(ball(v, 0.5), v / v.norm() * 0.5)
    assert torch.equal(ball(torch.zeros(3), 1.0), torch.zeros(3))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("shift", [-2.0, 0.0, 4.0])
def test_no_step_of_many_within_the_radius_is_better(seed, shift):
    H, g = sym(seed, 3, shift), normal(seed + 1, 3)
    d = trust_region(g, H, 0.8)
    assert d.norm() <= 0.8 + 1e-9
    other = normal(seed + 2, 20_000, 3)
    edge = 0.8 * other / other.norm(dim=1, keepdim=True)
    other = torch.cat([edge, edge * torch.rand(20_000, 1, generator=torch.Generator().manual_seed(0))])
    assert g @ d + 0.5 * d @ H @ d <= (other @ g + 0.5 * torch.einsum("ni,ij,nj->n", other, H, other)).min() + 1e-9


def test_the_hard_case_goes_along_the_lowest_direction():
    H, g = torch.diag(torch.tensor([-1.0, 2.0], dtype=torch.float64)), torch.tensor([0.0, 1.0], dtype=torch.float64)
    d = trust_region(g, H, 2.0)
    assert float(d.norm()) == pytest.approx(2.0)
    assert float(d[1]) == pytest.approx(-1 / 3)


@pytest.mark.parametrize("lam", [0.01, 0.3, 5.0])
def test_a_proximal_step_is_a_trust_region_step_of_its_own_length(lam):
    A, b, v = sym(7, 4), normal(8, 4), normal(9, 4)
    A = A @ A
    x = quadratic(v, A, b, lam)
    torch.testing.assert_close(trust_region(A @ v + b, A, float((x - v).norm())), x - v, rtol=1e-6, atol=1e-9)
