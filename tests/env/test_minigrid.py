"""MiniGrid's levels compiled: held to the package, step by step and episode by episode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from operant.config.errors import EnvError
from operant.env import make
from operant.env.inprocess import InProcess
from operant.env.minigrid import MiniGrid
from operant.recipes.general_problem_solver import ACTIONS as ACTIONS_OF
from operant.recipes.general_problem_solver import LETTERS
from operant.search.planning_worlds import door_and_key
from operant.search.regression import regression_plan

pytest.importorskip("minigrid")
SYMBOLS, PLANES = ["key image"], ["key image", "one-hot 11 6 3"]
LEVELS = (
    *("Empty-Random-6x6", "DoorKey-6x6", "LavaGapS6", "LavaCrossingS9N2", "SimpleCrossingS9N3", "DistShift2"),
    *("FourRooms", "LockedRoom", "MultiRoom-N2-S4", "MultiRoom-N4-S5", "Playground"),
)
# more often ahead than not, so that doors, keys and goals are met
ACTIONS = [0, 1, 2, 2, 2, 2, 3, 4, 5, 5, 6]


def both(id: str, num: int = 3, wrappers: list[str] = SYMBOLS) -> tuple[MiniGrid, InProcess]:
    ours, theirs = make(id, num, wrappers=wrappers), make(id, num, backend="inprocess", wrappers=wrappers)
    assert isinstance(ours, MiniGrid)
    assert isinstance(theirs, InProcess)
    return ours, theirs


def same(ours: MiniGrid, theirs: InProcess, actions: np.ndarray) -> int:
    """Steps both; the answers are equal to the last bit. Returns how many episodes ended."""
    a, b = ours.step(actions), theirs.step(actions)
    for name in ("obs", "reward", "terminated", "truncated", "acted"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert (a.final_obs is None) == (b.final_obs is None)
    if a.final_obs is not None and b.final_obs is not None:
        np.testing.assert_array_equal(a.final_obs, b.final_obs)
    assert (a.obs.dtype, a.reward.dtype) == (b.obs.dtype, b.reward.dtype)
    return int((a.terminated | a.truncated).sum())


@pytest.mark.parametrize("level", LEVELS)
def test_episodes_are_those_of_the_package(level):
    ours, theirs = both(f"MiniGrid-{level}-v0")
    rng = np.random.default_rng(len(level))
    np.testing.assert_array_equal(ours.reset(7), theirs.reset(7))
    for _ in range(150):
        same(ours, theirs, rng.choice(ACTIONS, 3))


def way(level: Any) -> list[int]:
    """To the key, to the door, through it and to the goal, by planning on what the package laid."""
    letters = [[LETTERS.get(getattr(level.grid.get(x, y), "type", ""), ".") for x in range(5)] for y in range(5)]
    x, y = level.agent_pos
    letters[y][x] = "S"
    plan = regression_plan(door_and_key(["".join(line) for line in letters], int(level.agent_dir)))
    assert plan
    return [ACTIONS_OF[operator.name] for operator in plan]


def test_a_key_opens_its_door_and_the_goal_pays():
    """What random actions seldom come to."""
    ours, theirs = both("MiniGrid-DoorKey-5x5-v0", 1, PLANES)
    for seed in range(4):
        np.testing.assert_array_equal(ours.reset(seed), theirs.reset(seed))
        assert sum(same(ours, theirs, np.array([action])) for action in way(theirs._envs[0].unwrapped)) == 1


def test_what_a_box_holds_comes_out_and_stays_in_it_when_it_is_carried():
    from minigrid.core.world_object import Box, Key

    ours, theirs = both("MiniGrid-Empty-8x8-v0", 1)
    levels = [env._envs[0].unwrapped for env in (ours, theirs)]
    for level in levels:
        level._gen_grid_before = level._gen_grid
        level._gen_grid = lambda w, h, its=level: (
            its._gen_grid_before(w, h),
            its.grid.set(3, 1, Box("red", Key("blue"))),
        )
    np.testing.assert_array_equal(ours.reset(0), theirs.reset(0))
    for action in (2, 3, 1, 4, 2, 0, 2, 1, 2, 5, 3, 4, 3, 6):  # carries the box, drops it, opens it, takes the key
        same(ours, theirs, np.array([action]))


def test_what_its_rules_do_not_know_is_played_by_the_package():
    for id, wrappers in (
        ("MiniGrid-Fetch-5x5-N2-v0", SYMBOLS),
        ("BabyAI-GoToRedBall-v0", SYMBOLS),
        ("MiniGrid-Empty-5x5-v0", ["key image", "frame-stack 2"]),
        ("MiniGrid-Empty-5x5-v0", ["key direction"]),
    ):
        assert isinstance(make(id, 1, wrappers=wrappers), InProcess)
    assert isinstance(make("MiniGrid-Empty-5x5-v0", 1, kwargs={"max_episode_steps": 9}, wrappers=SYMBOLS), InProcess)
    assert isinstance(make("MiniGrid-Empty-5x5-v0", 1, render_mode="rgb_array", wrappers=SYMBOLS), InProcess)


def test_faults_are_told_in_words(monkeypatch):
    env, _ = both("MiniGrid-Empty-5x5-v0", 2)
    env.reset(0)
    with pytest.raises(EnvError, match="copy 1, step 1: the action 7 is none of 0 to 6"):
        env.step(np.array([0, 7]))
    with pytest.raises(ValueError, match="where int64"):
        env.step(np.zeros((2, 1), np.int64))
    few, _ = both("MiniGrid-Empty-5x5-v0", 1, ["key image", "one-hot 11 2 3"])
    with pytest.raises(EnvError, match="number 1 of the last axis is 5"):
        few.reset(0)
    level = env._envs[0].unwrapped
    monkeypatch.setattr(level, "_gen_grid", lambda *_: (_ for _ in ()).throw(KeyError("no room")))
    with pytest.raises(EnvError, match=r"copy 0.*reset\(\) raised KeyError"):
        env.reset(0)


def test_an_object_of_another_kind_is_refused():
    from minigrid.core.world_object import Ball

    class Bomb(Ball):
        pass

    env, _ = both("MiniGrid-Empty-5x5-v0", 1)
    level = env._envs[0].unwrapped
    before = level._gen_grid
    level._gen_grid = lambda w, h: (before(w, h), level.grid.set(2, 2, Bomb()))
    with pytest.raises(EnvError, match='holds a Bomb: use the backend "inprocess"'):
        env.reset(0)


def test_it_is_chosen_for_training_and_changes_no_number(tmp_path):
    import operant

    settings = {
        "env.num": 2, "algo.horizon": 16, "algo.epochs": 1, "eval.episodes": 2, "save.videos": False,
        "save.report": False, "total_steps": 64, "quiet": True, "seed": 1, "runs": tmp_path,
    }  # fmt: skip
    runs = [
        operant.train("ppo", "MiniGrid-DoorKey-5x5-v0", **settings, **{"env.backend": b}) for b in ("auto", "inprocess")
    ]
    a, b = (run.folder.info()["evaluation"] for run in runs)
    assert a == b
