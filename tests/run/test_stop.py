"""Training that ends early: by `stop_at`, or by a function of a person's own."""

import json
import random
import subprocess
import sys

import pytest

import operant
from operant.cli.main import main
from operant.cli.reproduce import reproduce
from operant.config.errors import ConfigError
from operant.run.stop import StopAt

SMALL = {
    "env.num": 4, "algo.horizon": 64, "policy.hidden": [16], "eval.episodes": 3, "save.videos": False,
    "save.report": False, "save.every": 1000,
}  # fmt: skip


def rows_of(episodes, seed):
    """Rows as a collector writes them, some without an episode that ended, and the returns they tell of."""
    draw, total, rows, told = random.Random(seed), 0, [], []
    for returns in episodes:
        total += len(returns)
        row = {"step": len(rows), "train/episodes": float(total), "loss": draw.random()}
        rows.append(row | ({"train/return": sum(returns) / len(returns)} if returns else {}))
        told.append(returns)
    return rows, told


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_is_that_of_the_newest_rows_that_hold_100_episodes(seed):
    draw = random.Random(seed)
    episodes = [[draw.gauss(k, 3) for _ in range(draw.choice([0, 1, 5, 13, 120]))] for k in range(60)]
    rows, told = rows_of(episodes, seed)
    for bar in (3.0, 20.0, 55.0):
        stop, expected, found = StopAt(bar), None, None
        for k, row in enumerate(rows):
            if found is None and stop(row):
                found = k
            newest = []
            for returns in reversed(told[: k + 1]):
                newest += returns
                if len(newest) >= 100:
                    break
            if expected is None and told[k] and len(newest) >= 20 and sum(newest) / len(newest) >= bar:
                expected = k
        assert found == expected


def test_a_row_without_a_count_of_episodes_is_a_batch_of_completions():
    stop = StopAt(0.5)
    assert stop({"step": 1, "train/return": 0.9}) == ""  # one batch says too little
    assert "last 20 episodes, 0.8" in stop({"step": 2, "train/return": 0.7})


def test_a_run_that_reaches_the_bar_ends_as_finished_and_is_made_again_bit_for_bit(tmp_path):
    run = operant.train("ppo", "CartPole-v1", total_steps=20_000, runs=tmp_path, quiet=True, stop_at=28, **SMALL)
    info = run.folder.info()
    assert info["status"] == "finished"
    assert info["evaluation"]["episodes"] == 3
    stopped = info["stopped"]
    assert stopped["step"] == info["steps"] == run.step < 20_000
    assert "has reached stop_at, 28" in stopped["why"]
    again = reproduce(run.path, runs=tmp_path, quiet=True, say=lambda line: None)
    assert again["agreement"] == "bitwise"
    with pytest.raises(ConfigError, match=rf"was stopped at step {run.step:,}.*resume .* --to 20000"):
        operant.resume(run.path)
    on = operant.resume(run.path, to=run.step + 512, quiet=True)
    assert on.config.stop_at is None
    assert on.folder.info()["stopped"] is None
    assert on.step >= run.step


def test_a_resumed_run_stops_where_it_would_have(tmp_path):
    """The rows before the checkpoint count: the process died after the third one was written."""
    settings = SMALL | {"save.every": 500, "stop_at": 28}
    whole = operant.train("ppo", "CartPole-v1", total_steps=20_000, runs=tmp_path / "a", quiet=True, **settings)

    code = (
        "import os, operant\n"
        "die = lambda row: os.kill(os.getpid(), 9) if row['step'] > 1500 else None\n"
        f"operant.train('ppo', 'CartPole-v1', total_steps=20_000, runs={str(tmp_path / 'b')!r}, on_metrics=die, "
        f"**{settings})\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == -9
    (folder,) = (tmp_path / "b").iterdir()
    other = operant.resume(folder, quiet=True)
    assert other.folder.info()["stopped"] == whole.folder.info()["stopped"]
    same = [(run.path / "checkpoints" / "latest" / "model.safetensors").read_bytes() for run in (whole, other)]
    assert same[0] == same[1]


def test_a_run_stopped_by_its_function_is_made_again_to_that_step(tmp_path):
    def enough(row):
        if row["step"] >= 600:
            raise operant.StopTraining("enough")

    run = operant.train("ppo", "CartPole-v1", total_steps=5000, runs=tmp_path, quiet=True, on_metrics=enough, **SMALL)
    assert run.folder.info()["stopped"] == {"step": run.step, "why": "on_metrics: enough"}
    again = reproduce(run.path, runs=tmp_path, quiet=True, say=lambda line: None)
    assert again["agreement"] == "bitwise"


def test_what_is_left_after_a_stop_is_the_evaluation(tmp_path):
    """A process that dies while a stopped run is measured: going on measures, and trains no further."""
    run = operant.train("q-learning", "FrozenLake-v1", total_steps=2000, runs=tmp_path, quiet=True, stop_at=0.0)
    info = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(info | {"status": "failed", "evaluation": None}))
    on = operant.resume(run.path, quiet=True)
    assert (on.step, on.folder.info()["evaluation"]) == (run.step, info["evaluation"])


def test_stop_at_is_said(tmp_path, capsys):
    words = ["q-learning", "CliffWalking-v1", "--stop-at", "-1e6", "--total-steps", "5000", "--runs", str(tmp_path)]
    assert main(["train", *words, "--no-save.videos", "--no-save.report"]) == 0
    assert "has reached stop_at, -1e+06." in capsys.readouterr().err
    assert main(["train", "ppo", "CartPole-v1", "--reward-threshold", "400"]) == 2
    assert "'--stop-at'" in capsys.readouterr().err


def test_where_no_return_is_measured_the_setting_is_said_to_be_unused():
    from operant.config.resolve import resolve

    with pytest.warns(UserWarning, match="sft does not use stop_at"):
        resolve("sft", "arithmetic", overrides={"stop_at": 1})
