"""The hand-written step of DQN and QR-DQN is the readable one: same numbers, same memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.dqn import readable_step
from operant.control.dqn_fused import FusedValues, fused_values
from operant.control.settings.values import DQNConfig
from operant.control.spec import AgentSpec
from operant.control.target import Target
from operant.control.updates import by_hand
from operant.data.replay import Transitions
from operant.env.interface import Interface

SIZE, ACTIONS, DIM = 40, 3, 5


def agent_of(mask: bool = False, **spec: Any) -> Agent:
    given: dict[str, Any] = {"hidden": (16, 8), "activation": "relu", "head": "q", "atoms": 0} | spec
    between = Interface(spaces.Box(-1, 1, (DIM,), np.float32), spaces.Discrete(ACTIONS), "info" if mask else "")
    dim = DIM + ACTIONS * mask
    made = AgentSpec(**between.encoded(), obs_dim=dim, action_kind="discrete", action_sizes=(ACTIONS,), **given)
    agent = Agent(made, torch.Generator().manual_seed(0))
    if agent.normalizer is not None:
        agent.normalizer.update(torch.linspace(-3, 5, 100)[:, None].expand(100, DIM))
    return agent


def batch_of(k: int, mask: bool) -> Transitions:
    g = torch.Generator().manual_seed(k)
    obs, next_obs = torch.randn(2, SIZE, DIM, generator=g)
    if mask:
        allowed = (torch.rand(2, SIZE, ACTIONS, generator=g) < 0.6).float()
        allowed[0, :, 0] = 1.0  # behind an end nothing may be allowed
        obs, next_obs = torch.cat([obs, allowed[0]], 1), torch.cat([next_obs, allowed[1]], 1)
    return Transitions(
        obs=obs, action=torch.randint(ACTIONS, (SIZE,), generator=g), reward=torch.randn(SIZE, generator=g) * 2,
        discount=torch.where(torch.rand(SIZE, generator=g) < 0.5, 0.9, 0.81),
        terminated=torch.rand(SIZE, generator=g) < 0.25, next_obs=next_obs, index=torch.arange(SIZE),
        weight=torch.rand(SIZE, generator=g) + 0.5,
    )  # fmt: skip


class Side:
    """An agent, its optimiser and its target."""

    def __init__(self, cfg: DQNConfig, mask: bool = False, **spec: Any) -> None:
        self.agent = agent_of(mask, **spec)
        # A larger ε keeps Adam from turning a gradient that is 0 up to rounding into a whole step.
        self.optimizer = torch.optim.Adam(self.agent.parameters(), lr=1e-3, eps=1e-3)
        self.target = Target(self.agent.policy)
        for p in self.target.module.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(5)))
        judge = self.agent.policy if cfg.target == "none" else self.target.module
        self.given: Any = (cfg, self.agent.policy, judge, self.optimizer)
        self.readable = readable_step(*self.given, np.random.default_rng(0))

    def by_hand(self) -> FusedValues:
        fused = fused_values(*self.given)
        assert isinstance(fused, FusedValues), fused
        return fused

    def numbers(self) -> torch.Tensor:
        found = [p.detach().reshape(-1) for p in self.agent.parameters()]
        found += [x.reshape(-1) for p in self.agent.parameters() for x in self.optimizer.state[p].values()]
        return torch.cat(found)


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"double": True, "loss": "squared"}, {"mask": True, "activation": "tanh"}),
    ({"max_grad_norm": 0.05, "target": "none"}, {"hidden": (70, 3), "obs_clip": 1.5}),
    ({"max_grad_norm": None, "double": True, "target": "none"}, {"hidden": ()}),
    ({}, {"head": "qr", "atoms": 11, "mask": True}),
    ({"double": True, "max_grad_norm": 0.05}, {"head": "qr", "atoms": 50, "hidden": (64, 64)}),
    ({"double": True}, {"hidden": (256, 256)}),
]


@pytest.mark.parametrize(("settings", "spec"), CASES, ids=str)
def test_equals_autograd(settings: dict[str, Any], spec: dict[str, Any]) -> None:
    cfg = DQNConfig(**settings)
    a, b = Side(cfg, **spec), Side(cfg, **spec)
    fused = b.by_hand()
    for k in range(20):
        batch = batch_of(k, bool(spec.get("mask")))
        (error, metrics), (theirs, readable) = fused(batch), a.readable(batch)
        torch.testing.assert_close(error, theirs, atol=1e-5, rtol=1e-4)
        assert metrics.keys() == readable.keys()
        for key, value in readable.items():
            torch.testing.assert_close(metrics[key], value.detach(), atol=1e-5, rtol=1e-4, msg=key)
        torch.testing.assert_close(a.numbers(), b.numbers(), atol=1e-5, rtol=0, msg=f"step {k}")


def test_either_path_goes_on_where_the_other_stopped() -> None:
    cfg = DQNConfig()
    a, b = Side(cfg), Side(cfg)
    fused = b.by_hand()
    for k in range(6):
        batch = batch_of(k, mask=False)
        a.readable(batch)
        (fused if k % 2 else b.readable)(batch)
        for side in (a, b):
            side.target.follow(0.5)
        if k == 3:  # as a checkpoint that is loaded: other tensors, the same numbers
            b.optimizer.load_state_dict(copy.deepcopy(b.optimizer.state_dict()))
    torch.testing.assert_close(a.numbers(), b.numbers(), atol=1e-5, rtol=0)


def test_where_it_does_not_apply_it_says_why() -> None:
    def reason(settings: dict[str, Any] | None = None, **spec: Any) -> str:
        found = fused_values(*Side(DQNConfig(**(settings or {})), **spec).given)
        return found if isinstance(found, str) else ""

    assert reason() == ""
    assert "c51" in reason(head="c51", atoms=5, value_min=-1.0, value_max=1.0)
    assert "munchausen" in reason({"munchausen": True})
    assert "perceptron" in reason(dueling=True)
    assert "perceptron" in reason(noisy=0.5)
    assert "65536 weights" in reason(hidden=(257, 256))
    side = Side(DQNConfig(fused="on"), dueling=True)
    with pytest.raises(ConfigError, match=r"algo\.fused is on"):
        by_hand(DQNConfig(fused="on").fused, lambda: fused_values(*side.given))
