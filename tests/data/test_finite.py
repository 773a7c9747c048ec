"""Whether all numbers of a state are finite, few or many."""

import pytest
import torch

from operant.data import finite
from operant.data.finite import State


@pytest.mark.parametrize("many", [0, 2**26])
def test_a_number_that_is_not_finite_is_seen_wherever_it_stands(monkeypatch, many):
    monkeypatch.setattr(finite, "MANY", many)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    module.append(torch.nn.Linear(4, 2).bfloat16())
    optimizer = torch.optim.AdamW(module.parameters())
    for p in module.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    state = State(module, optimizer)
    assert state.finite()
    for x in state.tensors():
        if x.is_floating_point():
            with torch.no_grad():
                before = x.clone()
                x.view(-1)[-1] = torch.nan
                assert not state.finite()
                x.fill_(torch.finfo(x.dtype).max)  # finite, but their sum is not
                assert state.finite()
                x.copy_(before)
    assert state.finite()
