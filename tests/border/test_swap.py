"""Words in each other's place: the algorithm where the environment belongs, or two words where a verb takes one run.

Every verb and the Python face see it, run and import nothing, and say the command that was meant.
"""

import shlex

import pytest

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.config.resolve import resolve

COMMANDS = {
    "train.ppo": ("train CartPole-v1 ppo --seed 2", "operant train ppo CartPole-v1 --seed 2"),
    "train.q-learning": ("train --runs R Taxi-v4 q-learning", "operant train --runs R q-learning Taxi-v4"),
    "train.grpo": ("train arithmetic grpo", "operant train grpo arithmetic"),
    "train.sft": ("train texts.jsonl sft --model M", "operant train sft texts.jsonl --model M"),
    "train.file": ("train mine.py:make ppo", "operant train ppo mine.py:make"),
    "train.own": ("train CartPole-v1 mine.py:build", "operant train mine.py:build CartPole-v1"),
    "train.settings": ("train CartPole-v1 @a.toml ppo", "operant train ppo @a.toml CartPole-v1"),
    "train.several": ("train CartPole-v1 Acrobot-v1 ppo", "operant train ppo Acrobot-v1 CartPole-v1"),
    "sweep": ("sweep CartPole-v1 ppo @a.toml", "operant sweep ppo CartPole-v1 @a.toml"),
    "config": ("config show CartPole-v1 ppo", "operant config show ppo CartPole-v1"),
}  # fmt: skip


@pytest.mark.parametrize("entry", COMMANDS)
def test_the_command_that_was_meant_is_said(entry, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, meant = COMMANDS[entry]
    assert main(shlex.split(words)) == 2
    said = capsys.readouterr().err
    assert f"comes first: {meant}. See" in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("entry", ["eval", "play", "report", "resume", "export", "reproduce"])
def test_a_run_is_one_word(entry, capsys):
    for words in ("ppo CartPole-v1", "CartPole-v1 ppo"):
        assert main([entry, *words.split()]) == 2
        assert f"operant {entry} CartPole-v1-ppo, or operant {entry} last" in capsys.readouterr().err


CALLS = {
    "train.id": (lambda: operant.train("CartPole-v1", "ppo"), r"operant\.train\('ppo', 'CartPole-v1'\)"),
    "train.callable": (lambda: operant.train(lambda: None, "ppo"), r"operant\.train\('ppo', env\)"),
    "train.tabular": (lambda: operant.train("Taxi-v4", "q-learning"), r"operant\.train\('q-learning', 'Taxi-v4'\)"),
    "train.language": (lambda: operant.train("arithmetic", "grpo"), r"operant\.train\('grpo', 'arithmetic'\)"),
    "train.own": (lambda: operant.train("Taxi-v4", "a.py:build"), r"operant\.train\('a\.py:build', 'Taxi-v4'\)"),
    "loop": (lambda: operant.loop("CartPole-v1", "ppo"), r"operant\.loop\('ppo', 'CartPole-v1'\)"),
    "resolve": (lambda: resolve("CartPole-v1", "ppo"), r"resolve\('ppo', 'CartPole-v1'\)"),
}  # fmt: skip


@pytest.mark.parametrize("entry", CALLS)
def test_the_call_that_was_meant_is_said(entry):
    call, meant = CALLS[entry]
    with pytest.raises(ConfigError, match=f"comes first.*{meant}"):
        call()


@pytest.mark.parametrize("entry", ["train", "config"])
def test_a_mistyped_algorithm_is_not_taken_for_an_environment(entry, capsys):
    words = ["train"] if entry == "train" else ["config", "show"]
    for typo in ("ppp", "q-learnig"):
        assert main([*words, typo, "CartPole-v1"]) == 2
        assert "Did you mean" in capsys.readouterr().err
    assert main([*words, "ppo", "grpo", *(["--dry-run"] if entry == "train" else [])]) == 0  # an environment so called
