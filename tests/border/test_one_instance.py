"""Simulators of which there can be one, or as many as there are: nothing opens more, and what is learnt is measured"""

import json

import pytest

import operant
from operant.cli.main import main
from operant.env import check_env
from reference import counting_env
from reference.counting_env import CODE

ONE = "it goes on with one copy. To ask for no more: eval.copies 1"
TRAINED = {
    "ppo": ("ppo", "One", ["--env.num=1"]),
    "workers": ("ppo", "One", ["--env.num=1", "--env.backend=process", "--env.workers=1"]),
    "q-learning": ("q-learning", "One", ["--env.kwargs.table=true"]),
    "fixed vector": ("ppo", "fixed", ["--env.num=1"]),
}


def train(entry, folder, *more):
    algorithm, name, flags = TRAINED[entry]
    return counting_env.train(folder, algorithm, name, [*flags, "--eval.episodes=4", *more])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train("ppo", tmp_path_factory.mktemp("one"))


@pytest.mark.parametrize("entry", TRAINED)
def test_what_was_trained_is_measured_with_what_there_is(entry, tmp_path, capfd):
    run = train(entry, tmp_path)
    said = capfd.readouterr().err
    info = json.loads((run / "run.json").read_text())
    copies = 3 if entry == "fixed vector" else 1
    assert info["status"] == "finished"
    found = info["evaluation"]
    assert (found["episodes"], found["mean"], found["copies"]) == (4, 9.0, copies)
    assert (ONE if copies == 1 else "it goes on with the 3 copies that it has") in said


@pytest.mark.parametrize("entry", ["ppo", "q-learning", "workers"])
def test_asked_for_one_it_says_nothing(entry, tmp_path, capfd):
    run = train(entry, tmp_path, "--eval.copies=1")
    assert "warning" not in capfd.readouterr().err
    evaluation = json.loads((run / "run.json").read_text())["evaluation"]
    assert (evaluation["mean"], "copies" in evaluation) == (9.0, False)


@pytest.mark.parametrize("entry", ["eval", "play", "export", "resume", "Run.evaluate"])
def test_every_verb_opens_one_at_a_time(entry, trained, tmp_path, capfd):
    if entry == "Run.evaluate":
        with pytest.warns(UserWarning, match="goes on with one copy"):
            assert operant.Run(trained).evaluate(3)["lengths"] == [9, 9, 9]
        return
    flags = {"export": ["--out", str(tmp_path / "x")], "resume": ["--to", "128", "--fork"]}
    assert main([entry, str(trained), *flags.get(entry, [])]) == 0
    if entry != "play":
        assert ONE in capfd.readouterr().err


@pytest.mark.parametrize("entry", ["check", "env check"])
def test_a_check_makes_one_at_a_time(entry, tmp_path, capfd):
    (tmp_path / "e.py").write_text(CODE)
    if entry == "check":
        found = check_env(f"{tmp_path / 'e.py'}:One")
        assert not [p for p in found if p.severity == "error"]
    else:
        assert main(["env", "check", f"{tmp_path / 'e.py'}:One"]) == 0


def test_one_that_close_does_not_free_is_told_by_the_check(tmp_path):
    (tmp_path / "e.py").write_text(CODE.replace("OPEN[0] -= 1", "pass"))
    (found,) = [p for p in check_env(f"{tmp_path / 'e.py'}:One") if p.severity == "error"]
    assert found.what.startswith("with the first copy closed, ")
    assert "Address already in use" in found.what


def test_where_training_holds_it_an_evaluation_meanwhile_is_left_out_and_told(tmp_path, capfd):
    run = train("ppo", tmp_path, "--eval.every=32", "--eval.during=2")
    said = capfd.readouterr().err
    assert "not evaluated at step 32" in said
    assert "leave eval.every unset" in said
    info = json.loads((run / "run.json").read_text())
    assert (info["status"], info["evaluation"]["mean"]) == ("finished", 9.0)


def test_many_are_measured_as_before(tmp_path, capfd):
    run = train("ppo", tmp_path, "--env.kwargs.most=99")
    assert "warning" not in capfd.readouterr().err
    assert "copies" not in json.loads((run / "run.json").read_text())["evaluation"]


def test_copies_before_one_that_cannot_be_made_are_closed(tmp_path):
    from operant.env import make

    scope = {}
    exec(CODE, scope)  # noqa: S102
    with pytest.raises(operant.config.errors.EnvError, match="Address already in use"):
        make(lambda: scope["One"](most=2), 3)
    assert scope["OPEN"] == [0, 2]
