"""Files made to run code, to lead out of the folder or to break a reader: nothing runs, every answer is clean."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from operant.cli.main import main
from operant.config.errors import OperantError
from operant.config.resolve import load
from operant.control.agent import Agent
from operant.run import checkpoint
from operant.run.folder import RunFolder
from operant.run.metrics import read_metrics
from operant.run.schemas import settings

CHECKPOINT = "checkpoints/latest"
HTML = "</script></style>\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"
DEEP = b"[" * 200_000
DEEP_TABLES = b'{"a":' * 200_000


class Harmful:
    """What pickle would run at loading."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run with everything in it: checkpoints, sealed and live metrics, evaluations and a film."""
    runs = tmp_path_factory.mktemp("good")
    words = ["train", "ppo", "CartPole-v1", "--runs", str(runs), "--env.num", "2", "--algo.horizon", "16"]
    words += ["--algo.batch", "16", "--algo.epochs", "1", "--policy.hidden", "8", "--eval.episodes", "1"]
    words += ["--eval.every", "64", "--eval.during", "1", "--save.every", "64", "--total-steps", "128"]
    assert main([*words, "--no-save.videos", "--no-save.report"]) == 0
    (run,) = runs.iterdir()
    film = run / "videos" / "step-00000128-ep1-ret9.mp4"
    film.write_bytes(b"\0\0\0\x18ftypmp42")
    film.with_suffix(".json").write_text('{"step": 128, "seed": 1, "return": 9.0, "length": 9, "fps": 50}')
    (run / "metrics" / "live.jsonl").write_text('{"attempt": 1, "step": 200, "time": 1.5, "loss/value": 0.5}\n')
    return run


def seal(folder: Path) -> None:
    """Make the manifest of a checkpoint fit what stands there, as an attacker would."""
    names = sorted(checkpoint.REQUIRED)
    files = {name: checkpoint.digest(folder / name) for name in names}
    (folder / "MANIFEST.json").write_text(json.dumps({"files": files}, indent=2) + "\n")


def place(file: str, data: bytes) -> Callable[[Path], None]:
    """Every file that fits the pattern becomes `data`; in checkpoints the manifest is made to fit."""

    def attack(run: Path) -> None:
        found = list(run.glob(file))
        assert found, file
        for path in found:
            path.write_bytes(data)
            if path.parent.parent.name == "checkpoints" and path.name != "MANIFEST.json":
                seal(path.parent)

    return attack


def edit(file: str, change: Callable[[dict], dict]) -> Callable[[Path], None]:
    """The JSON in a file, changed."""

    def attack(run: Path) -> None:
        for path in run.glob(file):
            place(str(path.relative_to(run)), json.dumps(change(json.loads(path.read_text()))).encode())(run)

    return attack


def link(file: str, target: str | Path) -> Callable[[Path], None]:
    def attack(run: Path) -> None:
        for path in list(run.glob(file)) or [run / file]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            path.symlink_to(target)

    return attack


def config(old: str, new: str) -> Callable[[Path], None]:
    def attack(run: Path) -> None:
        text = (run / "config.toml").read_text()
        assert old in text
        (run / "config.toml").write_text(text.replace(old, new, 1))

    return attack


def together(*attacks: Callable[[Path], None]) -> Callable[[Path], None]:
    def attack(run: Path) -> None:
        for one in attacks:
            one(run)

    return attack


def archives(command: str) -> dict[str, bytes]:
    """Files that run a command, or write elsewhere, when the wrong function opens them."""
    made: dict[str, bytes] = {"pickle": pickle.dumps(Harmful(command))}
    buffer = io.BytesIO()
    torch.save(Harmful(command), buffer)
    made["torch"] = buffer.getvalue()
    buffer = io.BytesIO()
    np.save(buffer, np.array([Harmful(command)], dtype=object), allow_pickle=True)
    made["numpy"] = buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("../../canary", "x")
        z.writestr("/tmp/canary", "x")
    made["zip slip"] = buffer.getvalue()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as t:
        t.addfile(tarfile.TarInfo("../../canary"))
    made["tar slip"] = buffer.getvalue()
    return made


