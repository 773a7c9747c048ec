"""Losses of offline methods against loops, quadrature and their limits."""

from __future__ import annotations

import math

import pytest
import torch

from operant.math.logprob import ruled_out
from operant.math.objective import squared
from operant.math.offline import advantage_weight, conservative_penalty, expectile_loss, value_scale
from reference import offline as slow
from reference.rows import close


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------- expectiles
@pytest.mark.parametrize("tau", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_expectile_loss_equals_its_loop(tau):
    error = normal(0, 40)
    want = slow.expectile_loss(error.tolist(), tau)
    close(expectile_loss(error, expectile=tau), torch.tensor(want, dtype=torch.float64))


def minimiser(values, tau):
    at = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([at], max_iter=200, tolerance_grad=1e-14, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        total = expectile_loss(values - at, expectile=tau).sum()
        total.backward()
        return total

    optimizer.step(loss)
    return float(at.detach())


@pytest.mark.parametrize("tau", [0.05, 0.3, 0.5, 0.7, 0.95])
def test_its_minimiser_is_the_expectile(tau):
    values = normal(1, 25)
    assert minimiser(values, tau) == pytest.approx(slow.expectile(values.tolist(), tau), abs=1e-6)


def test_at_one_half_it_is_half_the_square_and_its_minimiser_the_mean():
    values = normal(2, 30)
    close(expectile_loss(values, expectile=0.5), squared(values))
    assert minimiser(values, 0.5) == pytest.approx(float(values.mean()), abs=1e-8)


def test_towards_one_it_goes_to_the_maximum_and_with_its_sign_turned_to_the_minimum():
    values = normal(3, 30)
    assert minimiser(values, 0.9999) == pytest.approx(float(values.max()), abs=0.02)
    turned = minimiser(-values, 0.9999)  # the bug: u = estimate − target
    assert -turned == pytest.approx(float(values.min()), abs=0.02)


# ---------------------------------------------------------------------------------------------------- weights
def test_a_better_action_weighs_more_up_to_a_bound():
    adv = torch.tensor([-2.0, 0.0, 1.0, 50.0])
    want = torch.tensor([math.exp(-6.0), 1.0, math.exp(3.0), 100.0])
    torch.testing.assert_close(advantage_weight(adv, inverse_temperature=3.0), want)
    assert torch.equal(advantage_weight(adv, inverse_temperature=0.0), torch.ones(4))


def test_its_minimiser_is_the_policy_at_a_price_for_its_distance():
    """argmin_π −Σ_a μ(a) exp(β A) log π(a) is μ exp(β A) / Z, which maximises E_π[A] − KL(π || μ) / β."""
    behaviour, adv, beta = normal(4, 5).softmax(-1), normal(5, 5), 2.0
    logits = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")
    weight = behaviour * advantage_weight(adv, inverse_temperature=beta)

    def loss():
        optimizer.zero_grad()
        total = -(weight * logits.log_softmax(-1)).sum()
        total.backward()
        return total

    optimizer.step(loss)
    policy = logits.detach().softmax(-1)
    close(policy, (behaviour.log() + beta * adv).softmax(-1), tol=2e-4)

    def gain(p):
        return float((p * adv).sum() - (p * (p / behaviour).log()).sum() / beta)

    assert all(gain(policy) >= gain((policy.log() + 0.1 * normal(k, 5)).softmax(-1)) for k in range(10))


def test_no_gradient_reaches_what_they_are_made_of():
    adv, q = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    assert not advantage_weight(adv, inverse_temperature=1.0).requires_grad
    assert not value_scale(q, torch.ones(3).bool(), alpha=1.0).requires_grad


def test_the_scale_makes_values_as_large_as_alpha_in_any_units():
    q, acted = normal(6, 20) * 70, torch.arange(20) < 15
    q[15:] = torch.nan
    for unit in (1.0, 1e-4, 1e6):
        scale = value_scale(unit * q, acted, alpha=2.5)
        close((scale * unit * q)[acted].abs().mean(), torch.tensor(2.5, dtype=torch.float64))
    assert float(value_scale(torch.zeros(3), torch.ones(3).bool(), alpha=2.5)) == 0.0


# ---------------------------------------------------------------------------------------------------- conservative
def test_the_penalty_of_choices_equals_its_loop():
    q, action = normal(7, 30, 4), torch.randint(4, (30,), generator=torch.Generator().manual_seed(8))
    taken = q.gather(-1, action[:, None]).squeeze(-1)
    want = [slow.conservative_penalty(row.tolist(), int(a)) for row, a in zip(q, action, strict=True)]
    close(conservative_penalty(q, taken), torch.tensor(want, dtype=torch.float64))


def test_its_gradient_pushes_down_what_is_likely_by_its_values_and_up_what_was_done():
    q = normal(9, 1, 4).requires_grad_()
    conservative_penalty(q, q[:, 2]).sum().backward()
    want = q.detach().softmax(-1)
    want[0, 2] -= 1
    close(q.grad, want)


def test_what_is_ruled_out_has_no_share():
    q = normal(10, 6, 3).float()
    allowed = torch.tensor([True, False, True])
    got = conservative_penalty(ruled_out(q, allowed), q[:, 0])
    torch.testing.assert_close(got, q[:, [0, 2]].logsumexp(-1) - q[:, 0])


def values(a):
    return 3 * torch.sin(4 * a) - a.square()


def integral():
    grid = torch.linspace(-1, 1, 200_001, dtype=torch.float64)
    return float(torch.trapezoid(values(grid).exp(), grid).log())


@pytest.mark.parametrize("sampler", ["uniform", "policy", "both"])
def test_drawn_actions_estimate_the_integral_whatever_they_are_drawn_from(sampler):
    g = torch.Generator().manual_seed(11)
    M = 200_000
    even = torch.rand(M, generator=g, dtype=torch.float64) * 2 - 1
    u = 0.3 + 0.9 * torch.randn(M, generator=g, dtype=torch.float64)
    drawn = u.tanh()
    log_normal = -0.5 * ((u - 0.3) / 0.9).square() - math.log(0.9) - 0.5 * math.log(2 * math.pi)
    density = log_normal - torch.log1p(-drawn.square())
    a = {"uniform": even, "policy": drawn, "both": torch.cat([even, drawn])}[sampler]
    at = {"uniform": [-math.log(2.0)], "policy": [], "both": [-math.log(2.0)]}[sampler]
    log_density = torch.cat([torch.full((M,), x, dtype=torch.float64) for x in at] + [density] * (sampler != "uniform"))
    got = conservative_penalty(values(a)[None], torch.zeros(1, dtype=torch.float64), log_density[None])
    assert float(got) == pytest.approx(integral(), abs=0.02)


def test_without_their_densities_the_estimate_is_off():
    a = torch.rand(100_000, generator=torch.Generator().manual_seed(12), dtype=torch.float64) * 2 - 1
    none = torch.zeros(1, dtype=torch.float64)
    got = conservative_penalty(values(a)[None], none, torch.zeros(1, len(a), dtype=torch.float64))
    assert abs(float(got) - integral()) > 0.5


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: expectile_loss(torch.zeros(2), expectile=1.5), "expectile"),
        (lambda: advantage_weight(torch.zeros(2), inverse_temperature=-1.0), "inverse_temperature"),
        (lambda: advantage_weight(torch.zeros(2), inverse_temperature=1.0, most=0.0), "most"),
        (lambda: conservative_penalty(torch.zeros(2, 3), torch.zeros(3)), "q"),
        (lambda: conservative_penalty(torch.zeros(2, 3), torch.zeros(2), torch.zeros(2, 4)), "log_density"),
        (lambda: value_scale(torch.zeros(2), torch.ones(2).bool(), alpha=-1.0), "alpha"),
    ],
)
def test_what_does_not_fit_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
