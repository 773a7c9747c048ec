"""How a policy's text becomes calls: a block of Python a turn, run in the sandbox, or one call a turn, never run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from operant.agents.desk.endpoints import Desk
from operant.agents.spoken import LONGEST, block, call_of
from operant.workers.sandbox import Outcome, Refused

NO_BLOCK = "PARSE no code block: write one block that begins with ```python and ends with ```"
NO_CALL = "PARSE no call: write one line like app.name(key=value), with plain values"


def code_of(action: str) -> str | None:
    """The first fenced block in a text, None where there is none."""
    return block(action[:LONGEST])[1]


def fenced(code: str) -> str:
    """An action that runs this code."""
    return f"```python\n{code}\n```"


def said(outcome: Outcome, most: int) -> tuple[str, str | None]:
    """What a block's outcome is to the policy, and its error in one line."""
    if outcome.ended is not None:
        why = f"ENDED {outcome.ended}: what was called before is done, and the variables are lost"
        return why, why
    text = _plain(outcome.text).rstrip("\n")
    if outcome.total > len(outcome.text) or len(text) > most:
        text = cut(text, most, outcome.total)
    if outcome.error is not None:
        error = _plain(outcome.error)
        return f"{text}\n{error}" if text else error, f"RAISED {error.rsplit(chr(10), 1)[-1][:200]}"
    return text or "Execution successful.", None


def _plain(text: str) -> str:
    """A text without halves of characters."""
    return text.encode("utf-8", "replace").decode()


def cut(text: str, most: int, total: int) -> str:
    """The first characters of a text up to the end of a line, and how many are missing."""
    head = text[:most]
    head = head[: head.rfind("\n")] if "\n" in head else head
    return f"{head}\n[{total - len(head):,} more characters were cut off]"


def written(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as an action."""
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def table(answer: Any) -> str:
    """What a call answers as lines of values with tabs between them, below their names: a third of JSON's tokens."""
    rows = answer if isinstance(answer, list) else [answer]
    if not rows or not all(isinstance(row, dict) for row in rows):
        return json.dumps(answer, ensure_ascii=False)
    lines = [rows[0], *(row.values() for row in rows)]
    return "\n".join("\t".join(" ".join(str(value).split()) for value in line) for line in lines)


def do(desk: Desk, action: str, most: int, shown: Callable[[Any], str]) -> tuple[str, str | None]:
    """Do the one call of an action: what it answers, as `shown` writes it, and its error in one line."""
    found = call_of(action)
    if found is None:
        return NO_CALL, NO_CALL
    try:
        text = shown(desk.call(*found))
    except Refused as refused:
        return f"ERROR {refused}", f"ERROR {refused}"[:200]
    return (text if len(text) <= most else cut(text, most, len(text))), None
