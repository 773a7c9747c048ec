"""The Python API."""

import gymnasium
import numpy as np
import pytest

import operant
from operant.api import find, list_runs

QUICK = {"total_steps": 300, "quiet": True, "env.num": 2, "algo.horizon": 32, "eval.episodes": 3, "save.videos": False}


def test_train_returns_a_run_that_can_be_opened_again(tmp_path):
    run = operant.train("ppo", "CartPole-v1", seed=4, runs=tmp_path, **QUICK, **{"algo.discount": 0.9})
    assert run.config.algo.discount == 0.9
    assert run.config.seed == 4
    obs = np.zeros((5, 4))
    again = operant.Run(run.path)
    assert np.array_equal(run.value(obs), again.value(obs))
    assert run.value(obs).shape == (5,)
    assert np.array_equal(run.policy.act(obs), again.policy.act(obs))
    assert run.evaluate(episodes=3)["returns"] == again.evaluate(episodes=3)["returns"]
    assert run.metrics["step"].iloc[-1] == run.step >= 300


def test_the_same_seed_writes_the_same_metrics_and_the_same_policy(tmp_path):
    runs = [operant.train("ppo", "Pendulum-v1", seed=2, runs=tmp_path, **QUICK) for _ in range(2)]
    first, second = (
        r.metrics.drop(columns=[c for c in r.metrics if c.split("/")[0] in ("time", "phase", "speed")]) for r in runs
    )
    assert first.equals(second)
    files = [(r.path / "checkpoints" / "latest" / "model.safetensors").read_bytes() for r in runs]
    assert files[0] == files[1]


def test_a_callable_is_an_environment_too(tmp_path):
    def mine():
        return gymnasium.make("CartPole-v1", max_episode_steps=20)

    run = operant.train("ppo", mine, runs=tmp_path, **QUICK)
    assert max(run.evaluate(episodes=4)["lengths"]) <= 20


def test_evaluations_in_training_choose_the_best_checkpoint(tmp_path):
    run = operant.train("ppo", "CartPole-v1", runs=tmp_path, **(QUICK | {"total_steps": 2000, "eval.every": 500}))
    frame = run.metrics
    rows = frame.dropna(subset=["eval/return_mean"])
    assert len(rows) >= 3
    best = int(rows.loc[rows["eval/return_mean"].idxmax(), "step"])
    assert operant.Run(run.path, name="best").step == best


def test_a_loop_is_endless_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loop, agent = operant.loop("ppo", "CartPole-v1", **{"algo.horizon": 16, "total_steps": 100})
    seen = [next(loop) for _ in range(4)]
    assert all("loss/policy" in m for m in seen)
    assert agent.act(np.zeros(4)) in (0, 1)
    assert list(tmp_path.iterdir()) == []


def test_runs_are_found_by_path_prefix_or_last(tmp_path):
    names = []
    for seed in (1, 2):
        names.append(operant.train("ppo", "CartPole-v1", seed=seed, runs=tmp_path, **QUICK).path)
    assert find("last", tmp_path) == names[-1]
    assert find("CartPole-v1-ppo-s1", tmp_path) == names[0]
    assert find(str(names[0]), "elsewhere") == names[0]
    with pytest.raises(operant.ConfigError, match="fits 2 runs"):
        find("CartPole", tmp_path)
    with pytest.raises(operant.ConfigError, match="Did you mean"):
        find("CartPole-v1-ppo-s9", tmp_path)
    assert [row["seed"] for row in list_runs(tmp_path)] == [1, 2]


@pytest.mark.parametrize("settings", [{"algo.discont": 1}, {"algo.discount": "much"}, {"policy.hidden": 0}])
def test_a_wrong_setting_is_refused_in_python_too(settings, tmp_path):
    with pytest.raises(operant.ConfigError, match=r"discount|hidden"):
        operant.train("ppo", "CartPole-v1", runs=tmp_path, **settings)
