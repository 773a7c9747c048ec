import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.math.bellman import (
    backup,
    categorical_error,
    distributional_projection,
    double_q_target,
    greedy,
    munchausen,
    quantile_huber,
    soft_backup,
)
from reference import distributions as slow
from reference.rows import close


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TERMINATED = torch.tensor([False, True, False, True])


def test_backups_equal_their_loops():
    reward, q, judge = normal(0, 4), normal(1, 4, 3), normal(2, 4, 3)
    discount = torch.tensor([0.9, 0.8, 0.7, 1.0], dtype=torch.float64)
    for i in range(4):
        left = 0.0 if TERMINATED[i] else float(discount[i])
        values, judged = q[i].tolist(), judge[i].tolist()
        close(backup(reward, judge[:, 0], TERMINATED, discount)[i], reward[i] + left * judged[0])
        close(backup(reward, greedy(q), TERMINATED, discount)[i], reward[i] + left * max(values))
        want = reward[i] + left * judged[values.index(max(values))]
        close(double_q_target(reward, q, judge, TERMINATED, discount)[i], want)
        policy = torch.tensor(slow.softmax([v / 0.7 for v in values]), dtype=torch.float64)
        want = reward[i] + left * (policy * (q[i] - 0.7 * policy.log())).sum()  # E_π[Q − α log π] at its maximiser
        close(soft_backup(reward, q, TERMINATED, discount, temperature=0.7)[i], want)


def test_the_value_after_the_end_is_not_read():
    reward, following = torch.ones(2), torch.tensor([torch.nan, 2.0])
    close(backup(reward, following, torch.tensor([True, False]), 0.5), torch.tensor([1.0, 2.0]))


def test_double_q_does_not_overestimate_like_the_maximum():
    q, judge = normal(3, 1000, 5), normal(4, 1000, 5)  # all true values are 0
    zero, no = torch.zeros(1000, dtype=torch.float64), torch.zeros(1000, dtype=torch.bool)
    assert abs(float(double_q_target(zero, q, judge, no, 1.0).mean())) < 0.1
    assert float(backup(zero, greedy(q), no, 1.0).mean()) > 1.0


def test_soft_backup_is_stable_at_small_temperatures():
    q = torch.tensor([[1e4, -1e4]])
    got = soft_backup(torch.zeros(1), q, torch.zeros(1, dtype=torch.bool), 1.0, temperature=1e-4)
    close(got, torch.tensor([1e4]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.booleans())
def test_projection_equals_the_loop_keeps_mass_and_mean(seed, K, on_atoms):
    support = torch.linspace(-2.0, 3.0, K, dtype=torch.float64)
    probability = (2.0 * normal(seed, 4, K)).softmax(-1)
    reward = support[torch.arange(4) % K] if on_atoms else normal(seed + 1, 4)
    discount = torch.tensor([0.9, 0.5, 1.0, 0.0], dtype=torch.float64)
    got = distributional_projection(reward, probability, TERMINATED, discount, support=support)
    for i in range(4):
        case = float(reward[i]), probability[i].tolist(), bool(TERMINATED[i]), float(discount[i]), support.tolist()
        close(got[i], slow.projection(*case))
    close(got.sum(-1), torch.ones(4))
    moved = backup(
        reward[:, None].expand(4, K), support.expand(4, K), TERMINATED[:, None].expand(4, K), discount[:, None]
    )
    close(
        (got * support).sum(-1), (probability * moved.clamp(-2.0, 3.0)).sum(-1)
    )  # linear interpolation keeps the mean


def test_projection_with_one_discount_and_leading_dimensions():
    support = torch.linspace(-1.0, 1.0, 5)
    probability = torch.full((2, 3, 5), 0.2)
    no = torch.zeros(2, 3, dtype=torch.bool)
    close(distributional_projection(torch.zeros(2, 3), probability, no, 1.0, support=support), probability, tol=1e-6)
    gone = distributional_projection(torch.full((2, 3), 9.0), probability, ~no, 0.9, support=support)
    close(gone, torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0]).expand(2, 3, 5), tol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 7), st.sampled_from([0.0, 0.3, 1.0, 5.0]))
def test_quantile_huber_equals_its_loop(seed, N, M, threshold):
    quantile, target = normal(seed, 3, N), 2 * normal(seed + 1, 3, M)
    got = quantile_huber(quantile, target, threshold=threshold)
    for i in range(3):
        close(got[i], slow.quantile_huber(quantile[i].tolist(), target[i].tolist(), threshold))


