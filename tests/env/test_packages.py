"""Environments of other packages: found by their ids, stepped as the packages do, or said in words to be missing."""

from __future__ import annotations

import importlib
import sys

import gymnasium
import numpy as np
import pytest

from operant.cli import doctor
from operant.config.errors import EnvError
from operant.env import check_env, make, make_one
from operant.env.two_players import TwoPlayers


@pytest.mark.parametrize("id", ["MiniGrid-DoorKey-5x5-v0", "BabyAI-GoToRedBall-v0"])
def test_a_grid_is_seen_as_its_own_wrapper_shows_it(id, capfd):
    wrappers = pytest.importorskip("minigrid.wrappers")
    ours = make(id, 1, wrappers=["key image"])
    theirs = wrappers.ImgObsWrapper(gymnasium.make(id))
    assert ours.observation_space == theirs.observation_space
    assert ours.observations.dtype is np.float32  # seven by seven of kinds and colours are no picture
    np.testing.assert_array_equal(ours.reset(5)[0], theirs.reset(seed=5)[0].ravel())
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = int(rng.integers(7))
        step, (obs, reward, over, out, _) = ours.step(np.array([action])), theirs.step(action)
        last = step.obs if step.final_obs is None else step.final_obs
        np.testing.assert_array_equal(last[0], obs.ravel())
        assert (step.reward[0], step.terminated[0], step.truncated[0]) == (np.float32(reward), over, out and not over)
        if over or out:
            break
    capfd.readouterr()


def test_a_mission_in_words_says_what_to_take_instead():
    pytest.importorskip("minigrid")
    with pytest.raises(EnvError, match=r"at \['mission'\] is a MissionSpace.* --env\.wrappers '\[\"key NAME\"\]'"):
        make("MiniGrid-Empty-5x5-v0", 1)


def test_minatar_is_stepped_as_its_own_environment_is():
    minatar = pytest.importorskip("minatar")
    env = make("MinAtar/Breakout-v1", 1, kwargs={"sticky_action_prob": 0.0})
    obs = env.reset(7)
    game = minatar.Environment("breakout", sticky_action_prob=0.0)
    game.seed(7)
    game.reset()
    np.testing.assert_array_equal(obs[0], game.state().ravel())
    rng, legal = np.random.default_rng(1), game.minimal_action_set()
    for _ in range(200):
        action = int(rng.integers(len(legal)))
        step = env.step(np.array([action]))
        reward, over = game.act(legal[action])
        assert (step.reward[0], step.terminated[0]) == (reward, over)
        if over:
            game.reset()
        np.testing.assert_array_equal(step.obs[0], game.state().ravel())


