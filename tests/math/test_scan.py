import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.math import scan
from operant.math.scan import LOOP_UP_TO, reverse_scan
from reference import advantage as slow
from reference.rows import close


@pytest.mark.parametrize("solve", [reverse_scan, scan.loop, scan.doubling])
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 70), st.lists(st.integers(1, 3), max_size=2), st.integers(0, 2**32 - 1))
def test_equals_the_loop(solve, T, leading, seed):
    gen = torch.Generator().manual_seed(seed)
    b = torch.randn(*leading, T, generator=gen, dtype=torch.float64)
    a = 2.0 * torch.rand(*leading, T, generator=gen, dtype=torch.float64) - 1.0
    a = torch.where(torch.rand(a.shape, generator=gen) < 0.3, a.sign() * (a > 0), a)  # some exact zeros and ones
    close(solve(b, a), slow.reverse_scan(b, a))


@pytest.mark.parametrize("T", [1, 2, LOOP_UP_TO - 1, LOOP_UP_TO, LOOP_UP_TO + 1, 32, 33, 257, 2048])
def test_both_ways_agree_at_the_crossover_and_far_beyond(T):
    gen = torch.Generator().manual_seed(T)
    b, a = torch.randn(2, T, generator=gen), 0.99 * torch.ones(2, T)
    torch.testing.assert_close(scan.loop(b, a), scan.doubling(b, a), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(reverse_scan(b, a), scan.loop(b, a), rtol=1e-4, atol=1e-4)


def test_long_rows_are_doubled_and_short_ones_looped(monkeypatch):
    monkeypatch.setattr(scan, "loop", lambda b, a: "loop")
    monkeypatch.setattr(scan, "doubling", lambda b, a: "doubling")
    way = [reverse_scan(torch.zeros(2, T), torch.zeros(2, T)) for T in (1, LOOP_UP_TO, LOOP_UP_TO + 1, 2048)]
    assert way == ["loop", "loop", "doubling", "doubling"]


@pytest.mark.parametrize("T", [1, 5, LOOP_UP_TO + 4])
def test_gradient(T):
    gen = torch.Generator().manual_seed(0)
    b = torch.randn(2, T, generator=gen, dtype=torch.float64, requires_grad=True)
    a = torch.rand(2, T, generator=gen, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(reverse_scan, (b, a))


def test_inputs_are_left_alone():
    for T in (4, 40):
        b, a = torch.ones(1, T), torch.ones(1, T)
        x = reverse_scan(b, a)
        x += 1
        assert bool((b == 1).all())
        assert bool((a == 1).all())


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"a must have shape \[2, 3\], got \[2, 4\]"):
        reverse_scan(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(TypeError, match=r"a must be a floating-point tensor, got torch\.bool"):
        reverse_scan(torch.zeros(3), torch.zeros(3).bool())
    with pytest.raises(ValueError, match="b must have at least 1 dimension"):
        reverse_scan(torch.zeros(()), torch.zeros(()))
