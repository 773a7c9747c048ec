"""The hand-written step of A2C is the readable one: same loss, same step, same memory."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import operant
from control.test_masked import agent_of as masked_agent
from control.test_masked import rows as masked_rows
from control.test_ppo_fused import make_agent, parameters
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.a2c import advantages, gradient_step
from operant.control.agent import Agent
from operant.control.fused import FusedA2C, fused_step
from operant.control.settings.gradients import A2CConfig
from operant.control.updates import optimizer_of, set_rates
from operant.data.trajectory import Trajectory

OPTIMIZERS = ["adam", "rmsprop", "sgd"]


def segment(agent: Agent, n: int, steps: int, seed: int, *, acting: float = 0.8, ending: float = 0.2) -> Trajectory:
    """Rows with ends of both kinds, steps without a decision, and, where the layout has them, masks."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    def chance(share: float) -> torch.Tensor:
        return torch.from_numpy(rng.random((n, steps)) < share)

    obs = normal(n, steps + 1, agent.spec.obs_dim) * 2
    action, logp = agent.policy.sample(obs[:, :-1].reshape(n * steps, -1), rng)
    acted = chance(acting)
    return Trajectory(
        obs=obs, action=action.view(n, steps, *action.shape[1:]), logp=logp.view(n, steps),
        reward=torch.where(acted, normal(n, steps), 0.0), terminated=acted & chance(ending),
        truncated=acted & chance(ending), acted=acted, group=torch.arange(n),
    )  # fmt: skip


def both(cfg: A2CConfig, agent: Agent) -> tuple[Agent, Any, Any, Any, Any]:
    """A copy of an agent, the optimisers of the two, the readable step of the one and that by hand of the other."""
    other = copy.deepcopy(agent)
    first, second = optimizer_of(cfg, agent), optimizer_of(cfg, other)
    fused = fused_step(other, second, cfg, advantages)
    assert isinstance(fused, FusedA2C), fused
    return other, first, second, partial(gradient_step, cfg, agent, first), fused


def assert_same(a: Agent, b: Agent, first: Any, second: Any) -> None:
    for p, q in zip(parameters(a), parameters(b), strict=True):
        torch.testing.assert_close(p, q, atol=1e-5, rtol=0)
        one, other = ({k: v for k, v in o.state[x].items() if v is not None} for o, x in ((first, p), (second, q)))
        assert one.keys() == other.keys()
        for name, value in one.items():
            torch.testing.assert_close(value, other[name], atol=1e-5, rtol=1e-4)


CASES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["discrete", "box"]),
        "obs_dim": st.integers(1, 12),
        "outputs": st.integers(2, 7),
        "hidden": st.lists(st.integers(1, 70), min_size=0, max_size=3).map(tuple),
        "activation": st.sampled_from(["tanh", "relu"]),
        "obs_clip": st.sampled_from([None, 1.5]),
        "rows": st.integers(1, 16),
        "steps": st.integers(1, 20),
        "acting": st.sampled_from([0.0, 0.5, 1.0]),
        "optimizer": st.sampled_from(OPTIMIZERS),
        "weighting": st.sampled_from(["td", "td-n", "gae"]),
        "critic_target": st.sampled_from(["mc", "td", "lambda"]),
        "lam": st.sampled_from([0.9, 1.0]),
        "whiten": st.booleans(),
        "discount_weight": st.booleans(),
        "max_grad_norm": st.sampled_from([None, 0.05, 0.5]),
        "coefs": st.sampled_from([(0.5, 0.0), (1.0, 0.02), (0.0, 0.1)]),
        "seed": st.integers(0, 10_000),
    }
)


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_equals_autograd(case: dict[str, Any]) -> None:
    agent = make_agent(
        case["kind"], case["seed"], obs_dim=case["obs_dim"], action_sizes=(case["outputs"],), hidden=case["hidden"],
        activation=case["activation"], obs_clip=case["obs_clip"],
    )  # fmt: skip
    names = ("optimizer", "weighting", "critic_target", "lam", "whiten", "discount_weight", "max_grad_norm")
    value_coef, entropy_coef = case["coefs"]
    # A larger ε keeps the optimiser from turning a gradient that is 0 up to rounding into a whole step.
    cfg = A2CConfig(
        value_coef=value_coef, entropy_coef=entropy_coef, optimizer_eps=1e-2, **{name: case[name] for name in names}
    )
    other, first, second, readable, fused = both(cfg, agent)
    for k in range(3):
        for optimizer in (first, second):
            set_rates(optimizer, cfg, k / 3)
        traj = segment(agent, case["rows"], case["steps"], case["seed"] + k, acting=case["acting"])
        elapsed = torch.arange(case["rows"])
        want, got = readable(traj, traj.reward, elapsed), fused(traj, traj.reward, elapsed)
        assert want.keys() == got.keys()
        for name in want:
            torch.testing.assert_close(got[name], want[name], atol=1e-5, rtol=1e-4, msg=name)
        assert_same(agent, other, first, second)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_either_path_goes_on_where_the_other_stopped(optimizer: str) -> None:
    agent = make_agent()
    cfg = A2CConfig(optimizer=optimizer, entropy_coef=0.01, optimizer_eps=1e-2)  # pyright: ignore[reportArgumentType]
    other, first, second, readable, fused = both(cfg, agent)
    for k in range(4):
        traj = segment(agent, 8, 5, k)
        readable(traj, traj.reward, None)
        (fused if k % 2 else partial(gradient_step, cfg, other, second))(traj, traj.reward, None)
        assert_same(agent, other, first, second)


