"""Observations outside their space: every part is held against it wherever observations come in"""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import operant
from operant.config.errors import ConfigError, EnvError, OperantError
from operant.data import memory
from operant.env import check_env, make

B = spaces
NAN = float("nan")
OUTSIDE = {
    "multidiscrete, too large": (B.MultiDiscrete([3, 3]), np.array([3, 0]), r"the observation is \[3, 0\]"),
    "multidiscrete, negative": (B.MultiDiscrete([3, 3]), np.array([-1, 0]), r"the observation is \[-1, 0\]"),
    "multidiscrete, a fraction": (B.MultiDiscrete([3, 3]), np.array([1.5, 0]), r"the observation is \[1.5, 0.0\]"),
    "multidiscrete, below its start": (B.MultiDiscrete([2, 2], start=[4, 4]), np.array([4, 3]), r"\[4, 3\]"),
    "multibinary": (B.MultiBinary(3), np.array([2, -1, 0]), r"the observation is \[2, -1, 0\]"),
    "multibinary, NaN": (B.MultiBinary(2), np.array([NAN, 0.0]), r"the observation is \[nan, 0.0\]"),
    "multibinary, another shape": (B.MultiBinary(3), np.array([1, 0]), r"shape \(2,\)"),
    "discrete, the first beyond": (B.Discrete(3), 3, "the observation is 3"),
    "discrete, a fraction": (B.Discrete(3), 1.7, "the observation is 1.7"),
    "discrete, infinite": (B.Discrete(3), float("inf"), "the observation is inf"),
    "discrete, NaN": (B.Discrete(3), NAN, "the observation is nan"),
    "discrete, nothing": (B.Discrete(3), None, "the observation is of type object"),
    "in a dict": (B.Dict(a=B.Discrete(3)), {"a": -1}, r"at \['a'\] is -1"),
    "in a dict, the first beyond": (B.Dict(a=B.Discrete(3)), {"a": 3}, r"at \['a'\] is 3"),
    "in a dict, transposed": (B.Dict(a=B.Box(-1, 1, (2, 3))), {"a": np.zeros((3, 2))}, r"\['a'\] has shape \(3, 2\)"),
    "in a dict, too long": (B.Dict(a=B.Box(-1, 1, (2, 3))), {"a": np.zeros(7)}, r"at \['a'\] has shape \(7,\)"),
    "in a dict, swapped": (
        B.Dict(a=B.Box(-1, 1, (2,)), b=B.Box(-1, 1, (3,))),
        {"a": np.zeros(3), "b": np.zeros(2)},
        r"at \['a'\] has shape \(3,\)",
    ),
    "in a dict, a key too few": (B.Dict(a=B.Box(-1, 1), b=B.Discrete(2)), {"b": 1}, r"has the keys \['b'\]"),
    "in a dict, a key too many": (B.Dict(a=B.Discrete(2)), {"a": 1, "z": 1}, r"has the keys \['a', 'z'\]"),
    "in a dict, words": (B.Dict(a=B.Box(-1, 1, (1,))), {"a": np.array(["x"])}, r"at \['a'\] is of type"),
    "in a dict, bytes": (B.Dict(a=B.Box(0, 255, (2,), np.uint8)), {"a": np.array([NAN, 300.0])}, r"'a'\] is \[nan"),
    "no dict": (B.Dict(a=B.Discrete(2)), 1, "is a int"),
    "in a tuple": (B.Tuple([B.Discrete(3), B.Discrete(3)]), (0, 5), r"at \[1\] is 5"),
    "in a tuple, one too few": (B.Tuple([B.Discrete(3), B.Discrete(3)]), (1,), "is 1 parts"),
    "deep": (B.Dict(a=B.Tuple([B.Dict(z=B.MultiBinary(2))])), {"a": ({"z": np.array([0, 3])},)}, r"\]\[0\]\['z'\]"),
    "a box, of words": (B.Box(-1, 1, (1,)), np.array(["x"]), "is of type <U1"),
}  # fmt: skip
INSIDE = {
    "multidiscrete of a plane": B.MultiDiscrete([[3, 2], [2, 4]], start=[[5, 5], [1, -1]]),
    "multidiscrete of bytes": B.MultiDiscrete([101, 101, 101], dtype=np.int8),
    "multibinary of a plane": B.MultiBinary([2, 3]),
    "discrete below zero": B.Discrete(3, start=-1),
    "nothing": B.Box(-1, 1, (0,)),
    "a number": B.Box(-1, 1, ()),
    "nested": B.Dict(a=B.Tuple([B.Discrete(3, start=-1), B.Dict(z=B.MultiBinary(2), y=B.Box(0, 9, (2, 2), np.uint8))])),
    "odd keys": B.Dict({1: B.Discrete(3), (0, 1): B.Box(-1, 1, (2,))}),
}  # fmt: skip


