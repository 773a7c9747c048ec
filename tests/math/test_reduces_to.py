"""Every estimator is another one with other numbers."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.math.advantage import gae, n_step, retrace, reward_to_go, vtrace
from operant.math.bellman import backup, double_q_target, greedy, soft_backup
from operant.math.divergence import k1, k2, k3, kl_categorical, kl_normal
from operant.math.objective import (
    cispo,
    clipped_surrogate,
    clipped_value_loss,
    huber,
    policy_gradient,
    squared,
    td_loss,
    value_loss,
)
from operant.math.preference import cdpo, dpo
from reference.rows import Rows, close, every, make


def masks(r: Rows):
    return r.terminated, r.truncated, r.acted


def test_gae_at_lambda_one_is_reward_to_go_minus_value():
    def compare(r: Rows) -> None:
        want = reward_to_go(r.reward, *masks(r), discount=r.discount, value=r.value) - r.value[:, :-1] * r.acted
        close(gae(*r.steps, discount=r.discount, lam=1.0), want)

    every(compare)


def test_gae_at_lambda_zero_is_one_step():
    def compare(r: Rows) -> None:
        close(gae(*r.steps, discount=0.9, lam=0.0), n_step(*r.steps, n=1, discount=0.9) - r.value[:, :-1] * r.acted)

    every(compare)


def test_gae_is_the_lambda_average_of_n_step_returns():
    def compare(r: Rows) -> None:
        lam, T = 0.7, r.reward.shape[1]
        returns = [n_step(*r.steps, n=n, discount=0.9) for n in range(1, T + 1)]
        mixed = sum((1 - lam) * lam**n * g for n, g in enumerate(returns[:-1])) + lam ** (T - 1) * returns[-1]
        close(gae(*r.steps, discount=0.9, lam=lam), mixed - r.value[:, :-1] * r.acted)

    every(compare, 40)


def test_long_n_step_is_reward_to_go():
    def compare(r: Rows) -> None:
        want = reward_to_go(r.reward, *masks(r), discount=r.discount, value=r.value)
        for n in (r.reward.shape[1], 10**6):
            close(n_step(*r.steps, n=n, discount=r.discount), want)

    every(compare)


def test_vtrace_on_policy_is_td_lambda():
    def compare(r: Rows) -> None:
        for lam in (0.0, 0.7, 1.0):
            target, adv = vtrace(r.logp, r.logp, *r.steps, discount=0.9, lam=lam)
            want = gae(*r.steps, discount=0.9, lam=lam)
            close(adv, want)
            close(target, r.value[:, :-1] + want)

    every(compare)


def test_retrace_on_policy_with_q_equal_to_value_is_td_lambda():
    def compare(r: Rows) -> None:
        got = retrace(r.logp, r.logp, r.reward, r.value[:, :-1], *r.steps[1:], discount=0.9, lam=0.7)
        close(got, r.value[:, :-1] + gae(*r.steps, discount=0.9, lam=0.7))

    every(compare)


def test_retrace_without_a_trace_is_expected_sarsa():
    """λ = 0, and likewise an action that π never takes (c = 0): the target is r + γ V(s')."""

    def compare(r: Rows) -> None:
        want = torch.where(r.acted, n_step(*r.steps, n=1, discount=0.9), r.q)
        steps = r.reward, r.q, *r.steps[1:]
        close(retrace(r.logp, r.behaviour_logp, *steps, discount=0.9, lam=0.0), want)
        close(retrace(torch.full_like(r.logp, -1e3), r.behaviour_logp, *steps, discount=0.9), want)

    every(compare)


def test_retrace_does_not_weigh_the_given_action():
    no = torch.zeros(1, 3, dtype=torch.bool)
    x, value = torch.ones(1, 3), torch.zeros(1, 4)
    behind = torch.tensor([[-9.0, 0.0, 0.0]])  # only the first action is unlikely under π
    close(
        retrace(behind, torch.zeros(1, 3), x, x, value, no, no, ~no, discount=0.9),
        retrace(torch.zeros(1, 3), torch.zeros(1, 3), x, x, value, no, no, ~no, discount=0.9),
    )


def test_surrogates_on_policy_have_the_policy_gradient():
    def compare(r: Rows) -> None:
        logp = r.logp.clone().requires_grad_()
        want = torch.autograd.grad(policy_gradient(logp, r.reward, r.acted)[0], logp)[0]
        for loss in (
            clipped_surrogate(logp, logp.detach(), r.reward, r.acted, clip=0.2)[0],
            cispo(logp, logp.detach(), r.reward, r.acted, max_ratio=5.0)[0],
        ):
            close(torch.autograd.grad(loss, logp)[0], want)

    every(compare, 30)


def test_value_losses_meet():
    def compare(r: Rows) -> None:
        value, target = r.value[:, :-1], r.q
        plain = value_loss(value, target, r.acted)[0]
        close(clipped_value_loss(value, r.reward, target, r.acted, clip=1e6)[0], plain)
        close(clipped_value_loss(value, value, target, r.acted, clip=0.1)[0], plain)
        close(td_loss(value, target, r.acted, error=squared)[0], plain)

    every(compare, 30)
    small = torch.linspace(-1.0, 1.0, 21, dtype=torch.float64)
    close(huber(small), squared(small))


def test_soft_backup_tends_to_the_greedy_one():
    gen = torch.Generator().manual_seed(0)
    reward, q = torch.randn(50, generator=gen).double(), torch.randn(50, 4, generator=gen).double()
    terminated = torch.rand(50, generator=gen) < 0.3
    hard = backup(reward, greedy(q), terminated, 0.9)
    errors = [
        float((soft_backup(reward, q, terminated, 0.9, temperature=t) - hard).abs().max()) for t in (1, 0.1, 1e-3)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 2e-3
    close(double_q_target(reward, q, q, terminated, 0.9), hard)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_estimators_average_to_the_exact_divergence(seed):
    """Over all actions, weighted with π: k1 and k3 are unbiased for KL(π || π_ref)."""
    gen = torch.Generator().manual_seed(seed)
    p, q = torch.randn(2, 5, generator=gen, dtype=torch.float64)
    logp, logq = p.log_softmax(-1), q.log_softmax(-1)
    exact = kl_categorical(p, q)
    close((logp.exp() * k1(logp, logq)).sum(), exact)
    close((logp.exp() * k3(logp, logq)).sum(), exact)
    assert bool((k3(logp, logq) >= 0).all())
    assert bool((k2(logp, logq) >= 0).all())


def test_gradients_of_the_estimators_as_losses():
    """E_π ∇k1 = 0, E_π ∇k2 = ∇KL(π || π_ref), E_π ∇k3 = ∇KL(π_ref || π): as their docstrings say."""
    gen = torch.Generator().manual_seed(1)
    p, q = torch.randn(2, 5, generator=gen, dtype=torch.float64)
    p.requires_grad_()

    def expected(estimator):
        logp = p.log_softmax(-1)
        return torch.autograd.grad((logp.detach().exp() * estimator(logp, q.log_softmax(-1))).sum(), p)[0]

    close(expected(k1), torch.zeros(5))
    close(expected(k2), torch.autograd.grad(kl_categorical(p, q), p)[0])
    close(expected(k3), torch.autograd.grad(kl_categorical(q, p), p)[0])


def test_a_divergence_from_itself_is_zero():
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    zeros = torch.zeros(3, dtype=torch.float64)
    close(kl_categorical(x, x + 5.0), zeros)
    close(kl_normal(x, x.exp(), x, x.exp()), zeros)
    for k in (k1, k2, k3):
        close(k(x, x), torch.zeros_like(x))


def test_preferences_without_noise_are_dpo():
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    close(cdpo(*x, beta=0.1, flipped=0.0)[0], dpo(*x, beta=0.1)[0])
    close(cdpo(*x, beta=0.1, flipped=1.0)[0], dpo(x[1], x[0], x[3], x[2], beta=0.1)[0])


def test_no_policy_lag_no_metrics():
    r = make(torch.arange(2 * 9).reshape(2, 9).numpy(), seed=6)
    _, metrics = clipped_surrogate(r.logp, r.logp, r.reward, r.acted, clip=0.2)
    assert {k: float(v) for k, v in metrics.items()} == {"kl": 0.0, "clip_fraction": 0.0, "ratio": 1.0}
