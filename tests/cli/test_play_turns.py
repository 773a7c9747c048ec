"""`operant play` and `operant report` of a run that learnt in a world of many turns."""

import pytest

import operant
from operant.cli.main import main

pytest.importorskip("transformers")

SMALL = {
    "base.width": 32, "base.layers": 1, "base.positions": 128, "sampling.max_tokens": 8, "threads": 1,
    "eval.episodes": 2, "save.report": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("turns")
    (folder / "mine.py").write_text("from reference.tiny_worlds import make\n")
    world = f"{folder / 'mine.py'}:make"
    return operant.train("clone", world, runs=folder / "runs", total_steps=32, quiet=True, **SMALL)


def test_an_episode_of_a_run_is_printed(run, capsys):
    assert main(["play", str(run.path), "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("· split ") == 2
    assert out.count("\nbegin    ") == 2
    assert "\n1\n" in out
    assert out.count("return ") == 2
    assert main(["play", str(run.path), "--episodes", "2"]) == 0
    assert capsys.readouterr().out == out, "greedily decoded, so it is the same"


def test_there_is_nothing_to_film(run, capsys, tmp_path):
    assert main(["play", str(run.path), "--out", str(tmp_path / "x.mp4")]) == 2
    assert "filmed where its world has pictures" in capsys.readouterr().err


def test_its_report_shows_its_episodes(run, capsys):
    assert main(["report", str(run.path)]) == 0
    page = (run.path / "report.html").read_text("utf-8")
    assert "Episodes, turn by turn" in page
    assert "Show tokens" in page
    assert '<i class="drawn">' in page