class Fixed(gym.Env):
    """Observes what it was given; a legal observation first where `later`."""

    action_space = B.Discrete(2)

    def __init__(self, space, obs, later=True):
        self.observation_space, self.obs, self.later = space, obs, later

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return (self.observation_space.sample() if self.later or self.obs is ... else self.obs), {}

    def step(self, action):
        return (self.observation_space.sample() if self.obs is ... else self.obs), 1.0, False, False, {}


def case(name, later=True):
    space, obs = (*OUTSIDE[name][:2],) if name in OUTSIDE else (INSIDE[name], ...)
    return Fixed(space, obs, later)


def stepped(name, backend, later=True):
    env = make(f"{__file__}:case", 2, backend=backend, kwargs={"name": name, "later": later})
    try:
        env.reset(0)
        return env.step(np.zeros(2, np.int64)).obs
    finally:
        env.close()


def through_a_vector(name):
    """The same in a Gymnasium vector environment, whose batches may hold what single spaces do not."""

    class Vector(gym.vector.VectorEnv):
        metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}  # noqa: RUF012
        single_action_space, num_envs = B.Discrete(2), 2
        single_observation_space = (*OUTSIDE[name][:1], None)[0] if name in OUTSIDE else INSIDE[name]

        def reset(self, *, seed=None, options=None):
            self.single_observation_space.seed(0)
            obs = [case(name, later=name not in OUTSIDE).reset(seed=i)[0] for i in range(2)]
            return _stacked(obs), {}

    env = make(Vector, 2)
    return env.reset(0)


def _stacked(observations):
    first = observations[0]
    if isinstance(first, dict):
        return {key: _stacked([obs[key] for obs in observations]) for key in first}
    if isinstance(first, tuple):
        return tuple(_stacked([obs[i] for obs in observations]) for i in range(len(first)))
    return np.stack([np.asarray(obs) for obs in observations])


