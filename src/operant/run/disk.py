"""Files on a disk: what is in them, and, where it refuses, what to do about it."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from operant.config.errors import DiskError


@contextmanager
def writing(path: Path, needed: int) -> Generator[None]:
    """Turn what the operating system refuses while `path` is written into a DiskError in words.

    Args:
        path: what is being written.
        needed: its size in bytes.

    Raises:
        DiskError: with the path, the bytes needed and free, and the command that continues the run `path` belongs to.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise DiskError(
            f"cannot write {path}: {reason} ({needed:,} bytes needed, {free(path):,} free). "
            f"Free some space, then {continuing(path)}"
        ) from error


def preflight(run: Path, needed: int) -> str | None:
    """A warning where fewer than `needed` bytes are free for the checkpoints of a run, else None."""
    left = free(run)
    if left >= needed:
        return None
    return (
        f"warning: {left:,} bytes are free for {run}, and its checkpoints may need {needed:,}. "
        "Free some space, lower save.keep, or choose another --runs."
    )


def continuing(path: Path) -> str:
    """What to do once there is room: the command that goes on with the run `path` belongs to, quoted for a shell."""
    run = next((p for p in path.parents if (p / "run.json").is_file()), None)
    return "try again." if run is None else f"go on with: {shlex.join(['operant', 'resume', str(run)])}"


def free(path: Path) -> int:
    """Bytes free where `path` is or would be."""
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free


def digest(file: Path) -> dict[str, Any]:
    """What a manifest says of a file: "size" in bytes, and "sha256"."""
    with file.open("rb") as f:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(f, "sha256").hexdigest()}


def _reason(error: OSError | SafetensorError) -> str | None:
    """What the system said; None where the error is not the system's. safetensors puts it in a text of its own."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = re.search(r"I/O error: (.*?) \(os error \d+\)", str(error))
    return found[1] if found else None
