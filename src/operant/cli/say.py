"""What verbs print: results on standard output, all else on standard error; nothing in it steers the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from operant.config.streams import Lenient, folded
from operant.config.streams import say as say
from operant.config.text import clean

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


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

    file: Any = Lenient(sys.stdout)
    Console(file=file, width=room(wide)).print(table)
    if file.failed is not None:
        raise file.failed
    arrived()


def room(wide: int) -> int:
    """Columns there are on standard output: those of the terminal, or `wide` where there is none."""
    from rich.console import Console

    file: Any = Lenient(sys.stdout)
    return Console(file=file).width if file.isatty() else wide


def arrived() -> None:
    """See that what was written to standard output went there.

    Raises:
        OSError: if it did not.
    """
    _put("")


def _put(text: str) -> None:
    file = Lenient(sys.stdout)
    file.write(folded(text, file))
    file.flush()
    if (failed := file.failed or getattr(sys.stdout, "failed", None)) is not None:
        raise failed


def cell(value: object, style: str = "") -> Text:
    """A value as a cell or title of a table: as it is, without markup of rich."""
    from rich.text import Text

    return Text(clean(value, lines=False), style=style)
