"""Acting by hand: what a policy is given, and what it gives, is the environment's own"""

import hashlib
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import operant
from operant.cli.main import main
from operant.config.errors import OperantError

SHORT = {
    **{"total_steps": 64, "quiet": True, "env.num": 2, "algo.horizon": 32, "algo.batch": 32, "algo.epochs": 1},
    **{"eval.episodes": 2, "save.videos": False, "save.report": False},
}
OBSERVED = {
    "box": spaces.Box(-1, 1, (2,), np.float32),
    "plane": spaces.Box(-5, 5, (2, 3), np.float64),
    "number": spaces.Box(-1, 1, (), np.float32),
    "discrete": spaces.Discrete(4, start=5),
    "multidiscrete": spaces.MultiDiscrete([[3, 2], [2, 4]], start=[[5, 5], [1, -1]]),
    "multibinary": spaces.MultiBinary((2, 2)),
    "dict": spaces.Dict({"z": spaces.Box(-1, 1, (2, 2)), "a": spaces.Discrete(3, start=1)}),
    "tuple": spaces.Tuple([spaces.Discrete(2), spaces.Dict({"x": spaces.MultiBinary(2)}), spaces.Box(0, 9, (1,))]),
    "keys": spaces.Dict({1: spaces.Discrete(3), (0, 2): spaces.Box(-1, 1, (2,))}),
}
DONE = {
    "discrete": spaces.Discrete(2, start=5),
    "multidiscrete": spaces.MultiDiscrete([2, 11], start=[0, 25]),
    "multidiscrete plane": spaces.MultiDiscrete([[2, 3], [3, 2]]),
    "multibinary": spaces.MultiBinary((2, 2)),
    "box": spaces.Box(0.9, 1.0, (1,), np.float32),
    "box plane": spaces.Box(-1, 1, (2, 2), np.float64),
    "bytes": spaces.Box(0, 255, (2,), np.uint8),
}


class World(gym.Env):
    """Observations of a space, drawn; the reward says how much the action belongs to the other space."""

    def __init__(self, observed, done):
        self.observation_space, self.action_space = observed, done

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        return self.observation_space.sample(), float(np.asarray(action, np.float64).sum()), False, self.t >= 8, {}


def world(observed="box", done="discrete"):
    return World(OBSERVED[observed], DONE[done])


def by_loop(tmp_path, observed, done):
    return operant.loop("ppo", lambda: world(observed, done))[1]


def by_run(tmp_path, observed, done):
    name = f"{Path(__file__)}:world"
    kwargs = {"env.kwargs.observed": observed, "env.kwargs.done": done}
    operant.train("ppo", name, runs=tmp_path / "runs", **SHORT, **kwargs)
    return operant.Run(next((tmp_path / "runs").iterdir()), env=lambda: world(observed, done)).policy


AGENTS = {"loop": by_loop, "Run": by_run}


def sample(space, seed):
    space.seed(seed)
    return space.sample()


@pytest.mark.parametrize("entry", AGENTS)
@pytest.mark.parametrize("done", DONE)
def test_an_action_is_what_the_environment_takes(entry, done, tmp_path):
    if entry == "Run" and done not in ("discrete", "box", "multidiscrete plane"):
        pytest.skip("as by loop")
    agent, space = AGENTS[entry](tmp_path, "box", done), DONE[done]
    for seed in range(3):
        obs = sample(OBSERVED["box"], seed)
        for generator in (None, np.random.default_rng(seed)):
            action = agent.act(obs, generator=generator)
            assert space.contains(action), (action, space)


