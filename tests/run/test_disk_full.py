"""A disk that fills up during a save, a metric row, a seal or a video: said in words, nothing lost, and it goes on."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

from operant.cli.main import main
from operant.config.errors import DiskError
from operant.run import checkpoint, disk
from operant.run import folder as folder_module
from operant.run.folder import MetricsWriter, RunFolder
from operant.run.metrics import encoded
from operant.view.video import record

TRAIN = ["train", "ppo", "CartPole-v1", "--env.num", "2", "--algo.horizon", "16", "--algo.batch", "16"]
TRAIN += ["--algo.epochs", "1", "--policy.hidden", "8", "--eval.episodes", "1", "--save.every", "64"]
TRAIN += ["--total-steps", "256", "--no-save.videos", "--no-save.report"]


class Small:
    """A disk of a few hundred kilobytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ballast = path / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Take all room but `leave` bytes."""
        with self.ballast.open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(self.path).free - leave)))

    def empty(self) -> None:
        self.ballast.unlink()


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small"
    path.mkdir()
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk here")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield Small(path)
    subprocess.run(["umount", "-l", str(path)], check=True)


def curve(run):
    """Step and value loss of every row."""
    frame = RunFolder(run).metrics()
    return list(zip(frame["step"], frame["loss/value"], strict=True))


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    """The curve of the same run on a disk with room."""
    runs = tmp_path_factory.mktemp("runs")
    assert main([*TRAIN, "--runs", str(runs)]) == 0
    return curve(next(runs.iterdir()))


def test_a_full_disk_during_a_save(small, never_stopped, monkeypatch, capsys):
    save, saves = checkpoint.save, []

    def filling(run, learned, state, **kept):
        saves.append(state["step"])
        if len(saves) == 3:
            small.fill(leave=4096)
        return save(run, learned, state, **kept)

    monkeypatch.setattr(checkpoint, "save", filling)
    assert main([*TRAIN, "--runs", str(small.path)]) == DiskError.exit_code == 5
    said = capsys.readouterr().err
    (run,) = [p for p in small.path.iterdir() if p.is_dir()]
    assert f"cannot write {run / 'checkpoints' / f'step-{saves[2]:08d}'}: No space left on device" in said
    assert "bytes needed" in said
    assert f"go on with: operant resume {run}" in said
    assert "Traceback" not in said
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, state = checkpoint.newest(run)
    assert state["step"] == saves[1]
    assert not list(found.parent.glob(".*"))
    small.empty()
    assert main(["resume", str(run)]) == 0
    assert RunFolder(run).info()["status"] == "finished"
    assert curve(run) == never_stopped


def test_a_full_disk_during_a_metric_row(small, never_stopped, monkeypatch, capsys):
    write, rows = MetricsWriter.write, []

    def filling(self, step, *args):
        rows.append(step)
        if len(rows) == 5:
            small.fill()
        return write(self, step, *args)

    monkeypatch.setattr(MetricsWriter, "write", filling)
    monkeypatch.setattr(folder_module, "encoded", lambda row: encoded(row | {"long": "x" * 4096}))  # past a page
    assert main([*TRAIN, "--runs", str(small.path)]) == 5
    said = capsys.readouterr().err
    (run,) = [p for p in small.path.iterdir() if p.is_dir()]
    assert f"cannot write {run / 'metrics' / 'live.jsonl'}: No space left on device" in said
    assert "bytes needed" in said
    assert f"operant resume {run}" in said
    assert 0 < checkpoint.newest(run)[1]["step"] <= rows[3]
    monkeypatch.undo()
    live = run / "metrics" / "live.jsonl"
    assert live.read_bytes().endswith(b"\n")
    live.write_text("".join(f"{line}\n" for line in live.read_text().replace('"' + "x" * 4096 + '"', "0").splitlines()))
    small.empty()
    assert main(["resume", str(run)]) == 0
    assert curve(run) == never_stopped


def fill_with_rows(writer, step=0):
    while True:
        try:
            writer.write(step + 1, 0.0, {"loss/value": float(step), "name of a longer metric": 0.5})
        except DiskError as error:
            return step, error
        step += 1


def check_rows(run, writer, step, free):
    """After the refusal at `step` + 1, and once there is room, the rows go on without a hole or a half."""
    text = (run.path / "metrics" / "live.jsonl").read_bytes()
    assert text.count(b"\n") == step
    assert text.endswith(b"\n")
    free()
    for later in (step + 1, step + 2):
        writer.write(later, 0.0, {"loss/value": 0.0})
    assert run.metrics()["step"].tolist() == list(range(1, step + 3))
    writer.close()
    assert run.metrics()["step"].tolist() == list(range(1, step + 3))


def test_a_row_that_does_not_fit_is_not_written_by_halves(small):
    run = RunFolder.create(small.path, env="E", algorithm="ppo", seed=1)
    writer = run.writer
    small.fill(leave=8192)
    step, error = fill_with_rows(writer)
    assert step > 50
    for word in ("live.jsonl: No space left", "bytes needed", f"operant resume {run.path}"):
        assert word in str(error)
    check_rows(run, writer, step, small.empty)


def test_the_same_without_a_disk_of_its_own(tmp_path):
    """A limit on the size of files refuses as a full disk does, with a short write first; it needs no rights."""
    run = RunFolder.create(tmp_path, env="E", algorithm="ppo", seed=1)
    writer = run.writer
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        step, _ = fill_with_rows(writer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    check_rows(run, writer, step, lambda: None)


def test_a_full_disk_during_a_seal_keeps_the_rows(small):
    run = RunFolder.create(small.path, env="E", algorithm="ppo", seed=1)
    for step in range(1, 101):
        run.writer.write(step, 0.0, {"loss/value": float(step)})
    small.fill()
    with pytest.raises(DiskError, match=r"part-0000\.parquet: No space left.*bytes needed"):
        run.writer.close()
    assert run.metrics()["step"].tolist() == list(range(1, 101))
    assert [p.name for p in (run.path / "metrics").iterdir()] == ["live.jsonl"]
    with pytest.raises(DiskError, match="part-0000"):
        MetricsWriter(run.path / "metrics", attempt=2)
    small.empty()
    MetricsWriter(run.path / "metrics", attempt=2).close()
    assert run.metrics()["step"].tolist() == list(range(1, 101))


def noise(count):
    generator = np.random.default_rng(1)
    for _ in range(count):
        yield generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_a_full_disk_during_a_video(small):
    run = RunFolder.create(small.path, env="E", algorithm="ppo", seed=1)
    small.fill(leave=64_000)
    with pytest.raises(DiskError) as caught:
        record(noise(60), run.path / "videos" / "a.mp4", fps=30)
    for word in ("a.mp4", "No space left", "bytes needed", f"operant play {run.path}"):
        assert word in str(caught.value)
    assert not list((run.path / "videos").iterdir())


def test_a_video_that_does_not_fit_ends_training_with_five(small, monkeypatch, capsys):
    import operant.view.play as play

    film = play.film

    def filling(*args, **kwargs):
        small.fill()
        return film(*args, **kwargs)

    monkeypatch.setattr(play, "film", filling)
    assert main([*[a for a in TRAIN if a != "--no-save.videos"], "--runs", str(small.path)]) == 5
    said = capsys.readouterr().err
    (run,) = [p for p in small.path.iterdir() if p.is_dir()]
    assert "no video could be written" in said
    assert f"operant play {run}" in said
    assert RunFolder(run).info()["status"] == "finished"
    assert checkpoint.newest(run)[1]["step"] >= 256


def test_json_is_replaced_whole_or_not_at_all(small):
    run = RunFolder.create(small.path, env="E", algorithm="ppo", seed=1)
    small.fill()
    with pytest.raises(DiskError, match=r"run\.json: No space left.*bytes needed.*operant resume"):
        run.update(error="x" * 10_000)
    assert run.info()["status"] == "started"
    assert not list(run.path.glob(".run.json*"))


def test_too_little_room_is_said_before_training(small, capsys):
    small.fill(leave=300_000)
    assert main([*TRAIN, "--save.keep", "100", "--runs", str(small.path)]) == 0
    said = capsys.readouterr().err
    assert "bytes are free" in said
    assert "its checkpoints may need" in said


def test_enough_room_is_not_mentioned(tmp_path):
    assert disk.preflight(tmp_path, 1) is None
    assert f"{10**18:,}" in str(disk.preflight(tmp_path, 10**18))
