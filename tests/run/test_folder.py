import json
import math
import threading
from pathlib import Path

import pytest

from operant.config.errors import ConfigError, DiskError
from operant.run import folder as folder_module
from operant.run.folder import RunFolder, write_json
from operant.run.metrics import read_metrics


def new(tmp_path):
    return RunFolder.create(tmp_path, env="module.py:make env", algorithm="ppo", seed=3)


def test_a_run_folder_has_its_rooms_and_a_safe_name(tmp_path):
    run = new(tmp_path)
    assert run.path.parent == tmp_path
    assert run.path.name.startswith("module.py_make_env-ppo-s3-")
    assert {p.name for p in run.path.iterdir()} == {"run.json", "metrics", "checkpoints", "videos", "evals", "logs"}
    assert run.info()["status"] == "started"


def test_many_starts_at_once_get_a_folder_each_and_lose_no_row(tmp_path):
    made = []

    def start():
        run = new(tmp_path)
        for step in range(20):
            run.writer.write(step, 0.0, {"loss/value": float(step)})
        run.writer.close()
        made.append(run.path)

    threads = [threading.Thread(target=start) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 32
    for path in made:
        assert RunFolder(path).metrics()["loss/value"].tolist() == [float(step) for step in range(20)]


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no run\.json"):
        RunFolder(tmp_path)


def test_metrics_come_back_as_written_also_the_non_finite(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "SEAL_EVERY", 3)
    run = new(tmp_path)
    rows = [{"loss/value": 0.5}, {"loss/value": math.nan}, {"loss/value": math.inf, "extra": 1.0}, {"extra": -math.inf}]
    for k, row in enumerate(rows):
        run.writer.write(10 * (k + 1), k / 10, row)
    live = (run.path / "metrics" / "live.jsonl").read_text().splitlines()
    assert [json.loads(line)["extra"] for line in live] == [{"nf": "-inf"}]  # the first three are sealed
    for _ in range(2):  # live and sealed
        frame = RunFolder(run.path).metrics()
        assert frame["step"].tolist() == [10, 20, 30, 40]
        assert frame["loss/value"][0] == 0.5
        assert math.isnan(frame["loss/value"][1])
        assert frame["loss/value"][2] == math.inf
        assert frame["extra"][3] == -math.inf
        run.writer.close() if not run.writer._file.closed else None
    assert len(list((run.path / "metrics").glob("part-*.parquet"))) == 2


def test_a_line_cut_short_by_a_kill_loses_only_itself(tmp_path):
    run = new(tmp_path)
    run.writer.write(1, 0.0, {"a": 1.0})
    with (run.path / "metrics" / "live.jsonl").open("a") as file:
        file.write('{"attempt": 1, "step": 2, "ti')
    assert run.metrics()["step"].tolist() == [1]


def test_the_highest_attempt_counts(tmp_path):
    run = new(tmp_path)
    for attempt, step, value in [(1, 1, 0.1), (1, 2, 0.2), (2, 2, 0.3), (2, 3, 0.4)]:
        run.writer.attempt = attempt
        run.writer.write(step, 0.0, {"a": value})
    assert run.metrics()["a"].tolist() == [0.1, 0.3, 0.4]


def test_a_refused_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    def refuse(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_module.os, "fsync", refuse)
    with pytest.raises(DiskError, match=r"x\.json: No space left on device \(13 bytes needed"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}


def test_what_a_later_attempt_did_again_replaces_what_was_done(tmp_path):
    run = new(tmp_path)
    for attempt, step in [(1, 10), (1, 20), (1, 30), (2, 15), (2, 25)]:  # resumed from a checkpoint before step 15
        run.writer.attempt = attempt
        run.writer.write(step, 0.0, {"a": float(attempt)})
    assert run.metrics()["step"].tolist() == [10, 15, 25]
    every = read_metrics(run.path)
    assert every.step.tolist() == [10, 15, 20, 25, 30]
    assert every.superseded.tolist() == [False, False, True, False, True]
    assert every.column("a", superseded=True).value.tolist() == [1.0, 1.0]


def test_a_run_of_a_file_is_called_by_the_name_of_the_file(tmp_path):
    (tmp_path / "mine.py").touch()
    for env in (f"{tmp_path}/mine.py", f"{tmp_path}/mine.py:make"):
        made = RunFolder.create(tmp_path, env=env, algorithm="grpo", seed=2).path.name
        assert made.startswith(Path(env).name.replace(":", "_") + "-grpo-s2-")
    assert RunFolder.create(tmp_path, env="ALE/Pong-v5", algorithm="ppo", seed=2).path.name.startswith("ALE_Pong-v5-")
