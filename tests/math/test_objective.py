from functools import partial

import pytest
import torch

from operant.math import objective
from operant.math.divergence import k3
from operant.math.objective import (
    cispo,
    clipped_surrogate,
    clipped_value_loss,
    huber,
    nll,
    penalised_surrogate,
    policy_gradient,
    td_loss,
    value_loss,
)
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
        ratio = (r.logp - r.behaviour_logp).exp()
        want = -ratio * r.reward + 0.7 * (ratio - 1 - ratio.log())
        compare_loss(loss(penalised_surrogate, r.logp, r.behaviour_logp, r.reward, r.acted, kl_coef=0.7), want, r)
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
    with pytest.raises(TypeError, match="acted is a mask"):
        objective.nll(x, x)
