"""Runs made again: equal where nothing changed, and told apart where one number did."""

import json

import numpy as np
import pandas as pd
import pytest

import operant
from operant.cli.main import main
from operant.cli.reproduce import TOLERANCE, changes, compare_metrics, compare_returns, reproduce
from operant.run.folder import RunFolder

QUICK = {"total_steps": 400, "quiet": True, "env.num": 2, "algo.horizon": 32, "eval.episodes": 4}
QUICK |= {"save.videos": False, "save.report": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with observations normalised and evaluations in training."""
    settings = QUICK | {"policy.normalize_obs": True, "eval.every": 150, "save.every": 100}
    return operant.train("ppo", "Pendulum-v1", seed=5, runs=tmp_path_factory.mktemp("runs"), **settings)


def test_the_same_settings_and_seed_give_the_same_bits(run, tmp_path, capsys):
    assert main(["reproduce", str(run.path), "--runs", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["agreement"] == "bitwise"
    assert result["changed"] == []
    assert result["parameters"]["then"] == result["parameters"]["now"]
    assert result["metrics"]["rows"] == len(run.metrics) > 3
    assert result["metrics"]["then"] == result["metrics"]["now"]
    assert result["evaluation"]["difference"] == 0
    made = RunFolder(result["reproduction"]).info()
    assert made["reproduces"] == run.folder.info()["id"]
    assert operant.Run(result["reproduction"]).config == run.config


def test_another_seed_does_not_agree_and_the_exit_code_says_so(run, tmp_path, capsys):
    forged = tmp_path / "forged"
    _copy(run.path, forged)
    toml = (forged / "config.toml").read_text()
    (forged / "config.toml").write_text(toml.replace("seed = 5", "seed = 6", 1))
    assert main(["reproduce", str(forged), "--runs", str(tmp_path / "runs")]) == 1
    told = capsys.readouterr().out
    assert "Does not agree" in told
    assert "first difference" in told
    assert "95 % interval" in told


def test_one_changed_weight_is_seen(run, tmp_path):
    from safetensors.torch import load_file, save_file

    forged = tmp_path / "forged"
    _copy(run.path, forged)
    (file,) = (
        p for p in (forged / "checkpoints").glob("step-*/model.safetensors") if int(p.parent.name[5:]) == run.step
    )
    tensors = load_file(file)
    tensors["policy.log_std"] = tensors["policy.log_std"] + 1e-2
    save_file(tensors, file)
    manifest = json.loads((file.parent / "MANIFEST.json").read_text())
    import hashlib

    manifest["files"]["model.safetensors"] = {
        "size": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    (file.parent / "MANIFEST.json").write_text(json.dumps(manifest, indent=2) + "\n")
    result = reproduce(forged, runs=tmp_path / "runs", quiet=True, say=lambda line: None)
    assert result["metrics"]["same"]
    assert not result["parameters"]["same"]
    assert result["parameters"]["difference"] > TOLERANCE
    assert not result["agrees"]


def test_what_is_not_finished_has_no_result(run, tmp_path, capsys):
    forged = tmp_path / "forged"
    _copy(run.path, forged)
    RunFolder(forged).update(status="interrupted")
    assert main(["reproduce", str(forged), "--runs", str(tmp_path / "runs")]) == 2
    assert "operant resume" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_metric_rows_are_compared_but_for_the_clock():
    a = pd.DataFrame({"attempt": 1, "step": [10, 20, 30], "time": [0.1, 0.2, 0.3], "loss/policy": [1.0, np.nan, 4.0]})
    a["phase/learn"] = a["speed/steps_per_second"] = [1.0, 2.0, 3.0]
    b = a.assign(**{"time": 9.0, "phase/learn": 7.0, "attempt": 2})
    assert compare_metrics(a, b)["same"]
    close = compare_metrics(a, a.assign(**{"loss/policy": [1.0, np.nan, 4.0 + 4e-7]}))
    assert not close["same"]
    assert close["difference"] == pytest.approx(1e-7)
    assert close["first"] == {"step": 30, "metric": "loss/policy"}
    hole = compare_metrics(a, a.assign(**{"loss/policy": [1.0, 2.0, 4.0]}))
    assert hole["difference"] == np.inf
    assert hole["first"] == {"step": 20, "metric": "loss/policy"}
    assert compare_metrics(a, a.iloc[:2])["difference"] == np.inf
    assert compare_metrics(a, a.drop(columns="loss/policy"))["difference"] == np.inf


def test_returns_are_compared_only_under_one_protocol():
    then = {"mean": 10.0, "std": 3.0, "episodes": 9, "seed": 1, "deterministic": True}
    told = compare_returns(then, then | {"mean": 12.0, "std": 4.0})
    assert told is not None
    half = 1.96 * 5.0 / 3.0
    assert told["interval"] == pytest.approx([2.0 - half, 2.0 + half])
    assert compare_returns(then, then | {"seed": 2}) is None
    assert compare_returns(None, then) is None


def test_what_differs_between_machines_is_named():
    then = {"packages": {"torch": "2.10", "numpy": "2.0"}, "host": {"cpu": "A"}, "git": {"sha": "1", "dirty": False}}
    now = {"packages": {"torch": "2.13", "numpy": "2.0"}, "host": {"cpu": "A"}, "git": None}
    assert changes(then, now) == [{"what": "torch", "then": "2.10", "now": "2.13"}]
    assert changes(then, then) == []
    assert changes(then, then | {"git": {"sha": "2"}})[0]["now"] == "2"


def _copy(source, target):
    import shutil

    shutil.copytree(source, target, symlinks=True)
