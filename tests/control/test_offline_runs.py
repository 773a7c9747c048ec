"""Runs on fixed data go on bit for bit, see every space, take a cut for no end, and go on with the environment."""

from __future__ import annotations

from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import operant
from operant.config.errors import ConfigError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.env import write_data
from operant.env.probe import FourState, identity
from reference.episodes import played
from reference.replay_updates import parts
from reference.resumed import QUIET, assert_resumes

SMALL = {"policy.hidden": (16, 16), "algo.batch": 16, "algo.updates": 20, "eval.max_steps": 20}
QUIETER = QUIET | {"eval.episodes": 1}
CONTINUOUS, CHOOSING = ("td3-bc", "cql", "iql"), ("discrete-cql", "iql")


def stored(tmp_path, env, **how):
    """A data set of an environment on disk."""
    return str(write_data(played(env, **how), tmp_path / "data"))


def build(algorithm, env, data, **overrides):
    name = "own:env" if callable(env) else env
    cfg = resolve(algorithm, name, overrides={"data.path": data, **overrides}, source="argument").config
    return builder_of(algorithm)(cfg, env)


def run(job):
    while job.counter.steps < job.total_steps:
        metrics = next(job.algorithm)
    return metrics


# ---------------------------------------------------------------------------------------------------- resuming
@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("td3-bc", {}),
        ("td3-bc", {"algo.fused": "off", "algo.n": 3, "policy.normalize_reward": True}),
        ("cql", {"algo.samples": 2}),
        ("iql", {"policy.memory": "gru", "policy.memory_size": 8, "algo.length": 8, "algo.burn_in": 2}),
    ],
    ids=str,
)
def test_they_go_on_bit_for_bit(tmp_path, algorithm, settings):
    data = stored(tmp_path, "Pendulum-v1", count=3, steps=30)
    assert_resumes(tmp_path, algorithm, "Pendulum-v1", every=40, **SMALL, **settings, **{"data.path": data})


@pytest.mark.parametrize("algorithm", CHOOSING)
def test_those_that_choose_go_on_bit_for_bit(tmp_path, algorithm):
    data = stored(tmp_path, "CartPole-v1", count=4, steps=30)
    assert_resumes(tmp_path, algorithm, "CartPole-v1", every=40, **SMALL, **{"data.path": data})


# ---------------------------------------------------------------------------------------------------- spaces
class Sight(gymnasium.Env):
    """Pictures, and a number beside them."""

    observation_space = spaces.Dict({"eye": spaces.Box(0, 255, (8, 8), np.uint8), "speed": spaces.Box(-1, 1, (1,))})
    action_space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action):
        self.steps += 1
        return self._seen(), float(np.sum(action)), False, self.steps == 6, {}

    def _seen(self):
        eye = self.np_random.integers(0, 256, (8, 8)).astype(np.uint8)
        return {"eye": eye, "speed": self.np_random.uniform(-1, 1, 1).astype(np.float32)}


class Doors(Sight):
    """A door of three is shut, which is seen beside the picture."""

    observation_space = spaces.Dict({"eye": spaces.Box(0, 255, (8, 8), np.uint8), "open": spaces.MultiBinary(3)})
    action_space = spaces.Discrete(3)

    def step(self, action):
        assert action != self.shut
        return super().step(action)

    def _seen(self):
        self.shut = int(self.np_random.integers(3))
        return {"eye": super()._seen()["eye"], "open": (np.arange(3) != self.shut).astype(np.int8)}


