"""The trackers themselves, where they are installed: what they hold after a run, and after it went on."""

import os
import sqlite3

import pytest

import operant

SMALL = {
    "env.num": 4, "algo.horizon": 64, "policy.hidden": [16], "eval.episodes": 2, "save.videos": False,
    "save.report": False,
}  # fmt: skip


def test_trackio_holds_every_row_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "db"))
    pytest.importorskip("trackio")
    run = operant.train("ppo", "CartPole-v1", total_steps=600, runs=tmp_path, quiet=True, track="trackio", **SMALL)
    on = operant.resume(run.path, to=1200, quiet=True)
    with sqlite3.connect(tmp_path / "db" / "operant.db") as held:
        rows = held.execute("select step, metrics from metrics order by id").fetchall()
    assert [step for step, values in rows if "train/episodes" in bytes(values).decode()] == on.metrics["step"].tolist()


def test_wandb_writes_offline_and_nothing_else(tmp_path):
    pytest.importorskip("wandb")
    run = operant.train("ppo", "CartPole-v1", total_steps=600, runs=tmp_path, quiet=True, track="wandb", **SMALL)
    assert os.environ["WANDB_MODE"] == "offline"
    (file,) = (run.path / "wandb").glob("offline-run-*/*.wandb")
    assert b"train/return" in file.read_bytes()
    assert run.folder.info()["status"] == "finished"
