"""What of a policy's text is the action, and what is thought before it."""

from __future__ import annotations

import re

FENCE = re.compile(r"```[ \t]*([\w+-]*)[ \t]*\n(.*?)(?:\n[ \t]*)?```", re.DOTALL)
MARK = re.compile(r"^(?:>+|(?:action|command)\s*:)\s*", re.IGNORECASE)
"""What may stand before a command."""


def line(text: str) -> tuple[str, str]:
    """(thought, command): the command is the last line that says something, the thought what stands before it."""
    lines = [each.strip() for each in text.strip().splitlines()]
    said = [i for i, each in enumerate(lines) if each and not each.startswith("```")]
    if not said:
        return text.strip(), ""
    thought = "\n".join(each for each in lines[: said[-1]] if not each.startswith("```")).strip()
    return thought, MARK.sub("", lines[said[-1]].strip("`")).strip()


def block(text: str) -> tuple[str, str | None]:
    """(thought, code): the code is the first fenced block, None where there is none; the thought stands before it."""
    found = FENCE.search(text)
    return (text.strip(), None) if found is None else (text[: found.start()].strip(), found[2])


def parts(text: str) -> tuple[str, str]:
    """(thought, action) of a text whose world is not known: a fenced block of code, else the last line."""
    thought, code = block(text)
    return line(text) if code is None else (thought, code)
