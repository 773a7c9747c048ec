from functools import partial

import numpy as np
import pytest
import torch

from operant.math.preference import (
    alpha_divergence,
    cdpo,
    dpo,
    forward_kl,
    group_means,
    group_weights,
    hinge,
    ipo,
    jensen_shannon,
    kto,
    rdpo,
    reverse_kl,
)
from operant.math.reduce import token_mean
from reference import losses
from reference.rows import close


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_preferences_equal_their_loops():
    x = normal(4, 9)
    n = [v.numpy() for v in x]
    close(dpo(*x, beta=0.3)[0], losses.cdpo(*n, 0.3, 0.0).mean())
    close(cdpo(*x, beta=0.3, flipped=0.1)[0], losses.cdpo(*n, 0.3, 0.1).mean())
    close(ipo(*x, beta=0.3)[0], losses.ipo(*n, 0.3).mean())
    close(rdpo(*x, beta=0.3, flipped=0.1)[0], losses.rdpo(*n, 0.3, 0.1).mean())
    close(hinge(*x, beta=0.9)[0], losses.hinge(*n, 0.9).mean())
    margin = 0.3 * ((x[0] - x[1]) - (x[2] - x[3]))
    metrics = dpo(*x, beta=0.3)[1]
    close(metrics["margin"], margin.mean())
    close(metrics["accuracy"], (margin > 0).double().mean())
    desirable = torch.tensor([True, False, True, True, False, False, True, False, True])
    for point in (-0.5, 0.2):
        weights = {"desirable_weight": 1.3, "undesirable_weight": 0.7}
        got, metrics = kto(x[0], x[1], desirable, torch.tensor(point).double(), beta=0.3, **weights)
        close(got, losses.kto(n[0], n[1], desirable.numpy(), point, 0.3, 1.3, 0.7).mean())
        close(metrics["reward"], 0.3 * (x[0] - x[1]).mean())
        right = ((x[0] - x[1]) > max(point, 0.0)) == desirable
        close(metrics["accuracy"], right.double().mean())


def test_preferences_of_halves_sum_to_the_whole():
    x = normal(4, 8)
    halves = [dpo(*x[:, i : i + 4], beta=0.1, reduce=partial(token_mean, denominator=8))[0] for i in (0, 4)]
    close(sum(halves), dpo(*x, beta=0.1)[0])


def test_preference_gradients_reach_the_policy_only():
    for loss in (dpo, partial(cdpo, flipped=0.2), partial(rdpo, flipped=0.2), hinge, ipo):
        x = [v.clone().requires_grad_() for v in normal(4, 5)]
        assert torch.autograd.gradcheck(lambda a, b, x=x, loss=loss: loss(a, b, x[2], x[3], beta=0.5)[0], (x[0], x[1]))
        grad = torch.autograd.grad(loss(*x, beta=0.5)[0], x, allow_unused=True)
        assert bool((grad[0] < 0).any())
        assert grad[2] is None
        assert grad[3] is None
    logp, ref, point = normal(5).requires_grad_(), normal(5, seed=1), torch.tensor(0.1).double().requires_grad_()
    desirable = torch.tensor([True, False, True, False, True])
    grad = torch.autograd.grad(kto(logp, ref, desirable, point, beta=0.5)[0], (logp, point), allow_unused=True)
    assert bool((grad[0][desirable] < 0).all())
    assert bool((grad[0][~desirable] > 0).all())
    assert grad[1] is None


def test_preferences_stay_finite_far_out():
    far = torch.full((2,), 1e4, requires_grad=True)
    zero = torch.zeros(2)
    loss, _ = dpo(-far, far, zero, zero, beta=1.0)
    assert float(loss.detach()) == pytest.approx(2e4)
    assert bool(torch.autograd.grad(loss, far)[0].isfinite().all())


def test_errors_name_the_argument():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="beta must be above 0"):
        dpo(x, x, x, x, beta=0.0)
    with pytest.raises(ValueError, match=r"flipped must lie in \[0, 1\]"):
        cdpo(x, x, x, x, beta=1.0, flipped=1.5)
    with pytest.raises(ValueError, match=r"rejected must have shape \[2, 3\], got \[3\]"):
        ipo(x, x[0], x, x, beta=1.0)
    with pytest.raises(ValueError, match=r"flipped must lie in \[0, 0\.5\)"):
        rdpo(x, x, x, x, beta=1.0, flipped=0.5)
    with pytest.raises(ValueError, match="step must be at least 0"):
        group_weights(x[0], x[0], x[0], step=-1.0)
    with pytest.raises(TypeError, match="group holds indices"):
        group_means(x[0], x[0] == 0, group=x[0], groups=2)


