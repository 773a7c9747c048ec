"""Stored episodes of an agent that are none, lack lines, or name what a stranger must not choose"""

import json

import pytest

from operant.cli.main import main

HEAD = {"trace": 1, "world": "text/quests", "options": {}, "split": "test", "scenario": 0}
STEP = {"step": 0, "said": "", "result": "x", "reward": 0, "error": None}
NEXT = STEP | {"step": 1, "said": "look"}


def lacking(row, name):
    return {key: value for key, value in row.items() if key != name}


BAD = {
    "options as a list": ([HEAD | {"options": [1]}, STEP], "options is list"),
    "no options": ([HEAD | {"options": None}, STEP], "options is NoneType"),
    "another setting": ([HEAD | {"options": {"model.path": "x"}}, STEP], "model.path is no option"),
    "world as a number": ([HEAD | {"world": 3}, STEP], "world is int"),
    "split as a list": ([HEAD | {"split": ["test"]}, STEP], "split is list"),
    "scenario as a text": ([HEAD | {"scenario": "0"}, STEP], "scenario is str"),
    "scenario as a truth": ([HEAD | {"scenario": True}, STEP], "scenario is bool"),
    "scenario below 0": ([HEAD | {"scenario": -1}, STEP], "has 256 in test, from 0 on"),
    "another form": ([HEAD | {"trace": 9}, STEP], "its form is 9"),
    "no result": ([HEAD, STEP, lacking(NEXT, "result")], ":3: no step"),
    "reward as a text": ([HEAD, STEP | {"reward": "a"}], ":2: no step"),
    "a gap": ([HEAD, STEP, NEXT | {"step": 7}], "step 7 stands where step 1 belongs"),
    "no beginning": ([HEAD, NEXT], "step 1 stands where step 0 belongs"),
    "a server of a stranger": ([HEAD | {"world": "openenv/http://127.0.0.1:1"}, STEP], "give --world openenv/http"),
    "half a line": ([HEAD, STEP, '{"step": 1, "sa'], ":3: not JSON"),
}


def kept(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("how", BAD)
def test_a_trace_that_is_none_is_told_where(how, tmp_path, capsys):
    rows, why = BAD[how]
    assert main(["agent", "--replay", kept(tmp_path / "trace.jsonl", rows)]) == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [["--world", "text/grid"], ["--scenario", "5"], ["--split", "train"], ["--task.options.rooms", "3"], ["bow"]],
)
def test_what_a_trace_says_already_is_not_said_otherwise(more, tmp_path, capsys):
    assert main(["agent", "--replay", kept(tmp_path / "trace.jsonl", [HEAD, STEP]), *more]) == 2
    assert "of its own" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--out", "trace.jsonl"], ["--out", "trace.jsonl/x"], ["--out", "."]])
def test_a_trace_is_written_over_nothing_and_that_is_seen_before_anything_is_asked(more, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.jsonl").write_text("precious")
    assert main(["agent", "--world", "text/quests", "--model", "oracle", *more]) == 2
    out = capsys.readouterr()
    assert "name another" in out.err
    assert not out.out
    assert (tmp_path / "trace.jsonl").read_text() == "precious"
