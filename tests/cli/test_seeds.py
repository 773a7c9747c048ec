"""Seeds side by side: as many at a time as there is room, each failure told, all ended by one Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from operant.cli import seeds as seeds_module
from operant.cli.main import main
from operant.cli.seeds import THREAD_VARIABLES, Fleet, Line, Seed, exit_code, fleet
from operant.run.folder import RunFolder
from operant.workers.pool import cores

QUICK = ["--total-steps", "600", "--env.num", "4", "--algo.horizon", "32", "--eval.episodes", "4"]
QUICK += ["--no-save.videos", "--no-save.report"]
PRELUDE = "import json, os, pathlib, signal, sys, time\n"


def child(number: int, program: str) -> Seed:
    """A process that does not train."""
    return Seed(number, [sys.executable, "-c", PRELUDE + program])


def run(*programs: str, workers: int = 2, watch=lambda running: None) -> list[Seed]:
    found = Fleet([child(k + 1, p) for k, p in enumerate(programs)], workers=workers, threads=1)
    found.run(watch)
    return found.seeds


def test_no_more_run_at_a_time_than_there_are_workers():
    most = []
    seeds = run(*["time.sleep(0.3)"] * 5, watch=lambda running: most.append(len(running.running)))
    assert [each.code for each in seeds] == [0] * 5
    assert max(most) == 2


def test_workers_and_threads_do_not_oversubscribe(monkeypatch):
    monkeypatch.setattr(seeds_module, "cores", lambda: 8)
    made = [fleet("ppo", "X", seeds=range(n), threads=t) for n, t in ((3, 1), (20, 1), (20, 3), (2, 16))]
    assert [each.workers for each in made] == [3, 8, 2, 1]


def test_threads_are_set_in_the_children(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    told = Fleet([child(1, f"print([os.environ[n] for n in {THREAD_VARIABLES}])")], workers=1, threads=3)
    told.run(lambda running: None)
    assert told.seeds[0].said().strip() == str(["3"] * len(THREAD_VARIABLES))


def test_a_failure_is_told_and_the_others_finish():
    seeds = run("time.sleep(0.5)", "print('error: no such thing', file=sys.stderr); sys.exit(4)", "pass")
    assert [each.code for each in seeds] == [0, 4, 0]
    assert seeds[1].error == "no such thing"
    assert exit_code(seeds) == 4


def test_a_process_that_is_killed_has_the_code_of_a_shell():
    seeds = run("os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(3)")
    assert [each.code for each in seeds] == [137, 3]
    assert exit_code(seeds) == 137


def test_one_interruption_reaches_every_child_once_and_starts_no_other(tmp_path):
    program = (
        f"p = pathlib.Path({str(tmp_path)!r}) / str(os.getpid())\n"
        "def saw(*_):\n    p.write_text(p.read_text() + 'x'); time.sleep(0.3); sys.exit(130)\n"
        "signal.signal(signal.SIGINT, saw); p.write_text(''); time.sleep(20)"
    )

    def watch(running: Fleet) -> None:
        if len(list(tmp_path.iterdir())) == 2 and not running.stopped:
            os.kill(os.getpid(), signal.SIGINT)

    seeds = run(program, program, program, watch=watch)
    assert [each.code for each in seeds] == [130, 130, None]
    assert seeds[2].process is None
    assert [file.read_text() for file in tmp_path.iterdir()] == ["x", "x"]
    assert exit_code(seeds) == 130


def test_none_is_left_behind_when_the_parent_fails():
    started = Fleet([child(1, "time.sleep(60)")], workers=1, threads=1)

    def fail(running: Fleet) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        started.run(fail)
    assert started.seeds[0].process.wait(timeout=10) == -signal.SIGKILL


def test_progress_is_one_line_for_all(tmp_path):
    seeds = [Seed(k, [], code=0 if k == 1 else None, step=1000 * k, recent=10.0 * k) for k in (1, 2, 3)]
    text = Line(4000, quiet=False).text(Fleet(seeds, workers=3, threads=1))
    assert text.startswith("1 of 3 seeds done: 75 % of all steps")
    assert "return 20.0 (interquartile mean)" in text
    assert "\n" not in text


def test_the_command_is_what_a_person_would_type():
    made = fleet("ppo", "X-v1", overrides={"algo.lr": 0.001, "seed": "7", "policy.hidden": [8, 8]}, seeds=[4], runs="r")
    assert made.seeds[0].command[3:] == [
        *("train", "ppo", "X-v1", "--algo.lr=0.001", "--policy.hidden=[8, 8]", "--runs", "r", "--seed", "4")
    ]


def test_two_seeds_are_the_runs_that_two_commands_make(tmp_path, capsys):
    runs = tmp_path / "runs"
    assert main(["train", "ppo", "CartPole-v1", "--seeds", "2", "--seed", "5", "--runs", str(runs), *QUICK]) == 0
    told = capsys.readouterr()
    folders = {RunFolder(path).info()["seed"]: RunFolder(path) for path in runs.iterdir()}
    assert sorted(folders) == [5, 6]
    assert "over 2 seeds" in told.out
    assert all(str(folder.path) in told.err.splitlines()[-1] for folder in folders.values())
    assert "operant compare" in told.err.splitlines()[-1]
    assert main(["train", "ppo", "CartPole-v1", "--seed", "6", "--runs", str(tmp_path / "one"), *QUICK]) == 0
    (alone,) = (tmp_path / "one").iterdir()
    assert RunFolder(alone).info()["evaluation"] == folders[6].info()["evaluation"]
    same = [f.metrics()["loss/policy"].tolist() for f in (folders[6], RunFolder(alone))]
    assert same[0] == same[1]


def test_a_wrong_setting_is_refused_before_anything_starts(tmp_path, capsys):
    assert main(["train", "ppo", "CartPole-v1", "--seeds", "2", "--runs", str(tmp_path), "--algo.lr", "-1"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_all_with_130_and_each_is_saved(tmp_path):
    flags = ["--runs", tmp_path, "--total-steps", "50000000", "--no-save.report"]
    command = [sys.executable, "-m", "operant.cli.main", "train", "ppo", "CartPole-v1", "--seeds", "2", *flags]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    want = min(2, cores())
    while len([p for p in tmp_path.glob("*/metrics/live.jsonl") if p.stat().st_size]) < want:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130, told
    assert "interrupted at step" in told
    for path in tmp_path.iterdir():
        assert json.loads((path / "run.json").read_text())["status"] == "interrupted"
        assert Path(path / "checkpoints" / "latest" / "MANIFEST.json").is_file()


@pytest.mark.spread(0)
def test_several_environments_side_by_side_end_in_a_comparison(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = str(tmp_path / "runs")
    words = ["train", "ppo", "CartPole-v1", "Acrobot-v1", "--seeds", "2", "--runs", runs, *QUICK]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "4 runs of 2 environments" in err
    for env in ("CartPole-v1", "Acrobot-v1"):
        assert env in out
        for seed in (1, 2):
            assert f"{env}, seed {seed}: return" in err
            (run,) = (tmp_path / "runs").glob(f"{env}-ppo-s{seed}-*")
            assert RunFolder(run).info()["status"] == "finished"
    page = (tmp_path / "compare" / "compare.html").read_text()
    assert "Acrobot-v1" in page


def test_one_environment_that_fails_leaves_the_others_and_gives_its_exit_code(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["train", "ppo", "CartPole-v1", "Nope-v1", "--runs", str(tmp_path / "runs"), *QUICK]
    assert main(words) == 3
    err = capsys.readouterr().err
    assert "CartPole-v1, seed 1: return" in err
    assert "Nope-v1, seed 1: failed with exit code 3" in err
    assert (tmp_path / "compare" / "compare.html").is_file()


def test_an_environment_is_named_once(capsys):
    assert main(["train", "ppo", "CartPole-v1", "Acrobot-v1", "CartPole-v1"]) == 2
    assert "Give each once" in capsys.readouterr().err
