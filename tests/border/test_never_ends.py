"""Environments that never end: an evaluation cuts their episodes, ends, and says so wherever it is told"""

import json

import numpy as np
import pytest

import operant
from operant.cli.main import main
from reference import counting_env
from reference.counting_env import CODE

WORDS = "3 of 3 episodes had not ended after 40 steps and were cut"
TRAINED = {
    "ppo": ("ppo", "E", ["--env.num=2"]),
    "workers": ("ppo", "E", ["--env.num=2", "--env.backend=process", "--env.workers=1"]),
    "vector": ("ppo", "vector", ["--env.num=2"]),
    "q-learning": ("q-learning", "E", ["--env.kwargs.table=true"]),
    "monte-carlo": ("monte-carlo", "E", ["--env.kwargs.table=true"]),
}


def train(entry, folder, *more):
    algorithm, name, flags = TRAINED[entry]
    limit = "--eval.max-steps=40" if algorithm == "ppo" else "--env.max-steps=40"
    return counting_env.train(folder, algorithm, name, [*flags, "--eval.episodes=3", limit, *more])


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    return train("ppo", tmp_path_factory.mktemp("endless"))


@pytest.mark.parametrize("entry", TRAINED)
def test_a_run_ends_as_finished_and_its_evaluation_is_marked(entry, tmp_path, capfd):
    run = train(entry, tmp_path)
    assert WORDS in capfd.readouterr().err
    info = json.loads((run / "run.json").read_text())
    assert info["status"] == "finished"
    assert (info["evaluation"]["cut"], info["evaluation"]["max_steps"], info["evaluation"]["mean"]) == (3, 40, 40.0)
    (kept,) = (run / "evals").iterdir()
    found = json.loads(kept.read_text())
    assert (found["cut"], found["lengths"], found["returns"]) == (3, [40] * 3, [40.0] * 3)


@pytest.mark.parametrize("entry", ["ppo", "vector", "workers"])
@pytest.mark.parametrize("ends", [39, 40])
def test_what_ends_in_time_is_not_marked(entry, ends, tmp_path, capfd):
    run = train(entry, tmp_path, f"--env.kwargs.ends={ends}")
    assert "cut" not in capfd.readouterr().err
    found = json.loads((run / "run.json").read_text())["evaluation"]
    assert found["mean"] == ends
    assert not {"cut", "max_steps", "copies"} & set(found)


@pytest.mark.parametrize("entry", ["eval", "eval --json", "Run.evaluate", "resume", "export", "report", "compare"])
def test_every_way_to_measure_or_to_show_it_says_so(entry, endless, tmp_path, capfd):
    if entry == "Run.evaluate":
        found = operant.Run(endless).evaluate(2)
        assert (found["cut"], found["max_steps"], found["lengths"]) == (2, 40, [40, 40])
        return
    verb, *flags = entry.split()
    more = {"eval": ["--episodes", "3"], "resume": ["--to", "128", "--fork"], "export": ["--out", str(tmp_path / "x")]}
    more["compare"] = ["--out", str(tmp_path)]
    assert main([verb, str(endless), *more.get(verb, []), *flags]) == 0
    told = capfd.readouterr()
    if verb == "export":
        assert json.loads((tmp_path / "x" / "evaluation.json").read_text())["cut"] == 3
    elif flags:
        assert json.loads(told.out)["cut"] == 3
    elif verb == "report":
        assert WORDS in (endless / "report.html").read_text()
    else:
        assert WORDS in told.out + told.err


def test_evaluations_in_training_are_cut_too(tmp_path, capfd):
    run = train("ppo", tmp_path, "--eval.every=32", "--eval.during=2")
    rows = operant.Run(run).metrics
    assert rows["eval/cut"].dropna().tolist() == [2.0]


def test_a_film_is_cut(endless, monkeypatch, capfd):
    monkeypatch.setattr("operant.view.play.MAX_STEPS", 20)
    assert main(["play", str(endless)]) == 0
    (about,) = (endless / "videos").glob("*ret20.json")
    assert json.loads(about.read_text())["length"] == 20


@pytest.mark.parametrize("entry", ["inprocess", "native"])
def test_copies_that_end_are_counted_whole_beside_one_that_does_not(entry):
    import gymnasium as g

    from operant.env import make
    from operant.run.evaluate import evaluate

    scope = {}
    exec(CODE, scope)  # noqa: S102
    made = iter([0, 7, 5, 0, 7, 5])
    if entry == "native":
        env = make(lambda num_envs: g.vector.SyncVectorEnv([lambda: scope["E"](next(made)) for _ in range(3)]), 3)
    else:
        env = make(lambda: scope["E"](next(made)), 3)
    found = evaluate(env, lambda obs: np.zeros(len(obs), np.int64), episodes=6, seed=1, max_steps=30)
    assert found.lengths.tolist() == [30, 30, 7, 7, 5, 5]
    assert (found.cut, found.copies) == (2, 3)


def test_the_longest_episodes_of_atari_fit():
    assert operant.control.PPORun().eval.max_steps == 27_000
