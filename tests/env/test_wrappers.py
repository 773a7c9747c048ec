"""Wrappers as text: what each does, refused in words, the same in every backend, left out where one is measured."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from pydantic import ValidationError

from operant.config.errors import ConfigError, EnvError
from operant.config.schema import CopiesConfig
from operant.config.wrappers import PRESETS, TAKES, read
from operant.env import make, make_one
from operant.env.wrappers import resized, shares

HERE = f"{__file__}:Counting"


class Lives:
    def __init__(self, env):
        self.env = env

    def lives(self):
        return self.env.left


class Counting(gymnasium.Env):
    """Sees its step count as a grey picture, is paid it with alternating sign; loses one of 3 lives every `life`."""

    action_space = spaces.Discrete(3)

    def __init__(self, kind="picture", life=4):
        self.kind, self.life, self.ale = kind, life, Lives(self)
        colour = spaces.Box(0, 255, (10, 12, 3), np.uint8)
        self.observation_space = {
            "picture": colour,
            "vector": spaces.Box(-99, 99, (2,)),
            "both": spaces.Dict({"eye": colour, "said": spaces.Text(3)}),
        }[kind]

    def get_action_meanings(self):
        return ["NOOP", "FIRE", "LEFT"]

    def _obs(self):
        if self.kind == "vector":
            return np.array([self.t, self.last], np.float32)
        eye = np.full((10, 12, 3), self.t, np.uint8)
        return eye if self.kind == "picture" else {"eye": eye, "said": "abc"}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.left, self.last = 0, 3, -1
        return self._obs(), {}

    def step(self, action):
        self.t, self.last = self.t + 1, int(action)
        self.left -= self.t % self.life == 0
        return self._obs(), (-2.5) ** (self.t % 2), self.left == 0, False, {}


def one(*wrappers, kind="vector", measured=False, **kwargs):
    return make_one(HERE, {"kind": kind} | kwargs, None, wrappers, measured=measured)


def walk(env, action=2, steps=30):
    """Observations, rewards and ends of a walk through several episodes."""
    rows = [(env.reset(seed=5)[0], 0.0, False, False)]
    for _ in range(steps):
        obs, reward, over, out, _ = env.step(action)
        rows.append((obs, reward, over, out))
        if over or out:
            rows.append((env.reset()[0], 0.0, False, False))
    return rows


def test_each_wrapper_does_what_it_says():
    assert [r[0][0] for r in walk(one("action-repeat 3"), steps=4)] == [0, 3, 6, 9, 12, 0]
    assert [r[1] for r in walk(one("action-repeat 2"), steps=2)] == [0, -1.5, -1.5]
    assert [r[1] for r in walk(one("clip-reward"), steps=2)] == [0, -1, 1]
    assert [r[1] for r in walk(one("clip-reward -0.5 0.25"), steps=2)] == [0, -0.5, 0.25]
    assert [r[2:] for r in walk(one("time-limit 3"), steps=3)][1:4] == [(False, False), (False, False), (False, True)]
    assert [r[0][0].tolist() for r in walk(one("frame-stack 2"), steps=1)] == [[0, -1], [0, -1]]
    assert [r[0][:, 0].tolist() for r in walk(one("frame-stack 2"), steps=2)] == [[0, 0], [0, 1], [1, 2]]
    assert one("frame-stack 2 zero").reset()[0][:, 1].tolist() == [0, -1]
    assert one("fire-reset").reset()[0].tolist() == [1, 1]
    assert one("max-and-skip 3").reset()[0][0] == 0
    assert [r[0][0] for r in walk(one("max-and-skip 3"), steps=2)] == [0, 3, 6]
    assert one("grey", kind="picture").observation_space.shape == (10, 12)
    assert one("resize 5 4", kind="picture").observation_space == spaces.Box(0, 255, (5, 4, 3), np.uint8)
    assert one("key eye", kind="both").reset()[0].shape == (10, 12, 3)
    everything = one("key eye", "grey", "resize 84 84", "frame-stack 4", kind="both")
    assert everything.observation_space == spaces.Box(0, 255, (4, 84, 84), np.uint8)


def test_symbols_become_planes_of_zero_and_one():
    env = one("one-hot 4 5 4", kind="picture", life=2)
    assert env.observation_space == spaces.Box(0, 1, (10, 12, 13), np.uint8)
    first, second = (row[0] for row in walk(env, steps=1))
    assert np.flatnonzero(first[0, 0]).tolist() == [0, 4, 9]
    assert np.flatnonzero(second[0, 0]).tolist() == [1, 5, 10]
    assert first.sum() == 3 * 10 * 12
    with pytest.raises(EnvError, match="number 0 of the last axis is 4, and may have 4 values, 0 to 3"):
        walk(one("one-hot 4 9 9", kind="picture", life=9), steps=5)


def test_order_is_from_within():
    # the limit counts what the repetition is given, or what it gives
    assert len(walk(one("time-limit 4", "action-repeat 2"), steps=2)) == 4
    assert len(walk(one("action-repeat 2", "time-limit 4"), steps=2)) == 3


def test_a_sticky_action_is_the_one_before_as_often_as_it_says_and_by_the_seed():
    env = one("sticky 0.25", life=10_000)

    def draws(seed):
        env.reset(seed=seed)
        rng, before, stuck = np.random.default_rng(0), None, []
        for _ in range(2000):
            action = int(rng.integers(3))
            taken = int(env.step(action)[0][1])
            if before is not None and action != before:
                stuck.append(taken == before)
                assert taken in (action, before)
            before = taken
        return stuck

    first = draws(1)
    assert first == draws(1)
    assert first != draws(2)
    assert abs(np.mean(first) - 0.25) < 0.04


def test_no_ops_at_the_start_are_drawn_anew_for_each_episode_and_by_the_seed():
    env = one("noop-start 5", life=10_000)

    def starts(seed):
        return [int(env.reset(seed=seed)[0][0]), *(int(env.reset()[0][0]) for _ in range(60))]

    first = starts(3)
    assert first == starts(3)
    assert set(first) == {1, 2, 3, 4, 5}


def test_a_life_ends_an_episode_and_the_game_goes_on():
    rows = walk(one("episodic-life"), steps=13)
    assert [int(r[0][0]) for r in rows] == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 0, 1]
    assert [i for i, r in enumerate(rows) if r[2]] == [4, 9, 14]
    env = one("episodic-life")
    env.reset(seed=1)
    env.step(0)
    assert env.reset(seed=2)[0][0] == 0  # a seed begins anew


def test_measured_games_are_whole_and_paid_as_the_environment_pays():
    wrappers = ("episodic-life", "clip-reward", "frame-stack 2")
    rows = walk(one(*wrappers, measured=True), steps=12)
    assert [i for i, r in enumerate(rows) if r[2]] == [12]
    assert [r[1] for r in rows[:3]] == [0, -2.5, 1]
    assert rows[0][0].shape == (2, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frame-stak 4", "there is no wrapper 'frame-stak': use one of atari, action-repeat"),
        ("frame-stack", "frame-stack takes a whole number of frames"),
        ("frame-stack 0", "1 or more"),
        ("frame-stack 2.5", "whole number"),
        ("frame-stack 4 one", "takes a whole number"),
        ("resize 84", "height and width"),
        ("one-hot", "how many values"),
        ("one-hot 3 0", "1 or more"),
        ("one-hot 2.5", "whole numbers"),
        ("sticky 1", "from 0 up to, not including, 1"),
        ("sticky x", "a probability"),
        ("clip-reward 1 -1", "the least and the largest reward"),
        ("clip-reward nan 1", "the least and the largest reward"),
        ("grey 3", "grey takes nothing"),
        ("max-and-skip 1", "2 or more"),
        ("key", "the name of a key"),
        ("", "there is no wrapper ''"),
    ],
)
def test_what_is_no_wrapper_is_refused_where_it_is_set(text, words):
    with pytest.raises(ValidationError, match=words):
        CopiesConfig(wrappers=(text,))
    with pytest.raises(ConfigError, match=words):
        make("CartPole-v1", wrappers=[text])


def test_every_wrapper_that_is_named_is_taken():
    given = {"clip-reward": "-1 1", "key": "x", "resize": "8 8", "sticky": "0.1", "max-and-skip": "2"}
    given["randomise"] = "latency 0 3"
    bare = {"episodic-life", "fire-reset", "grey"}
    for name in TAKES:
        assert read(f"{name} {given.get(name, '' if name in bare else '3')}").name == name
    CopiesConfig(wrappers=("atari", *PRESETS["atari"]))


@pytest.mark.parametrize(
    ("wrapper", "words"),
    [
        ("grey", r"grey needs an observation of bytes, \[H, W\] or \[H, W, 3\]; CartPole-v1 observes Box"),
        ("one-hot 3", "one-hot needs an observation of whole numbers whose last axis has 1; CartPole-v1 observes Box"),
        ("key x", "key needs an observation with a key 'x'; CartPole-v1 observes Box"),
        ("noop-start 3", "noop-start needs named actions of which the first is NOOP, as Atari has them"),
        ("fire-reset", "fire-reset needs named actions"),
        ("episodic-life", "episodic-life needs lives, as Atari has them; CartPole-v1 has none"),
    ],
)
def test_a_wrapper_that_does_not_fit_says_what_it_needs(wrapper, words):
    with pytest.raises(ConfigError, match=words):
        make("CartPole-v1", wrappers=[wrapper])


def test_what_cannot_be_wrapped_says_so():
    for backend in ("native", "envpool"):
        with pytest.raises(ConfigError, match=r"takes no env\.wrappers, time-limit 3: use the backend \"inprocess\""):
            make("CartPole-v1", 2, backend=backend, wrappers=["time-limit 3"])
    with pytest.raises(ConfigError, match="stepped together"):
        make(lambda num_envs: gymnasium.make_vec("CartPole-v1", num_envs), 2, wrappers=["time-limit 3"])
    assert make("CartPole-v1", 2, wrappers=["time-limit 3"]).backend == "inprocess"


def test_worker_processes_wrap_as_this_process_does():
    wrappers = ["sticky 0.5", "noop-start 3", "episodic-life", "frame-stack 2", "clip-reward"]
    for measured in (False, True):
        made = [
            make(HERE, 2, kwargs={"kind": "vector"}, backend=backend, wrappers=wrappers, measured=measured)
            for backend in ("inprocess", "process")
        ]
        try:
            np.testing.assert_array_equal(*(env.reset(7) for env in made))
            for t in range(14):
                ours, theirs = (env.step(np.array([t % 3, 1])) for env in made)
                np.testing.assert_array_equal(ours.obs, theirs.obs)
                np.testing.assert_array_equal(ours.reward, theirs.reward)
                np.testing.assert_array_equal(ours.terminated, theirs.terminated)
        finally:
            for env in made:
                env.close()


def test_a_picture_is_resized_by_area():
    rng = np.random.default_rng(0)
    old = rng.integers(0, 256, (6, 9), dtype=np.uint8)
    mean = old.reshape(2, 3, 3, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(resized(old, shares(6, 2), shares(9, 3)), np.rint(mean))
    assert (resized(np.full((7, 5), 93, np.uint8), shares(7, 11), shares(5, 3)) == 93).all()
    np.testing.assert_allclose(shares(210, 84)[1].sum(axis=1), 1.0, rtol=1e-6)
    third = resized(np.array([[0, 30, 90]], np.uint8), shares(1, 1), shares(3, 2))  # 1½ columns each
    assert third.tolist() == [[10, 70]]
