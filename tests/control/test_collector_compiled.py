"""A segment in one call is the segment of the steps, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from operant.config.errors import ConfigError, NonFiniteError
from operant.control.acting import Exploring, sampler
from operant.control.action_values import EpsilonGreedy
from operant.control.agent import Agent, AgentSpec
from operant.control.collector import Collector
from operant.control.collector_compiled import CompiledCollector, collector
from operant.control.explorer import Explorer, Gaussian
from operant.env import make
from operant.env.interface import Interface

CASES = [
    ("CartPole-v1", {"hidden": (16, 8)}),
    ("CartPole-v1", {"hidden": (64, 64), "activation": "relu", "obs_clip": 5.0}),
    ("Acrobot-v1", {"hidden": (), "obs_clip": 5.0}),
    ("MountainCar-v0", {"hidden": (70, 33)}),
    ("Pendulum-v1", {"hidden": (64, 64), "obs_clip": 5.0}),
    ("MountainCarContinuous-v0", {"hidden": (16,), "activation": "relu"}),
]


def pair(id: str, num: int, limit: int, **spec: Any) -> tuple[Collector, Collector, Agent]:
    """A collector a step at a time, one a segment at a time, and the agent of both."""
    copies = [make(id, num, backend="compiled", kwargs={"max_episode_steps": limit}) for _ in range(2)]
    normal = copies[0].action_space.shape == (1,)
    sizes: Any = (1,) if normal else (int(copies[0].action_space.n),)  # type: ignore[attr-defined]
    agent = Agent(
        AgentSpec(
            obs_dim=copies[0].obs_dim, action_kind="box" if normal else "discrete", action_sizes=sizes, **spec
        ),
        torch.Generator().manual_seed(3),
    )  # fmt: skip
    if agent.normalizer is not None:
        agent.normalizer.update(torch.randn(100, copies[0].obs_dim, generator=torch.Generator().manual_seed(0)))
    kinds = (Collector, collector)
    rngs = [np.random.default_rng(9) for _ in kinds]
    made = [kind(env, sampler(agent.policy), rng, seed=4) for kind, env, rng in zip(kinds, copies, rngs, strict=True)]
    assert isinstance(made[1], CompiledCollector)
    return made[0], made[1], agent


@pytest.mark.parametrize(("id", "spec"), CASES)
@pytest.mark.parametrize("num", [1, 3, 70])
def test_the_same_trajectory(id: str, spec: dict[str, Any], num: int) -> None:
    steps, whole, agent = pair(id, num, 13, **spec)
    for horizon in (1, 40, 25):
        a, b = steps(horizon), whole(horizon)
        for name in ("obs", "action", "logp", "reward", "terminated", "truncated", "acted", "group"):
            x, y = getattr(a, name), getattr(b, name)
            assert x.dtype == y.dtype, name
            assert x.shape == y.shape, name
            assert torch.equal(x, y), name
        assert a.truncated.any() or horizon == 1
        assert {k: v for k, v in steps.stats().items() if k != "phase/collect"} == {
            k: v for k, v in whole.stats().items() if k != "phase/collect"
        }
        assert (steps.steps, steps.episodes) == (whole.steps, whole.episodes)
        with torch.no_grad():
            for p in agent.policy.parameters():
                p.mul_(1.1)


SQUASHED = {"hidden": (16, 8), "activation": "relu", "squash": True, "critics": 1}
EXPLORERS = [
    ("Pendulum-v1", "network", None, {"log_std_init": -0.5}),
    ("Pendulum-v1", "none", Gaussian(0.3), {"obs_clip": 5.0}),
    ("MountainCarContinuous-v0", "none", None, {}),
]


@pytest.mark.parametrize(("id", "std", "noise", "spec"), EXPLORERS)
@pytest.mark.parametrize("num", [1, 3])
def test_the_same_exploration(id: str, std: Any, noise: Gaussian | None, spec: dict[str, Any], num: int) -> None:
    """Also while actions are drawn evenly; and torch, a step at a time, does it to rounding."""
    sides: list[tuple[Collector, Explorer]] = []
    for made in (Collector, Collector, collector):
        env = make(id, num, backend="compiled", kwargs={"max_episode_steps": 13})
        given = SQUASHED | {"std": std, **Interface.of(env).encoded()} | spec
        shape: Any = {"obs_dim": env.obs_dim, "action_kind": "box", "action_sizes": (1,)}
        agent = Agent(AgentSpec(**shape, **given), torch.Generator().manual_seed(3))
        if agent.normalizer is not None:
            agent.normalizer.update(torch.randn(100, env.obs_dim, generator=torch.Generator().manual_seed(0)))
        explorer = Explorer(agent, noise)
        if not sides:
            explorer._compiled = None
        sides.append((made(env, explorer, np.random.default_rng(9), seed=4), explorer))
    assert isinstance(sides[2][0], CompiledCollector)
    for horizon, evenly in ((3, True), (1, False), (40, False)):
        found = []
        for collect, explorer in sides:
            explorer.evenly = evenly
            found.append(collect(horizon))
        for name in ("obs", "action", "logp", "reward", "terminated", "truncated", "acted"):
            by_torch, steps, whole = (getattr(x, name) for x in found)
            assert torch.equal(steps, whole), name
            torch.testing.assert_close(steps, by_torch, atol=1e-3, rtol=1e-3, msg=name)
    assert found[2].action.abs().max() <= 1.0


@pytest.mark.parametrize("spec", [{"head": "q"}, {"head": "qr", "atoms": 7, "obs_clip": 5.0}], ids=str)
@pytest.mark.parametrize("num", [1, 3])
def test_the_same_greed(spec: dict[str, Any], num: int) -> None:
    """ε-greedily, as ε falls; and torch, a step at a time, draws the same actions."""
    sides: list[tuple[Collector, EpsilonGreedy]] = []
    for made in (Collector, Collector, collector):
        env = make("CartPole-v1", num, backend="compiled", kwargs={"max_episode_steps": 13})
        shape: Any = {"obs_dim": env.obs_dim, "action_kind": "discrete", "action_sizes": (2,), "hidden": (16, 8)}
        agent = Agent(AgentSpec(**shape, **spec), torch.Generator().manual_seed(3))
        if agent.normalizer is not None:
            agent.normalizer.update(torch.randn(100, env.obs_dim, generator=torch.Generator().manual_seed(0)))
        behaviour = EpsilonGreedy()
        acts = Exploring(agent, behaviour)
        if not sides:
            acts._compiled = None
        sides.append((made(env, acts, np.random.default_rng(9), seed=4), behaviour))
    assert isinstance(sides[2][0], CompiledCollector)
    for horizon, rate in ((3, 1.0), (1, 0.5), (40, 0.3), (9, 0.0)):
        found = []
        for collect, behaviour in sides:
            behaviour.rate = rate
            found.append(collect(horizon))
        for name in ("obs", "action", "logp", "reward", "terminated", "truncated", "acted"):
            by_torch, steps, whole = (getattr(x, name) for x in found)
            assert torch.equal(steps, whole), name
            torch.testing.assert_close(steps, by_torch, atol=1e-6, rtol=1e-5, msg=name)


def test_either_goes_on_where_the_other_stopped() -> None:
    """Environments and generator stand alike after either, so that a copy is drawn and stepped alike."""
    steps, whole, _ = pair("Pendulum-v1", 2, 9, hidden=(8,))
    steps(20)
    whole(20)
    a, b = steps.env, whole.env
    assert (a.world.state == b.world.state).all()  # type: ignore[attr-defined]
    assert (a.world.last == b.world.last).all()  # type: ignore[attr-defined]
    assert steps._generator.random() == whole._generator.random()
    step, other = a.step(np.zeros((2, 1), np.float32)), b.step(np.zeros((2, 1), np.float32))
    assert (step.obs == other.obs).all()


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_a_weight_that_is_not_finite_is_found_alike(id: str) -> None:
    said: list[str] = []
    for which in (0, 1):
        made = pair(id, 3, 50, hidden=(8,))
        made[which](4)
        with torch.no_grad():
            next(made[2].policy.net.parameters()).fill_(torch.nan)
        with pytest.raises(NonFiniteError) as caught:
            made[which](4)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "is not finite" in said[0]


def test_what_is_not_compiled_goes_step_by_step() -> None:
    env = make("CartPole-v1", 2, backend="native")
    agent = Agent(AgentSpec(obs_dim=4, action_kind="discrete", action_sizes=(2,)))
    assert type(collector(env, sampler(agent.policy), np.random.default_rng(0), seed=0)) is Collector
    compiled = make("CartPole-v1", 2)
    double = agent.double()
    assert type(collector(compiled, sampler(double.policy), np.random.default_rng(0), seed=0)) is Collector


def test_a_policy_of_another_world_is_not_let_in() -> None:
    """The step-by-step path refuses it in words; the kernel would read beyond."""
    env = make("Acrobot-v1", 2)
    agent = Agent(AgentSpec(obs_dim=4, action_kind="discrete", action_sizes=(2,)))
    made = collector(env, sampler(agent.policy), np.random.default_rng(0), seed=0)
    assert type(made) is Collector
    with pytest.raises(ConfigError, match="expected"):
        made(3)
