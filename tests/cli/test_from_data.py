"""`operant eval RUN --data NAME`: values from a data set, printed and as JSON, and what is refused."""

from __future__ import annotations

import json

import pytest

import operant
from operant.cli.main import main
from operant.env import write_data
from reference.episodes import played
from reference.resumed import QUIET


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set of CartPole, and two runs that learnt from it."""
    home = tmp_path_factory.mktemp("valued")
    data = str(write_data(played("CartPole-v1", count=6, steps=15), home / "data"))
    few = QUIET | {"policy.hidden": (8,), "algo.updates": 10, "total_steps": 10, "data.path": data, "eval.max_steps": 5}
    runs = [operant.train("iql", "CartPole-v1", runs=home / "runs", seed=k, **few).path for k in (1, 2)]
    return data, *map(str, runs)


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    from operant.control.offline import evaluation

    monkeypatch.setattr(evaluation.FQE, "__init__", lambda self: None)
    for name, value in {"steps": 5, "batch": 8, "lr": 1e-3, "tau": 0.1, "hidden": (8,), "resamples": 3}.items():
        monkeypatch.setattr(evaluation.FQE, name, value)


def test_a_mode_is_valued_by_fitted_q_alone(made, capsys):
    data, run, _ = made
    assert main(["eval", run, "--data", data]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("fqe ")
    assert "95 % [" in printed.out
    assert "--behaviour" in printed.err


def test_with_who_acted_all_estimators_speak(made, capsys):
    data, run, other = made
    assert main(["eval", run, "--data", data, "--behaviour", other, "--discount", "0.9", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["discount"] == 0.9
    assert not found["deterministic"]
    assert {"fqe", "weighted", "doubly-robust"} <= set(found["estimates"])
    assert found["estimates"]["weighted"]["episodes"] <= 6.0 + 1e-6


def test_data_that_are_not_there_are_refused_in_words(made, capsys):
    assert main(["eval", made[1], "--data", "nowhere"]) == 2
    assert "there is no data set" in capsys.readouterr().err
