"""Policies that ship with the library: every verb takes one by its name, none writes into it, a run so called wins.

What a card says is what `operant eval` measures.
"""

import json
import shutil
from pathlib import Path

import pytest

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.run import exported
from operant.run.find import find
from operant.run.shipped import POLICIES, shipped

NAMES = sorted(shipped())
VERBS = {
    "eval": ("eval CartPole-v1 --episodes 2 --json", 0, '"mean": 500.0'),
    "play": ("play CliffWalking-v1", 0, "videos/CliffWalking-v1/step-"),
    "list": ("list policies --json", 0, '"name": "CartPole-v1"'),
    "report": ("report CartPole-v1", 2, "ships with operant, so there is no report to write"),
    "resume": ("resume CartPole-v1", 2, "has no valid checkpoint"),
    "export": ("export CartPole-v1", 2, "is an exported policy already"),
    "sample": ("sample arithmetic 12+34= --temperature 0", 0, "46"),
    "eval.language": ("eval arithmetic --episodes 20", 0, "held-out prompts right under greedy decoding"),
    "play.language": ("play arithmetic", 2, "operant sample arithmetic PROMPT"),
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def contents():
    return {file: file.stat().st_mtime_ns for file in POLICIES.rglob("*")}


@pytest.mark.parametrize("entry", VERBS)
def test_a_verb_takes_its_name_and_leaves_it_as_it_is(entry, capsys):
    words, code, said = VERBS[entry]
    before = contents()
    assert main(words.split()) == code
    out, err = capsys.readouterr()
    assert said in out + err
    assert contents() == before


def test_they_are_whole_and_small():
    assert {"CartPole-v1", "Acrobot-v1", "Pendulum-v1", "CliffWalking-v1", "arithmetic"} <= set(NAMES)
    assert sum(file.stat().st_size for file in POLICIES.rglob("*") if file.is_file()) <= 5_000_000
    assert not [file for file in POLICIES.rglob("*") if file.suffix in (".pt", ".pkl", ".bin", ".py")]


@pytest.mark.parametrize("entry", NAMES)
def test_its_files_are_those_that_were_sealed(entry, tmp_path):
    policy, step = exported.load(shipped()[entry])
    assert step > 0
    assert policy is not None
    copy = tmp_path / entry
    shutil.copytree(shipped()[entry], copy)
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ConfigError, match="altered"):
        exported.load(copy)


@pytest.mark.parametrize("entry", ["CartPole-v1", "CliffWalking-v1"])
def test_the_return_of_its_card_is_measured_again(entry):
    measured = json.loads((shipped()[entry] / "evaluation.json").read_text())
    found = operant.Run(entry).evaluate()
    assert (found["mean"], found["episodes"], found["seed"]) == (measured["mean"], 100, measured["seed"])
    assert found["returns"] == measured["returns"]
    card = (shipped()[entry] / "README.md").read_text()
    assert f"| {measured['mean']:.2f} | {measured['std']:.2f} |" in card
    assert f"seed {operant.Run(entry).config.seed}" in card


def test_a_run_that_is_called_the_same_wins_and_two_are_told(good):
    shutil.copytree(good, Path("runs") / "CartPole-v1-mine")
    assert find("CartPole-v1") == Path("runs") / "CartPole-v1-mine"
    assert find("operant/CartPole-v1") == POLICIES / "CartPole-v1"
    shutil.copytree(good, Path("runs") / "CartPole-v1-other")
    with pytest.raises(ConfigError, match=r"fits 2 runs.*The policy that ships is operant/CartPole-v1"):
        find("CartPole-v1")


def test_a_stranger_under_their_name_is_not_one_of_them(tmp_path):
    """A folder of a language model from elsewhere is no exported policy, whatever it is called."""
    shutil.copytree(POLICIES / "arithmetic", tmp_path / "arithmetic")
    with pytest.raises(ConfigError, match="no exported policy"):
        exported.load(tmp_path / "arithmetic")
