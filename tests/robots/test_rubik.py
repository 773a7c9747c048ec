"""The 2×2×2 solved exactly, the arm that turns a face, and what counts as a turn."""

from functools import cache

import numpy as np
import pytest

from operant.recipes import rubik
from operant.robots import Cube

HALF = [1, 9, 54, 321, 1847, 9992, 50136, 227536, 870072, 1887748, 623800, 2644]
QUARTER = [1, 6, 27, 120, 534, 2256, 8969, 33058, 114149, 360508, 930588, 1350852, 782536, 90280, 276]


@cache
def cube(half):
    return Cube(half)


@pytest.mark.parametrize(("half", "published"), [(True, HALF), (False, QUARTER)])
def test_every_depth_has_as_many_states_as_is_published(half, published):
    assert np.bincount(cube(half).depth).tolist() == published
    assert sum(published) == 3_674_160


def test_turns_obey_the_cube():
    """A face comes back after four quarters; R U R⁻¹ U⁻¹ after six, R U after fifteen on corners."""
    its, state = cube(False), 1_234_567
    for face in range(3):
        assert its.turned(state, face, 4) == state
        assert its.turned(its.turned(state, face, 1), face, 3) == state
    for word, order in (([(1, 1), (0, 1), (1, 3), (0, 3)], 6), ([(1, 1), (0, 1)], 15)):
        at, count = 0, 0
        while at or not count:
            for face, quarters in word:
                at = its.turned(at, face, quarters)
            count += 1
        assert count == order


@pytest.mark.parametrize("half", [True, False])
def test_solutions_are_as_long_as_the_depth_says(half):
    its, rng = cube(half), np.random.default_rng(0)
    for turns in (0, 1, 5, len(HALF if half else QUARTER) - 1):
        state = its.scramble(turns, rng)
        found = its.solution(state)
        assert len(found) == turns
        for face, quarters in found:
            state = its.turned(state, face, quarters)
        assert state == 0


class Turning:
    """Torques that pull the knob along its circle, by a spring to where the face should be, and a damper."""

    def __init__(self, env, gain=12.0):
        self.env, self.gain, self.policy = env, gain, self

    def act(self, obs):
        its = self.env.unwrapped
        angle, slope = its.data.qpos[0], np.zeros((3, 3))
        its._mujoco.mj_jacSite(its.model, its.data, slope, None, its.model.site("tip").id)
        pull = self.gain * (its.way * np.pi / 2 - angle) - 0.8 * its.data.qvel[0]
        return slope[:2, 1:].T @ (pull * np.array([-np.cos(angle), -np.sin(angle)]))


@pytest.fixture
def turner():
    pytest.importorskip("mujoco")
    from operant.robots import Turner

    env = Turner()
    env.reset(seed=1)
    return env


def test_the_arm_begins_at_the_knob_and_holds_it(turner):
    assert np.linalg.norm(np.subtract(*turner.data.site_xpos)) < 1e-6
    for _ in range(60):
        obs, *_ = turner.step(turner.action_space.sample())
        assert np.linalg.norm(np.subtract(*turner.data.site_xpos)) < 2e-3
    assert turner.observation_space.contains(obs)


@pytest.mark.parametrize("quarters", [1, 3])
def test_a_face_counts_where_it_was_turned_by_ninety_degrees(turner, quarters):
    assert rubik.turns(Turning(turner), turner, quarters)
    sign = -1 if quarters == 1 else 1
    assert abs(np.rad2deg(turner.data.qpos[0]) - sign * 90) <= 5
    assert not rubik.turns(Turning(turner, gain=0.0), turner, quarters)  # who does nothing turns nothing
    turner.data.qpos[0] = sign * np.deg2rad(84.0)
    assert not turner.step(np.zeros(2, np.float32))[4]["turned"]


def test_a_world_stays_for_a_cube_and_is_another_for_the_next():
    pytest.importorskip("mujoco")
    env = rubik.held_out(1)
    first = dict(env.values)
    env.reset(options={"way": 1})
    assert env.values == first
    assert env.unwrapped.model.dof_damping[0] == pytest.approx(0.002 * first["damping"])
    assert rubik.held_out(2).values != first


def test_the_search_decides_what_is_turned_and_without_it_nothing_is_solved(monkeypatch):
    """The mechanism, with an arm that never fails, and one that fails at the third turn."""
    monkeypatch.setattr(rubik, "held_out", lambda seed: type("World", (), {"close": lambda self: None})())
    monkeypatch.setattr(rubik, "cube", lambda: cube(False))
    monkeypatch.setattr(rubik, "turns", lambda *_: True)
    rng = np.random.default_rng(0)
    states = [cube(False).scramble(8, rng) for _ in range(20)]
    assert all(rubik.solved(None, 0, state) for state in states)
    assert sum(rubik.wandered(state, rng) for state in states) <= 1
    made = iter([True, True, False])
    monkeypatch.setattr(rubik, "turns", lambda *_: next(made))
    assert not rubik.solved(None, 0, states[0])
