from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.math.baseline import group_mean, group_scale, leave_one_out, normalised_sum, whiten
from reference import losses
from reference.compare import compare_whiten
from reference.rows import Rows, close, every


@st.composite
def groups(draw, smallest=1):
    sizes = draw(st.lists(st.integers(smallest, 4), min_size=1, max_size=5))
    ids = draw(st.lists(st.integers(-5, 10**12), min_size=len(sizes), max_size=len(sizes), unique=True))
    group = np.repeat(np.array(ids), sizes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rng.shuffle(group)
    return torch.as_tensor(rng.normal(size=len(group))), torch.as_tensor(group)


@settings(max_examples=60, deadline=None)
@given(groups())
def test_group_mean_and_scale_equal_the_loop(case):
    ret, group = case
    close(group_mean(ret, group), losses.group_mean(ret, group.numpy()))
    close(group_scale(ret, group), losses.group_scale(ret, group.numpy(), 1e-4))
    close(group_scale(ret, group, eps=0.1), losses.group_scale(ret, group.numpy(), 0.1))


@settings(max_examples=60, deadline=None)
@given(groups(smallest=2))
def test_leave_one_out_equals_the_loop_and_the_scaled_mean(case):
    ret, group = case
    close(leave_one_out(ret, group), losses.leave_one_out(ret, group.numpy()))
    n = (group[:, None] == group).sum(1)
    close(ret - leave_one_out(ret, group), (ret - group_mean(ret, group)) * n / (n - 1))


def test_leave_one_out_does_not_see_its_own_return():
    ret = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    group = torch.tensor([0, 0, 0, 1, 1, 1])
    jacobian = torch.autograd.functional.jacobian(lambda x: leave_one_out(x, group), ret)
    assert bool((jacobian.diagonal() == 0).all())
    close(jacobian.sum(1), torch.ones(6))


@settings(max_examples=60, deadline=None)
@given(groups(), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_a_normalised_sum_equals_the_loop(case, columns, seed):
    _, group = case
    rng = np.random.default_rng(seed)
    reward = rng.normal(size=(len(group), columns))
    reward[rng.random(reward.shape) < 0.2] = np.nan
    weight = rng.normal(size=columns)
    found = normalised_sum(torch.as_tensor(reward), group, torch.as_tensor(weight), 0.01)
    close(found, losses.normalised_sum(reward, group.numpy(), weight, 0.01))


def test_a_normalised_sum_tells_equal_sums_of_different_rewards_apart():
    reward = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    group, weight = torch.zeros(4, dtype=torch.int64), torch.tensor([2.0, 1.0])
    flat = normalised_sum(reward[:2], group[:2], weight[:1].expand(2))
    assert flat.abs().max() < 1e-6  # G = 2: mirrored, whatever the size
    found = normalised_sum(reward, group, weight)
    assert found[0] == pytest.approx(float(2 * 0.75 - 0.25) / 0.5, rel=1e-3)
    assert found[1] == pytest.approx(float(-2 * 0.25 + 0.75) / 0.5, rel=1e-3)
    one = normalised_sum(reward[:, :1], group, torch.ones(1))
    close(one, (reward[:, 0] - group_mean(reward[:, 0], group)) / group_scale(reward[:, 0], group))


def test_a_normalised_sum_refuses_what_is_not_a_matrix():
    group, weight = torch.zeros(4, dtype=torch.int64), torch.ones(2)
    with pytest.raises(ValueError, match="N, K"):
        normalised_sum(torch.zeros(4), group, weight)
    with pytest.raises(ValueError, match="weight"):
        normalised_sum(torch.zeros(4, 3), group, weight)
    with pytest.raises(ValueError, match="group"):
        normalised_sum(torch.zeros(3, 2), group, weight)


def test_whiten_equals_the_loop():
    every(partial(compare_whiten, whiten))


def test_whiten_is_torch_std_on_a_full_mask():
    x = torch.randn(64, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(64, dtype=torch.bool)
    close(whiten(x, mask), (x - x.mean()) / (x.std() + 1e-8), tol=1e-5)


def test_whiten_invariances():
    """Shift and scale fall away; padding and its numbers do not matter; mean 0 and deviation 1 remain."""

    def compare(r: Rows) -> None:
        x, mask = r.reward, r.acted
        got = whiten(x, mask, eps=0.0) if mask.sum() > 1 else whiten(x, mask)
        if mask.sum() > 1:
            close(whiten(3.0 * x - 7.0, mask, eps=0.0), got)
            close(got[mask].mean(), torch.zeros(()))
            close(got[mask].std(), torch.ones(()))
        close(whiten(x.masked_fill(~mask, torch.nan), mask), whiten(x, mask))
        padded = torch.nn.functional.pad(x, (0, 5), value=1e9), torch.nn.functional.pad(mask, (0, 5))
        close(whiten(*padded)[:, :-5], whiten(x, mask))

    every(compare)


def test_whiten_of_one_of_none_and_of_equals_is_zero():
    for x, mask in (([5.0], [True]), ([5.0, 1.0], [False, False]), ([2.0, 2.0], [True, True])):
        assert bool((whiten(torch.tensor(x), torch.tensor(mask)) == 0).all())


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="group 7 has one row, so there is no other to average"):
        leave_one_out(torch.zeros(3), torch.tensor([1, 7, 1]))
    with pytest.raises(TypeError, match=r"group holds indices and must be torch\.int64, got torch\.float32"):
        group_mean(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=r"ret must have shape \[N\], one return per row, got \[3, 2\]"):
        group_mean(torch.zeros(3, 2), torch.zeros(3).long())
    with pytest.raises(ValueError, match=r"group must have shape \[3\], got \[2\]"):
        group_scale(torch.zeros(3), torch.zeros(2).long())
    with pytest.raises(ValueError, match="eps must be at least 0"):
        group_scale(torch.zeros(3), torch.zeros(3).long(), eps=-1.0)
    with pytest.raises(TypeError, match="mask is a mask"):
        whiten(torch.zeros(3), torch.zeros(3))
