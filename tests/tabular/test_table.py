"""A table acts, values, and comes back from its files as it was; what is no table is refused in words."""

import json

import numpy as np
import pytest
import torch

from operant.config.errors import ConfigError
from operant.control.agent import Agent, AgentSpec
from operant.run.world import read_policy
from operant.tabular.table import TablePolicy, as_json

TABLE = np.array([[1.0, 2.0, 2.0], [0.5, -1.0, 0.25], [-3.0, -2.0, -1.0]])


def test_it_acts_on_states_and_on_the_rows_that_environments_give():
    policy = TablePolicy(TABLE)
    assert policy.act(np.array([0, 1, 2])).tolist() == [1, 0, 2]  # of equals the first
    assert policy.act(np.eye(3, dtype=np.float32)).tolist() == [1, 0, 2]
    assert policy.act(2).shape == ()
    assert int(policy.act(2)) == 2
    assert policy.value(np.array([0, 2])).tolist() == [2.0, -1.0]


@pytest.mark.parametrize("obs", [3, -1, [0.0, 1.0], [0.5], np.zeros((2, 4))])
def test_what_is_no_state_is_refused(obs):
    with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
        TablePolicy(TABLE).act(obs)


def test_sampled_actions_are_epsilon_greedy():
    policy, states = TablePolicy(TABLE, epsilon=0.3), np.zeros(60_000, dtype=np.int64)
    taken = np.bincount(policy.act(states, generator=np.random.default_rng(1)), minlength=3) / len(states)
    deviation = np.sqrt(0.1 * 0.9 / len(states))
    assert np.abs(taken - [0.1, 0.8, 0.1]).max() < 5 * deviation
    assert (TablePolicy(TABLE).act(states, generator=np.random.default_rng(1)) == 1).all()


def test_it_comes_back_bit_for_bit(tmp_path):
    table = np.random.default_rng(0).normal(size=(7, 2))
    TablePolicy(table, epsilon=0.05).save(tmp_path)
    loaded = read_policy(tmp_path)
    assert isinstance(loaded, TablePolicy)
    assert loaded.spec == TablePolicy(table, epsilon=0.05).spec
    assert loaded.table.tobytes() == table.tobytes()


def test_the_kind_of_a_policy_is_read_from_its_file(tmp_path):
    Agent(AgentSpec(obs_dim=2, action_kind="discrete", action_sizes=(3,)), torch.Generator()).save(tmp_path)
    assert isinstance(read_policy(tmp_path), Agent)


@pytest.mark.parametrize(
    "change",
    [
        {"states": 4},
        {"actions": 0},
        {"states": "3"},
        {"states": 2**60},
        {"epsilon": 2.0},
        {"epsilon": "0"},
        {"kind": "tables"},
        {"more": 1},
    ],
)
def test_a_spec_that_is_not_the_tables_is_refused(tmp_path, change):
    TablePolicy(TABLE).save(tmp_path)
    spec = json.loads((tmp_path / "policy.json").read_text())
    (tmp_path / "policy.json").write_text(json.dumps(spec | change))
    with pytest.raises(ConfigError):
        read_policy(tmp_path)


def test_the_module_is_the_policy():
    policy, obs = TablePolicy(TABLE), np.eye(3, dtype=np.float32)
    assert policy.policy.mode(torch.from_numpy(obs)).tolist() == policy.act(obs).tolist()


def test_it_reads_as_json():
    rows = json.loads(as_json(TABLE, ["left", "stay", "right"]))
    assert rows[1] == {"state": 1, "action": "left", "q": {"left": 0.5, "stay": -1.0, "right": 0.25}}
