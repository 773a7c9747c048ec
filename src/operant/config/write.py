"""TOML out: values, dotted keys, and a whole resolved config with the origin of each key beside it. JSON out, too."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_WIDEST = 44  # columns that the comments of a section may be pushed right to line up


def json_text(value: object, *, indent: int | None = None, ascii_only: bool = True) -> str:
    """A value as JSON that every reader takes: a number that is not finite, which JSON has not, is null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def toml_value(value: object) -> str:
    """A value as TOML on one line. None becomes the text "none", as TOML has no null.

    Raises TypeError for what TOML cannot hold.
    """
    match value:
        case None:
            return '"none"'
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
        case datetime.date() | datetime.time():  # a datetime is a date
            return value.isoformat()
        case list() | tuple():
            return f"[{', '.join(map(toml_value, value))}]"
        case dict():
            return f"{{{', '.join(f'{toml_key((name,))} = {toml_value(item)}' for name, item in value.items())}}}"
        case _:
            raise TypeError(f"TOML cannot hold a value of type {type(value).__name__}")


def toml_key(path: Iterable[str]) -> str:
    """A path as a dotted key, quoted where a part is not made of letters, digits, dashes and underscores."""
    return ".".join(part if _BARE_KEY.fullmatch(part) else toml_value(part) for part in path)


def toml_document(values: Mapping[tuple[str, ...], object], notes: Mapping[str, str]) -> str:
    """A document with one line per path, a header per first part of the path, and `notes[key]` as trailing comments."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for path, value in values.items():
        name, rest = (path[0], path[1:]) if len(path) > 1 else ("", path)
        entry = f"{toml_key(rest)} = {toml_value(value)}"
        sections.setdefault(name, []).append((entry, notes[toml_key(path)]))
    blocks: list[str] = []
    for name in sorted(sections, key=bool):  # the keys without a section come first
        entries = sections[name]
        column = min(_WIDEST, max(len(entry) for entry, _ in entries))
        lines = [f"{entry:<{column}}  # {_one_line(note)}\n" for entry, note in entries]
        blocks.append((f"[{name}]\n" if name else "") + "".join(lines))
    return "\n".join(blocks)


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
