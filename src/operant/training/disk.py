"""A disk that refuses: what it refused, how much it needed, and the command that goes on once there is room."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from operant.config.errors import DiskError


@contextmanager
def writing(path: Path, needed: int, *, run: Path) -> Generator[None]:
    """Turn what the operating system refuses while `path` is written into a DiskError in words.

    Args:
        path: what is being written.
        needed: its size in bytes.
        run: the run folder it belongs to.

    Raises:
        DiskError: with the path, the bytes needed and free, and the command that continues the run.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise DiskError(refusal(path, needed, reason, run=run)) from error


def refusal(path: Path, needed: int, reason: str, *, run: Path) -> str:
    """The message of `writing`."""
    return (
        f"cannot write {path}: {reason} ({needed:,} bytes needed, {free(path):,} free). "
        f"Free some space, then go on with: {continuing(run)}"
    )


def continuing(run: Path) -> str:
    """The command that continues a run, quoted for a shell."""
    return shlex.join(["operant", "resume", str(run)])


def free(path: Path) -> int:
    """Bytes free where `path` is or would be."""
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free


def _reason(error: OSError | SafetensorError) -> str | None:
    """What the system said; None where the error is not the system's. safetensors puts it in a text of its own."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = re.search(r"I/O error: (.*?) \(os error \d+\)", str(error))
    return found[1] if found else None
