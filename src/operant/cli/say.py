"""What verbs print: results on standard output, all else on standard error; nothing in it steers the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from operant.config.streams import Lenient, folded
from operant.config.streams import say as say
from operant.config.text import clean

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


_results: list[IO[str]] = []
"""Where results go while standard output is that of errors."""


@contextmanager
def results_alone() -> Generator[None]:
    """Until the end only results are written on standard output: what code of others prints goes to that of errors.

    So does what such code starts, and what it writes past Python, where both streams are the process's own.
    """
    before, results, first = sys.stdout, sys.stdout, None
    with suppress(AttributeError, OSError, ValueError):  # there may be none, or a test's
        before.flush()
        if before.fileno() == 1 and sys.stderr.fileno() == 2:
            first = os.dup(1)
            results = os.fdopen(first, "w", encoding=before.encoding, errors=before.errors)
            os.dup2(2, 1)
    _results.append(results)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        _results.pop()
        sys.stdout = before
        if first is not None:
            os.dup2(first, 1)
            with suppress(OSError):  # what could not be written was told of
                results.close()


def tell(result: object, end: str = "\n") -> None:
    """Print a result on standard output.

    Raises:
        OSError: if it does not arrive.
    """
    _put(clean(f"{result}{end}"))


def show(table: Table, wide: int = 160) -> None:
    """Print a table on standard output, as wide as the terminal, or `wide` where there is none.

    Raises:
        OSError: if it does not arrive.
    """
    from rich.console import Console

    file: Any = Lenient(_stream())
    Console(file=file, width=room(wide)).print(table)
    if file.failed is not None:
        raise file.failed
    arrived()


def room(wide: int) -> int:
    """Columns there are on standard output: those of the terminal, or `wide` where there is none."""
    from rich.console import Console

    file: Any = Lenient(_stream())
    return Console(file=file).width if file.isatty() else wide


def arrived() -> None:
    """See that what was written to standard output went there.

    Raises:
        OSError: if it did not.
    """
    _put("")


def _put(text: str) -> None:
    file = Lenient(_stream())
    file.write(folded(text, file))
    file.flush()
    if (failed := file.failed or getattr(_stream(), "failed", None)) is not None:
        raise failed


def _stream() -> IO[str]:
    return _results[-1] if _results else sys.stdout


def cell(value: object, style: str = "") -> Text:
    """A value as a cell or title of a table: as it is, without markup of rich."""
    from rich.text import Text

    return Text(clean(value, lines=False), style=style)


def asked(prompt: str) -> str:
    """A line that a person types; EOFError where there is none."""
    say(prompt)
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line
