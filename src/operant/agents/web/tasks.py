"""The tasks of MiniWoB++ with their tags, and scripts for eight of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from operant.agents.options import picked
from operant.agents.web.action import Action, action_of
from operant.agents.web.nodes import Node

_DRAG = (
    "daily-calendar drag-box drag-circle drag-cube drag-items drag-items-grid drag-shapes drag-shapes-2 "
    "drag-single-shape drag-sort-numbers draw-circle draw-line highlight-text highlight-text-2 resize-textarea "
    "use-colorwheel use-colorwheel-2 use-slider use-slider-2"
)
_POINTER = (
    "ascending-numbers bisect-angle circle-center click-color click-pie click-pie-nodelay click-shades click-shape "
    "find-midpoint grid-coordinate hot-cold right-angle sign-agreement"
)
_VISION = (
    "ascending-numbers bisect-angle circle-center click-color click-pie click-pie-nodelay click-shades click-shape "
    "count-shape count-sides find-midpoint grid-coordinate identify-shape right-angle use-colorwheel "
    "use-colorwheel-2 visual-addition"
)
_REALTIME = "click-pie hot-cold stock-market use-autocomplete"
_NONDETERMINISTIC = (
    "book-flight book-flight-nodelay choose-date choose-date-easy choose-date-medium choose-date-nodelay click-dialog "
    "click-dialog-2 click-pie click-pie-nodelay click-scroll-list drag-cube scroll-text scroll-text-2 search-engine "
    "social-media social-media-all social-media-some terminal order-food phone-book stock-market"
)
_PLAIN = (
    "buy-ticket choose-list click-button click-button-sequence click-checkboxes click-checkboxes-large "
    "click-checkboxes-soft click-checkboxes-transfer click-collapsible click-collapsible-2 click-collapsible-2-nodelay "
    "click-collapsible-nodelay click-dialog click-dialog-2 click-link click-menu click-menu-2 click-option "
    "click-scroll-list click-tab click-tab-2 click-tab-2-easy click-tab-2-hard click-tab-2-medium click-test "
    "click-test-2 click-test-transfer click-widget copy-paste copy-paste-2 email-inbox email-inbox-delete "
    "email-inbox-forward email-inbox-forward-nl email-inbox-forward-nl-turk email-inbox-important email-inbox-nl-turk "
    "email-inbox-noscroll email-inbox-reply email-inbox-star-reply enter-date enter-password enter-text enter-text-2 "
    "enter-text-dynamic enter-time find-greatest find-word focus-text focus-text-2 form-sequence form-sequence-2 "
    "form-sequence-3 generate-number guess-number login-user login-user-popup multi-layouts multi-orderings "
    "navigate-tree number-checkboxes odd-or-even order-food phone-book read-table read-table-2 scroll-text "
    "scroll-text-2 search-engine simple-algebra simple-arithmetic social-media social-media-all social-media-some "
    "stock-market terminal text-editor text-transform tic-tac-toe unicode-test use-autocomplete "
    "use-autocomplete-nodelay use-spinner"
)


def _tagged() -> dict[str, tuple[str, ...]]:
    kinds = {"drag": _DRAG, "pointer": _POINTER, "vision": _VISION, "real-time": _REALTIME,
             "non-deterministic": _NONDETERMINISTIC}  # fmt: skip
    names = sorted({name for text in (*kinds.values(), _PLAIN) for name in text.split()})
    found = {name: tuple(tag for tag, text in kinds.items() if name in text.split()) for name in names}
    return {n: tags if set(tags) & {"drag", "pointer", "vision"} else ("text", *tags) for n, tags in found.items()}


TAGS: dict[str, tuple[str, ...]] = _tagged()
"""Task → its tags: `text` where the nodes and the twelve actions suffice; `pointer` where a place in a drawing is
pressed that is no node; `vision` where only a picture tells what is meant; `drag`; `real-time` where it goes on by
itself; `non-deterministic` where the package says that equal seeds may differ."""


def tasks_of(names: str) -> list[str]:
    """The tasks that names and tags with commas between them stand for; all where there is none.

    Raises:
        ConfigError: for a name that there is not.
    """
    groups = {tag: [t for t in TAGS if tag in TAGS[t]] for own in TAGS.values() for tag in own}
    return picked(names, [*TAGS], groups | {"scripted": [*SCRIPTS], "ladder": [*LADDER]}, "MiniWoB++")


# ------------------------------------------------------------------------------------- scripts for eight tasks
Script = Callable[[str, Sequence[Node], int], Action]
"""The next action of a goal, what is shown, and the number of the action."""


def _click(node: Node) -> Action:
    return action_of("click", {"ref": node.ref})


def _type(node: Node, text: str) -> Action:
    return action_of("type", {"ref": node.ref, "text": text, "enter": False})


def _find(nodes: Sequence[Node], name: str, *roles: str) -> Node:
    """The first node of a name, in small letters and without signs, that can be acted on; a wrong page raises."""
    for exact in (True, False):
        for n in nodes:
            same = n.name.lower().strip(" .") == name.lower().strip(" .") if exact else name.lower() in n.name.lower()
            if n.ref and same and (not roles or n.role in roles):
                return n
    raise ValueError(f"no {name!r} is shown")


def _quoted(goal: str) -> list[str]:
    return re.findall(r'"([^"]*)"', goal)


def _click_test(goal: str, nodes: Sequence[Node], k: int) -> Action:
    return _click(_find(nodes, "ONE", "button"))


def _click_button(goal: str, nodes: Sequence[Node], k: int) -> Action:
    return _click(_find(nodes, _quoted(goal)[0], "button"))


def _enter_text(goal: str, nodes: Sequence[Node], k: int) -> Action:
    return _type(_role(nodes, "textbox"), _quoted(goal)[0]) if k == 0 else _click(_find(nodes, "Submit", "button"))


def _role(nodes: Sequence[Node], role: str, at: int = 0) -> Node:
    return [n for n in nodes if n.role == role][at]


def _checkboxes(goal: str, nodes: Sequence[Node], k: int) -> Action:
    wanted = re.sub(r"^Select (.*) and click Submit\.?$", r"\1", goal).split(", ")
    left = [n for n in nodes if n.role == "checkbox" and n.name in wanted and "checked" not in n.states]
    return _click(left[0] if left else _find(nodes, "Submit", "button"))


def _login(goal: str, nodes: Sequence[Node], k: int) -> Action:
    return _type(_role(nodes, "textbox", k), _quoted(goal)[k]) if k < 2 else _click(_find(nodes, "Login", "button"))


def _choose(goal: str, nodes: Sequence[Node], k: int) -> Action:
    wanted = re.sub(r"^Select (.*) from the list and click Submit\.?$", r"\1", goal)
    return _type(_role(nodes, "combobox"), wanted) if k == 0 else _click(_find(nodes, "Submit", "button"))


def _tab(goal: str, nodes: Sequence[Node], k: int) -> Action:
    """Look for a link by its name; open the tabs in turn until it is there."""
    wanted = _quoted(goal)[0]
    links = [n for n in nodes if n.ref and n.role in ("text", "link", "generic")]
    bare = [n for n in links if n.name.strip(" .,") == wanted.strip(" .,")]
    for n in [*(n for n in links if n.name == wanted), *bare]:  # a goal may name a link with its full stop
        return _click(n)
    tabs = [n for n in nodes if re.fullmatch(r"Tab #\d", n.name) and n.role == "link"]
    return _click(tabs[min(k + 1, len(tabs) - 1)])


_SENDER = re.compile(r"\b(?:by|from) ([\w-]+)|([\w-]+) sent (?:to )?you|^([\w-]+) wants his or her message")


def _forward(goal: str, nodes: Sequence[Node], k: int) -> Action:
    """Open the e-mail of whom the sentence calls its sender, press Forward, write the other name, send."""
    found = _SENDER.search(goal)
    sender = next(filter(None, found.groups())) if found else ""
    if k == 0:
        return _click(_find(nodes, sender, "text"))
    if k == 2:
        to = [name for name in re.findall(r"\b[A-Z][\w-]+", goal) if name != sender][-1]
        return _type(_role(nodes, "textbox"), to)
    return _click(_find(nodes, "Forward" if k == 1 else "send-forward"))


SCRIPTS: dict[str, Script] = {
    "click-test-2": _click_test, "click-button": _click_button, "enter-text": _enter_text,
    "click-checkboxes": _checkboxes, "login-user": _login, "choose-list": _choose, "click-tab-2-easy": _tab,
    "email-inbox-forward-nl": _forward,
}  # fmt: skip
"""Tasks that have a script, in the order of their difficulty."""
LADDER = (
    "click-test-2", "click-button", "enter-text", "click-checkboxes", "login-user", "choose-list", "click-tab-2-easy",
    "email-inbox-forward-nl",
)  # fmt: skip
"""The eight that one small policy learns, whatever else gets a script."""
