"""A tracker that is missing, raises, ends the process or hangs: it is told in a word, and no run is touched by it.

Where it begins, where it logs and where it ends, for every kind of loop; and what a sound one is given.
"""

import sys
import threading
import time

import pytest

import operant
from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.run import track

QUIET = {"save.videos": False, "save.report": False, "eval.episodes": 2}
LOOPS = {
    "ppo": ("CartPole-v1", {**QUIET, "env.num": 4, "policy.hidden": [8], "algo.horizon": 32, "total_steps": 400}),
    "q-learning": ("FrozenLake-v1", {**QUIET, "algo.every": 100, "total_steps": 400}),
}
PLACES = ("init", "log", "finish")
FAKE = """
import threading
import time
rows = []
def init(**given): {init}
def log(values, step): rows.append((step, values)); {log}
def finish(): {finish}
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Writes a package trackio that does something in a place."""

    def write(place, what):
        doing = dict.fromkeys(PLACES, "pass") | {place: what}
        (tmp_path / "trackio.py").write_text(FAKE.format(**doing))
        sys.modules.pop("trackio", None)

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(track, "PATIENCE", 0.5)
    yield write
    sys.modules.pop("trackio", None)


def train(loop, runs, name="trackio", **more):
    env, settings = LOOPS[loop]
    return operant.train(loop, env, quiet=True, runs=runs, track=name, **settings, **more)


def entries():
    return [f"{loop}.{place}" for loop in LOOPS for place in PLACES]


def is_whole(run, loop):
    info = run.folder.info()
    assert (info["status"], info["evaluation"]["episodes"]) == ("finished", 2)
    assert run.step == info["steps"] >= LOOPS[loop][1]["total_steps"]
    assert len(run.metrics) > 1


@pytest.mark.parametrize("entry", entries())
def test_a_tracker_that_raises_is_told_once(entry, fake, tmp_path, recwarn):
    loop, _, place = entry.partition(".")
    fake(place, "raise RuntimeError('no server')")
    is_whole(train(loop, tmp_path / "runs"), loop)
    (told,) = [str(w.message) for w in recwarn if "tracker" in str(w.message)]
    assert "the tracker trackio raised RuntimeError: no server" in told
    assert "trackio.py:" in told


@pytest.mark.parametrize("entry", entries())
def test_a_tracker_that_ends_the_process_does_not(entry, fake, tmp_path, recwarn):
    loop, _, place = entry.partition(".")
    fake(place, "raise SystemExit(0)")
    is_whole(train(loop, tmp_path / "runs"), loop)
    assert sum("the tracker trackio raised SystemExit" in str(w.message) for w in recwarn) == 1


@pytest.mark.parametrize("entry", entries())
def test_a_tracker_that_hangs_is_left_behind(entry, fake, tmp_path, recwarn):
    loop, _, place = entry.partition(".")
    fake(place, "threading.Event().wait(20)")
    began = time.monotonic()
    is_whole(train(loop, tmp_path / "runs"), loop)
    assert time.monotonic() - began < 15
    assert sum("the tracker trackio has not written its rows" in str(w.message) for w in recwarn) == 1


def test_rows_for_which_there_is_no_room_are_left_out_and_told(monkeypatch, recwarn):
    monkeypatch.setattr(track, "ROOM", 3)
    monkeypatch.setattr(track, "PATIENCE", 0.2)
    mirror = track.Mirror("trackio", lambda: threading.Event().wait(5))
    for step in range(50):
        mirror.row({"step": step})
    mirror.close()
    assert ["does not keep up" in str(w.message) for w in recwarn] == [True]


@pytest.mark.parametrize("entry", ["tensorboard", "trackio", "wandb"])
def test_a_missing_tracker_is_refused_before_anything_is_made(entry, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, track.NEEDS[entry][0], None)
    words = ["train", "q-learning", "FrozenLake-v1", "--track", entry, "--runs", str(tmp_path / "runs")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"pip install {'operant' if entry == 'tensorboard' else entry}" in said.replace('"', "")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("entry", ["train", "resume"])
def test_a_tracker_that_fails_where_it_is_imported(entry, tmp_path, monkeypatch):
    (tmp_path / "trackio.py").write_text("def init(**_): pass\ndef log(*_, **__): pass\ndef finish(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    run = train("q-learning", tmp_path / "runs")
    sys.modules.pop("trackio", None)
    (tmp_path / "trackio.py").write_text("raise ValueError('broken for now')\n")
    if entry == "train":  # nothing is lost yet
        with pytest.raises(ConfigError, match=r"track is 'trackio'.*raised ValueError: broken for now"):
            train("q-learning", tmp_path / "runs")
    else:
        with pytest.warns(UserWarning, match=r"broken for now.*its rows are mirrored nowhere"):
            on = operant.resume(run.path, to=800, quiet=True)
        assert on.step >= 800


@pytest.mark.parametrize("entry", LOOPS)
def test_a_sound_tracker_is_given_every_row_and_the_final_evaluation(entry, fake, tmp_path):
    fake("init", "pass")
    run = train(entry, tmp_path / "runs")
    *rows, (step, last) = sys.modules["trackio"].rows
    frame = run.metrics
    assert [row[0] for row in rows] == frame["step"].tolist()
    assert [row[1]["train/episodes"] for row in rows] == frame["train/episodes"].tolist()
    evaluation = run.folder.info()["evaluation"]
    assert (step, last["evaluation/mean"]) == (run.step, evaluation["mean"])


@pytest.mark.parametrize("entry", LOOPS)
def test_tensorboard_reads_the_rows_back_without_those_that_were_done_again(entry, tmp_path):
    """The run is put back to its first checkpoint, as if it had died before the second."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = train(entry, tmp_path / "runs", "tensorboard", **{"save.every": 200})
    for folder in sorted((run.path / "checkpoints").glob("step-*"))[1:]:
        for file in folder.iterdir():
            file.write_bytes(b"")
    run.folder.update(status="failed")
    with pytest.warns(UserWarning, match="the newest checkpoint"):
        on = operant.resume(run.path, quiet=True)
    found = accumulator.EventAccumulator(str(on.path / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    frame = on.metrics
    returns = frame[frame["train/return"].notna()]
    scalars = found.Scalars("train/return")
    assert [event.step for event in scalars] == returns["step"].tolist()
    assert [event.value for event in scalars] == pytest.approx(returns["train/return"].tolist())
    assert [event.step for event in found.Scalars("evaluation/mean")] == [on.step]
    assert "config/text_summary" in found.Tags()["tensors"]