@pytest.mark.parametrize("entry", AGENTS)
@pytest.mark.parametrize("observed", OBSERVED)
def test_an_observation_is_as_the_environment_gives_it(entry, observed, tmp_path):
    if entry == "Run" and observed not in ("discrete", "dict", "keys"):
        pytest.skip("as by loop")
    agent, space = AGENTS[entry](tmp_path, observed, "box"), OBSERVED[observed]
    several = [sample(space, seed) for seed in range(3)]
    alone = [agent.act(obs) for obs in several]
    assert all(DONE["box"].contains(action) for action in alone)
    batch = gym.vector.utils.concatenate(space, several, gym.vector.utils.create_empty_array(space, 3))
    np.testing.assert_allclose(agent.act(batch), alone, atol=1e-6)
    np.testing.assert_allclose(agent.value(batch), [agent.value(obs) for obs in several], atol=1e-5)
    assert np.shape(agent.value(several[0])) == ()


@pytest.mark.parametrize("entry", ["act", "value"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(entry, bad, tmp_path):
    agent = by_loop(tmp_path, "box", "box")
    with pytest.raises(OperantError, match="not finite"):
        getattr(agent, entry)(np.array([0.0, bad], np.float32))
    with pytest.raises(OperantError, match="not finite"):
        getattr(agent, entry)(np.array([[0.0, 0.0], [bad, 0.0]], np.float32))


@pytest.mark.parametrize("entry", ["act", "value"])
@pytest.mark.parametrize(
    ("observed", "obs", "words"),
    [
        ("discrete", 4, "the observation is 4"),
        ("discrete", np.array([5.0, 6.0, 7.0, 8.0], np.float32), "is of type float32"),
        ("discrete", np.array([0.0, 1.0, 1.0, 0.0], np.float32), "is of type float32"),
        ("box", np.zeros(3, np.float32), r"shape \(3,\)"),
        ("dict", {"z": np.zeros((2, 2), np.float32)}, r"has the keys \['z'\]"),
        ("dict", {"z": np.zeros((2, 2), np.float32), "a": 0}, r"at \['a'\] is 0"),
        ("multidiscrete", np.zeros((2, 2), np.int64), "the observation is"),
    ],
)
def test_what_is_outside_the_space_is_refused(entry, observed, obs, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        getattr(by_loop(tmp_path, observed, "box"), entry)(obs)


def test_stepping_by_hand_gives_what_eval_gives(tmp_path):
    run = operant.train(
        "ppo",
        f"{Path(__file__)}:world",
        runs=tmp_path,
        **SHORT,
        **{"env.kwargs.observed": "dict", "env.kwargs.done": "box"},
    )
    measured = run.evaluate(episodes=1, seed=3)["mean"]
    env, total, over = world("dict", "box"), 0.0, False
    obs, _ = env.reset(seed=3)
    while not over:
        obs, reward, _, over, _ = env.step(run.policy.act(obs))
        total += reward
    assert total == pytest.approx(measured, abs=1e-5)


@pytest.fixture(scope="module")
def tabular(tmp_path_factory):
    """A run on numbered states and actions that do not begin at 0."""
    folder = tmp_path_factory.mktemp("tabular")
    kwargs = {"env.kwargs.observed": "discrete", "env.kwargs.done": "discrete"}
    settings = {"total_steps": 200, "quiet": True, "eval.episodes": 2, "save.videos": False, "save.report": False}
    return operant.train("q-learning", f"{Path(__file__)}:world", runs=folder, **settings, **kwargs)


def test_a_table_takes_states_and_gives_actions_as_the_environment_numbers_them(tabular):
    assert [int(tabular.policy.act(state)) in (5, 6) for state in (5, 6, 7, 8)] == [True] * 4
    assert DONE["discrete"].contains(tabular.policy.act(np.int64(8)))
    assert tabular.policy.act(np.array([5, 6, 7])).shape == (3,)
    for outside in (4, 9):
        with pytest.raises(ValueError, match=f"the observation is {outside}"):
            tabular.policy.act(outside)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A run whose policy file holds no spaces, as those of earlier versions."""
    folder = tmp_path_factory.mktemp("earlier")
    (folder / "e.py").write_text(Path(__file__).read_text())
    run = operant.train(
        "ppo", f"{folder / 'e.py'}:world", runs=folder / "runs", **SHORT, **{"env.kwargs.done": "multidiscrete"}
    )
    for place in (run.path / "checkpoints").glob("step-*"):
        file, manifest = place / "policy.json", place / "MANIFEST.json"
        spec = {k: x for k, x in json.loads(file.read_text()).items() if not k.endswith("_space")}
        file.write_text(json.dumps(spec, indent=2) + "\n")
        listed = json.loads(manifest.read_text())
        data = file.read_bytes()
        listed["files"]["policy.json"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        manifest.write_text(json.dumps(listed, indent=2) + "\n")
    return run.path


@pytest.mark.parametrize("entry", ["act", "value", "evaluate", "resume", "export"])
def test_a_run_without_spaces_still_opens(entry, earlier, tmp_path):
    run = operant.Run(earlier)
    obs = np.zeros(2, np.float32)
    if entry == "act":
        assert DONE["multidiscrete"].contains(run.policy.act(obs))
    elif entry == "value":
        assert np.shape(run.value(obs)) == ()
    elif entry == "evaluate":
        assert run.evaluate(episodes=2)["episodes"] == 2
    elif entry == "resume":
        again = operant.resume(earlier, fork=True, to=128, quiet=True)
        assert again.step == 128
        assert "action_space" in (again.path / "checkpoints" / "latest" / "policy.json").read_text()
    else:
        pytest.importorskip("onnxruntime")
        assert main(["export", str(earlier), "--out", str(tmp_path / "out")]) == 0
        shared = operant.Run(tmp_path / "out", env=f"{earlier.parent.parent / 'e.py'}:world")
        assert DONE["multidiscrete"].contains(shared.policy.act(obs))


@pytest.mark.parametrize("entry", ["act", "graph"])
def test_an_exported_policy_acts_as_the_run_does(entry, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    kwargs = {"env.kwargs.observed": "tuple", "env.kwargs.done": "bytes"}
    run = operant.train("ppo", f"{Path(__file__)}:world", runs=tmp_path / "runs", **SHORT, **kwargs)
    assert main(["export", str(run.path), "--out", str(tmp_path / "out")]) == 0
    several = [sample(OBSERVED["tuple"], seed) for seed in range(4)]
    want = np.stack([run.policy.act(obs) for obs in several])
    if entry == "act":
        shared = operant.Run(tmp_path / "out", env=lambda: world("tuple", "bytes"))
        np.testing.assert_array_equal([shared.policy.act(obs) for obs in several], want)
    else:
        flat = np.stack([spaces.flatten(OBSERVED["tuple"], obs) for obs in several]).astype(np.float32)
        (found,) = runtime.InferenceSession(tmp_path / "out" / "policy.onnx").run(["action"], {"obs": flat})
        np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("entry", ["ppo", "q-learning"])
def test_an_environment_gets_actions_as_its_space_samples_them(entry, tmp_path):
    """As NumPy's numbers: `action.item()` and `action.dtype` are there."""
    (tmp_path / "e.py").write_text(
        "import gymnasium as g\n"
        "class E(g.Env):\n"
        "    observation_space = action_space = g.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        super().reset(seed=seed); self.t = 0; return 0, {}\n"
        "    def step(self, a):\n"
        "        assert a.dtype == self.action_space.dtype; a = a.item(); self.t += 1\n"
        "        return a, 1.0, False, self.t >= 5, {}\n"
    )
    flags = ["--env.num=2", "--algo.horizon=32", "--algo.batch=32"] if entry == "ppo" else []
    command = ["train", entry, f"{tmp_path / 'e.py'}:E", "--total-steps=64", "--eval.episodes=2", *flags]
    assert main([*command, "--runs", str(tmp_path / "runs"), "--no-save.videos", "--no-save.report"]) == 0
