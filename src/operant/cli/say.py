"""What verbs print: results on standard output, all else on standard error; nothing in it steers the terminal."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

from operant.config.text import clean

if TYPE_CHECKING:
    from rich.text import Text


def say(line: str) -> None:
    """Print a line on standard error, for a person."""
    _put(line + "\n", sys.stderr)


def tell(result: object, end: str = "\n") -> None:
    """Print a result on standard output."""
    _put(f"{result}{end}", sys.stdout)


def cell(value: object, style: str = "") -> Text:
    """A value as a cell or title of a table: as it is, without markup of rich."""
    from rich.text import Text

    return Text(clean(value, lines=False), style=style)


def _put(text: str, file: IO[str] | None) -> None:
    """Write what the file's encoding has, and `?` for the rest; nothing where it was closed."""
    if file is None:
        return
    encoding = getattr(file, "encoding", None) or "utf-8"
    try:
        file.write(clean(text).encode(encoding, "replace").decode(encoding))
        file.flush()
    except OSError as error:
        if file is not sys.stderr or isinstance(error, BrokenPipeError):
            raise
        # what is full is where one would say so
