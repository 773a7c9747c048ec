"""The hand-written updates of DDPG, TD3, TD3+BC and SAC are the readable ones: same numbers, same memory."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from operant.control import replay_kernels
from operant.control.agent import Agent
from operant.control.ddpg import ddpg_update
from operant.control.offline.td3_bc import td3_bc_update
from operant.control.replay_actor_critic import Drawn, Temperature, adam
from operant.control.replay_fused import fused_deterministic, fused_soft
from operant.control.sac import sac_update
from operant.control.settings.continuous import DDPGConfig, SACConfig, TD3Config
from operant.control.settings.offline import TD3BCConfig
from operant.control.spec import AgentSpec
from operant.control.target import Target
from operant.control.td3 import td3_update
from operant.env.interface import Interface

CONFIGS: dict[str, Any] = {"ddpg": DDPGConfig, "td3": TD3Config, "td3-bc": TD3BCConfig, "sac": SACConfig}


def agent_of(name: str, **more: Any) -> Agent:
    bounds = np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32)
    between = Interface(spaces.Box(-1, 1, (3,), np.float32), spaces.Box(*bounds))
    given: dict[str, Any] = {
        "hidden": (24, 20), "activation": "relu", "std": "network" if name == "sac" else "none",
        "critics": 1 if name == "ddpg" else 2,
    } | more  # fmt: skip
    spec = AgentSpec(**between.encoded(), obs_dim=3, action_kind="box", action_sizes=(2,), squash=True, **given)
    agent = Agent(spec, torch.Generator().manual_seed(0))
    if agent.normalizer is not None:
        agent.normalizer.update(torch.linspace(-3, 5, 100)[:, None].expand(100, 3))
    return agent


def batch_of(k: int, size: int, dtype: torch.dtype) -> Drawn:
    g = torch.Generator().manual_seed(k)
    obs, next_obs = torch.randn(2, size, 3, generator=g, dtype=dtype)
    return Drawn(
        obs=obs, action=torch.rand(size, 2, generator=g, dtype=dtype) * 2 - 1,
        reward=torch.randn(size, generator=g, dtype=dtype),
        discount=torch.where(torch.rand(size, generator=g) < 0.5, 0.9, 0.81).to(dtype),
        terminated=torch.rand(size, generator=g) < 0.25, next_obs=next_obs, acted=torch.ones(size).bool(),
        weight=torch.rand(size, generator=g, dtype=dtype) + 0.5, index=torch.arange(size),
    )  # fmt: skip


class Side:
    """An agent with all that its update changes, and both updates."""

    def __init__(self, name: str, settings: dict[str, Any], spec: dict[str, Any], dtype: torch.dtype) -> None:
        self.cfg = CONFIGS[name](lr=1e-3, tau=0.05, **settings)
        self.agent = agent_of(name, **spec).to(dtype)
        # A larger ε keeps Adam from turning a gradient that is 0 up to rounding into a whole step.
        self.optimizer, generator = adam(self.cfg, self.agent), np.random.default_rng(3)
        for group in self.optimizer.param_groups:
            group["eps"] = 1e-5
        policy_target, q_target = Target(self.agent.policy), Target(self.agent.q)
        self.modules: list[nn.Module] = [self.agent.policy, self.agent.q, q_target.module]
        if name == "sac":
            temperature = Temperature(self.cfg, self.agent)
            temperature.module.to(dtype)
            self.modules.append(temperature.module)
            soft: Any = (self.cfg, self.agent, q_target, temperature, self.optimizer, generator)
            self.readable, fused = partial(sac_update, *soft), fused_soft(*soft)
        else:
            self.modules.append(policy_target.module)
            given: Any = (self.cfg, self.agent, policy_target, q_target, self.optimizer)
            update = {"td3": td3_update, "td3-bc": td3_bc_update}
            self.readable = partial(ddpg_update, *given) if name == "ddpg" else partial(update[name], *given, generator)
            fused = fused_deterministic(*given, generator)
        assert not isinstance(fused, str), fused
        self.fused: Any = fused

    def numbers(self) -> torch.Tensor:
        """Parameters, targets, temperature and Adam's state, of every parameter in its own order."""
        found = [p.detach().reshape(-1) for module in self.modules for p in module.parameters()]
        for module in self.modules[:2]:
            for p in module.parameters():
                found += [x.reshape(-1) for x in self.optimizer.state[p].values()]
        return torch.cat([x.double() for x in found])


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("ddpg", {}, {}),
    ("ddpg", {"max_grad_norm": 0.05}, {"hidden": ()}),
    ("td3", {}, {}),
    ("td3", {"delay": 3, "smoothing": 0.0, "critics": 3}, {"critics": 3, "hidden": (40,), "obs_clip": 1.5}),
    ("td3-bc", {}, {}),
    ("td3-bc", {"alpha": 0.7, "clone": 0.4, "delay": 1, "max_grad_norm": 0.05}, {"obs_clip": 1.5}),
    ("sac", {}, {}),
    ("sac", {"alpha_step": "linear", "max_grad_norm": 0.05}, {"activation": "tanh", "hidden": (20, 24, 16)}),
    ("sac", {"temperature": "fixed", "alpha": 0.2}, {"critics": 1, "log_std_init": 1.9}),
]


