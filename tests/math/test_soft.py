"""Soft values against loops over actions and by sampling, and the temperature's step in its direction."""

import math

import numpy as np
import pytest
import torch

from operant.math.bellman import ensemble_loss, soft_backup
from operant.math.logprob import masked_logits, squashed_normal_logp
from operant.math.soft import expected_soft_value, soft_value, swept_value, temperature_loss
from reference import distributions as slow
from reference.rows import close


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_expectation_equals_its_loop():
    q, logits = normal(0, 5, 4), normal(1, 5, 4)
    for b in range(5):
        policy = slow.softmax(logits[b].tolist())
        want = sum(p * (float(v) - 0.3 * math.log(p)) for p, v in zip(policy, q[b], strict=True))
        close(expected_soft_value(q, logits, 0.3)[b], torch.tensor(want, dtype=torch.float64))


def test_at_the_soft_optimum_it_is_the_soft_backup():
    q = normal(2, 6, 3)
    zero, no = torch.zeros(6, dtype=torch.float64), torch.zeros(6, dtype=torch.bool)
    close(expected_soft_value(q, q / 0.4, 0.4), soft_backup(zero, q, no, 1.0, temperature=0.4))


def test_one_action_drawn_is_right_on_average():
    q, logits = normal(3, 4), normal(4, 4)
    logp = logits.log_softmax(-1)
    drawn = torch.from_numpy(np.random.default_rng(0).choice(4, 200_000, p=logp.exp().numpy()))
    mean = soft_value(q[drawn], logp[drawn], 0.5).mean()
    assert abs(float(mean - expected_soft_value(q, logits, 0.5))) < 0.01


@pytest.mark.parametrize("temperature", [0.0, 0.1, 50.0])
def test_what_is_ruled_out_has_no_share_and_no_gradient(temperature):
    allowed = torch.tensor([[True, False, True], [False, False, True]])
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(5), requires_grad=True)
    q = torch.tensor([[1.0, 1e30, 2.0], [torch.inf, -torch.inf, 3.0]])
    value = expected_soft_value(q, masked_logits(logits, allowed), temperature)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[~allowed] == 0).all()
    assert value.detach()[1] == 3.0


def test_its_gradient_is_that_of_the_expectation():
    q, logits = normal(6, 1, 3), normal(7, 1, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: expected_soft_value(q, x, 0.7), (logits,))


def swept_on_average(estimate):
    """E Q over choices of 2 and 3, and that of an estimate; with gradients by logits and by what Q depends on."""
    gen, found = torch.Generator().manual_seed(4), []
    first = [torch.randn(2, generator=gen, dtype=torch.float64), torch.randn(3, generator=gen, dtype=torch.float64)]
    table, scale = torch.randn(2, 3, generator=gen, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    for swept in (False, True):
        leaves = [x.clone().requires_grad_() for x in (*first, scale)]
        one, other, q = leaves[0].softmax(0), leaves[1].softmax(0), (table * leaves[2]).sin()
        value = (one[:, None] * other * q).sum()
        if swept:
            weight = (one[:, None] * other).detach()
            chance = torch.cat([one, other])
            value = sum(weight[i, j] * estimate(torch.cat([q[:, j], q[i]]), chance) for i in range(2) for j in range(3))
        found.append((value.detach(), *torch.autograd.grad(value, leaves)))
    return found


def test_choices_in_turn_are_right_on_average_and_so_are_both_gradients():
    exact, got = swept_on_average(lambda q, chance: swept_value(q, chance, 2))
    for one, other in zip(got, exact, strict=True):
        close(one, other)
    exact, got = swept_on_average(lambda q, chance: (q * chance).sum() / 2)  # the mean alone: half of the credit
    assert (got[1] - exact[1]).abs().max() > 0.01


@pytest.mark.parametrize("linear", [False, True])
def test_the_temperature_falls_where_there_is_more_entropy_than_asked_for(linear):
    for entropy, sign in ((3.0, 1.0), (1.0, -1.0)):
        log = torch.zeros((), requires_grad=True)
        temperature_loss(log.exp() if linear else log, torch.full((8,), entropy), 2.0).backward()
        assert float(log.grad) == sign * 1.0  # a step down it lowers α in the first case


def test_a_squashed_normal_without_its_slope_has_another_entropy():
    """−E[log π] of tanh u against a histogram's; the normal's own, which grows without bound, is far from it."""
    u = 3.0 * torch.randn(400_000, 1, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    mean, log_std = torch.zeros_like(u), torch.full_like(u, math.log(3.0))
    ours = float(-squashed_normal_logp(mean, log_std, u).mean())
    inside = u.tanh().numpy().ravel()
    edges = np.tanh(np.linspace(-12, 12, 4001))  # narrow where the density is steep
    count, _ = np.histogram(inside, edges)
    share = count / count.sum()
    measured = -np.sum(share[count > 0] * np.log(share[count > 0] / np.diff(edges)[count > 0]))
    assert abs(ours - measured) < 0.02
    assert ours < math.log(2.0) < math.log(3.0) + 1.4


def test_critics_share_a_target_and_are_weighed():
    q, y = normal(9, 2, 4).requires_grad_(), normal(10, 4)
    weight, acted = torch.tensor([1.0, 0.5, 2.0, torch.nan], dtype=torch.float64), torch.tensor([True] * 3 + [False])
    loss, error = ensemble_loss(q, y, weight, acted)
    want = sum(0.5 * weight[b] * (q[k, b] - y[b]) ** 2 for k in range(2) for b in range(3)) / 3
    close(loss.detach(), want.detach())
    close(error, torch.where(acted, (q - y).detach().abs().mean(0), 0.0))
    loss.backward()
    assert (q.grad[:, 3] == 0).all()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: soft_value(torch.zeros(2), torch.zeros(3), 1.0), "logp"),
        (lambda: soft_value(torch.zeros(2), torch.zeros(2), -1.0), "temperature"),
        (lambda: expected_soft_value(torch.zeros(2, 3), torch.zeros(2, 4), 1.0), "logits"),
        (lambda: temperature_loss(torch.zeros(2), torch.zeros(2), 1.0), "price"),
        (lambda: ensemble_loss(torch.zeros(2, 3), torch.zeros(4), torch.ones(4), torch.ones(4).bool()), "q"),
    ],
)
def test_what_does_not_fit_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