@pytest.mark.parametrize("memory", ["none", "gru"])
@pytest.mark.parametrize("algorithm", CONTINUOUS)
def test_numbers_for_what_is_seen_and_remembered(algorithm, memory, tmp_path):
    data = stored(tmp_path, Sight(), count=4, steps=6)
    settings = {
        "total_steps": 8, "policy.network": "minatar-cnn", "policy.memory": memory, "policy.memory_size": 8,
        "policy.hidden": (16,), "algo.batch": 8, "algo.updates": 4, "algo.length": 4, "algo.burn_in": 1,
        "data.path": data,
    }  # fmt: skip
    run = operant.train(algorithm, Sight, runs=tmp_path, **QUIETER, **settings)
    assert np.isfinite(run.metrics["loss/value"]).all()
    policy = operant.Run(run.path, env=Sight).policy
    assert Sight.action_space.contains(policy.act(Sight().reset(seed=0)[0]))


@pytest.mark.parametrize("algorithm", CHOOSING)
def test_choices_under_a_mask(algorithm, tmp_path):
    rng = np.random.default_rng(0)
    data = stored(tmp_path, Doors(), count=4, steps=6, act=lambda o: rng.choice(np.flatnonzero(o["open"])))
    settings = {
        "total_steps": 8, "env.action_mask": "open", "policy.network": "minatar-cnn", "policy.hidden": (16,),
        "algo.batch": 8, "algo.updates": 4, "data.path": data,
    }  # fmt: skip
    run = operant.train(algorithm, Doors, runs=tmp_path, **QUIETER, **settings)
    seen = {"eye": np.zeros((8, 8), np.uint8), "open": np.array([0, 1, 0], np.int8)}
    assert operant.Run(run.path, env=Doors).policy.act(seen) == 1


