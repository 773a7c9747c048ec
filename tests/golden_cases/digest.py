"""What a case left, as names and digests: every tensor, metric, return and completion, and nothing of the clock."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

CLOCK = frozenset(
    (
        "seconds",
        "wall",
        "time",
        "started",
        "ended",
        "phases",
        "attempts",
        "id",
        "parent",
        "folder",
        "run",
        "reproduction",
    )
) | frozenset(("changed", "argv", "git", "host", "packages", "source", "created", "restarts", "why"))
"""Entries of JSON, and columns of metrics, of the clock, machine, command line or folder; and sentences."""

TIMED = ("phase/", "speed/", "time/")
"""How columns of metrics begin that tell of the clock."""

SPOKEN = ("train", "resume", "report", "export")
"""Verbs that print no numbers but paths and sentences."""

Parts = Iterator[tuple[str, str]]


def folder(place: Path) -> dict[str, str]:
    """The digest of every number below `place`, by relative path and, inside of a file, by name."""
    digests: dict[str, str] = {}
    for root, folders, files in os.walk(place):
        folders[:] = sorted(name for name in folders if name not in ("model", "__pycache__", "videos", "logs"))
        if Path(root).name == "metrics":
            digests |= {f"{_at(root, place)}{name}": sha for name, sha in _metrics(Path(root))}
            continue
        for name in sorted(files):
            digests |= {f"{_at(root, place)}/{name}{part}": sha for part, sha in _file(Path(root, name))}
    return {name.removeprefix("./"): sha for name, sha in digests.items()}


def value(of: object) -> str:
    """The digest of a value: numbers by their bits, arrays by type, shape and bytes, records field by field."""
    sha = hashlib.sha256()
    for part in _bytes(of):
        sha.update(part)
    return sha.hexdigest()[:16]


def _at(root: str, place: Path) -> str:
    return Path(root).relative_to(place).as_posix()


def _bytes(of: object) -> Iterator[bytes]:
    if isinstance(of, np.ndarray) and of.dtype != object:
        yield f"{of.dtype}{of.shape}".encode() + np.ascontiguousarray(of).tobytes()
    elif isinstance(of, Mapping):
        for name, inner in sorted(of.items(), key=lambda item: str(item[0])):
            yield f"{name}:".encode()
            yield from _bytes(inner)
    elif isinstance(of, np.ndarray | list | tuple):
        yield f"{len(of)}[".encode()
        for inner in of:
            yield from _bytes(inner)
    elif isinstance(of, float | np.floating):
        yield float(of).hex().encode() + b";"
    elif dataclasses.is_dataclass(of) and not isinstance(of, type):
        yield from _bytes({f.name: getattr(of, f.name) for f in dataclasses.fields(of)})
    elif of is None or isinstance(of, bool | int | str | bytes | np.integer | np.bool_) or hasattr(of, "numerator"):
        yield f"{of};".encode()
    else:
        raise TypeError(f"a {type(of).__name__} has no digest")


def _file(path: Path) -> Parts:
    """The parts of a file: none of one that holds no numbers, or tells them to people."""
    if path.suffix == ".safetensors":
        yield from _tensors(path)
    elif path.suffix == ".parquet":
        yield from _columns(_parquet(path))
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            yield from ((f"/{name}", value(arrays[name])) for name in sorted(arrays.files))
    elif path.suffix == ".jsonl" and path.parent.name == "run":  # what constitutional AI wrote
        yield "", value(path.read_text(encoding="utf-8"))
    elif (
        path.suffix == ".json" and path.name not in ("MANIFEST.json", "recipe.json", "tokenizer_config.json")
    ) or path.suffix == ".out":
        yield from _json(path.read_text(encoding="utf-8"))


def _json(text: str) -> Parts:
    """JSON entry by entry; other text as it is."""
    try:
        content = json.loads(text)
    except ValueError:
        content = text
    if isinstance(content, dict):
        for name, inner in ((name, _timeless(inner)) for name, inner in content.items() if name not in CLOCK):
            if isinstance(inner, list) and inner and all(isinstance(row, dict) for row in inner):
                yield from ((f"/{name}{column}", sha) for column, sha in _columns(inner))
            else:
                yield f"/{name}", value(inner)
    elif content:
        yield "", value(_timeless(content))


def _timeless(of: Any) -> Any:
    if isinstance(of, dict):
        return {name: _timeless(inner) for name, inner in of.items() if name not in CLOCK}
    return [_timeless(inner) for inner in of] if isinstance(of, list) else of


def _tensors(path: Path) -> Parts:
    """Each tensor of a safetensors file by its type, shape and bytes."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    for name, about in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            first, last = about["data_offsets"]
            shape = f"{about['dtype']}{about['shape']}".encode()
            yield f"/{name}", value(shape + hashlib.sha256(data[8 + size + first : 8 + size + last]).digest())


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).read(use_threads=False).to_pylist()


def _metrics(place: Path) -> Parts:
    """The metric rows of a run, sealed and live, column by column."""
    rows = [row for part in sorted(place.glob("part-*.parquet")) for row in _parquet(part)]
    live = place / "live.jsonl"
    rows += [json.loads(line) for line in live.read_text().splitlines()] if live.exists() else []
    yield from _columns(rows)


def _columns(rows: Iterable[Mapping[str, Any]]) -> Parts:
    rows = list(rows)
    for name in sorted({name for row in rows for name in row}):
        if name not in CLOCK and not name.startswith(TIMED):
            yield f"/{name}", value([row.get(name) for row in rows])