@pytest.mark.parametrize(("name", "settings", "spec"), CASES, ids=str)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-9)], ids=["float32", "float64"])
def test_equals_autograd(
    name: str, settings: dict[str, Any], spec: dict[str, Any], dtype: torch.dtype, close: float
) -> None:
    spec = spec if dtype == torch.float32 else spec | {"obs_clip": None}  # normalised observations are float32
    a, b = (Side(name, settings, spec, dtype) for _ in range(2))
    for k in range(20):
        batch = batch_of(k, 33, dtype)
        (error, metrics), (theirs, readable) = b.fused(batch), a.readable(batch)
        torch.testing.assert_close(error, theirs, atol=1e-4, rtol=0)
        assert metrics.keys() == readable.keys()
        for key, value in readable.items():
            torch.testing.assert_close(metrics[key], value, atol=1e-4, rtol=1e-4, check_dtype=False, msg=key)
        torch.testing.assert_close(a.numbers(), b.numbers(), atol=close, rtol=0, msg=f"update {k}")


def test_where_two_critics_are_equal_each_has_its_part() -> None:
    a, b = (Side("sac", {}, {}, torch.float64) for _ in range(2))
    for side in (a, b):
        first, second = side.agent.q.net
        second.load_state_dict(first.state_dict())
    batch = batch_of(0, 33, torch.float64)
    (_, metrics), (_, readable) = b.fused(batch), a.readable(batch)
    torch.testing.assert_close(metrics["loss/policy"], readable["loss/policy"], check_dtype=False)
    torch.testing.assert_close(a.numbers(), b.numbers(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_the_lowest_critic_of_each_row(seed: int) -> None:
    q = np.random.default_rng(seed).standard_normal((3, 50)).astype(np.float32)
    order, ends, least, tied = replay_kernels.lowest(q)
    assert not tied
    assert least == pytest.approx(q.min(0).mean(), abs=1e-6)
    assert sorted(order) == [*range(50)]
    for k, (begin, end) in enumerate(zip((0, *ends), ends, strict=False)):
        assert (q[:, order[begin:end]].argmin(0) == k).all()
    q[1, 7] = q[:, 7].min() - 1.0
    q[2, 7] = q[1, 7]
    assert replay_kernels.lowest(q)[3]
    q[2, 7] = np.nan
    assert replay_kernels.lowest(q)[3]


@pytest.mark.parametrize("name", CONFIGS)
def test_either_path_goes_on_where_the_other_stopped(name: str) -> None:
    a, b = (Side(name, {}, {}, torch.float32) for _ in range(2))
    for k in range(6):
        batch = batch_of(k, 16 + k // 3, torch.float32)
        a.readable(batch)
        (b.fused if k % 2 else b.readable)(batch)
        if k == 3:  # as a checkpoint that is loaded: other tensors, the same numbers
            b.optimizer.load_state_dict(copy.deepcopy(b.optimizer.state_dict()))
    torch.testing.assert_close(a.numbers(), b.numbers(), atol=1e-5, rtol=0)


def test_where_it_does_not_apply_it_says_why() -> None:
    def reason(agent: Agent, optimizer: torch.optim.Optimizer | None = None) -> str:
        cfg = SACConfig()
        found = fused_soft(
            cfg,
            agent,
            Target(agent.q),
            Temperature(cfg, agent),
            optimizer or adam(cfg, agent),
            np.random.default_rng(0),
        )
        return found if isinstance(found, str) else ""

    agent = agent_of("sac")
    assert reason(agent) == ""
    assert "memory" in reason(agent_of("sac", memory="lstm", memory_size=4))
    assert "one group" in reason(agent, torch.optim.Adam(agent.parameters()))
    assert "one group" in reason(
        agent, torch.optim.SGD([{"params": [*agent.policy.parameters()]}, {"params": [*agent.q.parameters()]}], 0.1)
    )
    optimizer = adam(SACConfig(), agent)
    optimizer.param_groups[1]["amsgrad"] = True
    assert "AMSGrad" in reason(agent, optimizer)
    agent.q.net[1].layers[0] = nn.Identity()  # type: ignore[index]
    assert "perceptrons" in reason(agent)
