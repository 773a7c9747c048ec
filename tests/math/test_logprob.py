import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.math.logprob import (
    bernoulli_entropy,
    bernoulli_logp,
    categorical_entropy,
    categorical_logp,
    categorical_sample,
    composite_logp,
    masked_logits,
    multi_categorical_entropy,
    multi_categorical_logp,
    normal_entropy,
    normal_logp,
    squashed_normal_logp,
)
from reference import distributions as slow
from reference.compare import compare_squashed
from reference.rows import close

seeds = st.integers(0, 2**32 - 1)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def normal(seed, *shape):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 6), st.integers(1, 7))
def test_distributions_equal_their_loops(seed, N, K):
    logits = 3.0 * normal(seed, N, K)
    action = torch.randint(0, K, (N,), generator=generator(seed))
    mean, log_std, x = normal(seed + 1, 3, N, K)
    coins = (x > 0).double()
    rows = range(N)
    close(categorical_logp(logits, action), [slow.categorical_logp(logits[i].tolist(), int(action[i])) for i in rows])
    close(categorical_entropy(logits), [slow.categorical_entropy(logits[i].tolist()) for i in rows])
    want = [slow.normal_logp(mean[i].tolist(), log_std[i].tolist(), x[i].tolist()) for i in rows]
    close(normal_logp(mean, log_std, x), want)
    want = [slow.normal_logp(mean[i].tolist(), log_std[0].tolist(), x[i].tolist()) for i in rows]
    close(normal_logp(mean, log_std[0], x), want)
    close(normal_entropy(log_std), [slow.normal_entropy(log_std[i].tolist()) for i in rows])
    close(bernoulli_logp(logits, coins), [slow.bernoulli_logp(logits[i].tolist(), coins[i].tolist()) for i in rows])
    close(bernoulli_entropy(logits), [slow.bernoulli_entropy(logits[i].tolist()) for i in rows])


def test_leading_dimensions():
    logits, action = normal(0, 2, 3, 4), torch.ones(2, 3, dtype=torch.int64)
    close(categorical_logp(logits, action).flatten(), categorical_logp(logits.flatten(0, 1), action.flatten()))
    assert categorical_logp(logits[0, 0], action[0, 0]).shape == ()
    assert categorical_sample(logits, torch.zeros(2, 3)).shape == (2, 3)


def test_gradients():
    logits, action = normal(1, 3, 4).requires_grad_(), torch.tensor([0, 3, 1])
    mean, x = normal(2, 3, 4).requires_grad_(), normal(3, 3, 4).requires_grad_()
    log_std = normal(4, 4).requires_grad_()
    check = torch.autograd.gradcheck
    assert check(lambda l: categorical_logp(l, action), (logits,))
    assert check(categorical_entropy, (logits,))
    assert check(normal_logp, (mean, log_std, x))
    assert check(normal_entropy, (log_std,))
    assert check(squashed_normal_logp, (mean, log_std, x))
    assert check(lambda l: bernoulli_logp(l, (x > 0).double()), (logits,))
    assert check(bernoulli_entropy, (logits,))


# ------------------------------------------------------------------ sampling
@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 9))
def test_sample_equals_the_loop(seed, K):
    logits = 3.0 * normal(seed, 50, K)
    logits[:, 0] = torch.where(normal(seed + 1, 50) > 0, logits[:, 0], -1e30) if K > 1 else 0.0
    uniform = torch.rand(50, generator=generator(seed), dtype=torch.float64)
    want = [slow.categorical_sample(logits[i].tolist(), float(uniform[i])) for i in range(50)]
    assert categorical_sample(logits, uniform).tolist() == want


