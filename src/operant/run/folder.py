"""The run folder: one writer, plain files, readable with pandas."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import secrets
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from operant.config.errors import ConfigError, DiskError, OperantError
from operant.config.text import absolute_path
from operant.config.write import json_text
from operant.run.disk import replace_file, writing
from operant.run.log import append_whole
from operant.run.metrics import encoded, live_rows, read_metrics
from operant.run.schemas import EVALUATION, MEASURED, RUN, measures, read_json, refuse_links_out

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA_VERSION = 1
SEAL_EVERY = 10_000
"""Rows of `live.jsonl` after which they are sealed into a parquet part."""

PACKAGES = (
    *("operant", "torch", "numpy", "numba", "gymnasium", "mujoco", "box2d", "envpool", "ale-py", "pydantic"),
    *("transformers", "tokenizers", "peft"),
)


class RunFolder:
    """A run on disk. Open an existing one by its path, or make one with `create`.

    Raises:
        ConfigError: if the path holds no `run.json`, or a symbolic link in it leads out of it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = absolute_path(path)
        if not (self.path / "run.json").is_file():
            raise ConfigError(f"{self.path} is not a run folder (it holds no run.json). See `operant list runs`.")
        refuse_links_out(self.path)

    @classmethod
    def create(cls, runs: Path | str, *, env: str, algorithm: str, seed: int) -> RunFolder:
        """Make `<runs>/<env>-<algo>-s<seed>-<yymmdd-hhmmss>-<4 hex>/`; two starts in one second get two folders.

        An `env` that is a file gives its name, not the path to it.
        """
        if Path(env.partition(":")[0]).is_file():
            env = Path(env).name
        return cls.make(runs, f"{env}-{algorithm}-s{seed}", ("metrics", "checkpoints", "videos", "evals", "logs"))

    @classmethod
    def make(cls, runs: Path | str, name: str, inside: Sequence[str]) -> RunFolder:
        """Make `<runs>/<name>-<yymmdd-hhmmss>-<4 hex>/` with the folders `inside` it."""
        slug = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_")
        while True:
            stamp = datetime.now().strftime("%y%m%d-%H%M%S")
            path = Path(runs) / f"{slug}-{stamp}-{secrets.token_hex(2)}"
            try:
                path.mkdir(parents=True)
                break
            except FileExistsError:
                continue
            except OSError as error:
                raise DiskError(
                    f"cannot make the run folder {path}: {error.strerror}. Choose another --runs."
                ) from error
        for folder in inside:
            (path / folder).mkdir()
        write_json(path / "run.json", {"schema_version": SCHEMA_VERSION, "id": path.name, "status": "started"})
        return cls(path)

    def info(self) -> dict[str, Any]:
        """`run.json` as it stands.

        Raises:
            ConfigError: if it cannot be read or is no run's.
        """
        info: dict[str, Any] = {"id": self.path.name, "status": "unknown"} | read_json(self.path / "run.json", RUN)
        return info | {name: measures(info[name]) for name in MEASURED if info.get(name)}

    def standing(self) -> dict[str, Any]:
        """`info`, whose status is "killed" where it says "started" and no process holds the folder any more."""
        info = self.info()
        return info | {"status": "killed"} if info["status"] == "started" and self._is_free() else info

    def _is_free(self) -> bool:
        """Whether an attempt has held this folder, and no process does; unknown means no."""
        try:
            with (self.path / ".lock").open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def update(self, **fields: Any) -> None:
        """Replace fields of `run.json` atomically."""
        write_json(self.path / "run.json", self.info() | fields)

    def metrics(self) -> pd.DataFrame:
        """The metric rows by step, a column a metric; where a later attempt did a step again, its rows count.

        Non-finite numbers are kept as NaN and ±inf. A metric that a row did not measure is NaN there too:
        `operant.run.metrics.read_metrics` tells apart.

        Raises:
            OperantError: if a file of metrics cannot be read; names it.
        """
        return read_metrics(self.path).frame()

    def evals(self) -> list[dict[str, Any]]:
        """The evaluations, by step.

        Raises:
            ConfigError: if one cannot be read; names it.
        """
        return [measures(read_json(p, EVALUATION)) for p in sorted((self.path / "evals").glob("step-*.json"))]

    def videos(self) -> list[Path]:
        """The videos, by step."""
        return sorted((self.path / "videos").glob("*.mp4"))

    @cached_property
    def writer(self) -> MetricsWriter:
        """The one writer of this run's metrics, for the attempt that `run.json` names last."""
        return MetricsWriter(self.path / "metrics", attempt=len(self.info().get("attempts", [])) or 1)

    @contextmanager
    def traced(self, what: str) -> Generator[None]:
        """Keep the whole traceback of what fails inside as `logs/<what>.txt`; an error of ours learns the file's name.

        An error of ours that no other caused says all there is, and is not kept.
        """
        try:
            yield
        except Exception as error:
            file = self.path / "logs" / f"{what}-{datetime.now().strftime('%y%m%d-%H%M%S')}.txt"
            ours = isinstance(error, OperantError)
            if not ours or error.__cause__ is not None:
                with suppress(OSError):
                    file.parent.mkdir(exist_ok=True)
                    file.write_text("".join(traceback.format_exception(error)), "utf-8", "backslashreplace")
                    if isinstance(error, OperantError):
                        error.log = file
            raise

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold this folder for writing; the operating system lets go when the process ends, however it ends.

        Raises:
            ConfigError: if another process holds it; names it.
        """
        with (self.path / ".lock").open("a+") as file:
            try:
                _hold(file)
            except OSError as error:
                file.seek(0)
                raise ConfigError(
                    f"{self.path} is being written by {file.read().strip() or 'another process'}. "
                    "Wait for it or end it; `operant resume RUN --fork` goes on in a folder of its own."
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()} since {now()}")
            file.flush()
            yield


def _hold(file: IO[str]) -> None:
    """Lock a file for this process. Raises OSError if another has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # by one that only looks whether it is free, maybe (`standing`)
        time.sleep(0.05)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class MetricsWriter:
    """Appends rows to `live.jsonl` and seals them into `part-NNNN.parquet`."""

    def __init__(self, folder: Path, *, attempt: int) -> None:
        self.folder = folder
        self.attempt = attempt
        self.mirror: Callable[[Mapping[str, float]], None] | None = None  # is given each row that was written
        live = folder / "live.jsonl"
        self._rows: list[dict[str, Any]] = [*live_rows(live)]
        self._file = live.open("ab", buffering=0)  # a refused line must not wait in a buffer to be written later
        self._path = live
        try:
            self.seal()  # what a killed attempt left, without a line that the kill cut short
        except DiskError:
            self._file.close()
            raise

    def write(self, step: int, time: float, values: Mapping[str, float]) -> None:
        """Append one row. Non-finite values are kept, as {"nf": "nan"}.

        Raises:
            DiskError: if the disk refuses; the rows before this one stay whole, and this one is not written by halves.
        """
        row = {"attempt": self.attempt, "step": step, "time": round(time, 4), **values}
        line = encoded(row).encode()
        with writing(self._path, len(line)):
            append_whole(self._file, line)
        self._rows.append(row)
        if self.mirror is not None:
            self.mirror(row)
        if len(self._rows) >= SEAL_EVERY:
            self.seal()

    def seal(self) -> None:
        """Move the live rows into a parquet part: written aside, renamed, and only then is `live.jsonl` emptied.

        Raises:
            DiskError: if the disk refuses; the rows stay in `live.jsonl`.
        """
        if not self._rows:
            self._file.truncate(0)
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = list(dict.fromkeys(name for row in self._rows for name in row))
        table = pa.table({name: _column([row.get(name) for row in self._rows]) for name in names})
        part = self.folder / f"part-{len(list(self.folder.glob('part-*.parquet'))):04d}.parquet"
        with writing(part, table.nbytes):
            replace_file(part, lambda file: pq.write_table(table, file))
        self._file.truncate(0)
        self._rows.clear()

    def close(self) -> None:
        """Seal what is live and close the file."""
        try:
            self.seal()
        finally:
            self._file.close()


