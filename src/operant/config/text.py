"""Text that somebody else wrote, on its way to a terminal, a page or a file: nothing in it may steer what shows it."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # ESC, BEL, NUL, carriage returns: what terminals obey
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # order of reading, and what is not seen
    "\u2028\u2029\ud800-\udfff\U000e0000-\U000e007f]"  # other ends of lines, halves of characters, tags
)
REPLACED = "\N{REPLACEMENT CHARACTER}"

_GIVEN: dict[str, str] = {}
"""Whole paths → how they were given."""


def absolute_path(path: Path | str) -> Path:
    """The path from the root, whatever becomes of the working folder; a person is shown it as it was given."""
    path = Path(path)
    if path.is_absolute():
        return path
    try:
        whole = path.absolute()
    except OSError:  # the working folder is gone
        return path
    many = len(path.parts) > 1  # runs of one folder count as one
    _GIVEN[str(whole.parent if many else whole)] = str(path.parent if many else path)
    return whole


def whole(text: str) -> str:
    """The text with a replacement character for each half of one, which nobody can write down or send on."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def home_path(path: Path | str) -> Path:
    """The path, whose ~ is a home, where there is such a user."""
    path = Path(path)
    with suppress(RuntimeError):
        return path.expanduser()
    return path


def command(*words: object) -> str:
    """A command line of ours to be copied, its words quoted for a shell: names of others stand in it."""
    return shlex.join(["operant", *map(str, words)])


def clean(text: object, *, lines: bool = True) -> str:
    """`str(text)` with a replacement character for each that would steer a terminal or a page, or cannot be written.

    Those are control characters (escape sequences and hyperlinks of terminals begin with one), marks that turn the
    order of reading, characters that are not seen, and lone surrogates.

    Args:
        text: of a run, a file, an environment, a model or a server.
        lines: leave the ends of lines and tabs; otherwise they are replaced too, so that one line stays one.
    """
    found = STEERING.sub(REPLACED, str(text).replace("\r\n", "\n"))
    for whole, given in _GIVEN.items():
        if whole in found:
            found = re.sub(re.escape(whole) + r"(?![\w-])", lambda _, given=given: given, found)
    return found if lines else found.replace("\n", REPLACED).replace("\t", " ")