def test_sample_inverts_the_distribution_function_in_proportion():
    p = torch.tensor([0.1, 0.0, 0.25, 0.4, 0.25, 0.0], dtype=torch.float64)
    uniform = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    drawn = categorical_sample(p.log().expand(10_000, 6), uniform)
    assert torch.bincount(drawn, minlength=6).tolist() == [1000, 0, 2500, 4000, 2500, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("K", [1, 2, 3, 17, 1000, 20_000])
def test_sample_is_robust_at_both_ends(dtype, K):
    """Never an index ≥ K, never an action of probability 0, whatever rounding does to the cumulated sum."""
    logits = (2.0 * normal(K, 8, K)).to(dtype)
    dead = torch.rand(8, K, generator=generator(K)) < 0.5
    dead[:, K // 2] = False
    dead[:4, 0], dead[4:, -1] = K > 1, K > 2  # the first and the last are ruled out in some rows
    for fill in (-math.inf, torch.finfo(dtype).min / 2):
        dead_logits = torch.where(dead, fill, logits)
        for u in (0.0, 1e-45, 0.5, 1 - 2**-24, 1 - 2**-53, 1.0):
            for u_dtype in (torch.float32, torch.float64):
                drawn = categorical_sample(dead_logits, torch.full((8,), u, dtype=u_dtype))
                assert bool((drawn < K).all())
                assert not bool(dead.gather(-1, drawn[:, None]).any())
    if (
        dtype in (torch.float32, torch.float64) and K <= 1000
    ):  # beyond, the last actions may be lost in the sum's rounding
        alive = (~dead).to(torch.uint8)
        for u, want in ((0.0, alive.argmax(-1)), (1.0, K - 1 - alive.flip(-1).argmax(-1))):
            drawn = categorical_sample(torch.where(dead, -math.inf, logits), torch.full((8,), u))
            assert drawn.tolist() == want.tolist()


# ------------------------------------------------------------------ masks
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("left", [1, 2, 4, 5])
def test_masked_logits_are_finite_in_value_and_gradient(dtype, left):
    logits = (10.0 * normal(0, 6, 5)).to(dtype).requires_grad_()
    allowed = torch.stack([torch.randperm(5, generator=generator(i)) < left for i in range(6)])
    masked = masked_logits(logits, allowed)
    action = allowed.to(torch.uint8).argmax(-1)
    for out in (categorical_logp(masked, action), categorical_entropy(masked), masked.log_softmax(-1)):
        assert bool(out.isfinite().all())
        (grad,) = torch.autograd.grad(out.float().sum(), logits, retain_graph=True)
        assert bool(grad.isfinite().all())
        assert bool((grad[~allowed] == 0).all())
    assert bool((masked.softmax(-1)[~allowed] == 0).all())
    if left == 1:
        assert bool((categorical_logp(masked, action) == 0).all())
        assert bool((categorical_entropy(masked) == 0).all())


def test_masked_equals_the_smaller_distribution():
    logits, allowed = normal(5, 1, 4), torch.tensor([[True, False, True, True]])
    small, masked = logits[:, [0, 2, 3]], masked_logits(logits, allowed)
    close(masked.log_softmax(-1)[:, [0, 2, 3]], small.log_softmax(-1))
    close(categorical_entropy(masked), categorical_entropy(small))


# ------------------------------------------------------------------ squashed
def test_squashed_density_is_exact_far_out():
    compare_squashed(squashed_normal_logp)


def test_squashed_density_integrates_to_one_over_the_action():
    mean, log_std = torch.tensor([0.4], dtype=torch.float64), torch.tensor([-0.2], dtype=torch.float64)
    action = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 200_000 - 1.0
    density = squashed_normal_logp(mean.expand(400_000, 1), log_std, action.atanh()[:, None]).exp()
    assert float(density.sum() / 200_000) == pytest.approx(1.0, abs=1e-6)


# ------------------------------------------------------------------ composite
def test_composites_are_sums_of_their_parts():
    logits, action = normal(6, 5, 9), torch.tensor([[0, 3, 1]] * 5)
    parts = logits[:, :2], logits[:, 2:6], logits[:, 6:]
    want = sum(categorical_logp(p, action[:, i]) for i, p in enumerate(parts))
    close(multi_categorical_logp(logits, [2, 4, 3], action), want)
    close(multi_categorical_entropy(logits, [2, 4, 3]), sum(categorical_entropy(p) for p in parts))
    close(composite_logp([want, want, want]), 3 * want)
    grid = torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(3))
    everything = multi_categorical_logp(logits[:1].expand(24, 9), [2, 4, 3], grid).exp().sum()
    assert float(everything) == pytest.approx(1.0)


# ------------------------------------------------------------------ errors
def test_errors_name_the_argument():
    logits, action = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"action holds indices and must be torch\.int64, got torch\.int32"):
        categorical_logp(logits, action.int())
    with pytest.raises(ValueError, match=r"action must have shape \[2\], got \[2, 1\]"):
        categorical_logp(logits, action[:, None])
    with pytest.raises(ValueError, match=r"uniform must have shape \[2\], got \[3\]"):
        categorical_sample(logits, torch.zeros(3))
    with pytest.raises(TypeError, match="allowed is a mask"):
        masked_logits(logits, torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"allowed rules out every action in 1 row\(s\)"):
        masked_logits(logits, torch.tensor([[True, True, False], [False, False, False]]))
    with pytest.raises(ValueError, match=r"action must have shape \[2, 3\], got \[2, 1\]"):
        normal_logp(logits, torch.zeros(3), torch.zeros(2, 1))
    with pytest.raises(ValueError, match=r"log_std must have shape \[3\] or \[2, 3\], got \[2, 1\]"):
        normal_logp(logits, torch.zeros(2, 1), logits)
    with pytest.raises(ValueError, match=r"sizes \[2, 2\] add up to 4"):
        multi_categorical_entropy(logits, [2, 2])
    with pytest.raises(ValueError, match="at least one"):
        composite_logp([])
    with pytest.raises(ValueError, match=r"parts\[1\] must have shape \[2\], got \[3\]"):
        composite_logp([torch.zeros(2), torch.zeros(3)])
    with pytest.raises(TypeError, match="action must be a floating-point tensor"):
        bernoulli_logp(logits, action[:, None].expand(2, 3))
