"""F⁻¹g without F, against F; and a line search that leaves nothing behind where it fails."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.math.divergence import kl_categorical
from operant.math.natural_gradient import (
    conjugate_gradient,
    fisher_product,
    flat,
    line_search,
    natural_direction,
    step_length,
)
from operant.mdp import exact_policy_gradient
from reference.rows import close
from reference.tabular_env import model


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_conjugate_gradient_solves_what_is_positive_definite(seed, P):
    root = normal(seed, P, P)
    A, b = root @ root.T + 0.1 * torch.eye(P, dtype=torch.float64), normal(seed + 1, P)
    got = conjugate_gradient(lambda x: A @ x, b, iterations=5 * P, tolerance=1e-24)
    torch.testing.assert_close(got, torch.linalg.solve(A, b), rtol=1e-6, atol=1e-8)


def test_conjugate_gradient_stops_where_there_is_nothing_to_solve_and_where_it_cannot_go_on():
    zero = torch.zeros(3, dtype=torch.float64)
    assert torch.equal(conjugate_gradient(lambda x: x / 0, zero, iterations=9), zero)
    assert torch.equal(conjugate_gradient(lambda x: -x, zero + 1, iterations=9), zero)  # not positive definite
    with pytest.raises(ValueError, match="vector"):
        conjugate_gradient(lambda x: x, torch.zeros(2, 2), iterations=1)


def test_products_are_those_of_the_hessian_of_the_divergence():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 5)).double()
    x, theta = normal(0, 7, 3), list(net.parameters())
    old = net(x).detach()

    def divergence(*numbers):
        named = dict(zip(dict(net.named_parameters()), numbers, strict=True))
        return kl_categorical(old, torch.func.functional_call(net, named, x)).mean()

    blocks = torch.autograd.functional.hessian(divergence, tuple(theta))
    sizes = [p.numel() for p in theta]
    F = torch.cat([torch.cat([b.reshape(n, m) for b, m in zip(row, sizes, strict=True)], 1)
                   for row, n in zip(blocks, sizes, strict=True)])  # fmt: skip
    product = fisher_product(divergence(*theta), theta, damping=0.3)
    for seed in range(5):
        v = normal(seed, sum(sizes))
        close(product(v), F @ v + 0.3 * v)
    fisher = torch.zeros_like(F)  # E[∇log π ∇log πᵀ], the other definition
    for row in x:
        logp = net(row[None]).log_softmax(-1)[0]
        for k in range(5):
            score = flat(torch.autograd.grad(logp[k], theta, retain_graph=True))
            fisher += logp[k].exp().detach() * torch.outer(score, score) / len(x)
    torch.testing.assert_close(F, fisher, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_the_direction_is_the_natural_gradient_of_a_tabular_policy(seed):
    """F⁺g of the exact model: in each state the advantages less their mean over actions."""
    mdp, theta = model(seed), normal(seed, 4, 3).requires_grad_()
    exact = exact_policy_gradient(mdp, theta.detach().numpy())
    visits = torch.from_numpy(exact.occupancy.reshape(4, 3))
    adv, old = torch.from_numpy(exact.advantages.reshape(4, 3)), theta.detach().clone()
    surrogate = (visits * (theta.log_softmax(-1) - old.log_softmax(-1)).exp() * adv).sum()
    divergence = (visits.sum(-1) * kl_categorical(old, theta)).sum()
    x, product = natural_direction(surrogate, divergence, [theta], damping=0.0, iterations=60)
    np.testing.assert_allclose(x.numpy(), exact.natural, atol=1e-4)
    np.testing.assert_allclose(product.numpy(), exact.gradient, atol=1e-5)  # F F⁺ g = g
    np.testing.assert_allclose(exact.fisher @ x.numpy(), exact.gradient, atol=1e-5)
    length = step_length(x, product, 0.02)
    assert 0.5 * float((length * x) @ (length * product)) == pytest.approx(0.02)


def test_a_gradient_of_zero_is_a_step_of_zero():
    assert step_length(torch.zeros(3), torch.zeros(3), 0.01) == 0.0


# ---------------------------------------------------------------------------------------------------- line search
def compare_search(search):
    """Accepts the first step that is better and near; puts everything back where there is none."""
    a, b = normal(0, 2, 3).float(), normal(1, 4).float()
    began = [a.clone(), b.clone()]
    step = normal(2, 10).float()

    def moved():
        return flat([x - y for x, y in zip((a, b), began, strict=True)])

    def measure(best, reach):
        share = moved() @ step / (step @ step)
        return torch.tensor(-((float(share) - best) ** 2)), share.square() * reach

    found = search([a, b], step, lambda: measure(0.2, 0.1), radius=0.05, shrink=0.5, tries=9)
    assert found.accepted
    assert found.share == 0.25  # 1 and ½ are past the best
    torch.testing.assert_close(moved(), 0.25 * step)
    for x, y in zip((a, b), began, strict=True):
        x.copy_(y)
    found = search([a, b], step, lambda: measure(1.0, 0.9), radius=0.05, shrink=0.5, tries=9)
    assert found.share == 0.125  # 0.9 · 0.25² is 0.056: the divergence, not the gain, decides
    for x, y in zip((a, b), began, strict=True):
        x.copy_(y)
    for measured in (
        lambda: measure(-1.0, 0.0),  # better only backwards
        lambda: measure(1.0, 1e9),  # never near
        lambda: (torch.tensor(float("nan")), torch.tensor(0.0)),
        lambda: (measure(1.0, 0.0)[0], torch.tensor(float("nan"))),
    ):
        found = search([a, b], step, measured, radius=0.05, shrink=0.5, tries=9)
        assert not found.accepted
        assert torch.equal(a, began[0])  # to the bit
        assert torch.equal(b, began[1])


def test_the_line_search_accepts_what_is_better_and_near_or_moves_nothing():
    compare_search(line_search)
    with pytest.raises(ValueError, match="shrink"):
        line_search([], torch.zeros(0), lambda: (torch.zeros(()), torch.zeros(())), radius=1.0, shrink=1.0)


def test_a_search_that_does_not_put_back_is_detected():
    """Tianshou #1287: after the last try failed the parameters stayed where it had put them."""

    def wrong(parameters, step, measure, **settings):
        kept = [copy.deepcopy(p) for p in parameters]
        found = line_search(parameters, step, measure, **settings)
        if not found.accepted:
            for p, start, move in zip(parameters, kept, step.split([p.numel() for p in parameters]), strict=True):
                p.copy_(start + settings["shrink"] ** (settings["tries"] - 1) * move.view_as(p))
        return found

    with pytest.raises(AssertionError):
        compare_search(wrong)


def test_a_search_that_only_asks_for_the_divergence_is_detected():
    def wrong(parameters, step, measure, **settings):
        return line_search(parameters, step, lambda: (-measure()[1], measure()[1] * 0 + measure()[1]), **settings)

    with pytest.raises(AssertionError):
        compare_search(wrong)