def test_a_loaded_state_is_the_one_that_is_stepped() -> None:
    cfg = A2CConfig()
    agent = make_agent()
    other, _, second, _, fused = both(cfg, agent)
    traj = segment(agent, 8, 5, 0)
    fused(traj, traj.reward, None)
    state, before = copy.deepcopy(second.state_dict()), copy.deepcopy(other.state_dict())
    fused(traj, traj.reward, None)
    want = copy.deepcopy(other.state_dict())
    second.load_state_dict(state)
    other.load_state_dict(before)
    fused(traj, traj.reward, None)
    for name, x in other.state_dict().items():
        assert torch.equal(x, want[name]), name
    assert int(second.state_dict()["state"][0]["step"]) == 2


@pytest.mark.parametrize("normalise", [False, True])
def test_masked_actions_have_no_gradient(normalise: bool) -> None:
    cfg = A2CConfig(optimizer="sgd", lr=0.1, entropy_coef=0.05)
    agent = masked_agent(normalise)
    other, first, second, readable, fused = both(cfg, agent)
    traj = segment(agent, 6, 7, 1)
    rows = torch.from_numpy(masked_rows(6 * 8)).view(6, 8, 9)
    legal = rows[:, :-1, 5:].argmax(-1)
    traj = replace(traj, obs=rows, action=legal)
    want, got = readable(traj, traj.reward, None), fused(traj, traj.reward, None)
    for name in want:
        torch.testing.assert_close(got[name], want[name], atol=1e-5, rtol=1e-4, msg=name)
    assert_same(agent, other, first, second)


def test_the_state_behind_a_row_teaches_nothing() -> None:
    """The known bug: rows of T + 1 states, read as T decisions each."""
    _, _, _, _, fused = both(A2CConfig(), agent := make_agent())
    traj = segment(agent, 4, 5, 1, acting=1.0, ending=0.0)
    seen: list[list[int]] = []
    kernels = fused._kernels

    class Spy:
        estimate = kernels.estimate

        @staticmethod
        def epoch(*args: Any) -> None:
            seen.append(args[14].tolist())
            kernels.epoch(*args)

    fused._kernels = Spy
    fused(traj, traj.reward, None)
    assert seen == [[k for k in range(24) if k % 6 != 5]]


def test_it_is_chosen_by_itself_and_may_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(**changes: Any) -> tuple[torch.Tensor, int]:
        calls = []
        step = FusedA2C.__call__
        monkeypatch.setattr(FusedA2C, "__call__", lambda self, *a: calls.append(1) or step(self, *a))
        cfg = resolve("a2c", "CartPole-v1", overrides={"seed": 1, "algo.updates": 3} | changes).config
        job = builder_of("a2c")(cfg, "CartPole-v1")
        next(job.algorithm)
        monkeypatch.setattr(FusedA2C, "__call__", step)
        return torch.cat([p.detach().reshape(-1) for p in job.agent.parameters()]), len(calls)

    fused, readable = trained(), trained(**{"algo.fused": "off"})
    assert (fused[1], readable[1]) == (3, 0)
    torch.testing.assert_close(fused[0], readable[0], atol=1e-5, rtol=0)
    assert not torch.equal(fused[0], readable[0])
    with pytest.raises(operant.ConfigError, match=r"algo\.fused is on, but .*one group"):
        trained(**{"algo.fused": "on", "algo.critic_lr": 1e-3})


def test_where_it_does_not_apply_it_says_why() -> None:
    cfg = A2CConfig()

    def reason(agent: Agent, optimizer: torch.optim.Optimizer | None = None) -> Any:
        return fused_step(agent, optimizer or optimizer_of(cfg, agent), cfg, advantages)

    agent = make_agent()
    assert "65536 weights" in reason(make_agent(hidden=(257, 256)))
    assert "MultiCategorical" in reason(make_agent("multidiscrete", action_sizes=(3, 2)))
    for options in ({"momentum": 0.9}, {"centered": True}, {"weight_decay": 0.1}):
        assert "RMSprop is set to" in reason(agent, torch.optim.RMSprop(parameters(agent), lr=0.1, **options))
    assert "momentum" in reason(agent, torch.optim.SGD(parameters(agent), lr=0.1, momentum=0.9))
    assert "SGD or RMSprop or Adam" in reason(agent, torch.optim.AdamW(parameters(agent), lr=0.1))
