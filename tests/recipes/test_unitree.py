"""The recipe of walkers: its mechanism changes what is seen and not what is paid; what it measures."""

import numpy as np
import pytest

from operant.config.resolve import resolve
from operant.recipes import recipe, run
from operant.recipes.unitree import CHANGES, ROUND, SPEED, Walk, diagonal, error, jerk, walk

pytest.importorskip("mujoco")
from operant.robots import ant


@pytest.mark.parametrize("arm", ["ant", "blind"])
def test_without_the_command_there_is_nothing_to_follow_and_it_is_paid_for_all_the_same(arm):
    env, seen, paid = ant(**CHANGES.get(arm, {})), [], []
    for command in (ROUND[0], ROUND[4]):
        env.reset(seed=1, options={"command": command})
        env.data.qvel[0] = SPEED
        obs, reward, *_ = env.step(np.zeros(8, np.float32))
        seen.append(obs)
        paid.append(reward)
    assert np.array_equal(*seen) == (arm == "blind")
    assert paid[0] > paid[1] + 0.01


def test_the_arm_that_jerks_is_paid_without_two_terms():
    env = ant(**CHANGES["jerky"])
    assert {*ant().cfg.rewards} - {name for name, *_ in env._terms} == {"action_rate", "dof_acc"}


class Still:
    """A policy of no action."""

    policy = property(lambda self: self)

    def act(self, obs):
        return np.zeros(8, np.float32)


def test_who_stands_is_off_by_what_is_asked_for():
    found = walk(Still(), "operant.robots:ant", {}, ROUND[1], 4.0)
    assert len(found.off) == found.steps == 80
    assert error(found) == pytest.approx(SPEED, abs=0.05)
    assert error(found._replace(off=np.zeros(20))) == 0.75 * SPEED  # fell after a quarter
    assert all(np.hypot(x, y) == pytest.approx(SPEED) for x, y, _ in ROUND)


def test_measures_of_a_gait():
    time = np.arange(200) * 0.02
    speeds = np.sin(3.0 * time)[:, None]
    found = Walk(time, time, speeds, np.zeros((4, 4), bool), np.zeros((4, 4), bool), 0.0, 0.02, 200)
    assert jerk(found) == pytest.approx(np.abs(9.0 * np.sin(3.0 * time)).mean(), rel=0.02)
    trot = [[1, 0, 0, 1], [0, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0]]  # two of four on a diagonal, all, a pace
    assert diagonal(found._replace(standing=np.array(trot, bool))) == 0.5


def test_robots_that_are_not_at_hand_have_no_row(tmp_path, monkeypatch):
    monkeypatch.delenv("OPERANT_DATA", raising=False)
    told = []
    result = run("unitree", arms=["go2"], seeds=1, miniature=True, runs=tmp_path, say=told.append)
    assert result.rows[0]["metrics"] == {}
    assert "its description is not at hand" in told[0]


def test_every_robot_has_a_preset_that_is_told():
    for name in ("ant", "biped", "g1", "go2"):
        found = resolve("ppo", f"operant.robots:{name}")
        assert found.preset == f"operant.robots:{name}"
        assert (found.config.env.num, found.config.algo.epochs, found.config.algo.lam) == (16, 5, 0.95)
    assert recipe("unitree").controls
