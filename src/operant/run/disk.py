"""Files on a disk: what is in them, and, where it refuses, what to do about it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shlex
import shutil
import stat
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from operant.config.errors import ConfigError, DiskError, OperantError, said
from operant.data.memory import allow

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room."""

FULL_WORDS = re.compile(
    rf"no space left on device|disk quota exceeded|file too large|\(os error ({'|'.join(map(str, FULL))})\)",
    re.IGNORECASE,
)
"""What libraries say then."""

FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system says where nobody may write, or not this user."""


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
    except Exception as error:
        reason = refusal(error)
        if reason is None:
            raise
        room = f" ({needed:,} bytes needed, {free(path):,} free)" if is_full(error) else ""
        raise DiskError(f"cannot write {path}: {reason}{room}. {mending(error)}, then {continuing(path)}") from error


def is_full(error: BaseException | None) -> bool:
    """Whether there was no room: by the number of the error, or by its words, whatever library wrote them."""
    while error is not None and not isinstance(error, OperantError):
        if (isinstance(error, OSError) and error.errno in FULL) or FULL_WORDS.search(said(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def refusal(error: BaseException) -> str | None:
    """What the system said where it refused a write; None where the error is not the system's.

    Libraries in other languages raise exceptions of their own, with the system's words in them.
    """
    if isinstance(error, OSError):
        return error.strerror or said(error)
    if isinstance(error, SafetensorError) and (found := re.search(r"I/O error: (.*?) \(os error \d+\)", said(error))):
        return found[1]
    return "No space left on device" if is_full(error) else None


def mending(error: BaseException) -> str:
    """What to do about a refused write, as the beginning of a sentence."""
    return "Free some space" if is_full(error) else "Make it writable or name another folder"


def replace_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file beside `path`, flush it to the disk and rename it; on an error the old file is left as it was."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise


def may_write(path: Path, *kinds: str) -> Path:
    """A path that a person gives for what is yet to be made, seen before the work: it can be, and nothing is lost.

    Args:
        path: of a file or a folder.
        kinds: ends of names whose files are replaced; what else is there already is not.

    Raises:
        ConfigError: if something is there, or what is above it is no folder that may be written.
    """
    try:
        if path.is_dir() or (os.path.lexists(path) and path.suffix not in kinds):
            raise ConfigError(f"{path} is there already: name another, or move it away")
        os.lstat(above := next(p for p in path.absolute().parents if os.path.lexists(p)))
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise ConfigError(f"{path} cannot be written, as {above} is no folder that you may write: name another")
        with suppress(FileNotFoundError):
            os.lstat(path)  # the system says where the name is none
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be written ({said(error)}): name another") from None
    return path


def linked(source: Path, target: Path) -> bool:
    """Whether `target` is now the file `source` under a second name; not where it is gone or the disk has no links."""
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    return True


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


def fits_memory(file: Path) -> Path:
    """The same file, seen to be no larger than what memory there is.

    Raises:
        OSError: if it is not there.
        ValueError: with both figures.
    """
    allow(file.stat().st_size, "it has")
    return file


def matches(file: Path, want: object) -> bool:
    """Whether a file is what a manifest says: its size is looked at before it is read.

    Raises:
        OSError: if it is not there.
        ValueError: if there is not the memory to hold it.
    """
    allow(size := file.stat().st_size, "it has")
    return isinstance(want, dict) and want.get("size") == size and digest(file) == want


def save_tensors(tensors: Mapping[str, Any], file: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors of torch or arrays of NumPy as safetensors, readable by whom the umask lets read."""
    kinds = {kind.__module__.partition(".")[0] for x in tensors.values() for kind in type(x).__mro__}
    save_file = import_module(f"safetensors.{'torch' if 'torch' in kinds else 'numpy'}").save_file
    save_file(dict(tensors), str(file), metadata=None if metadata is None else dict(metadata))
    share(file)


def share(*files: Path) -> None:
    """Give files the mode of any other file made here: safetensors writes them for their owner alone."""
    for file in files:
        probe = file.with_name(f".{file.name}.{os.getpid()}.mode")
        try:
            with probe.open("xb") as made:
                file.chmod(stat.S_IMODE(os.fstat(made.fileno()).st_mode))
        finally:
            probe.unlink(missing_ok=True)


def digest(file: Path) -> dict[str, Any]:
    """What a manifest says of a file: "size" in bytes, and "sha256"."""
    with file.open("rb") as f:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(f, "sha256").hexdigest()}
