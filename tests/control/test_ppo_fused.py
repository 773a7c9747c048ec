"""The hand-written update is the readable update: same loss, same step, same memory."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from operant.control.agent import Agent, AgentSpec
from operant.control.fused import FusedPPO, fused_update
from operant.control.ppo import _update
from operant.control.settings.ppo import PPOConfig
from operant.data.trajectory import Batch, minibatches

LR = 1e-3
CFG = PPOConfig(batch=64, entropy_coef=0.01)


def make_agent(kind: Any = "discrete", seed: int = 0, **changes: Any) -> Agent:
    spec: dict[str, Any] = {
        "obs_dim": 5, "action_kind": kind, "action_sizes": (3,), "hidden": (16, 8), "activation": "tanh",
        "log_std_init": -0.3, "obs_clip": None, "reward_clip": None,
    }  # fmt: skip
    agent = Agent(AgentSpec(**spec | changes), torch.Generator().manual_seed(seed))
    if agent.normalizer is not None:
        agent.normalizer.update(torch.linspace(-3, 5, 100)[:, None].expand(100, agent.spec.obs_dim))
    return agent


def parameters(agent: Agent) -> list[nn.Parameter]:
    return [*agent.policy.parameters(), *agent.critic.parameters()]


def adam(agent: Agent, **options: Any) -> torch.optim.Adam:
    return torch.optim.Adam(parameters(agent), **{"lr": LR, "eps": 1e-5} | options)


def segment(agent: Agent, size: int, seed: int) -> Batch:
    """Decisions of the policy, with ratios, advantages and value errors wide enough that every clip is met."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    obs = normal(size, agent.spec.obs_dim) * 2
    action, logp = agent.policy.sample(obs, rng)
    value = agent.critic(obs).detach()
    return Batch(
        obs=obs, action=action, logp=logp + 0.3 * normal(size), adv=normal(size) + 0.5, target=value + normal(size),
        value=value + 0.2 * normal(size), acted=torch.ones(size, dtype=torch.bool),
    )  # fmt: skip


def eager(cfg: PPOConfig, agent: Agent, optimizer: torch.optim.Adam, steps: Batch, seed: int, **clips: float) -> Any:
    optimizer.param_groups[0]["lr"] = LR
    cut = minibatches(steps, cfg.batch, np.random.default_rng(seed))
    return [_update(cfg, agent, optimizer, b, **clips) for b in cut]


def by_hand(cfg: PPOConfig, agent: Agent, optimizer: torch.optim.Adam) -> FusedPPO:
    fused = fused_update(agent, optimizer, cfg)
    assert isinstance(fused, FusedPPO), fused
    return fused


def assert_same(a: Agent, b: Agent, first: torch.optim.Adam, second: torch.optim.Adam, atol: float = 1e-5) -> None:
    for p, q in zip(parameters(a), parameters(b), strict=True):
        torch.testing.assert_close(p, q, atol=atol, rtol=0)
        assert first.state[p].keys() == second.state[q].keys()
        for name, value in first.state[p].items():
            torch.testing.assert_close(value, second.state[q][name], atol=atol, rtol=0)