@pytest.mark.parametrize(
    ("id", "module", "extra"),
    [
        ("MiniGrid-Empty-5x5-v0", "minigrid", "minigrid"),
        ("BabyAI-GoToRedBall-v0", "minigrid", "minigrid"),
        ("MinAtar/Breakout-v1", "minatar.gym", "minatar"),
        ("PettingZoo/tictactoe-v3", "pettingzoo.classic", "pettingzoo"),
    ],
)
def test_a_package_that_is_missing_is_one_command(id, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(gymnasium.registry, id, raising=False)
    with pytest.raises(EnvError, match=rf'{id} needs a package.* pip install "operant\[{extra}\]"'):
        make_one(id)


def test_ids_of_packages_that_are_none_say_what_is_near():
    pytest.importorskip("pettingzoo")
    with pytest.raises(EnvError, match="there is PettingZoo/tictactoe-v3"):
        make_one("PettingZoo/tictactoe-v1")


def first_legal(obs, mask, generator):
    """An opponent."""
    return int(np.flatnonzero(mask)[0])


def illegal(obs, mask, generator):
    return 99


@pytest.mark.parametrize("name", ["tictactoe", "connect_four"])
def test_a_game_of_two_is_that_of_pettingzoo(name):
    module = importlib.import_module(f"pettingzoo.classic.{name}_v3")
    env = make_one(f"PettingZoo/{name}-v3", {"opponent": f"{__file__}:first_legal"})
    rng, seats = np.random.default_rng(0), set()
    for game in range(12):
        obs, _ = env.reset(seed=game)
        table = module.env()
        table.reset()
        mine = env.unwrapped._player
        seats.add(mine)

        def others(table=table, mine=mine):
            paid = 0.0
            while table.agent_selection != mine and not table.terminations[mine]:
                mask = table.observe(table.agent_selection)["action_mask"]
                table.step(first_legal(None, mask, None))
                paid += table.rewards[mine]
            return paid

        others()
        for _ in range(50):
            seen = table.observe(mine)
            for key in ("observation", "action_mask"):
                np.testing.assert_array_equal(obs[key], seen[key])
            action = int(rng.choice(np.flatnonzero(obs["action_mask"])))
            table.step(action)
            paid = table.rewards[mine] + others()
            obs, reward, over, _, _ = env.step(action)
            assert (reward, over) == (paid, table.terminations[mine])
            if over:
                break
        assert over
    assert len(seats) == 2  # the opponent began some of them


def test_masks_keep_a_game_legal_and_seeds_repeat_it():
    pytest.importorskip("pettingzoo")

    def returns(seed):
        env = make("PettingZoo/tictactoe-v3", 2, action_mask="action_mask")
        obs, rng, rows = env.reset(seed), np.random.default_rng(0), []
        for _ in range(40):
            step = env.step(np.array([rng.choice(np.flatnonzero(row[-9:])) for row in obs]))
            obs = step.obs
            rows.append(step.reward)
        return np.concatenate(rows)

    first = returns(1)
    np.testing.assert_array_equal(first, returns(1))
    assert set(first) <= {-1.0, 0.0, 1.0}
    assert {-1.0, 1.0} <= set(first)
    assert [p.what for p in check_env("PettingZoo/tictactoe-v3", steps=100)] == []  # it is played with legal actions


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"opponent": f"{__file__}:illegal"}, "returned 99, which is no legal action"),
        ({"opponent": "nowhere.py:f"}, "there is no file nowhere.py"),
        ({"seat": 2}, "seat is 2: expected 0 or 1"),
    ],
)
def test_a_wrong_opponent_is_told_in_words(kwargs, words):
    pytest.importorskip("pettingzoo")
    with pytest.raises(EnvError, match=words):
        make_one("PettingZoo/tictactoe-v3", kwargs | {"seat": kwargs.get("seat", 1)}).reset(seed=0)


def test_a_game_that_needs_more_says_what(monkeypatch):
    pytest.importorskip("pettingzoo")
    monkeypatch.setitem(sys.modules, "pettingzoo.classic.tictactoe_v3", None)
    with pytest.raises(EnvError, match=r'pip install "pettingzoo\[classic\]"'):
        TwoPlayers("classic.tictactoe_v3")


@pytest.mark.parametrize(
    ("installed", "ok", "words"),
    [
        ({"mujoco": "4.0.0", "mujoco-core": "4.0.0", "mujoco-studio": "4.0.0"}, True, "has a known fault"),
        ({"mujoco": "4.0.1", "mujoco-core": "4.0.0", "mujoco-studio": "4.0.0"}, False, "of different versions"),
        ({"mujoco": "3.17.0", "mujoco-core": "4.0.0"}, False, "mujoco-core 4.0.0: of different versions"),
        ({"mujoco": "4.0.1", "mujoco-core": "4.0.1", "mujoco-studio": "4.0.1"}, True, ""),
        ({"mujoco": "3.17.0"}, True, ""),
        ({}, False, "not installed"),
    ],
)
def test_the_doctor_knows_what_is_wrong_with_mujoco(installed, ok, words, monkeypatch):
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: installed.get(name) if "mujoco" in name else real(name))
    row = next(row for row in doctor.examine() if row["what"] == "[mujoco]")
    assert row["ok"] is ok
    assert words in row["found"]
    if words and installed:
        assert row["fix"] == 'pip uninstall -y mujoco mujoco-core mujoco-studio && pip install "mujoco==3.17.*"'
    elif installed:
        assert row["fix"] is None
