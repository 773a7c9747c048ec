"""The processes of a browser that this one started, as /proc has them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path


def ours(pid: int) -> bool:
    """Whether a process descends from this one."""
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False


def named(part: bytes) -> Iterator[tuple[Path, bytes]]:
    """The folder and the command of each that descends from this one and has such a part in its command."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            said = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if part in said and ours(int(folder.name)):
            yield folder, said


def killed(path: Path) -> None:
    """End the browser of this process as a system that is out of memory does."""
    for folder, said in named(bytes(path)):
        if said.startswith(bytes(path)) and b"--type=" not in said:
            os.kill(int(folder.name), signal.SIGKILL)
