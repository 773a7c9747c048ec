"""AdamW with float32 copies of what is in bfloat16."""

import pytest
import torch

from operant.config.errors import ConfigError
from operant.control.train_state import read_moments, store_moments
from operant.language.model import master_weights as masters
from operant.language.model.master_weights import MasterAdamW


def made(dtype, seed=0):
    gen = torch.Generator().manual_seed(seed)
    shapes = ((7, 5), (5,), (3, 2, 2))
    return [torch.nn.Parameter(torch.randn(s, generator=gen).bfloat16().to(dtype)) for s in shapes]


def train(parameters, optimizer, steps, seed=1):
    gen = torch.Generator().manual_seed(seed)
    for t in range(steps):
        for i, p in enumerate(parameters):
            grad = torch.randn(p.shape, generator=gen).bfloat16()
            p.grad = None if (t + i) % 4 == 3 else grad.to(p.dtype)  # not each has one at every step
        optimizer.step()


@pytest.mark.parametrize("together", [1, 2**27])
def test_copies_move_as_parameters_in_float32_do(monkeypatch, together):
    monkeypatch.setattr(masters, "TOGETHER", together)
    few, many = made(torch.bfloat16), made(torch.float32)
    ours = MasterAdamW(few, lr=1e-3, weight_decay=0.1)
    theirs = torch.optim.AdamW(many, lr=1e-3, weight_decay=0.1)
    train(few, ours, 9), train(many, theirs, 9)
    for a, b in zip(few, many, strict=True):
        torch.testing.assert_close(ours.state[a]["master"], b.detach(), atol=1e-6, rtol=1e-6)
        assert torch.equal(a, ours.state[a]["master"].bfloat16())
        assert {x.dtype for x in ours.state[a].values()} == {torch.float32}


def test_parameters_in_float32_are_their_own_masters():
    ours, theirs = made(torch.float32), made(torch.float32)
    train(ours, MasterAdamW(ours, lr=1e-3), 5), train(theirs, torch.optim.AdamW(theirs, lr=1e-3), 5)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


def test_steps_too_small_for_bfloat16_add_up():
    lost, kept = made(torch.bfloat16), made(torch.bfloat16)
    plain, ours = torch.optim.AdamW(lost, lr=1e-5, weight_decay=0.0), MasterAdamW(kept, lr=1e-5, weight_decay=0.0)
    for _ in range(2000):
        for p in (*lost, *kept):
            p.grad = torch.ones_like(p)
        plain.step(), ours.step()
    before = made(torch.bfloat16)
    assert max(float((a - b).detach().abs().max()) for a, b in zip(lost, before, strict=True)) < 0.01
    for a, b in zip(kept, before, strict=True):
        torch.testing.assert_close(a.float(), b.float() - 0.02, atol=0.01, rtol=0.01)


def test_a_stored_state_goes_on_bit_for_bit(tmp_path):
    whole, part = made(torch.bfloat16), made(torch.bfloat16)
    first, second = MasterAdamW(whole, lr=1e-3), MasterAdamW(part, lr=1e-3)
    train(whole, first, 4), train(part, second, 4)
    store_moments(second, tmp_path / "optim.safetensors")
    again = [torch.nn.Parameter(p.detach().clone()) for p in part]
    third = MasterAdamW(again, lr=0.5)
    read_moments(third, tmp_path / "optim.safetensors")()
    train(whole, first, 3, seed=2), train(again, third, 3, seed=2)
    for a, b in zip(whole, again, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(first.state[a]["master"], third.state[b]["master"])
    with pytest.raises(ConfigError, match="AdamW"):
        read_moments(torch.optim.AdamW(made(torch.bfloat16)), tmp_path / "optim.safetensors")
