"""The hand-written steps of cloning are the readable ones: same loss, same steps, same memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import operant
from control.test_a2c_fused import assert_same
from control.test_masked import agent_of as masked_agent
from control.test_masked import rows as masked_rows
from control.test_ppo_fused import make_agent
from operant.config.errors import ConfigError
from operant.control.agent import Agent
from operant.control.fused import FusedClone, fused_clone
from operant.control.imitation.bc import Decisions, ascent
from operant.control.imitation.likelihood import likelihood_of
from operant.control.settings.imitation import BCConfig
from operant.env import make_one
from operant.env.minari import write_data
from reference.episodes import played

TREE = "operant.env.imitated:tree"
CASES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["discrete", "box"]),
        "obs_dim": st.integers(1, 12),
        "outputs": st.integers(2, 7),
        "hidden": st.lists(st.integers(1, 70), min_size=0, max_size=3).map(tuple),
        "activation": st.sampled_from(["tanh", "relu"]),
        "obs_clip": st.sampled_from([None, 1.5]),
        "batch": st.integers(1, 90),
        "batches": st.integers(1, 4),
        "max_grad_norm": st.sampled_from([None, 0.05]),
        "seed": st.integers(0, 10_000),
    }
)


def adam(agent: Agent) -> torch.optim.Adam:
    # A larger ε keeps Adam from turning a gradient that is 0 up to rounding into a whole step.
    return torch.optim.Adam(agent.policy.parameters(), lr=1e-3, eps=1e-2)


def assert_equal_steps(agent: Agent, cfg: BCConfig, drawn: list[Decisions]) -> None:
    other = copy.deepcopy(agent)
    first, second = adam(agent), adam(other)
    slow = ascent(cfg.model_copy(update={"fused": "off"}), agent, first, likelihood_of(cfg, agent))
    fast = ascent(cfg.model_copy(update={"fused": "on"}), other, second, likelihood_of(cfg, other))
    for _ in range(2):
        for one, two in zip(slow(iter(drawn)), fast(iter(drawn)), strict=True):
            assert one.keys() == two.keys()
            for name in one:
                torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-4)
    assert_same(agent, other, first, second)


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_equals_autograd(case: dict[str, Any]) -> None:
    agent = make_agent(
        case["kind"], case["seed"], obs_dim=case["obs_dim"], action_sizes=(case["outputs"],), hidden=case["hidden"],
        activation=case["activation"], obs_clip=case["obs_clip"],
    )  # fmt: skip
    cfg, rng = BCConfig(batch=case["batch"], max_grad_norm=case["max_grad_norm"]), np.random.default_rng(case["seed"])
    drawn: list[Decisions] = []
    for _ in range(case["batches"]):
        obs = torch.from_numpy(2.0 * rng.standard_normal((cfg.batch, case["obs_dim"]), dtype=np.float32))
        action, _ = agent.policy.sample(obs, rng)
        drawn.append(Decisions(obs, action, torch.ones(cfg.batch, dtype=torch.bool)))
    assert_equal_steps(agent, cfg, drawn)


def test_equals_autograd_where_actions_are_masked() -> None:
    agent, rng = masked_agent(), np.random.default_rng(0)
    obs = torch.from_numpy(masked_rows(24, 1))
    action, _ = agent.policy.sample(obs, rng)
    its = [Decisions(x, a, torch.ones(8, dtype=torch.bool)) for x, a in zip(obs.split(8), action.split(8), strict=True)]
    assert_equal_steps(agent, BCConfig(batch=8), its)


OBSTACLES = {
    "the likelihood is mse": lambda agent: fused_clone(agent.policy, adam(agent), BCConfig(likelihood="mse")),
    "the optimiser is not": lambda agent: fused_clone(
        agent.policy, torch.optim.SGD(agent.policy.parameters()), BCConfig()
    ),
    "does not hold the parameters": lambda agent: fused_clone(
        agent.policy, torch.optim.Adam(agent.parameters()), BCConfig()
    ),
    "float32": lambda agent: fused_clone(agent.double().policy, adam(agent), BCConfig()),
}


@pytest.mark.parametrize("said", OBSTACLES)
def test_it_says_why_it_does_not_apply(said: str) -> None:
    found = OBSTACLES[said](make_agent("box", 0))
    assert isinstance(found, str)
    assert said in found


def test_it_applies_to_what_is_plain() -> None:
    agent = make_agent("box", 0)
    assert isinstance(fused_clone(agent.policy, adam(agent), BCConfig()), FusedClone)


def test_where_it_is_asked_for_and_cannot_be_a_run_says_why(tmp_path) -> None:
    pytest.importorskip("h5py")
    data = str(write_data(played(make_one(TREE), 2, steps=9), tmp_path / "data"))
    given = {"data.path": data, "algo.likelihood": "mixture", "algo.fused": "on", "quiet": True}
    with pytest.raises(ConfigError, match="the hand-written update does not apply: the policy is a Mixture"):
        operant.train("bc", TREE, total_steps=10, runs=tmp_path, **given)