def tensors(header: object, size: int | None = None, body: bytes = bytes(64)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + body


def parquet(command: str, columns: dict, *, extension: bool = False, pandas: bool = False) -> bytes:
    table = pa.table(columns)
    harmful = pickle.dumps(Harmful(command))
    if pandas:
        table = table.replace_schema_metadata({b"pandas": harmful, b"ARROW:schema": harmful})
    if extension:
        about = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": harmful}
        table = table.cast(pa.schema([field.with_metadata(about) for field in table.schema]))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


ROW = {"attempt": [1], "step": [64], "time": [0.5]}
PLACES = (
    "checkpoints/step-*/model.safetensors",
    "checkpoints/step-*/optim.safetensors",
    "checkpoints/step-*/policy.json",
    "checkpoints/step-*/state.json",
    "checkpoints/step-*/MANIFEST.json",
    "run.json",
    "config.toml",
    "metrics/part-0000.parquet",
    "metrics/live.jsonl",
    "evals/*.json",
    "videos/*.json",
)


def payloads(canary: Path) -> dict[str, Callable[[Path], None]]:
    command = f"touch {canary}"
    made: dict[str, Callable[[Path], None]] = {}
    for kind, data in archives(command).items():
        for where in PLACES if kind == "pickle" else (PLACES[0], PLACES[5], PLACES[7]):
            made[f"{kind} as {where}"] = place(where, data)
    for where in PLACES:
        if where.endswith((".json", ".jsonl")):
            made[f"deep lists as {where}"] = place(where, DEEP)
            made[f"deep tables as {where}"] = place(where, DEEP_TABLES)
            made[f"a list as {where}"] = place(where, b"[1, 2]")
            made[f"a number of 10,000 digits as {where}"] = place(where, b'{"step": ' + b"9" * 10_000 + b"}")
    made |= {
        "toml of deep lists": place("config.toml", b"a = " + DEEP),
        "toml of deep tables": place("config.toml", b"a." * 100_000 + b"a = 1"),
        "toml that is binary": place("config.toml", bytes(range(256))),
        "header of 2^63 bytes": place(PLACES[0], tensors({}, size=2**63)),
        "header past the end": place(PLACES[1], tensors({}, size=10**6)),
        "header of deep lists": place(PLACES[0], tensors(DEEP)),
        "overlapping tensors": place(
            PLACES[0],
            tensors({n: {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]} for n in ("a", "b")}),
        ),
        "absurd shape": place(
            PLACES[1], tensors({"0.exp_avg": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 64]}})
        ),
        "settings of deep lists": place(
            PLACES[1], tensors({"__metadata__": {"optimizer": "Adam", "Adam": "[" * 10**5, "groups": "[" * 10**5}})
        ),
        "an agent of petabytes": edit(PLACES[2], lambda p: p | {"hidden": [10**8, 10**8]}),
        "an agent of minus one": edit(PLACES[2], lambda p: p | {"obs_dim": -1}),
        "an agent of text": edit(PLACES[2], lambda p: p | {"hidden": "os.system"}),
        "an agent of code": edit(PLACES[2], lambda p: p | {"activation": f"__import__('os').system('{command}')"}),
        "a bound of text": edit(PLACES[2], lambda p: p | {"obs_clip": "x"}),
        "an agent of another kind": edit(PLACES[2], lambda p: p | {"action_kind": "eval"}),
        "an agent with more": edit(PLACES[2], lambda p: p | {"__class__": "x"}),
        "a state of text": edit(PLACES[3], lambda p: p | {"seam": "x" * 10}),
        "a state with more": edit(PLACES[3], lambda p: p | {"__init__": "x"}),
        "a step beyond all": edit(PLACES[3], lambda p: p | {"step": 10**30}),
        "a path in the manifest": edit(
            PLACES[4], lambda p: {"files": p["files"] | {"../../../canary": p["files"]["state.json"]}}
        ),
        "a run of lists": edit("run.json", lambda p: {k: [] for k in p}),
        "a run of tables": edit("run.json", lambda p: {k: {"a": {}} for k in p}),
        "a run of text": edit("run.json", lambda p: dict.fromkeys(p, "x")),
        "a run of nothing": edit("run.json", lambda p: dict.fromkeys(p)),
        "a run of infinities": place("run.json", b'{"steps": 1e999, "seconds": NaN, "phases": {"learn": -Infinity}}'),
        "phases of text": edit("run.json", lambda p: p | {"phases": {"learn": "x"}}),
        "an evaluation of text": edit("evals/*.json", lambda p: dict.fromkeys(p, "x")),
        "returns of text": edit("evals/*.json", lambda p: p | {"returns": ["x"]}),
        "an evaluation of nothing": place("evals/*.json", b"{}"),
        "a film of text": edit("videos/*.json", lambda p: dict.fromkeys(p, "x")),
        "rows of text": place("metrics/live.jsonl", b'{"attempt": "x", "step": "y", "time": "z", "loss/value": "w"}\n'),
        "rows of tables": place("metrics/live.jsonl", b'{"attempt": 1, "step": {"nf": []}, "time": 0}\n'),
        "rows without a step": place("metrics/live.jsonl", b'{"attempt": 1}\n'),
        "pickled metadata of pandas": place("metrics/part-0000.parquet", parquet(command, ROW, pandas=True)),
        "a pickled type of arrow": place("metrics/part-0000.parquet", parquet(command, ROW, extension=True)),
        "a parquet of text": place("metrics/part-0000.parquet", parquet(command, {k: ["x"] for k in ROW})),
        "a parquet of lists": place("metrics/part-0000.parquet", parquet(command, {k: [[1]] for k in ROW})),
        "a parquet without a step": place("metrics/part-0000.parquet", parquet(command, {"loss/value": [1.0]})),
        "os:system as environment": together(
            config('id = "CartPole-v1"', 'id = "os:system"'),
            config("[env]", f'[env]\nkwargs.command = "{command}"'),
        ),
        "subprocess:run as environment": together(
            config('id = "CartPole-v1"', 'id = "subprocess:run"'),
            config("[env]", f'[env]\nkwargs.args = "{command}"\nkwargs.shell = true'),
        ),
        "code beside the settings": lambda run: (
            (run / "evil.py").write_text(f"import os\nos.system('{command}')\n"),
            config('id = "CartPole-v1"', f'id = "{run / "evil.py"}:make"')(run),
        ),
        "code as backend": config("[env]", "[env]\nbackend = \"__import__('os')\""),
        "everything html": together(
            edit("run.json", lambda p: p | dict.fromkeys(("id", "env", "algorithm", "preset", "error"), HTML)),
            edit("run.json", lambda p: p | {"argv": ["train", HTML], "host": dict.fromkeys(("platform", "cpu"), HTML)}),
            edit("run.json", lambda p: p | {"packages": {HTML: HTML}, "git": {"sha": HTML}, "phases": {HTML: 1.0}}),
            place("metrics/live.jsonl", json.dumps({"attempt": 1, "step": 1, "time": 1, f"loss/{HTML}": 1}).encode()),
            config("[env]", f"[env]  # {HTML}"),
            lambda run: (run / "videos" / "<script>alert(1)<").with_suffix(".mp4").write_bytes(b""),
        ),
    }
    for where in (*PLACES[:3], *PLACES[5:], "report.html", ".lock", "checkpoints", "evals", "metrics", "videos"):
        made[f"{where} a link out"] = link(where, canary.parent / "victim")
    made["latest out"] = link(CHECKPOINT, canary.parent)
    made["latest to the root"] = link(CHECKPOINT, "/")
    made["a checkpoint out"] = link("checkpoints/step-*", canary.parent)
    return made


