"""Standard streams, whatever became of them: closed, full, of few letters, their reader or their terminal gone."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from contextlib import suppress
from typing import IO, Any

from operant.config.text import clean

TERMINALS_WITHOUT_CURSOR = ("dumb", "unknown")


class Lenient:
    """A text stream that takes every text: what its encoding lacks becomes `?`, and what cannot be written is let go.

    Attributes:
        failed: the first error of the system, for whoever must know that not all arrived.
    """

    def __init__(self, file: IO[str] | None) -> None:
        self.file = file.file if isinstance(file, Lenient) else file
        self.failed: OSError | None = None

    def write(self, text: str) -> int:
        """Write what can be written; returns the length of the text all the same."""
        if self.file is not None:
            try:
                self.file.write(text.encode(self.encoding, "replace").decode(self.encoding))
            except OSError as error:
                self.failed = self.failed or error
            except ValueError:  # it was closed
                self.file = None
        return len(text)

    def flush(self) -> None:
        """Write what waits, as far as it can be."""
        if self.file is not None:
            try:
                self.file.flush()
            except OSError as error:
                self.failed = self.failed or error
            except ValueError:
                self.file = None

    def writelines(self, lines: Any) -> None:
        """Write these, one by one."""
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """Whether it is a terminal that is still there."""
        return is_terminal(self.file)

    @property
    def encoding(self) -> str:
        """That of the stream; UTF-8 where it says none."""
        return getattr(self.file, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def say(line: str) -> None:
    """Print a line on standard error, for a person; nothing fails where it cannot be printed."""
    file = Lenient(sys.stderr)
    file.write(folded(clean(line), file) + "\n")
    file.flush()


def folded(text: str, file: Lenient) -> str:
    """For a terminal, lines broken between words; a word that is longer than a line, like a path, stays whole."""
    if not file.isatty():
        return text
    width = max(20, shutil.get_terminal_size().columns)
    fold = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(line if len(line) <= width else fold.fill(line) for line in text.split("\n"))


def is_terminal(file: Any) -> bool:
    """Whether a stream is a terminal; one that is closed, missing or gone is none."""
    try:
        return bool(file.isatty())
    except (AttributeError, OSError, ValueError):
        return False


def steerable(file: Any) -> bool:
    """Whether a stream is a terminal on which lines can be drawn anew."""
    return is_terminal(file) and os.environ.get("TERM", "") not in TERMINALS_WITHOUT_CURSOR


def forgive() -> None:
    """Make the standard streams of this process ones that never fail (`Lenient`).

    Descriptors 0 to 2 that are closed are opened on nothing: else the next file to be opened would get the number, and
    what others write to it would end up in that file.
    """
    with suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(number, True)
        os.close(number)
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stdout, sys.stderr = Lenient(sys.stdout), Lenient(sys.stderr)  # type: ignore[assignment]