def _column(values: list[Any]) -> pa.Array[Any]:
    """A column of a table; numbers by their buffers, as `pyarrow.array` imports pandas, which takes half a second."""
    import pyarrow as pa

    there = np.array([value is not None for value in values])
    numbers = np.array([0 if value is None else value for value in values])
    plain = numbers.dtype.name in ("float64", "int64") and not any(isinstance(value, bool) for value in values)
    if not plain or not there.any():
        return pa.array(values)
    valid = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.from_numpy_dtype(numbers.dtype), len(values), [valid, pa.py_buffer(numbers)])


def write_json(path: Path, value: object) -> None:
    """Replace `path` atomically by `value` as JSON (`json_text`).

    Raises:
        DiskError: if the disk refuses; the old file is left as it was.
    """
    data = (json_text(value, indent=2) + "\n").encode()
    with writing(path, len(data)):
        replace_file(path, lambda file: file.write(data))


def provenance() -> dict[str, Any]:
    """What ran, and where: command line, git state, host and package versions, for `run.json`."""
    return {
        "argv": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": _git(),
        "host": {
            "platform": platform.platform(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "source": _source(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def now() -> str:
    """The time of day in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _source() -> str:
    """SHA-256 over operant's own modules: two runs with one digest ran the same code."""
    root, digest = Path(__file__).resolve().parents[1], hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def _git() -> dict[str, Any] | None:
    def run(*args: str) -> str:
        return subprocess.run(["git", *args], capture_output=True, text=True, check=True, timeout=5).stdout.strip()

    try:
        return {"sha": run("rev-parse", "HEAD"), "dirty": bool(run("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