def test_quantile_regression_ends_at_the_quantiles():
    """Of 1, …, 100 the midpoints of four quarters; the mean of such quantiles is the mean of the numbers."""
    target, theta = torch.arange(1.0, 101.0, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    for k in range(4000):
        theta.requires_grad_()
        (gradient,) = torch.autograd.grad(quantile_huber(theta, target, threshold=0.0), theta)
        theta = theta.detach() - 200.0 / (10 + k) * gradient
    close(theta, torch.tensor([12.5, 37.5, 62.5, 87.5]), tol=0.6)


def test_categorical_error_is_the_divergence_and_its_gradient_that_of_the_cross_entropy():
    logits, other = normal(8, 5, 4).requires_grad_(), normal(9, 5, 4)
    target = other.softmax(-1)
    got = categorical_error(logits, target)
    for i in range(5):
        close(got[i].detach(), slow.kl_categorical(other[i].tolist(), logits[i].tolist()))
    close(categorical_error(other, target), torch.zeros(5))
    (gradient,) = torch.autograd.grad(got.sum(), logits)
    close(gradient, logits.detach().softmax(-1) - target)
    certain = torch.tensor([[0.0, 1.0]], dtype=torch.float64)  # 0 log 0 is 0
    close(categorical_error(torch.zeros(1, 2, dtype=torch.float64), certain), certain.new_tensor([2.0]).log())


def test_munchausen_adds_the_bounded_log_probability():
    q, reward = normal(10, 4, 3), normal(11, 4)
    action = torch.tensor([0, 2, 1, 1])
    got = munchausen(reward, q, action, temperature=0.3, scale=0.9, least=-0.5)
    for i in range(4):
        policy = slow.softmax([v / 0.3 for v in q[i].tolist()])
        log = torch.tensor(policy[int(action[i])], dtype=torch.float64).log()
        close(got[i], reward[i] + 0.9 * max(-0.5, float(0.3 * log)))


def test_gradients():
    reward, q = normal(5, 4).requires_grad_(), normal(6, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda r, x: soft_backup(r, x, TERMINATED, 0.9, temperature=0.5), (reward, q))
    assert torch.autograd.gradcheck(lambda r, x: backup(r, greedy(x), TERMINATED, 0.9), (reward, q))
    fixed = normal(7, 4, 5)
    assert torch.autograd.gradcheck(lambda x: quantile_huber(x, fixed, threshold=0.7), q)


def test_errors_name_the_argument():
    x, q = torch.zeros(2), torch.zeros(2, 3)
    no = torch.zeros(2, dtype=torch.bool)
    with pytest.raises(TypeError, match=r"terminated is a mask and must be torch\.bool, got torch\.float32"):
        backup(x, x, x, 0.9)
    with pytest.raises(ValueError, match=r"next_value must have shape \[2\], got \[2, 3\]"):
        backup(x, q, no, 0.9)
    with pytest.raises(ValueError, match=r"discount must lie in \[0, 1\], got 1\.5"):
        soft_backup(x, q, no, 1.5, temperature=1.0)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        soft_backup(x, q, no, 0.9, temperature=0.0)
    with pytest.raises(ValueError, match=r"next_q_target must have shape \[2, 3\], got \[2, 2\]"):
        double_q_target(x, q, q[:, 1:], no, 0.9)
    with pytest.raises(ValueError, match=r"support must have shape \[K\] with K >= 2, got \[1\]"):
        distributional_projection(x, q[:, :1], no, 0.9, support=torch.zeros(1))
    with pytest.raises(ValueError, match=r"target must have shape \[2, 4\], got \[3, 4\]"):
        quantile_huber(q, torch.zeros(3, 4))
    with pytest.raises(ValueError, match="threshold must be at least 0"):
        quantile_huber(q, q, threshold=-1.0)
    with pytest.raises(ValueError, match=r"target must have shape \[2, 3\], got \[2, 2\]"):
        categorical_error(q, q[:, 1:])
    with pytest.raises(TypeError, match=r"action holds indices and must be torch\.int64"):
        munchausen(x, q, x, temperature=1.0)
    with pytest.raises(ValueError, match=r"next_probability must have shape \[2, 5\], got \[2, 3\]"):
        distributional_projection(x, q, no, 0.9, support=torch.linspace(0, 1, 5))
