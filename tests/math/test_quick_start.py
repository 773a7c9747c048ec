"""What torch loads for others is not waited for."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from operant.math.quick_start import undrawn

TRAINED = """
import sys, operant
quick = {"runs": sys.argv[1], "quiet": True, "save": {"videos": False}, "eval.episodes": 1}
operant.train("ppo", "CartPole-v1", total_steps=256, **quick)
operant.train("ppo", "CartPole-v1", total_steps=256, **quick, **{"algo.fused": "off"})
heavy = {"torch._dynamo", "sympy", "pandas"} & set(sys.modules)
assert not heavy, heavy
import torch
net = torch.compile(torch.nn.Linear(2, 2), backend="eager")  # who compiles still can
torch.optim.SGD(net.parameters(), 0.1)
assert net(torch.zeros(1, 2)).shape == (1, 2)
"""


def test_training_loads_no_compiler(tmp_path):
    ended = subprocess.run([sys.executable, "-c", TRAINED, str(tmp_path)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "RMSprop", "SGD"])
def test_a_step_is_the_one_that_torch_takes(kind):
    made = getattr(torch.optim, kind)
    nets = [nn.Linear(3, 2, dtype=torch.float64) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    optimizers = [made(net.parameters(), lr=0.1) for net in nets]
    own = made.step
    own = getattr(own, "__wrapped__", own)  # torch wraps it once more to count steps
    for k in range(3):
        for net, optimizer, step in zip(nets, optimizers, (own.__wrapped__, made.step), strict=True):
            optimizer.zero_grad()
            net(torch.full((1, 3), float(k), dtype=torch.float64)).square().sum().backward()
            with torch.no_grad():
                step(optimizer)
    assert all(torch.equal(x, y) for x, y in zip(nets[0].parameters(), nets[1].parameters(), strict=True))
    assert all(p.requires_grad for p in nets[1].parameters())


@pytest.mark.parametrize(("kind", "sizes"), [(nn.Linear, (3, 2)), (nn.Conv2d, (3, 2, 3)), (nn.Embedding, (5, 2))])
def test_a_layer_that_is_not_drawn_draws_nothing_and_is_one(kind, sizes):
    before = torch.random.get_rng_state()
    layer = undrawn(kind, *sizes)
    assert type(layer) is kind
    assert torch.equal(before, torch.random.get_rng_state())
    assert {k: v.shape for k, v in layer.state_dict().items()} == {
        k: v.shape for k, v in kind(*sizes).state_dict().items()
    }
    assert undrawn(kind, *sizes, device="meta").weight.is_meta
