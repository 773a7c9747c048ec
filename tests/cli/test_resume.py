"""A resumed run is the run that was never stopped."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import operant
from operant.cli.main import main
from operant.run.folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
QUICK = {
    "quiet": True,
    "env.num": 4,
    "algo.horizon": 32,
    "algo.batch": 64,
    "algo.epochs": 2,
    "algo.lr_schedule": "constant",
    "algo.clip_schedule": "constant",
    "eval.episodes": 2,
    "save.videos": False,
    "save.report": False,
    "save.every": 500,
}


def tensors(run):
    return load_file(run.path / "checkpoints" / "latest" / "model.safetensors")


def rows(run):
    frame = run.metrics
    return frame.drop(columns=[c for c in frame if c in ("time", "attempt") or c.split("/")[0] in ("phase", "speed")])


@pytest.mark.spread(0)
def test_twenty_kills_change_nothing():
    command = [sys.executable, ROOT / "bench" / "kill_resume.py", "--kills", "20", "--seed", "11"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    line = json.loads(done.stdout)
    assert line["kills"] >= 20
    assert line["mismatches"] == 0, line
    assert len(line["where"]) >= 3, line


def test_training_on_equals_training_longer_at_once(tmp_path):
    """With constant schedules nothing depends on the end; the last checkpoint, a seam, must be a due one."""
    whole = operant.train("ppo", "CartPole-v1", runs=tmp_path / "a", total_steps=2000, **QUICK)
    steps = sorted(int(p.name[5:]) for p in (whole.path / "checkpoints").glob("step-*"))
    part = operant.train("ppo", "CartPole-v1", runs=tmp_path / "b", total_steps=steps[-2], **QUICK)
    assert part.step == steps[-2]
    longer = operant.resume(part.path, to=2000, quiet=True)
    assert longer.step == whole.step
    assert all(torch.equal(x, tensors(longer)[name]) for name, x in tensors(whole).items())
    assert rows(longer).equals(rows(whole))
    assert [a["attempt"] for a in longer.folder.info()["attempts"]] == [1, 2]
    assert longer.config.total_steps == 2000
    assert "# resume --to" in (longer.path / "config.toml").read_text()


def test_a_fork_leaves_its_source_alone(tmp_path):
    run = operant.train("ppo", "Pendulum-v1", runs=tmp_path, total_steps=1000, **QUICK)
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    fork = operant.resume(run.path, fork=True, to=1600, quiet=True)
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before
    assert fork.path != run.path
    assert fork.folder.info()["parent"] == run.path.name
    assert fork.step >= 1600
    assert rows(fork)["step"].tolist()[: len(run.metrics)] == run.metrics["step"].tolist()


def test_a_finished_run_says_how_to_go_on(tmp_path, capsys):
    run = operant.train("ppo", "CartPole-v1", runs=tmp_path, total_steps=300, **QUICK)
    assert main(["resume", str(run.path)]) == 2
    assert f"operant resume {run.path} --to" in capsys.readouterr().err
    assert main(["resume", "last", "--runs", str(tmp_path), "--to", "700"]) == 0
    assert operant.Run(run.path).step >= 700


def hold(path, ready, done):
    with RunFolder(path).locked():
        ready.set()
        done.wait(30)


def test_a_second_start_on_one_run_is_refused_at_once_and_names_the_holder(tmp_path, capsys):
    run = operant.train("ppo", "CartPole-v1", runs=tmp_path, total_steps=300, **QUICK)
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(run.path, ready, done))
    holder.start()
    assert ready.wait(60)
    start = time.monotonic()
    assert main(["resume", str(run.path), "--to", "900"]) == 2
    assert time.monotonic() - start < 5  # no waiting for the holder
    assert f"process {holder.pid}" in capsys.readouterr().err
    done.set()
    holder.join()
    assert main(["resume", str(run.path), "--to", "900"]) == 0


def test_a_killed_run_is_listed_as_such_and_an_interrupted_one_says_it_will_differ(tmp_path, capsys):
    code = (
        "import os, signal, operant\n"
        "from operant.run.folder import MetricsWriter\n"
        "write = MetricsWriter.write\n"
        "def interrupt(self, step, *rest):\n"
        "    if step > 700:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return write(self, step, *rest)\n"
        "MetricsWriter.write = interrupt\n"
        f"operant.train('ppo', 'CartPole-v1', runs={str(tmp_path)!r}, total_steps=4000, **{QUICK!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert "Interrupted: " in done.stderr
    (path,) = tmp_path.iterdir()
    assert RunFolder(path).info()["status"] == "interrupted"
    assert main(["resume", str(path)]) == 0
    assert "will differ" in capsys.readouterr().err
    assert operant.Run(path).step >= 4000
