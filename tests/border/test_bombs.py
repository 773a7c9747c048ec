"""What is small on disk and large in memory, deep, endless or slow"""

import ast
import gzip
import inspect
import io
import json
import os
import re
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from operant.cli.main import main  # noqa: E402
from operant.config.errors import OperantError  # noqa: E402
from operant.run.folder import RunFolder  # noqa: E402
from reference.bounds import bounded  # noqa: E402

SRC = Path(inspect.getfile(main)).parents[1]
QUICK = 5.0
"""Seconds within which a bomb must be seen to be one; to unpack it takes minutes, or the machine's memory."""


@pytest.fixture(autouse=True)
def within(good, solved):
    """A tree that falls for a bomb fails, and takes no machine with it."""
    with bounded(15, 6 * 10**9):
        yield


@pytest.fixture(scope="module")
def good(good, tmp_path_factory):
    """The run, with a film and a metric that is not sealed."""
    run = Path(shutil.copytree(good, tmp_path_factory.mktemp("good") / "run", symlinks=True))
    (run / "videos" / "step-00000064-ep1-ret9.json").write_text('{"step": 64, "seed": 1, "return": 9.0, "length": 9}')
    (run / "videos" / "step-00000064-ep1-ret9.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (run / "metrics" / "live.jsonl").write_text('{"attempt": 1, "step": 200, "time": 1.5, "loss/value": 0.5}\n')
    return run


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    runs = tmp_path_factory.mktemp("solved")
    assert main(["solve", "FrozenLake-v1", "--runs", str(runs)]) == 0
    (run,) = runs.iterdir()
    return run


FILES = {
    "run.json": "report", "config.toml": "eval", "metrics/live.jsonl": "report", "metrics/part-0000.parquet": "report",
    "evals/*.json": "report", "videos/*.json": "report", "videos/*.mp4": "report",
    "checkpoints/step-*/policy.json": "eval", "checkpoints/step-*/state.json": "eval",
    "checkpoints/step-*/MANIFEST.json": "eval", "checkpoints/step-*/model.safetensors": "eval",
    "checkpoints/step-*/optim.safetensors": "resume", "solution.json": "report", "solution.npz": "report",
}  # fmt: skip
"""Every file of a run folder, and the verb that reads it."""
READ_AS_FAR_AS_IT_GOES = ("metrics/live.jsonl", "videos/*.mp4", "checkpoints/step-*/optim.safetensors")


def huge(path):
    with path.open("wb") as file:
        file.truncate(2**43)


def endless(path):
    path.unlink()
    os.mkfifo(path)


DEEP = {".toml": b"a = " + b"[" * 900 + b"]" * 900}
HARM = {
    "of terabytes": huge,
    "nested 900 deep": lambda path: path.write_bytes(DEEP.get(path.suffix, b'{"a":' * 900 + b"1" + b"}" * 900)),
    "a pipe that nobody writes": endless,
    "a number of 100,000 digits": lambda path: path.write_bytes(b'{"step": ' + b"9" * 100_000 + b"}"),
}


def resealed(path):
    """Make the manifest of the checkpoint fit, as who does harm would; of a file of terabytes it says its size."""
    manifest = path.parent / "MANIFEST.json"
    if path == manifest or not manifest.is_file() or not path.is_file():
        return
    about = json.loads(manifest.read_text())
    about["files"][path.name]["size"] = path.stat().st_size
    if path.stat().st_size < 2**20:
        import hashlib

        about["files"][path.name]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(about, indent=2) + "\n")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("entry", FILES)
