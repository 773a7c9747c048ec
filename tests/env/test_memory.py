"""The environments that need a memory are what their papers define."""

from __future__ import annotations

import numpy as np
import pytest

from operant.config.errors import EnvError
from operant.env import check_env, make_one, memory, registered


def played(env, act, seed):
    """One episode: states, rewards, how it ended; `act` is told all states so far."""
    states, rewards = [env.reset(seed=seed)[0]], []
    while True:
        obs, reward, terminated, truncated, _ = env.step(act(states))
        states.append(obs)
        rewards.append(reward)
        if terminated or truncated:
            return states, rewards, terminated, truncated


@pytest.mark.parametrize(("k", "decks"), [(4, 1), (1, 1), (51, 1), (32, 2)])
def test_repeat_previous_pays_for_the_kth_last_suit_from_one_deck(k, decks):
    cards = 52 * decks
    env = memory.repeat_previous(k, decks)
    states, rewards, terminated, truncated = played(env, lambda s: s[-k] if len(s) >= k else 0, seed=3)
    assert (terminated, truncated) == (True, False)
    assert np.bincount(states).tolist() == [cards // 4] * 4  # the whole deck, each card once
    assert rewards == [0.0] * (k - 1) + [1 / (cards - k)] * (cards - k)
    assert sum(rewards) == pytest.approx(1.0)
    wrong = played(env, lambda s: (s[-k] + 1) % 4 if len(s) >= k else 0, seed=3)[1]
    assert sum(wrong) == pytest.approx(-1.0)


def test_repeat_previous_is_shuffled_by_its_seed_and_refuses_what_no_deck_holds():
    env = memory.repeat_previous()
    one, again, other = (played(env, lambda s: 0, seed)[0] for seed in (1, 1, 2))
    assert one == again != other
    guessed = [sum(played(env, lambda s: s[-1], seed)[1]) for seed in range(200)]
    assert np.mean(guessed) == pytest.approx(-0.5, abs=0.05)  # the newest card says nearly nothing of the fourth last
    for k in (0, 52):
        with pytest.raises(EnvError, match=f"k is {k}"):
            memory.repeat_previous(k)


def test_t_maze_shows_the_goal_at_the_start_only():
    env, east = memory.t_maze(), memory.EAST
    goals = set()
    for seed in range(20):
        states, *_ = played(env, lambda s: east if len(s) <= 20 else memory.NORTH, seed)
        goals.add(tuple(states[0]))
        assert [tuple(s) for s in states[1:20]] == [(1, 0, 1)] * 19
        assert tuple(states[20]) == (0, 1, 0)
    assert goals == {(0, 1, 1), (1, 1, 0)}


@pytest.mark.parametrize(("last", "north", "south"), [(memory.NORTH, 4.0, -0.1), (memory.SOUTH, -0.1, 4.0)])
def test_t_maze_pays_for_what_the_start_said(last, north, south):
    env = memory.t_maze(corridor=3)
    for seed in range(20):
        states, rewards, terminated, truncated = played(env, lambda s: memory.EAST if len(s) <= 3 else last, seed)
        assert rewards == [0.0, 0.0, 0.0, north if tuple(states[0]) == (0, 1, 1) else south]
        assert (terminated, truncated) == (True, False)


def test_t_maze_has_walls_and_a_limit():
    env = memory.t_maze(corridor=2, limit=9)
    env.reset(seed=0)
    n, e, s, w = memory.NORTH, memory.EAST, memory.SOUTH, memory.WEST
    start = env.reset(seed=0)[0]
    steps = [env.step(action) for action in (w, n, s, e, n, e, e, w, w)]
    assert [reward for _, reward, *_ in steps] == [-0.1, -0.1, -0.1, 0.0, -0.1, 0.0, -0.1, 0.0, 0.0]
    assert [end for *_, end, _ in steps] == [False] * 8 + [True]
    assert not any(terminated for _, _, terminated, *_ in steps)
    assert np.array_equal(steps[-1][0], start)
    with pytest.raises(EnvError, match="junction"):
        memory.t_maze(corridor=0)


def test_cartpole_positions_is_cartpole_without_what_moves():
    full, seen = make_one("CartPole-v1"), make_one("operant.env.memory:cartpole_positions")
    assert seen.observation_space.shape == (2,)
    a, b = full.reset(seed=5)[0], seen.reset(seed=5)[0]
    for t in range(200):
        assert np.array_equal(a[[0, 2]], b)
        (a, *one, _), (b, *two, _) = full.step(t % 2), seen.step(t % 2)
        assert one == two
        if one[1] or one[2]:
            break
    assert memory.cartpole_positions(limit=7).spec.max_episode_steps == 7


def test_they_are_listed_and_pass_our_own_check():
    names = [f"operant.env.memory:{name}" for name in ("repeat_previous", "t_maze", "cartpole_positions")]
    limits = {row["id"]: row["time_limit"] for row in registered()}
    assert [limits[name] for name in names] == [None, 200, 500]
    for name in names:
        assert check_env(name, steps=300) == []
