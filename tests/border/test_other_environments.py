"""A policy in an environment that is not its own: another is named, or its own has changed since"""

import pytest

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError

OTHER = {"other observations": "Acrobot-v1", "other actions": "Pendulum-v1", "no numbers": "FrozenLake-v1"}


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("entry", ["eval", "play", "Run.evaluate"])
def test_an_environment_of_other_spaces_is_refused(entry, other, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if entry == "Run.evaluate":
        with pytest.raises(ConfigError, match="was not made for"):
            operant.Run("operant/CartPole-v1", env=OTHER[other]).evaluate(episodes=1)
        return
    assert main([entry, "operant/CartPole-v1", "--env", OTHER[other], "--episodes", "1"]) == 2
    assert f"the policy was not made for {OTHER[other]}: its " in capsys.readouterr().err


def test_one_of_its_own_spaces_is_played(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert operant.Run("operant/CartPole-v1", env="CartPole-v0").evaluate(episodes=1)["episodes"] == 1


@pytest.mark.parametrize(
    "more", [["--judge", "x"], ["--behaviour", "x"], ["--discount", "0.5"], ["--votes", "2", "--data", "x"]]
)
def test_a_flag_of_an_evaluation_that_nobody_heeds_is_refused(more, capsys):
    assert main(["eval", "operant/CartPole-v1", *more]) == 2
    assert "--" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["taken", "taken/film.mp4", "."])
def test_a_place_for_a_film_is_looked_at_before_it_is_played(out, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("precious")
    assert main(["play", "operant/CartPole-v1", "--out", out]) == 2
    assert (tmp_path / "taken").read_text() == "precious"
