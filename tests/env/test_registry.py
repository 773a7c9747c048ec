"""The list of environments is true, and light."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from gymnasium.spaces.utils import flatdim

from operant.env import make_one, registered
from operant.env.registry import describe_space


def test_the_list_is_plain_and_names_each_environment_once():
    rows = registered()
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert {"CartPole-v1", "LunarLander-v3", "HalfCheetah-v5", "operant.env.probe:identity"} <= set(ids)
    assert not {"CartPole-v0", "HalfCheetah-v4", "Ant-v3", "GymV21Environment-v0"} & set(ids)
    assert json.loads(json.dumps(rows)) == rows
    by_id = {row["id"]: row for row in rows}
    assert by_id["CartPole-v1"] == {
        "id": "CartPole-v1",
        "backend": "compiled",
        "needs": None,
        "time_limit": 500,
        "observation": "4 numbers",
        "action": "one of 2",
    }
    assert by_id["phys2d/CartPole-v1"]["needs"] == "jax"
    assert by_id["phys2d/CartPole-v1"]["backend"] == "inprocess"
    assert by_id["operant.env.probe:four_state"]["time_limit"] == 8


@pytest.mark.parametrize("row", [r for r in registered() if r["needs"] in ("box2d", "mujoco")], ids=lambda r: r["id"])
def test_what_is_said_of_the_heavy_ones_is_so(row):
    pytest.importorskip({"box2d": "Box2D", "mujoco": "mujoco"}[row["needs"]])
    env = make_one(row["id"])
    assert row["observation"] == f"{flatdim(env.observation_space)} numbers"
    assert row["action"] == describe_space(env.action_space)
    assert row["time_limit"] == env.spec.max_episode_steps
    env.close()


def test_listing_loads_no_optional_package():
    code = (
        "import sys, operant.env; operant.env.registered();"
        "print([m for m in ('mujoco', 'Box2D', 'envpool', 'ale_py', 'jax', 'torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
