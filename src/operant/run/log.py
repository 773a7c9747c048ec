"""Logs of one JSON object a line, which grow as something goes on: a kill or a full disk costs no line but the last."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from operant.config.bounded import loads
from operant.config.errors import ConfigError
from operant.config.write import json_text
from operant.data.jsonl import lines
from operant.run.disk import replace_file, writing
from operant.run.schemas import misfit

TAIL = 2**20
"""Bytes at the end of a log among which half a line is looked for."""


def read_log(path: Path, kinds: Mapping[str, tuple[type, ...]] | None = None) -> list[dict[str, Any]]:
    """The rows of a log, none where there is no file; half a line at its end, which a kill left, is left out.

    Args:
        path: the log.
        kinds: what every row holds, by name.

    Raises:
        ConfigError: if it cannot be read, or a row is none; says which line.
    """
    if not path.exists():
        return []
    found = list[dict[str, Any]]()
    for where, row in lines(path, cut=True):
        if why := misfit(row, kinds or {}, needed=True):
            raise ConfigError(f"{where} is damaged ({why}). Remove that line, or move the file away.")
        found.append(row)
    return found


def append_log(path: Path, *rows: Mapping[str, Any], ascii_only: bool = True) -> None:
    """Append rows, all of them or none, behind the last whole line.

    Raises:
        DiskError: if the disk refuses.
    """
    data = _encoded(rows, ascii_only)
    with writing(path, len(data)), path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - TAIL))
        half = file.read().rpartition(b"\n")[2]
        if half and _is_whole(half):  # an editor took the end of the line away
            data = b"\n" + data
        elif half:
            file.truncate(end - len(half))
        append_whole(file, data)


def rewrite_log(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a log by these rows. Raises DiskError if the disk refuses; the old one is left as it was."""
    data = _encoded(rows)
    with writing(path, len(data)):
        replace_file(path, lambda file: file.write(data))


def append_whole(file: FileIO, data: bytes) -> None:
    """Write behind the end of an unbuffered file, all of it or nothing. Raises OSError if the disk refuses."""
    end = os.fstat(file.fileno()).st_size
    try:
        if file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        file.truncate(end)
        raise


def _encoded(rows: Iterable[Mapping[str, Any]], ascii_only: bool = True) -> bytes:
    return "".join(json_text(row, ascii_only=ascii_only) + "\n" for row in rows).encode()


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(loads(line), dict)
    except ValueError:
        return False