def test_no_file_of_a_folder_takes_long_or_ends_in_a_traceback(entry, harm, good, solved, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(solved if entry.startswith("solution") else good, run, symlinks=True)
    found = [path for path in run.glob(entry) if not path.parent.is_symlink()]
    assert found
    for path in found:
        HARM[harm](path)
        resealed(path)
    start = time.monotonic()
    more = ["--to", "128"] if FILES[entry] == "resume" else []
    code = main([FILES[entry], str(run), *more])
    said = capsys.readouterr().err
    assert time.monotonic() - start < QUICK
    assert code in (0, 1, 2)
    assert code == 0 or "error: " in said
    assert (
        code != 0
        or "pipe" in harm
        or entry in ("metrics/live.jsonl", "videos/*.mp4", "checkpoints/step-*/optim.safetensors")
    ), said


def rollouts(path, rows=2000, letters=5_000_000):
    """Kilobytes that hold ten gigabytes: a text that repeats is stored once."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["A" * letters]))
    plain = {"prompt_id": range(rows), "mode": ["greedy"] * rows, "finish": ["stop"] * rows, "reward": [1.0] * rows}
    path.parent.mkdir(exist_ok=True)
    table = {name: pa.array(list(column)) for name, column in plain.items()}
    table |= {
        "prompt": text,
        "completion": text,
        "gold": pa.array(["1"] * rows),
        "reward/correct": pa.array([1.0] * rows),
    }
    pq.write_table(pa.table(table), path, compression="zstd")
    assert path.stat().st_size < 10**6


def metrics(folder, rows=10**6, parts=200):
    """Some megabytes that hold two hundred million rows."""
    ones = {"attempt": pa.int64(), "step": pa.int64(), "time": pa.float64(), "train/return": pa.float64()}
    table = pa.table({name: pa.array(np.ones(rows), kind) for name, kind in ones.items()})
    pq.write_table(table, folder / "part-0000.parquet", compression="zstd")
    for k in range(1, parts):
        shutil.copy(folder / "part-0000.parquet", folder / f"part-{k:04d}.parquet")
    assert sum(path.stat().st_size for path in folder.glob("part-*")) < 10**7


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", ["report", "RunFolder.metrics", "compare"])
def test_metrics_that_unpack_to_gigabytes_are_refused(entry, good, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(good, run, symlinks=True)
    metrics(run / "metrics")
    start = time.monotonic()
    if entry == "RunFolder.metrics":
        with pytest.raises(OperantError, match=r"unpacks? to"):
            RunFolder(run).metrics()
    else:
        assert main([entry, str(run), *([str(good)] if entry == "compare" else [])]) == 1
        assert re.search("unpacks? to", capsys.readouterr().err)
    assert time.monotonic() - start < QUICK


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", ["report", "read_rollouts"])
def test_completions_that_unpack_to_gigabytes_are_refused(entry, good, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(good, run, symlinks=True)
    path = run / "rollouts" / "eval-step-00000064.parquet"
    rollouts(path)
    start = time.monotonic()
    if entry == "report":
        assert main(["report", str(run)]) == 1
        assert "unpack to" in capsys.readouterr().err
    else:
        from operant.language.episodes.rollout_files import read_rollouts

        with pytest.raises(OperantError, match="unpack to"):
            read_rollouts(path)
    assert time.monotonic() - start < QUICK


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("entry", ["report", "read_rollouts"])
def test_completions_of_megabytes_are_read(entry, good, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(good, run, symlinks=True)
    path = run / "rollouts" / "eval-step-00000064.parquet"
    rollouts(path, rows=20, letters=100_000)
    if entry == "report":
        assert main(["report", str(run)]) == 0
        assert "AAAAA" in (run / "report.html").read_text()
    else:
        from operant.language.episodes.rollout_files import read_rollouts

        assert [len(row["completion"]) for row in read_rollouts(path)] == [100_000] * 20


def zipped(path, name, data):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w", force_zip64=True) as file:
        for _ in range(data // 2**24):
            file.write(bytes(2**24))


def overstated(path):
    """An array that says it has more than there is."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (2**45,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("values.npy", head.getvalue() + bytes(64))
        archive.writestr("about.npy", head.getvalue() + bytes(64))


def models():
    """How each kind of file with a model is opened."""
    from operant import mdp

    return {
        "load .npz": (".npz", mdp.load), "load .json": (".json", mdp.load), "load .txt": (".txt", mdp.load),
        "open_mapped": ("/MANIFEST.json", mdp.open_mapped), "from_prism": (".tra", mdp.from_prism),
    }  # fmt: skip


@pytest.mark.parametrize("harm", ["of terabytes", "nested 900 deep", "an array that says it has more"])
@pytest.mark.parametrize("entry", ["load .npz", "load .json", "load .txt", "open_mapped", "from_prism"])
def test_a_model_in_a_file_is_refused_in_words(entry, harm, tmp_path):
    from operant.mdp import ModelError

    suffix, load = models()[entry]
    path = tmp_path / f"model{suffix}"
    path.parent.mkdir(exist_ok=True)
    overstated(path) if harm.startswith("an array") else HARM[harm](path)
    start = time.monotonic()
    with pytest.raises((ModelError, OperantError)):
        load(path.parent if entry == "open_mapped" else path)
    assert time.monotonic() - start < QUICK


@pytest.mark.parametrize("entry", ["solution.npz", "load .npz"])
def test_an_archive_of_gigabytes_is_refused(entry, solved, tmp_path, capsys, monkeypatch):
    from operant.data import memory

    monkeypatch.setattr(memory, "available", lambda: 2**27)
    run = tmp_path / "run"
    shutil.copytree(solved, run, symlinks=True)
    path = run / "solution.npz" if entry == "solution.npz" else tmp_path / "model.npz"
    zipped(path, "values.npy", 2**28)
    assert main(["report", str(run)] if entry == "solution.npz" else ["solve", str(path)]) == 2
    assert re.search("unpacks? to", capsys.readouterr().err)


@pytest.mark.parametrize("harm", ["nested 900 deep", "one line without an end"])
@pytest.mark.parametrize("entry", ["texts.jsonl", "texts.jsonl.gz"])
def test_lines_are_bounded(entry, harm, tmp_path, monkeypatch):
    from operant.config import bounded
    from operant.data.jsonl import lines

    monkeypatch.setattr(bounded.text_lines, "__defaults__", (2**20,))
    path = tmp_path / entry
    data = b'{"a":' * 900 + b"1" + b"}" * 900 if harm.startswith("nested") else b" " * 2**24
    path.write_bytes(gzip.compress(data) if entry.endswith("gz") else data)
    with pytest.raises(OperantError, match=r"deep|more than 1,048,576 characters"):
        list(lines(path))
    good = b'{"text": "' + b"x" * 10**5 + b'"}\n'
    path.write_bytes(gzip.compress(good) if entry.endswith("gz") else good)
    assert len(list(lines(path))) == 1


READERS = {"json.loads", "json.load", "np.load", "pq.read_table", "pq.ParquetFile", "tomllib.loads", "tomllib.load"}
OURS = {
    "config/bounded.py", "config/toml.py", "config/locate.py", "config/values.py", "data/npz.py", "run/parquet.py",
    # answers of workers, rows of this process's own run, what was just written here
    "env/live.py", "env/process.py", "workers/worker.py", "language/task/pool.py", "language/task/remote.py",
    "language/episodes/distributed.py", "language/task/reasoning_gym.py", "cli/export.py", "cli/seeds.py",
    "cli/sweep.py", "language/model/small_base.py", "language/text/rendering.py", "control/train_state.py",
    "mdp/io/mapped.py", "run/optimizer_state.py", "control/a3c.py", "control/a3c_worker.py",
    "games/train_state.py", "workers/sandbox.py", "workers/sandbox_child.py",
    "workers/sandbox_wire.py",  # a frame is bounded before it is read, and one that nests too deep is no message
}  # fmt: skip


def test_files_of_others_are_read_by_the_readers_that_look_first():
    found = set()
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in READERS:
                found.add(str(path.relative_to(SRC)))
    assert found <= OURS, found - OURS