CASES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["discrete", "box"]),
        "obs_dim": st.integers(1, 20),
        "outputs": st.integers(2, 7),
        "hidden": st.lists(st.integers(1, 70), min_size=0, max_size=3).map(tuple),
        "activation": st.sampled_from(["tanh", "relu"]),
        "obs_clip": st.sampled_from([None, 1.5]),
        "size": st.integers(1, 300),
        "batch": st.sampled_from([1, 16, 100, 256]),
        "whiten": st.booleans(),
        "value_clip": st.sampled_from([None, 0.1, 1.0]),
        "clip_high": st.sampled_from([0.05, 0.2, 0.5]),
        "max_grad_norm": st.sampled_from([0.05, 0.5, 1e6]),
        "coefs": st.sampled_from([(0.5, 0.0), (1.0, 0.02), (0.0, 0.1)]),
        "seed": st.integers(0, 10_000),
    }
)


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_equals_autograd(case: dict[str, Any]) -> None:
    a = make_agent(
        case["kind"], case["seed"], obs_dim=case["obs_dim"], action_sizes=(case["outputs"],), hidden=case["hidden"],
        activation=case["activation"], obs_clip=case["obs_clip"],
    )  # fmt: skip
    b = copy.deepcopy(a)
    value_coef, entropy_coef = case["coefs"]
    cfg = PPOConfig(
        batch=max(case["batch"], case["size"] // 8), value_coef=value_coef, entropy_coef=entropy_coef,
        **{name: case[name] for name in ("whiten", "value_clip", "max_grad_norm")},
    )  # fmt: skip
    # A larger ε keeps Adam from turning a gradient that is 0 up to rounding into a whole step.
    first, second = adam(a, eps=1e-3), adam(b, eps=1e-3)
    steps, clips = segment(a, case["size"], case["seed"]), {"clip": 0.1, "clip_high": case["clip_high"]}
    fused = by_hand(cfg, b, second)
    for epoch in range(2):
        want = eager(cfg, a, first, steps, epoch, **clips)
        got = fused(steps, np.random.default_rng(epoch), lr=LR, **clips)
        assert len(got) == len(want)
        for x, y in zip(want, got, strict=True):
            assert x.keys() == y.keys()
            for name in x:
                torch.testing.assert_close(y[name], x[name], atol=1e-5, rtol=1e-4, msg=name)
        assert_same(a, b, first, second)


@pytest.mark.parametrize(("kind", "spec"), [("discrete", {}), ("box", {}), ("box", {"hidden": (256, 256)})], ids=str)
def test_either_path_goes_on_where_the_other_stopped(kind: str, spec: dict[str, Any]) -> None:
    a = make_agent(kind, **spec)
    b = copy.deepcopy(a)
    first, second = adam(a), adam(b)
    steps, clips = segment(a, 150, 0), {"clip": 0.2, "clip_high": 0.2}
    fused = by_hand(CFG, b, second)
    for epoch in range(4):
        eager(CFG, a, first, steps, epoch, **clips)
        if epoch % 2:
            fused(steps, np.random.default_rng(epoch), lr=LR, **clips)
        else:
            eager(CFG, b, second, steps, epoch, **clips)
        assert_same(a, b, first, second)


def test_states_survive_a_round_trip_through_files(tmp_path: Path) -> None:
    agent, clips = make_agent("box", obs_clip=5.0), {"clip": 0.2, "clip_high": 0.2}
    optimizer, steps = adam(agent), segment(agent, 150, 0)
    fused = by_hand(CFG, agent, optimizer)
    fused(steps, np.random.default_rng(0), lr=LR, **clips)
    agent.save(tmp_path)  # views of one memory are saved each by itself
    state = optimizer.state_dict()
    flat = {f"{k}.{name}": value for k, s in state["state"].items() for name, value in s.items()}
    save_file(flat, tmp_path / "optim.safetensors")
    fused(steps, np.random.default_rng(1), lr=LR, **clips)

    again = Agent.load(tmp_path)
    other = adam(again)
    loaded: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in load_file(tmp_path / "optim.safetensors").items():
        k, name = key.split(".")
        loaded.setdefault(int(k), {})[name] = value
    second = by_hand(CFG, again, other)
    second(steps, np.random.default_rng(9), lr=LR, **clips)  # a state to be thrown away
    for p, q in zip(parameters(again), parameters(Agent.load(tmp_path)), strict=True):
        p.data.copy_(q.data)
    other.load_state_dict({"state": loaded, "param_groups": state["param_groups"]})
    second(steps, np.random.default_rng(1), lr=LR, **clips)
    assert_same(agent, again, optimizer, other, atol=0)


@pytest.mark.parametrize("obs_clip", [None, 1.5])
def test_values_are_the_critics(obs_clip: float | None) -> None:
    agent = make_agent(obs_clip=obs_clip)
    obs = 3 * torch.randn(7, 30, 5, generator=torch.Generator().manual_seed(1))
    values = by_hand(CFG, agent, adam(agent)).values(obs)
    torch.testing.assert_close(values, agent.critic(obs).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_the_same_bits_every_time(kind: str) -> None:
    agents = [make_agent(kind, hidden=(64, 64)) for _ in range(2)]
    optimizers = [adam(agent) for agent in agents]
    steps = segment(make_agent(kind, hidden=(64, 64)), 500, 3)
    for agent, optimizer in zip(agents, optimizers, strict=True):
        fused = by_hand(CFG, agent, optimizer)
        for epoch in range(3):
            fused(steps, np.random.default_rng(epoch), lr=LR, clip=0.2, clip_high=0.2)
    assert_same(*agents, *optimizers, atol=0)


def test_nan_surfaces_in_the_metrics() -> None:
    agent = make_agent()
    steps = segment(agent, 64, 0)
    steps.obs[3, 0] = np.nan
    metrics = by_hand(CFG, agent, adam(agent))(steps, np.random.default_rng(0), lr=LR, clip=0.2, clip_high=0.2)
    assert all(torch.isnan(metrics[0][name]) for name in ("loss/policy", "loss/value", "policy/entropy", "grad/norm"))


def test_where_it_does_not_apply_it_says_why() -> None:
    def reason(agent: Agent, optimizer: torch.optim.Optimizer | None = None) -> Any:
        return fused_update(agent, optimizer or adam(agent), CFG)

    agent = make_agent()
    assert isinstance(reason(agent), FusedPPO)
    assert "MultiCategorical" in reason(make_agent("multidiscrete", action_sizes=(3, 2)))
    assert "Bernoulli" in reason(make_agent("multibinary"))
    assert "65536 weights" in reason(make_agent(hidden=(257, 256)))
    assert isinstance(reason(make_agent(hidden=())), FusedPPO)
    assert "float32" in reason(make_agent().double())
    assert "one group" in reason(agent, torch.optim.SGD(parameters(agent), lr=LR))
    assert "one group" in reason(agent, torch.optim.AdamW(parameters(agent), lr=LR))
    groups: Any = [{"params": [*agent.policy.parameters()]}, {"params": [*agent.critic.parameters()]}]
    assert "one group" in reason(agent, torch.optim.Adam(groups, lr=LR))
    assert "does not hold" in reason(agent, torch.optim.Adam(parameters(agent)[:-1], lr=LR))
    assert "does not hold" in reason(agent, torch.optim.Adam(parameters(agent)[::-1], lr=LR))
    for option in ({"weight_decay": 0.1}, {"amsgrad": True}, {"maximize": True}):
        assert "AMSGrad" in reason(agent, adam(agent, **option))
    mixed = make_agent()
    mixed.critic.net.activation = "relu"
    assert "perceptrons" in reason(mixed)
    dropout = make_agent()
    dropout.policy.net.layers[1] = nn.Identity()
    assert "perceptrons" in reason(dropout)
    split = make_agent(obs_clip=5.0)
    split.critic.normalizer = copy.deepcopy(split.normalizer)
    assert "normalise" in reason(split)