def readers(run: Path) -> list[Callable[[], object]]:
    """Every function that opens a file of a run folder."""
    newest = run / CHECKPOINT
    agent = Agent.load
    calls: list[Callable[[], object]] = [
        lambda: RunFolder(run).info(),
        lambda: RunFolder(run).metrics(),
        lambda: RunFolder(run).evals(),
        lambda: RunFolder(run).videos(),
        lambda: read_metrics(run),
        lambda: read_metrics(run, ["loss/value"]),
        lambda: agent(newest),
        lambda: checkpoint.load_policy(run),
        lambda: checkpoint.load_policy(run, "best"),
        lambda: checkpoint.newest(run),
        lambda: checkpoint.verify(newest),
        lambda: load(run / "config.toml"),
        lambda: settings(run),
    ]
    return calls


KINDS = list(payloads(Path("/nowhere/canary")))


def test_there_are_payloads_enough():
    assert len(KINDS) >= 100


@pytest.mark.spread(15)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_executed_and_every_answer_is_clean(good, tmp_path, monkeypatch, capsys, kind):
    runs, canary = tmp_path / "runs", tmp_path / "canary"
    victim = tmp_path / "victim"
    victim.write_text("precious")
    run = runs / "evil"
    shutil.copytree(good, run, symlinks=True)
    monkeypatch.chdir(tmp_path)
    payloads(canary)[kind](run)
    for read in readers(run):
        with suppress(OperantError):
            read()
    for words in (
        ["list", "runs", "--runs", str(runs)],
        ["report", str(run)],
        ["eval", str(run), "--episodes", "1"],
        ["eval", str(run), "--episodes", "1", "--checkpoint", "best"],
        ["resume", str(run), "--to", "200"],
    ):
        code = main(words)
        said = capsys.readouterr().err
        assert 0 <= code <= 5, (words, said)
        assert "Traceback" not in said
        assert code == 0 or "error: " in said, (words, said)
    assert not canary.exists()
    assert not Path("/tmp/canary").exists()
    assert victim.read_text() == "precious"
    page = run / "report.html"
    if page.is_file() and not page.is_symlink():
        text = page.read_text()
        assert "<script>alert" not in text
        assert "<img src=x" not in text


@pytest.mark.parametrize("verb", ["play"])
@pytest.mark.parametrize(
    "kind", [k for k in KINDS if k.startswith(("pickle as checkpoints", "os:system", "code beside"))]
)
def test_nothing_is_executed_by_filming(good, tmp_path, monkeypatch, capsys, kind, verb):
    run = tmp_path / "runs" / "evil"
    shutil.copytree(good, run, symlinks=True)
    monkeypatch.chdir(tmp_path)
    payloads(tmp_path / "canary")[kind](run)
    assert main([verb, str(run)]) in (2, 3) or "optim" in kind
    assert "error: " in capsys.readouterr().err or "optim" in kind
    assert not (tmp_path / "canary").exists()


def test_the_good_run_is_read(good, tmp_path):
    """Else the tests above would pass with readers that refuse everything."""
    run = tmp_path / "good"
    shutil.copytree(good, run, symlinks=True)
    for read in readers(run):
        read()
    assert main(["eval", str(run), "--episodes", "1"]) == 0
    assert main(["resume", str(run), "--to", "200"]) == 0
