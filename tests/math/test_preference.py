from functools import partial

import pytest
import torch

from operant.math.preference import cdpo, dpo, ipo, kto
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
    for loss in (dpo, partial(cdpo, flipped=0.2), ipo):
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
