"""What of a policy's text is the action, and what is thought before it."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

FENCE = re.compile(r"```[ \t]*([\w+-]*)[ \t]*\n(.*?)(?:\n[ \t]*)?```", re.DOTALL)
MARK = re.compile(r"^(?:>+|(?:action|command)\s*:)\s*", re.IGNORECASE)
"""What may stand before a command."""
LONGEST = 20_000
"""Characters of a text that are read."""
LONGEST_CALL = 4_000


def line(text: str) -> tuple[str, str]:
    """(thought, command): the command is the last line that says something, the thought what stands before it."""
    lines = [each.strip() for each in text.strip().splitlines()]
    said = [i for i, each in enumerate(lines) if each and not _fence(each)]
    if not said:
        return text.strip(), ""
    thought = "\n".join(each for each in lines[: said[-1]] if not each.startswith("```")).strip()
    return thought, MARK.sub("", lines[said[-1]].strip("`")).strip()


def _fence(each: str) -> bool:
    """Whether a line only begins or ends a fence, as "```python" does, and "```click [3]```" does not."""
    return each.startswith("```") and not each[3:].endswith("```")


def block(text: str) -> tuple[str, str | None]:
    """(thought, code): the code is the first fenced block, None where there is none; the thought stands before it."""
    found = FENCE.search(text)
    return (text.strip(), None) if found is None else (text[: found.start()].strip(), found[2])


def parts(text: str) -> tuple[str, str]:
    """(thought, action) of a text whose world is not known: a fenced block of code, else the last line."""
    thought, code = block(text)
    return line(text) if code is None else (thought, code)


def call_of(action: str) -> tuple[str, list[Any], dict[str, Any]] | None:
    """The name and arguments of the one call that a text is, None where it is anything else.

    The last line that says something is read; what stands before it is thought. It is parsed, and its values are
    literals: nothing is evaluated.
    """
    command = line(action[-LONGEST:])[1]
    if len(command) > LONGEST_CALL:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of signs that Python thinks odd
            tree = ast.parse(command, mode="eval").body
        if not isinstance(tree, ast.Call):
            return None
        name = ast.unparse(tree.func)
        if not all(part.isidentifier() for part in name.split(".")) or any(k.arg is None for k in tree.keywords):
            return None
        args = [ast.literal_eval(value) for value in tree.args]
        kwargs = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return name, args, kwargs