ENTRIES = {
    "step": lambda name: stepped(name, "inprocess"),
    "reset": lambda name: stepped(name, "inprocess", later=False),
    "worker": lambda name: stepped(name, "process"),
    "vector": through_a_vector,
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", OUTSIDE)
def test_what_lies_outside_is_refused(entry, name):
    if entry == "worker" and name not in ("in a dict", "multibinary", "multidiscrete, too large", "in a tuple"):
        pytest.skip("a worker steps as this process does")
    if entry == "vector" and name in ("in a tuple, one too few", "a box, of words", "discrete, nothing", "no dict"):
        pytest.skip("no batch of these")
    if entry == "worker":
        with pytest.raises(EnvError, match=OUTSIDE[name][2]):
            operant.loop(
                "ppo", f"{__file__}:case", **{"env.kwargs": {"name": name, "later": False}, "env.backend": "process",
                "env.workers": 1, "env.num": 1, "env.restarts": 0},
            )  # fmt: skip
        return
    with pytest.raises(EnvError, match=OUTSIDE[name][2]):
        ENTRIES[entry](name)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", INSIDE)
def test_what_lies_inside_is_read_as_gymnasium_flattens_it(entry, name):
    if entry == "worker" and name not in ("nested", "odd keys"):
        pytest.skip("a worker steps as this process does")
    rows = ENTRIES[entry](name)
    assert rows.shape == (2, spaces.flatdim(INSIDE[name]))
    if entry == "reset":
        space = INSIDE[name]
        space.seed(3)
        env = make(lambda: Fixed(space, space.sample(), later=False), 1)
        got = env.reset(0)
        np.testing.assert_allclose(got[0], spaces.flatten(space, env._envs[0].obs))


PICTURES = {
    "CarRacing": B.Box(0, 255, (96, 96, 3), np.uint8),
    "Atari": B.Box(0, 255, (4, 84, 84), np.uint8),
    "grey": B.Box(0, 255, (84, 84), np.uint8),
    "shares": B.Box(0, 1, (64, 64, 3), np.float32),
    "in a dict": B.Dict(eye=B.Box(0, 255, (32, 32, 3), np.uint8), speed=B.Box(-1, 1, (2,))),
}
NO_PICTURES = {
    "memory of a console": B.Box(0, 255, (128,), np.uint8),
    "a small grid": B.Box(0, 255, (7, 7, 3), np.uint8),
    "a board": B.Box(0, 1, (8, 8, 4), np.float32),
    "a sequence of states": B.Box(-np.inf, np.inf, (64, 32), np.float32),
}


@pytest.mark.parametrize("entry", ["ppo", "check_env"])
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_not_read_as_mere_numbers(entry, name):
    space = PICTURES[name]
    if entry == "ppo":
        with pytest.raises(OperantError, match=r"observes pictures.*mlp does not see.*policy.network"):
            operant.loop("ppo", lambda: Fixed(space, ...), **{"env.num": 1})
    else:
        problems = check_env(lambda: Fixed(space, ...), steps=2)
        assert any("pictures" in problem.what for problem in problems)


@pytest.mark.parametrize("entry", ["ppo", "check_env"])
@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_learnt_from(entry, name):
    space = NO_PICTURES[name]
    if entry == "ppo":
        assert operant.loop("ppo", lambda: Fixed(space, ...), **{"env.num": 1})[1].act(space.sample()) in (0, 1)
    else:
        assert not any("pictures" in problem.what for problem in check_env(lambda: Fixed(space, ...), steps=2))


def test_an_environment_that_observes_nothing_is_refused():
    with pytest.raises(OperantError, match="observes nothing"):
        operant.loop("ppo", lambda: Fixed(B.Box(-1, 1, (0,)), ...), **{"env.num": 1})


def test_a_network_of_ones_own_may_see_pictures(tmp_path):
    (tmp_path / "net.py").write_text("import torch\ndef make(n):\n    return torch.nn.Linear(n, 2)\n")
    space = PICTURES["in a dict"]
    _, agent = operant.loop(
        "ppo", lambda: Fixed(space, ...), **{"env.num": 1, "policy.network": f"{tmp_path}/net.py:make"}
    )
    assert agent.act(space.sample()) in (0, 1)


class Wide(gym.Env):
    """Says one of many numbers."""

    action_space = spaces.Discrete(2)

    def __init__(self, count):
        self.observation_space = spaces.Discrete(count)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, 1.0, True, False, {}


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_what_is_too_wide_is_refused_in_words(algorithm, tmp_path):
    with pytest.raises(EnvError, match="a Discrete of 1,000,000,000 numbers is observed, at most 10,000,000"):
        operant.train(algorithm, lambda: Wide(10**9), total_steps=8, runs=tmp_path, quiet=True)


def test_networks_and_segments_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    train = partial(operant.train, "ppo", lambda: Wide(100_000), total_steps=8, runs=tmp_path, quiet=True)
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "usable", lambda: 10**7)
    with pytest.raises(ConfigError, match="observes 100,000 numbers: networks of such widths"):
        train()
    monkeypatch.setattr(memory, "usable", lambda: 3 * 10**8)
    with pytest.raises(ConfigError, match="a segment of 1024 steps of 8 copies: so many observations take"):
        train(**{"algo.horizon": 1024, "env.num": 8})
