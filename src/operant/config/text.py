"""Text that somebody else wrote, on its way to a terminal, a page or a file: nothing in it may steer what shows it."""

from __future__ import annotations

import re

STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # ESC, BEL, NUL, carriage returns: what terminals obey
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # order of reading, and what is not seen
    "\u2028\u2029\ud800-\udfff\U000e0000-\U000e007f]"  # other ends of lines, halves of characters, tags
)
REPLACED = "\N{REPLACEMENT CHARACTER}"


def clean(text: object, *, lines: bool = True) -> str:
    """`str(text)` with a replacement character for each that would steer a terminal or a page, or cannot be written.

    Those are control characters (escape sequences and hyperlinks of terminals begin with one), marks that turn the
    order of reading, characters that are not seen, and lone surrogates.

    Args:
        text: of a run, a file, an environment, a model or a server.
        lines: leave the ends of lines and tabs; otherwise they are replaced too, so that one line stays one.
    """
    found = STEERING.sub(REPLACED, str(text).replace("\r\n", "\n"))
    return found if lines else found.replace("\n", REPLACED).replace("\t", " ")