def test_robust_dpo_is_free_of_bias():
    """Over labels of which a share ε is flipped, its mean is the loss on clean labels, and so is its gradient."""
    x, flipped = normal(4, 6).requires_grad_(), 0.3
    swapped = x[[1, 0, 3, 2]]
    mixed = (1 - flipped) * rdpo(*x, beta=0.7, flipped=flipped)[0] + flipped * rdpo(*swapped, beta=0.7, flipped=0.3)[0]
    close(mixed.detach(), dpo(*x, beta=0.7)[0].detach())
    close(torch.autograd.grad(mixed, x)[0], torch.autograd.grad(dpo(*x, beta=0.7)[0], x)[0])


def test_scores_are_derivatives_of_their_divergences():
    """f′(u) at u = exp(log-ratio), by differentiation; constants cancel in the difference of two scores."""
    log_ratio = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64)
    alpha = 0.5
    divergences = {
        reverse_kl: lambda u: u * u.log(),
        forward_kl: lambda u: -u.log(),
        jensen_shannon: lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
        partial(alpha_divergence, alpha=alpha): lambda u: (u**alpha - alpha * u) / (alpha * (alpha - 1)),
    }
    for score, f in divergences.items():
        u = log_ratio.exp().requires_grad_()
        slope = torch.autograd.grad(f(u).sum(), u)[0]
        got = score(log_ratio)
        close(got - got[0], slope - slope[0])
    close(alpha_divergence(log_ratio, alpha=0.0), forward_kl(log_ratio))
    close(alpha_divergence(log_ratio, alpha=1 + 1e-7), reverse_kl(log_ratio), tol=1e-5)
    x = normal(4, 5)
    close(dpo(*x, beta=0.4, score=reverse_kl)[0], dpo(*x, beta=0.4)[0])
    assert abs(float(dpo(*x, beta=0.4, score=forward_kl)[0] - dpo(*x, beta=0.4)[0])) > 1e-3


def test_group_means_and_weights():
    x, group = normal(8), torch.tensor([0, 2, 2, 0, 0, 2, 0, 2])
    everyone = torch.ones(8, dtype=torch.bool)
    got = group_means(x, everyone, group=group, groups=3)
    close(got, [float(x[group == g].mean()) if g != 1 else 0.0 for g in range(3)])
    denominator = torch.tensor([3.0, 1.0, 5.0], dtype=torch.float64)
    mean = partial(group_means, groups=3, denominator=denominator)
    halves = [mean(x[at], everyone[at], group=group[at]) for at in (slice(0, 3), slice(3, 8))]
    close(sum(halves), mean(x, everyone, group=group))
    y = normal(4, 8)
    by_group = dpo(*y, beta=0.1, reduce=partial(group_means, group=group, groups=3))[0]
    close(by_group[2], dpo(*y[:, group == 2], beta=0.1)[0])
    weight, count = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64), torch.tensor([4, 9, 100])
    loss = normal(3).requires_grad_()
    new = group_weights(weight, loss, count, step=0.7, adjustment=2.0)
    close(new, losses.group_weights(weight.numpy(), loss.detach().numpy(), count.numpy(), 0.7, 2.0))
    assert not new.requires_grad
    close(group_weights(weight, loss, count, step=0.0), weight)
    assert np.argmax(group_weights(weight, loss.detach() * 0, count, step=1.0, adjustment=50.0).numpy()) == 0


def test_the_reference_point_is_held_fixed():
    """KTO's z_0 comes from the same model, but no gradient flows through it."""
    theta = normal(5).requires_grad_()
    desirable = torch.tensor([True, False, True, False, True])
    ref = normal(5, seed=1)
    moving, _ = kto(theta, ref, desirable, (theta - ref).mean().abs(), beta=0.5)
    fixed, _ = kto(theta, ref, desirable, (theta - ref).mean().abs().detach(), beta=0.5)
    close(torch.autograd.grad(moving, theta)[0], torch.autograd.grad(fixed, theta)[0])
