"""Tabular algorithms through the run folder: trained, measured, resumed bit for bit, reported beside the optimum."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.config.resolve import resolve
from operant.tabular.algorithms import ALGORITHMS as LEARNERS
from operant.tabular.settings.runs import RUNS as TABULAR
from operant.tabular.table import TablePolicy

QUICK = {
    "quiet": True,
    "algo.every": 250,
    "eval.episodes": 2,
    "env.max_steps": 200,
    "save.videos": False,
    "save.report": False,
    "save.every": 500,
}


def files(run):
    """All that a checkpoint holds."""
    folder = run.path / "checkpoints" / "latest"
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in ("state.json", "MANIFEST.json")}


def rows(run):
    frame = run.metrics
    return frame.drop(columns=[c for c in frame if c in ("time", "attempt") or c.split("/")[0] in ("phase", "speed")])


def test_every_learner_has_a_config_and_every_config_a_learner():
    assert set(TABULAR) == set(LEARNERS) | {"linear-sarsa", "linear-q-learning"}
    for name, model in TABULAR.items():
        assert model().algorithm == name
        assert resolve(name, "FrozenLake-v1").config.algorithm == name


@pytest.fixture(scope="module")
def cliff(tmp_path_factory):
    """Q-learning of example 6.6, to its end."""
    runs = tmp_path_factory.mktemp("runs")
    return operant.train("q-learning", "CliffWalking-v1", runs=runs, quiet=True, **{"eval.episodes": 5})


def test_q_learning_finds_the_edge_of_the_cliff(cliff):
    evaluation = cliff.folder.info()["evaluation"]
    assert (evaluation["mean"], evaluation["std"]) == (-13.0, 0.0)
    assert isinstance(cliff.policy, TablePolicy)
    assert int(cliff.policy.act(36)) == 0  # up, from the start
    assert float(cliff.value(np.eye(48, dtype=np.float32)[47 - 12])) == pytest.approx(-1.0)  # above the goal
    assert cliff.folder.info()["parameters"] == 48 * 4
    assert cliff.folder.info()["preset"] == "CliffWalking-v1"


def test_the_report_shows_what_was_learnt_beside_the_optimum(cliff):
    page = (cliff.path / "report.html").read_text()
    assert "What was learnt" in page
    assert "is worth −13 from the start, computed exactly; the optimum is −13: nothing is lost." in page
    assert page.count('<img src="data:image/png;base64,') == 2
    assert "Greedy actions changed" in page


@pytest.mark.parametrize("algorithm", ["q-learning", "n-step-sarsa", "true-online-sarsa", "prioritised-sweeping"])
def test_training_on_equals_training_longer_at_once(tmp_path, algorithm):
    """Exactly, open episodes and waiting returns included: the last checkpoint, a seam, must be a due one."""
    whole = operant.train(algorithm, "Taxi-v4", runs=tmp_path / "a", total_steps=3000, **QUICK)
    part = operant.train(algorithm, "Taxi-v4", runs=tmp_path / "b", total_steps=1500, **QUICK)
    longer = operant.resume(part.path, to=3000, quiet=True)
    assert longer.step == whole.step == 3000
    assert files(longer) == files(whole)
    assert rows(longer).equals(rows(whole))


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    """SIGKILL in the middle of an interval between checkpoints, in the middle of an episode."""
    whole = operant.train("double-q-learning", "CliffWalking-v1", runs=tmp_path / "a", total_steps=4000, **QUICK)
    code = (
        "import os, signal, operant\n"
        "from operant.run.folder import MetricsWriter\n"
        "write = MetricsWriter.write\n"
        "def die(self, step, *rest):\n"
        "    if step > 2600:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(self, step, *rest)\n"
        "MetricsWriter.write = die\n"
        f"operant.train('double-q-learning', 'CliffWalking-v1', runs={str(tmp_path / 'b')!r}, total_steps=4000, "
        f"**{QUICK!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ))
    assert done.returncode == -9
    (path,) = (tmp_path / "b").iterdir()
    resumed = operant.resume(path, quiet=True)
    assert files(resumed) == files(whole)
    assert rows(resumed).equals(rows(whole))
    assert resumed.folder.info()["evaluation"] == whole.folder.info()["evaluation"]


def test_another_seed_is_another_run_and_the_same_seed_the_same(tmp_path):
    def train(seed):
        return operant.train("sarsa", "FrozenLake-v1", runs=tmp_path, total_steps=2000, seed=seed, **QUICK)

    one, again, other = (load_file(run.path / "checkpoints/latest/optim.safetensors") for run in map(train, (1, 1, 2)))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["table.random"], other["table.random"])


def test_a_checkpoint_of_another_table_is_refused_and_nothing_changed(tmp_path):
    from operant.config.registry import builder_of
    from operant.run import checkpoint

    run = operant.train("q-learning", "FrozenLake-v1", runs=tmp_path, total_steps=500, **QUICK)
    folder = checkpoint.newest(run.path)[0]
    for algorithm, env, said in (
        ("q-learning", "Taxi-v4", "states, actions differ"),
        ("dyna-q", "FrozenLake-v1", "has no array seen"),
    ):
        job = builder_of(algorithm)(resolve(algorithm, env).config, env)
        before = job.learned.named()["table"].clone()
        with pytest.raises(ConfigError, match=said):
            checkpoint.load(folder, job.learned)
        assert bool((job.learned.named()["table"] == before).all())


def test_a_reward_that_is_not_finite_ends_the_run_with_code_4(tmp_path, capsys, monkeypatch):
    from operant.tabular.discrete_env import DiscreteEnv

    step = DiscreteEnv.step
    monkeypatch.setattr(DiscreteEnv, "step", lambda self, action: (*step(self, action)[:1], float("nan"), False, False))
    assert main(["train", "q-learning", "FrozenLake-v1", "--runs", str(tmp_path), "--total-steps", "500"]) == 4
    assert "not finite" in capsys.readouterr().err


def test_a_reproduction_agrees_bitwise(cliff, tmp_path, capsys):
    assert main(["reproduce", str(cliff.path), "--runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["agreement"] == "bitwise"


def test_a_table_is_exported_with_a_graph_that_agrees(cliff, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert main(["export", str(cliff.path), "--out", str(tmp_path / "out")]) == 0
    assert "agrees with the policy to 0 " in capsys.readouterr().err
    again = operant.Run(tmp_path / "out")
    assert np.array_equal(again.policy.table, cliff.policy.table)
    assert json.loads((tmp_path / "out" / "table.json").read_text())[36]["action"] == "0"
    assert "the table of action values" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["q-learning", "CartPole-v1"], 3, "Discrete, but its states are Box"),
        (["q-learning", "Pendulum-v1"], 3, "Discrete"),
        (["q-lerning", "Taxi-v4"], 2, "Did you mean 'q-learning'?"),
        (["q-learning", "Taxi-v4", "--algo.lr", "0.1"], 2, "Did you mean '--algo.step-size'?"),
        (["q-learning", "Taxi-v4", "--env.num", "8"], 2, "unknown flag '--env.num'"),
        (["q-learning", "Taxi-v4", "--algo.epsilon", "2"], 2, "algo.epsilon is 2, expected a number from 0 to 1"),
        (["sarsa-lambda", "Taxi-v4", "--algo.traces", "replacin"], 2, "Did you mean 'replacing'?"),
    ],
)
def test_bad_input_is_one_line_with_the_nearest_name(words, code, said, capsys, tmp_path):
    assert main(["train", *words, "--runs", str(tmp_path)]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("shape", ["constant", "linear", "exponential", "polynomial", "harmonic"])
def test_schedules_reach_the_learner(shape):
    overrides = {"algo.epsilon": 0.5, "algo.epsilon_end": 0.125, "algo.epsilon_schedule": shape, "total_steps": 100}
    cfg = resolve("sarsa", "Taxi-v4", overrides=overrides, source="argument").config
    known = repr(cfg.settings().epsilon)  # pyright: ignore
    assert (
        known
        == {
            "constant": "Constant(value=0.5)",
            "linear": "Linear(start=0.5, end=0.125, steps=100)",
            "exponential": "Exponential(start=0.5, end=0.125, steps=100)",
            "polynomial": "Polynomial(c=1.0, omega=0.5)",
            "harmonic": "Harmonic()",
        }[shape]
    )
