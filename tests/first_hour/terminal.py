"""A terminal that nobody sits at: what a person would see on the screen of a pseudo-terminal is read."""

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pyte


@dataclass
class Shown:
    """What a command came to: its exit code, the lines left on the screen and above it, and every screen on the way."""

    code: int | None
    lines: list[str]
    screens: list[str]

    def __contains__(self, words: str) -> bool:
        return "".join(words.split()) in "".join("".join(self.lines).split())  # however it was folded

    def __str__(self) -> str:
        return "\n".join(self.lines)


def shown(command: str, where: Path, *, width: int = 80, height: int = 24, timeout: float = 240.0, **env: str) -> Shown:
    """Run a command line in a shell on a terminal of `width` columns, and read its screen."""
    screen = pyte.HistoryScreen(width, height, history=10_000)
    stream = pyte.ByteStream(screen)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    given = os.environ | {"PATH": path, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"} | env
    child = pexpect.spawn("/bin/sh", ["-c", command], cwd=str(where), env=given, dimensions=(height, width))
    screens: list[str] = []
    with contextlib.suppress(pexpect.EOF):
        while True:
            stream.feed(child.read_nonblocking(1 << 16, timeout))
            screens.append("\n".join(screen.display))
    child.close()
    above = ["".join(line[x].data for x in range(width)) for line in screen.history.top]
    lines = [line.rstrip() for line in (*above, *screen.display)]
    while lines and not lines[-1]:
        lines.pop()
    return Shown(child.exitstatus, lines, screens)
