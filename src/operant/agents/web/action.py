"""The twelve actions of an agent in a browser, and what may stand in each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ARGUMENTS: dict[str, dict[str, str]] = {
    "click": {"ref": "ref"}, "hover": {"ref": "ref"}, "type": {"ref": "ref", "text": "text", "enter": "enter"},
    "press": {"keys": "text"}, "scroll": {"direction": "text"}, "goto": {"url": "text"}, "go_back": {},
    "go_forward": {}, "new_tab": {}, "tab_focus": {"index": "tab"}, "close_tab": {}, "stop": {"answer": "text"},
}  # fmt: skip
"""Verb → the name of each argument, and the field of `Action` that holds it."""
OPTIONAL = ("enter", "answer")
LONGEST = 2000
"""Characters of a text."""
UNACHIEVABLE = "N/A"
"""The answer that says that a task cannot be done."""

_REF = re.compile(r"e?(\d{1,9})", re.ASCII)
_NAMED = (
    "Enter Tab Escape Backspace Delete Insert Home End PageUp PageDown ArrowUp ArrowDown ArrowLeft ArrowRight Control "
    "Alt Shift Space F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12"
)
_KEYS = {name.lower(): name for name in _NAMED.split()} | {
    "ctrl": "Control", "meta": "Control", "cmd": "Control", "command": "Control", "option": "Alt", "esc": "Escape",
    "return": "Enter", "del": "Delete", "up": "ArrowUp", "down": "ArrowDown", "left": "ArrowLeft",
    "right": "ArrowRight",
}  # fmt: skip


class Malformed(ValueError):
    """What was said is no action: why, in one line that begins with a word in capitals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action; fields that its verb does not name in `ARGUMENTS` are empty. Made by `action_of`."""

    verb: str  # one of `ARGUMENTS`
    ref: str = ""  # of a node: "e12"
    text: str = ""  # what is typed, keys ("Control+a"), "up" or "down", an address, an answer
    enter: bool = False  # pressed behind what is typed
    tab: int = 0  # counted from 0


def action_of(verb: str, arguments: Mapping[str, Any]) -> Action:
    """An action from the values of its arguments by name.

    Raises:
        Malformed: for a verb, an argument or a value that there is not.
    """
    if verb not in ARGUMENTS:
        raise Malformed(f"PARSE no action {_short(verb)}: there are {', '.join(ARGUMENTS)}")
    names = ARGUMENTS[verb]
    for name in arguments:
        if name not in names:
            raise Malformed(f"PARSE {verb} has no {_short(name)}: it takes {', '.join(names) or 'nothing'}")
    lacking = [name for name in names if name not in arguments and name not in OPTIONAL]
    if lacking:
        raise Malformed(f"PARSE {verb} needs {' and '.join(lacking)}")
    return Action(verb=verb, **{names[name]: _value(verb, name, value) for name, value in arguments.items()})


def arguments_of(action: Action) -> dict[str, Any]:
    """The arguments of an action by name: what `action_of` made it from."""
    return {name: getattr(action, field) for name, field in ARGUMENTS[action.verb].items()}


def _value(verb: str, name: str, value: Any) -> Any:
    if name == "enter":
        if value in (0, 1, "0", "1"):
            return bool(int(value))
        raise Malformed(f"PARSE enter is {_short(value)}: give true or false")
    if name in ("ref", "index"):
        found = _REF.fullmatch(str(value).strip()) if isinstance(value, str | int) else None
        if isinstance(value, bool) or found is None or (name == "index" and int(found[1]) > 99):
            raise Malformed(f"PARSE {verb}: {name} is {_short(value)}, which is no number of one")
        return f"e{int(found[1])}" if name == "ref" else int(found[1])
    if not isinstance(value, str) or len(value) > LONGEST:
        raise Malformed(f"PARSE {verb}: {name} is no text of at most {LONGEST} characters")
    text = value.encode("utf-8", "replace").decode()
    if name == "keys":
        return keys_of(text)
    if name == "direction" and text.strip().lower() not in ("up", "down"):
        raise Malformed(f"PARSE scroll {_short(text)}: up or down")
    if name == "url" and not text.strip():
        raise Malformed("PARSE goto needs an address")
    return text.strip().lower() if name == "direction" else text.strip() if name == "url" else text


def keys_of(text: str) -> str:
    """A combination of keys as the browser names them: `ctrl+V` is Control+V.

    Raises:
        Malformed: where one is none.
    """
    parts = ["+"] if text == "+" else text.removesuffix("++").split("+") + ["+"] * text.endswith("++")
    found = [part if len(part) == 1 else _KEYS.get(part.strip().lower(), "") for part in parts]
    if not all(key and (len(key) > 1 or key.isprintable()) for key in found) or len(found) > 4:
        raise Malformed(f"BAD_KEY {_short(text)}: one sign, or a name such as Enter, ArrowDown, Control+a")
    return "+".join(found)


def _short(value: Any) -> str:
    """A value in one short line."""
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