# ---------------------------------------------------------------------------------------------------- ends
class Cycle(FourState):
    """`four_state`, whose actions are numbers that do nothing."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)


FOREVER = {
    "total_steps": 400, "algo.discount": 0.8, "algo.lr": 5e-3, "algo.critic_lr": 5e-3, "algo.tau": 0.2,
    "algo.batch": 32, "policy.hidden": (32,), "algo.updates": 100, "policy.normalize_obs": False,
}  # fmt: skip


def lasting(tmp_path, algorithm, ends=False):
    """What a method says that the states of `Cycle` are worth, from episodes that are cut after 8 steps."""
    env = partial(FourState if algorithm == "discrete-cql" else Cycle, 8)
    data = played(env(), count=20, steps=8)
    if ends:
        for e in data.episodes:
            object.__setattr__(e, "terminations", e.truncations)
    settings = FOREVER | ({"algo.conservative": 0.0} if "cql" in algorithm else {})
    settings = {k: v for k, v in settings.items() if algorithm != "discrete-cql" or k != "algo.critic_lr"}
    job = build(algorithm, env, str(write_data(data, tmp_path / "data")), **settings)
    run(job)
    return job.agent.value(np.eye(4))


@pytest.mark.parametrize("algorithm", ["td3-bc", "cql", "iql", "discrete-cql"])
def test_a_time_limit_is_not_a_termination(tmp_path, algorithm):
    """Reward 1 for ever: Q = 1/(1 − γ), though all that was recorded ends after 8 steps."""
    close = 0.2 if algorithm == "iql" else 0.06  # it says nothing of actions that were not taken
    np.testing.assert_allclose(lasting(tmp_path, algorithm), 5.0, rtol=close)


def test_a_time_limit_taken_for_a_termination_is_seen_there(tmp_path):
    assert np.abs(lasting(tmp_path, "td3-bc", ends=True) - 5.0).max() > 0.3


# ---------------------------------------------------------------------------------------------------- learning
def test_implicit_values_find_the_best_of_what_was_done_at_random(tmp_path):
    """Of even choices a clone keeps a quarter of the rewards; weighed by their advantages it keeps all."""
    make = partial(identity, length=40)
    data = stored(tmp_path, make(), count=20, steps=40)
    few = {"total_steps": 500, "algo.lr": 1e-2, "algo.batch": 64, "policy.hidden": (16,), "algo.discount": 0.2}
    job = build("iql", make, data, **few, **{"algo.inverse_temperature": 10.0, "policy.normalize_obs": False})
    run(job)
    assert job.evaluate(5).returns.mean() >= 39


def test_td3_stays_near_what_was_done(tmp_path):
    """Always 0.5 was done: with a small α so does the policy; TD3 alone goes where it was never told off."""
    settings = {"total_steps": 300, "algo.lr": 3e-3, "algo.batch": 64, "policy.hidden": (16,), "algo.discount": 0.5}
    make = partial(identity, kind="box", length=20, tolerance=0.3)
    data = stored(tmp_path, make(), count=10, steps=20, act=lambda o: np.array([0.5], np.float32))
    seen = np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
    near = build("td3-bc", make, data, **settings, **{"algo.alpha": 0.1})
    far = build("td3-bc", make, data, **settings, **{"algo.clone": 0.0})
    run(near), run(far)
    assert np.abs(near.agent.decide(seen) - 0.5).max() < 0.15
    assert np.abs(far.agent.decide(seen) - 0.5).max() > 0.4


# ---------------------------------------------------------------------------------------------------- goes on online
ONLINE = SMALL | {"algo.learning_starts": 1, "policy.normalize_obs": True}


@pytest.mark.parametrize(
    ("before", "after", "env"),
    [
        ("iql", "td3", "Pendulum-v1"),
        ("cql", "sac", "Pendulum-v1"),
        ("discrete-cql", "dqn", "CartPole-v1"),
        ("iql", "discrete-sac", "CartPole-v1"),
    ],
)
def test_a_run_on_data_goes_on_with_the_environment(tmp_path, before, after, env):
    """The weights are those of the run before, the replay holds the data first, and it resumes bit for bit."""
    shown = played(env, count=3, steps=30)
    data = str(write_data(shown, tmp_path / "data"))
    few = {"algo.samples": 2} if before == "cql" else {}
    first = operant.train(before, env, runs=tmp_path, total_steps=40, **QUIETER, **SMALL, **few, **{"data.path": data})
    given = ONLINE | {"data.path": data, "init_from": str(first.path), "env.num": 2}
    if after == "dqn":  # whose schedule must not depend on where the run ends
        given |= {"algo.train_freq": 1, "algo.gradient_steps": 1, "algo.epsilon": 0.3, "algo.epsilon_end": 0.3}
        given |= {"algo.n": 1}
    job = build(after, env, **{k: v for k, v in given.items() if k != "data.path"}, data=data)
    job.learned.begin_from(operant.api.find(str(first.path)) / "checkpoints" / "latest")
    assert torch.equal(parts(job.agent.policy), parts(first.policy.policy))
    buffer = job.agent.beside["replay"].replay
    assert len(buffer) == buffer.taken == shown.steps
    kept = np.sort(buffer.at("reward", *np.nonzero(buffer.columns["flags"] & 4)))
    np.testing.assert_allclose(kept, np.sort(np.concatenate([e.rewards for e in shown.episodes])), rtol=1e-5)
    next(job.algorithm)
    assert len(buffer) > shown.steps
    assert_resumes(tmp_path, after, env, every=80, **given)


# ---------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("algorithm", "env", "match"),
    [
        ("td3-bc", "CartPole-v1", "use discrete-cql or iql"),
        ("cql", "CartPole-v1", "use discrete-cql or iql"),
        ("discrete-cql", "Pendulum-v1", "use cql, td3-bc or iql"),
    ],
)
def test_actions_of_another_kind_are_refused_in_words(tmp_path, algorithm, env, match):
    with pytest.raises(ConfigError, match=match):
        build(algorithm, env, stored(tmp_path, env))


def test_data_that_are_not_there_or_too_short_are_refused_in_words(tmp_path):
    with pytest.raises(ConfigError, match="no data set"):
        build("td3-bc", "Pendulum-v1", "")
    memory = {"policy.memory": "gru", "algo.length": 64}
    with pytest.raises(ConfigError, match=r"algo\.length is 64"):
        build("td3-bc", "Pendulum-v1", stored(tmp_path, "Pendulum-v1", count=2, steps=10), **memory)
