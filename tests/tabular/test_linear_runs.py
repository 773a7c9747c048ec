"""Linear values over tiles through the run folder: learnt, measured, resumed bit for bit, exported, or refused."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError, EnvError, NonFiniteError, OperantError
from operant.tabular.tiled import TilesPolicy
from operant.tabular.tiles import TileCoder

QUICK = {
    "quiet": True, "algo.every": 100, "eval.episodes": 2, "env.max_steps": 60, "save.videos": False,
    "save.report": False, "save.every": 400,
}  # fmt: skip
BOTH = ("linear-sarsa", "linear-q-learning")
EXPLORING = {"algo.epsilon": 0.2, "algo.epsilon_schedule": "linear", "algo.tiles": (5, 7), "algo.tilings": 4}
EXPLORING |= {"algo.epsilon_steps": 1600}


def files(run):
    """All that a checkpoint holds."""
    folder = run.path / "checkpoints" / "latest"
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in ("state.json", "MANIFEST.json")}


def rows(run):
    frame = run.metrics
    return frame.drop(columns=[c for c in frame if c in ("time", "attempt") or c.split("/")[0] in ("phase", "speed")])


@pytest.fixture(scope="module")
def mountain(tmp_path_factory):
    """SARSA(λ) on the mountain car, by its preset, shortly."""
    return operant.train(
        "linear-sarsa", "MountainCar-v0", runs=tmp_path_factory.mktemp("runs"), seed=101, total_steps=20_000,
        quiet=True, **{"eval.episodes": 20, "save.videos": False, "save.report": False},
    )  # fmt: skip


def test_the_mountain_is_climbed_in_20000_steps(mountain):
    assert mountain.folder.info()["evaluation"]["mean"] > -190
    assert mountain.folder.info()["preset"] == "MountainCar-v0"
    assert isinstance(mountain.policy, TilesPolicy)
    assert float(mountain.value(np.array([0.45, 0.05], np.float32))) > float(mountain.value([-0.5, 0.0]))
    assert mountain.metrics["train/return"].notna().any()


def test_what_is_exported_acts_as_the_run(mountain, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    folder = tmp_path / "out"
    assert main(["export", str(mountain.path), "--out", str(folder)]) == 0
    session = onnxruntime.InferenceSession(str(folder / "policy.onnx"))
    space = gymnasium.make("MountainCar-v0").observation_space
    obs = np.random.default_rng(0).uniform(space.low, space.high, (200, 2)).astype(np.float32)
    told = session.run(None, {session.get_inputs()[0].name: obs})
    assert np.array_equal(np.asarray(told[0]).ravel()[:200], mountain.policy.decide(obs))
    assert np.array_equal(operant.Run(folder).policy.decide(obs), mountain.policy.decide(obs))


@pytest.mark.parametrize("algorithm", BOTH)
def test_training_on_equals_training_longer_at_once(algorithm, tmp_path):
    """Exactly, an open episode included."""
    settings = QUICK | EXPLORING
    whole = operant.train(algorithm, "MountainCar-v0", runs=tmp_path / "a", total_steps=1600, **settings)
    part = operant.train(algorithm, "MountainCar-v0", runs=tmp_path / "b", total_steps=800, **settings)
    longer = operant.resume(part.path, to=1600, quiet=True)
    assert longer.step == whole.step == 1600
    assert files(longer) == files(whole)
    assert rows(longer).equals(rows(whole))


def test_a_run_begins_from_the_weights_of_another(mountain, tmp_path):
    settings = QUICK | {"total_steps": 100}
    begun = operant.train("linear-q-learning", "MountainCar-v0", runs=tmp_path, init_from=mountain, **settings)
    assert np.mean(begun.policy.weights != mountain.policy.weights) < 0.1
    with pytest.raises(ConfigError, match=r"tiles is .* there"):
        operant.train(
            "linear-sarsa", "MountainCar-v0", runs=tmp_path, init_from=mountain, **settings, **{"algo.tiles": (4,)}
        )
    table = operant.train("q-learning", "FrozenLake-v1", runs=tmp_path, **settings)
    with pytest.raises(ConfigError, match="of kind table, this run's tiles"):
        operant.train("linear-sarsa", "MountainCar-v0", runs=tmp_path, init_from=table, **settings)


def test_tiles_in_torch_are_those_of_numpy():
    rng = np.random.default_rng(1)
    coder = TileCoder([-1.0, 0.0, 2.0], [1.0, 0.5, 9.0], tiles=(3, 4, 5), tilings=6)
    policy = TilesPolicy(rng.normal(size=(4, coder.features)), coder)
    points = rng.uniform([-2, -1, 0], [2, 1, 12], (300, 3)).astype(np.float32)
    slow = np.stack([policy.weights[:, coder.active(point)].sum(1) for point in points])
    np.testing.assert_allclose(policy.values(points), slow, rtol=1e-12)
    np.testing.assert_allclose(policy.policy.output(torch.from_numpy(points)).numpy(), slow, rtol=1e-12)
    assert np.array_equal(policy.decide(points), slow.argmax(1))
    assert policy.decide(points[0]).shape == ()
    with pytest.raises(ValueError, match="last dimension must be 3"):
        policy.decide(points[:, :2])
    with pytest.raises(NonFiniteError):
        policy.decide([np.nan, 0, 0])


class Box(gymnasium.Env):
    """Its spaces, and what a step gives."""

    def __init__(self, high=1.0, size=2, reward=0.0, acts=None):
        self.observation_space = spaces.Box(-high, high, (size,), np.float32)
        self.action_space, self.reward = acts or spaces.Discrete(2), reward

    def reset(self, *, seed=None, options=None):
        return np.zeros(self.observation_space.shape, np.float32), {}

    def step(self, action):
        return np.zeros(self.observation_space.shape, np.float32), self.reward, False, False, {}


@pytest.mark.parametrize(
    ("env", "settings", "error", "words"),
    [
        ("CartPole-v1", {"algo.low": ()}, ConfigError, r"without bounds, at 1, 3 of 0 to 3: give .*--algo\.low and"),
        ("CartPole-v1", {"algo.low": (0.0, 1.0)}, ConfigError, "algo.low has 2 numbers, and CartPole-v1 observes 4"),
        ("Pendulum-v1", {}, EnvError, "values are of choices"),
        ("FrozenLake-v1", {}, EnvError, "of Discrete observations q-learning"),
        ("MountainCar-v0", {"algo.tiles": (4, 4, 4)}, ConfigError, "algo.tiles has 3 numbers"),
        ("MountainCar-v0", {"algo.tiles": (10**6,)}, ConfigError, "too many"),
        ("MountainCar-v0", {"algo.low": (3.0, 0.0)}, ConfigError, "bounded box"),
        (lambda: Box(size=30), {}, ConfigError, "too many for 30 numbers"),
        (lambda: Box(reward=np.nan), {}, NonFiniteError, "reward is nan"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(env, settings, error, words, tmp_path):
    with pytest.raises(OperantError, match=words) as told:
        operant.train("linear-sarsa", env, runs=tmp_path, total_steps=100, **QUICK | settings)
    assert isinstance(told.value, error)


def test_the_command_line_has_it(tmp_path, capsys):
    words = ["--total-steps", "200", "--env.max-steps", "50", "--eval.episodes", "1", "--no-save.videos"]
    words += ["--algo.tiles", "4,6", "--runs", str(tmp_path)]
    assert main(["train", "linear-q-learning", "MountainCar-v0", *words]) == 0
    assert (next(tmp_path.iterdir()) / "report.html").exists()
    capsys.readouterr()
    assert main(["list", "algorithms"]) == 0
    assert "linear-sarsa" in capsys.readouterr().out
