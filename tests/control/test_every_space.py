"""Every observation and action space trains: pictures, named parts, hybrid actions, masks; and the network sees it."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import operant
from operant.config.errors import ConfigError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.networks.layout import Layout
from operant.control.networks.trunk import Trunk
from operant.env import make
from operant.env.interface import Interface

SHORT = {"algo.horizon": 32, "env.num": 2, "eval.episodes": 2, "save.videos": False, "save.report": False}


class Any_(gymnasium.Env):
    """Observes samples of any space; a match of the first number of an action with a bit of the state is paid."""

    def __init__(self, observation, action, mask=None):
        self.observation_space, self.action_space, self.mask = observation, action, mask

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), self._info()

    def step(self, action):
        assert self.action_space.contains(action), action
        self.steps += 1
        return self.observation_space.sample(), 1.0, False, self.steps == 10, self._info() | {"cost": 0.5}

    def _info(self):
        return {} if self.mask is None else {"action_mask": self.mask}


PICTURE = spaces.Box(0, 255, (40, 36, 3), np.uint8)
BOARD = spaces.Box(0, 1, (10, 10, 4), np.bool_)
MIXED = spaces.Dict({"camera": PICTURE, "speed": spaces.Box(-1, 1, (3,), np.float32), "gear": spaces.Discrete(4)})
WHEEL, REST = spaces.Box(-2, 1, (2,), np.float32), spaces.Tuple([spaces.MultiDiscrete([2, 3])])
HYBRID = spaces.Dict({"gear": spaces.Discrete(3), "wheel": WHEEL, "lights": spaces.MultiBinary(2), "rest": REST})
VECTOR = spaces.Box(-1, 1, (3,), np.float32)
CASES = {
    "nature": (PICTURE, spaces.Discrete(3), {"policy.network": "nature-cnn"}),
    "impala, memory": (PICTURE, spaces.Discrete(3), {"policy.network": "impala-resnet", "policy.memory": "gru"}),
    "board": (BOARD, spaces.Discrete(3), {"policy.network": "minatar-cnn"}),
    "mixed": (MIXED, HYBRID, {"policy.network": "nature-cnn", "policy.normalize_obs": True}),
    "mixed, memory apart": (
        MIXED,
        HYBRID,
        {"policy.network": "nature-cnn", "policy.memory": "lstm", "policy.shared": False},
    ),
    "hybrid": (VECTOR, HYBRID, {}),
    "hybrid, squashed, network's deviation": (VECTOR, HYBRID, {"policy.squash": True, "policy.std": "network"}),
}


@pytest.mark.parametrize("case", CASES)
def test_it_trains_is_saved_read_back_and_acts(case, tmp_path):
    seen, acts, settings = CASES[case]

    def env():
        return Any_(seen, acts)

    same = SHORT | settings | {"policy.memory_size": 8, "algo.epochs": 1}
    run = operant.train("ppo", env, total_steps=64, runs=tmp_path, quiet=True, **same)
    assert run.metrics["loss/policy"].notna().all()
    again = operant.Run(run.path, env=env)
    obs = seen.sample()
    policy, other = run.policy, again.policy
    policy.forget()
    action = policy.act(obs)
    assert acts.contains(action), action
    assert str(other.act(obs)) == str(action)
    assert acts.contains(policy.act(obs, generator=np.random.default_rng(0)))


@pytest.mark.parametrize("acts", [spaces.Discrete(4), spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(4),
                                  spaces.Tuple([spaces.Discrete(4), VECTOR])])  # fmt: skip
def test_masked_actions_are_never_taken_and_the_policy_file_knows_the_mask(acts, tmp_path):
    mask = np.array([True, False, False, True])

    class Checked(Any_):
        def step(self, action):
            first = action[0] if isinstance(acts, spaces.Tuple) else action
            if isinstance(acts, spaces.MultiDiscrete):
                assert tuple(first) == (0, 1)
            elif isinstance(acts, spaces.MultiBinary):
                assert not first[1:3].any()
            else:
                assert first in (0, 3)
            return super().step(action)

    def env():
        return Checked(VECTOR, acts, mask)

    settings = SHORT | {"env.action_mask": "info", "total_steps": 128}
    run = operant.train("ppo", env, runs=tmp_path, quiet=True, **settings)
    policy = operant.Run(run.path, env=env).policy
    assert acts.contains(policy.act(VECTOR.sample(), mask=mask))
    with pytest.raises(ValueError, match="mask"):
        policy.act(VECTOR.sample())


def test_rows_are_cut_into_what_the_environment_showed():
    env = make(lambda: Any_(MIXED, spaces.Discrete(2)), 3, backend="inprocess")
    rows = env.reset(5)
    assert rows.dtype == np.uint8
    shown = []
    for k in range(3):
        one = Any_(MIXED, spaces.Discrete(2))
        shown.append(one.reset(seed=5 + k)[0])
    layout = Layout(Interface.of(env).observations, env.obs_dim, sees=True)
    vector = layout.vector(torch.from_numpy(rows)).numpy()
    order = [str(part.keys[0]) for part in env.observations.parts if not part.picture]
    for k, obs in enumerate(shown):
        parts = {"speed": obs["speed"], "gear": np.eye(4, dtype=np.float32)[obs["gear"]]}
        np.testing.assert_array_equal(vector[k], np.concatenate([parts[name] for name in order]))
        picture = layout.pictures[0].read(torch.from_numpy(rows))[k]
        np.testing.assert_allclose(picture.numpy(), obs["camera"].transpose(2, 0, 1) / 255.0, atol=1e-7)


@pytest.mark.parametrize(("shape", "size"), [((84, 84), (1, 84, 84)), ((4, 84, 84), (4, 84, 84)),
                                             ((84, 84, 4), (4, 84, 84)), ((2, 84, 84, 3), (6, 84, 84)),
                                             ((7, 7, 20), (20, 7, 7)), ((20, 7, 7), (20, 7, 7)),
                                             ((3, 7, 20), (3, 7, 20)), ((20, 7, 3), (3, 20, 7))])  # fmt: skip
def test_the_axis_of_the_channels_stands_beside_a_square_or_is_the_shorter(shape, size):
    space = spaces.Box(0, 255, shape, np.uint8)
    between = Interface(space, spaces.Discrete(2))
    picture = Layout(between.observations, between.observations.dim, sees=True).pictures[0]
    assert picture.size == size
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    read = picture.read(torch.from_numpy(values.reshape(1, -1)))[0].numpy() * 255
    last = {2: (), 3: (2, 0, 1), 4: (0, 3, 1, 2)}[len(shape)] if shape != size else ()
    expected = (values.transpose(last) if last else values).reshape(size)
    np.testing.assert_allclose(read, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"policy.network": "nature-cn"}, "did you mean .nature-cnn"),
        ({"policy.network": "nature-cnn"}, "observes no picture"),
        ({"policy.shared": True}, "no trunk to share"),
        ({"policy.memory": "lst"}, "policy.memory"),
    ],
)
def test_what_cannot_be_is_said(settings, words):
    with pytest.raises(ConfigError, match=f"(?i){words}"):
        operant.train("ppo", "CartPole-v1", total_steps=64, quiet=True, **settings)


def test_a_picture_too_small_for_a_network_names_one_that_takes_it():
    with pytest.raises(ConfigError, match=r"10 by 10, and nature-cnn needs 36 by 36: --policy.network impala"):
        operant.train(
            "ppo",
            lambda: Any_(BOARD, spaces.Discrete(2)),
            total_steps=64,
            quiet=True,
            **{"policy.network": "nature-cnn"},
        )


@pytest.mark.parametrize("algorithm", ["a2c", "impala", "actor-critic", "off-policy-actor-critic"])
def test_a_trunk_that_is_shared_is_run_once_for_a_gradient(algorithm, monkeypatch):
    """The loss of T decisions and T + 1 states: one encoding, and the numbers of two."""
    settings = {"policy.network": "nature-cnn", "env.num": 2, "algo.updates": 1}
    job = builder_of(algorithm)(config := resolve(algorithm, "pictures", overrides=settings).config, pictures)
    agent, collect = job.agent, job.counter
    assert agent.spec.shared
    traj = collect(1 if algorithm == "actor-critic" else config.algo.horizon)
    logp, entropy, value = agent.evaluate_segment(traj)
    other, apart = agent.policy.evaluate(traj.seen, traj.action)
    torch.testing.assert_close((logp, entropy, value), (other, apart, agent.critic(traj.obs)), rtol=0, atol=1e-6)
    runs, forward = [], Trunk.forward
    monkeypatch.setattr(Trunk, "forward", lambda self, obs: runs.append(torch.is_grad_enabled()) or forward(self, obs))
    next(job.algorithm)
    assert sum(runs) == 1


def pictures():
    return Any_(PICTURE, spaces.Discrete(2))
