"""Three grammars of one action: brackets, calls, JSON. Each reads a policy's text, and evaluates nothing.

`brackets` is the grammar of VisualWebArena (Koh et al. 2024): the verb, then arguments in square brackets, in a fence
of three backticks, "click [12]"; `calls` are those of BrowserGym (Chezelles et al. 2024), `click("12")`; `tools` are
calls of tools in JSON, {"name": "click", "arguments": {"ref": "e12"}}. In each, a node is named by its number, with or
without an `e` before it. Text before an action is thought.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from operant.agents.spoken import LONGEST as READ
from operant.agents.spoken import call_of, line
from operant.agents.web.action import (
    ARGUMENTS,
    LONGEST,
    OPTIONAL,
    UNACHIEVABLE,
    Action,
    Malformed,
    action_of,
    arguments_of,
)
from operant.config.bounded import loads


@dataclass(frozen=True, slots=True)
class Codec:
    """How actions are written: `read(write(action)) == action`.

    `read` raises Malformed with one line; `write` raises Malformed for the few texts that have no form in a grammar.
    """

    name: str
    read: Callable[[str], Action]
    write: Callable[[Action], str]
    told: str  # to the policy, in the system message


# ---------------------------------------------------------------------------------------------------- brackets
_FENCE = re.compile(r"```(.*?)```", re.DOTALL)
_TYPE = re.compile(r"\[([^\[\]]*)\] ?\[(.*)\] ?\[(?:press_enter_after ?= ?)?([01])\]", re.DOTALL)
_TYPE_ENTER = re.compile(r"\[([^\[\]]*)\] ?\[(.*)\]", re.DOTALL)
_ONE = re.compile(r"\[(.*)\]", re.DOTALL)
_VERB = re.compile(r"[a-z_]+")
_EARLIER = {"tab_close": "close_tab"}


def read_brackets(text: str) -> Action:
    """The action in the first fence, or in the last line where there is no fence."""
    text = text[-READ:]
    fence = _FENCE.search(text)
    said = fence[1].strip() if fence else line(text)[1]
    found = _VERB.match(said)
    if found is None:
        raise Malformed("PARSE no action: write one such as ```click [12]```")
    verb = _EARLIER.get(found[0], found[0])
    rest = said[found.end() :].strip()
    if verb == "clear" and (one := _ONE.fullmatch(rest)):
        return action_of("type", {"ref": one[1], "text": ""})
    if verb == "type":
        if (three := _TYPE.fullmatch(rest)) or (three := _TYPE_ENTER.fullmatch(rest)):
            enter = three[3] if three.re is _TYPE else "1"  # Enter is pressed unless [0] says no
            return action_of("type", {"ref": three[1], "text": three[2], "enter": enter})
        raise Malformed("PARSE type needs a node, a text and 1 for Enter or 0: type [12] [words] [1]")
    names = ARGUMENTS.get(verb, {})
    one = _ONE.fullmatch(rest)
    if one is None and verb == "scroll" and rest:
        one = re.fullmatch("(.*)", rest)
    if not names and verb in ARGUMENTS and rest:
        raise Malformed(f"PARSE {verb} stands alone")
    if names and one is None and (rest or not set(names) <= set(OPTIONAL)):
        raise Malformed(f"PARSE {verb} needs its {', '.join(names)} in square brackets: {verb} [...]")
    return action_of(verb, {next(iter(names)): one[1]} if names and one else {})


def write_brackets(action: Action) -> str:
    """The action in a fence."""
    if "```" in action.text:
        raise Malformed("PARSE three backticks have no form in brackets")
    values = [int(v) if isinstance(v, bool) else str(v).removeprefix("e") if n == "ref" else v
              for n, v in arguments_of(action).items()]  # fmt: skip
    return "```" + " ".join([action.verb, *(f"[{value}]" for value in values)]) + "```"


# ------------------------------------------------------------------------------------------------------- calls
_CALLS: dict[str, tuple[str, tuple[str, ...]]] = {
    "click": ("click", ("ref",)), "hover": ("hover", ("ref",)), "fill": ("type", ("ref", "text", "enter")),
    "type": ("type", ("ref", "text", "enter")), "select_option": ("type", ("ref", "text")),
    "keyboard_press": ("press", ("keys",)), "goto": ("goto", ("url",)), "go_back": ("go_back", ()),
    "go_forward": ("go_forward", ()), "new_tab": ("new_tab", ()), "tab_focus": ("tab_focus", ("index",)),
    "tab_close": ("close_tab", ()), "close_tab": ("close_tab", ()), "send_msg_to_user": ("stop", ("answer",)),
    "stop": ("stop", ("answer",)),
}  # fmt: skip
_WRITTEN = {"type": "fill", "press": "keyboard_press", "close_tab": "tab_close", "stop": "send_msg_to_user"}
_ALIASES = {"bid": "ref", "value": "text", "options": "text", "key": "keys", "key_comb": "keys"}
_STEP = 500
"""Pixels of a scroll that is written."""


def read_calls(text: str) -> Action:
    """The action that the call in the last line is."""
    found = call_of(text)
    if found is None:
        raise Malformed('PARSE no call: write one line such as click("12"), with plain values')
    name, given, named = found
    named = {_ALIASES.get(key, key): value for key, value in named.items()}
    if name == "scroll":
        by = dict(zip(("delta_x", "delta_y"), given, strict=False)) | named
        down = by.get("delta_y")
        if len(given) > 2 or isinstance(down, bool) or not isinstance(down, int | float) or not down:
            raise Malformed(
                "PARSE scroll takes pixels to the right and down: scroll(0, 500), or scroll(0, -500) for up"
            )
        return action_of("scroll", {"direction": "down" if down > 0 else "up"})
    if name == "clear" and len(given) + len(named) == 1:
        return action_of("type", {"ref": given[0] if given else named.get("ref"), "text": ""})
    if name == "report_infeasible":
        return action_of("stop", {"answer": UNACHIEVABLE})
    if name == "press":  # on a node: it is focused by what came before
        name, given = "keyboard_press", given[-1:]
        named.pop("ref", None)
    if name not in _CALLS:
        raise Malformed(f"PARSE no action {name[:40]}: there are scroll, clear, report_infeasible, {', '.join(_CALLS)}")
    verb, names = _CALLS[name]
    if len(given) > len(names):
        raise Malformed(f"PARSE {name} takes {len(names)} values at most")
    return action_of(verb, dict(zip(names, given, strict=False)) | named)


def write_calls(action: Action) -> str:
    """The action as a call."""
    if action.verb == "scroll":
        return f"scroll(0, {_STEP if action.text == 'down' else -_STEP})"
    values = [repr(str(v).removeprefix("e") if n == "ref" else v) for n, v in arguments_of(action).items()
              if n != "enter" or v]  # fmt: skip
    if action.enter:
        values[-1] = "enter=True"
    return f"{_WRITTEN.get(action.verb, action.verb)}({', '.join(values)})"


# ------------------------------------------------------------------------------------------------------- tools
def read_tools(text: str) -> Action:
    """The action that the JSON object in a text is, from its first brace to its last."""
    text = text[-READ:]
    start, end = text.find("{"), text.rfind("}")
    try:
        call: Any = loads(text[start : end + 1]) if start >= 0 else None
        if isinstance(call, dict) and isinstance(call.get("function"), dict):
            call = call["function"]
        given: Any = call.get("arguments", {}) if isinstance(call, dict) else None
        given = loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        given = call = None
    if not isinstance(call, dict) or not isinstance(given, dict) or not isinstance(call.get("name"), str):
        raise Malformed('PARSE no call of a tool: write {"name": "click", "arguments": {"ref": "e12"}}')
    return action_of(call["name"], given)


def write_tools(action: Action) -> str:
    """The action as a JSON object."""
    return json.dumps({"name": action.verb, "arguments": arguments_of(action)}, ensure_ascii=False)


def schemas() -> list[dict[str, Any]]:
    """The twelve tools as JSON schemas, as servers of models take them."""
    kinds = {"enter": {"type": "boolean"}, "index": {"type": "integer", "minimum": 0},
             "direction": {"type": "string", "enum": ["up", "down"]}}  # fmt: skip
    text = {"type": "string", "maxLength": LONGEST}
    return [
        {"type": "function", "function": {"name": verb, "description": f"{verb} in the browser", "parameters": {
            "type": "object", "properties": {name: kinds.get(name, text) for name in names},
            "required": [name for name in names if name not in OPTIONAL], "additionalProperties": False}}}
        for verb, names in ARGUMENTS.items()
    ]  # fmt: skip


CODECS = {
    "brackets": Codec(
        "brackets", read_brackets, write_brackets,
        "Actions: click [n], hover [n], type [n] [text] [1 for Enter, 0 for none], press [keys], scroll [up or down], "
        "goto [address], go_back, go_forward, new_tab, tab_focus [n], close_tab, stop [answer]. End each turn with one "
        "in three backticks, as ```click [12]```.",
    ),
    "calls": Codec(
        "calls", read_calls, write_calls,
        "Actions: click(n), hover(n), fill(n, text, enter=False), keyboard_press(keys), scroll(0, 500), goto(address), "
        "go_back(), go_forward(), new_tab(), tab_focus(n), tab_close(), send_msg_to_user(answer), which ends. End each "
        'turn with one on a line of its own, as click("12").',
    ),
    "tools": Codec(
        "tools", read_tools, write_tools,
        "Tools: click(ref), hover(ref), type(ref, text, enter), press(keys), scroll(direction), goto(url), go_back(), "
        "go_forward(), new_tab(), tab_focus(index), close_tab(), stop(answer), which ends. End each turn with one call "
        'as JSON: {"name": "click", "arguments": {"ref": "e12"}}.',
    ),
}  # fmt: skip
