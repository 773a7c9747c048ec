from functools import partial

import pytest
import torch

from operant.math import objective
from operant.math.divergence import k3
from operant.math.objective import (
    cdpo,
    cispo,
    clipped_surrogate,
    clipped_value_loss,
    dpo,
    huber,
    ipo,
    kto,
    nll,
    policy_gradient,
    td_loss,
    value_loss,
)
from operant.math.reduce import token_mean
from reference import losses
from reference.compare import compare_clipped_surrogate, compare_loss
from reference.rows import Rows, close, every


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_clipped_surrogate_equals_the_loop():
    every(partial(compare_clipped_surrogate, clipped_surrogate))


def test_the_other_losses_equal_their_loops():
    def compare(r: Rows) -> None:
        value, loss = r.value[:, :-1], partial
        compare_loss(loss(policy_gradient, r.logp, r.reward, r.acted), -r.logp * r.reward, r)
        compare_loss(loss(nll, r.logp, r.acted), -r.logp, r)
        want = losses.cispo(r.logp, r.behaviour_logp, r.reward, 1.1)
        compare_loss(loss(cispo, r.logp, r.behaviour_logp, r.reward, r.acted, max_ratio=1.1), want, r)
        compare_loss(loss(value_loss, value, r.q, r.acted), 0.5 * (value - r.q) ** 2, r)
        compare_loss(loss(td_loss, value, r.q, r.acted, error=huber), losses.huber(value - r.q), r)
        want = losses.clipped_value_loss(value, r.reward, r.q, 0.3)
        compare_loss(loss(clipped_value_loss, value, r.reward, r.q, r.acted, clip=0.3), want, r)

    every(compare)


def test_metrics_are_means_over_the_decisions():
    def compare(r: Rows) -> None:
        _, got = clipped_surrogate(r.logp, r.behaviour_logp, r.reward, r.acted, clip=0.2, clip_high=0.4)
        ratio = (r.logp - r.behaviour_logp).exp()
        if not r.acted.any():
            return
        close(got["ratio"], ratio[r.acted].mean())
        close(got["kl"], k3(r.behaviour_logp, r.logp)[r.acted].mean())
        close(got["clip_fraction"], ((ratio < 0.8) | (ratio > 1.4))[r.acted].float().mean(), tol=1e-6)
        value, old, target = r.value[:, :-1], r.reward, r.q
        _, got = clipped_value_loss(value, old, target, r.acted, clip=0.3)
        close(got["error"], (value - target).abs()[r.acted].mean())
        close(got["clip_fraction"], ((value - old).abs() > 0.3)[r.acted].float().mean(), tol=1e-6)
        close(nll(r.logp, r.acted)[1]["perplexity"], (-r.logp[r.acted].mean()).exp())

    every(compare)


def every_loss(logp, old, adv, acted):
    """Each per-step loss as a function of its first argument."""
    return {
        "policy_gradient": policy_gradient(logp, adv, acted),
        "clipped_surrogate": clipped_surrogate(logp, old, adv, acted, clip=0.2),
        "cispo": cispo(logp, old, adv, acted, max_ratio=1.5),
        "nll": nll(logp, acted),
        "td_loss": td_loss(logp, adv, acted, error=huber),
        "value_loss": value_loss(logp, adv, acted),
        "clipped_value_loss": clipped_value_loss(logp, old, adv, acted, clip=0.2),
    }


def test_no_gradient_where_not_acted_nor_through_weights_and_metrics_are_detached():
    logp, old, adv = (x.requires_grad_() for x in normal(3, 4, 6).unbind())
    acted = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) < 0.5
    for name, (loss, metrics) in every_loss(logp, old, adv, acted).items():
        grad = torch.autograd.grad(loss, (logp, old, adv), allow_unused=True)
        assert bool((grad[0][~acted] == 0).all()), name
        assert bool((grad[0][acted] != 0).any()), name
        assert grad[1] is None, name
        assert grad[2] is None, name
        assert not any(m.requires_grad or m.ndim for m in metrics.values()), name


@pytest.mark.parametrize("junk", [-1e9, torch.inf, torch.nan])
def test_padding_may_hold_anything(junk):
    """Where not acted no weight, target or older number is read: neither a loss nor a gradient changes."""
    logp, old, adv = normal(3, 4, 6)
    acted = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) < 0.5

    def run(old, adv):
        x = logp.clone().requires_grad_()
        pairs = every_loss(x, old, adv, acted).items()
        return {k: (loss.detach(), torch.autograd.grad(loss, x)[0], metrics) for k, (loss, metrics) in pairs}

    clean, dirty = run(old, adv), run(old.masked_fill(~acted, junk), adv.masked_fill(~acted, junk))
    for name, (loss, grad, metrics) in clean.items():
        assert bool(dirty[name][0] == loss), name
        assert bool((dirty[name][1] == grad).all()), name
        assert dirty[name][2] == metrics, name


def test_gradients():
    logp, old, adv = normal(3, 3, 4)
    acted = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)) < 0.6
    for name in every_loss(logp, old, adv, acted):
        if name == "cispo":  # its weight is held fixed: not the derivative of its value
            continue
        x = logp.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda x, name=name: every_loss(x, old, adv, acted)[name][0], (x,)), name


def test_cispo_gradient_is_the_weighted_score():
    logp, old, adv = (x.clone() for x in normal(3, 5))
    logp.requires_grad_()
    acted = torch.ones(5, dtype=torch.bool)
    (grad,) = torch.autograd.grad(cispo(logp, old, adv, acted, max_ratio=1.5)[0], logp)
    close(grad, -(logp.detach() - old).exp().clamp(max=1.5) * adv / 5)


def test_clip_fraction_counts_decisions_only():
    """A ceiling below 1 clips the ratio 1 that stands where not acted; that is nobody's decision."""
    zero, acted = torch.zeros(4), torch.tensor([True, True, False, False])
    logp = torch.tensor([0.0, -5.0, 0.0, 0.0])
    assert float(cispo(logp, zero, zero, acted, max_ratio=0.5)[1]["clip_fraction"]) == 0.5


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
    x, acted = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(TypeError, match=r"adv must be a floating-point tensor, got torch\.bool"):
        policy_gradient(x, acted, acted)
    with pytest.raises(TypeError, match=r"acted is a mask and must be torch\.bool, got torch\.float32"):
        value_loss(x, x, x)
    with pytest.raises(ValueError, match=r"old_logp must have shape \[2, 3\], got \[2, 1\]"):
        clipped_surrogate(x, x[:, :1], x, acted, clip=0.2)
    with pytest.raises(ValueError, match=r"clip must be at least 0, got -0\.1"):
        clipped_surrogate(x, x, x, acted, clip=-0.1)
    with pytest.raises(ValueError, match=r"clip_high must be at least 0"):
        clipped_surrogate(x, x, x, acted, clip=0.1, clip_high=-0.1)
    with pytest.raises(ValueError, match="max_ratio must be above 0"):
        cispo(x, x, x, acted, max_ratio=0.0)
    with pytest.raises(ValueError, match="beta must be above 0"):
        dpo(x, x, x, x, beta=0.0)
    with pytest.raises(ValueError, match=r"flipped must lie in \[0, 1\]"):
        cdpo(x, x, x, x, beta=1.0, flipped=1.5)
    with pytest.raises(ValueError, match=r"rejected must have shape \[2, 3\], got \[3\]"):
        ipo(x, x[0], x, x, beta=1.0)
    with pytest.raises(TypeError, match="acted is a mask"):
        objective.nll(x, x)
