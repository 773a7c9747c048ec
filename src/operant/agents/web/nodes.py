"""One list of nodes of a page, and four renderings of it.

The list comes from a walk of the page's elements (`page.js`), never from the browser's accessibility tree, so that its
text does not change with the browser. Every line of a rendering begins with what the renderer writes; the page's own
words stand behind it, quoted, in one line and without signs that steer: no page can write a line of its own.
"""

from __future__ import annotations

import html
import io
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST = 200
"""Characters of a name or a value that are shown."""
FORMS = {"link": "a", "textbox": "input", "combobox": "select", "text": "span", "img": "img"}
"""Role → tag in pruned HTML, where an element has none of its own."""
VOID = ("input", "img")
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")


@dataclass(frozen=True, slots=True)
class Node:
    """An element, or a text between elements (its `ref` is empty)."""

    ref: str  # "e12": the same while the element lives
    role: str
    name: str
    value: str
    states: tuple[str, ...]  # of checked, disabled, expanded, focused, pressed, readonly, required, selected
    box: tuple[int, int, int, int]  # left, top, width, height in pixels of the viewport
    visible: bool  # in the viewport
    clickable: bool
    depth: int
    tag: str = ""

    @property
    def number(self) -> str:
        """The ref without its letter."""
        return self.ref.removeprefix("e")


def node_of(seen: Mapping[str, Any]) -> Node:
    """A node as the walk of a page tells it; the page may have had a hand in it."""
    box = [int(side) for side in seen["box"]]
    role = re.sub(r"[^a-z]", "", str(seen["role"]).lower())[:20] or "generic"
    return Node(
        ref=str(seen["ref"]) if re.fullmatch(r"e\d{1,9}", str(seen["ref"])) else "", role=role,
        name=one_line(seen["name"]), value=one_line(seen["value"]), states=tuple(map(str, seen["states"])),
        box=(box[0], box[1], box[2], box[3]), visible=bool(seen["visible"]), clickable=bool(seen["clickable"]),
        depth=int(seen["depth"]), tag=re.sub(r"[^a-z0-9]", "", str(seen["tag"])),
    )  # fmt: skip


def one_line(text: Any, longest: int = LONGEST) -> str:
    """A page's words in one line, without signs of control and of direction, and of bounded length."""
    plain = "".join(sign if unicodedata.category(sign)[0] != "C" else " " for sign in str(text)[: 4 * longest])
    plain = " ".join(plain.split())
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def quoted(text: str) -> str:
    """Words between quotation marks."""
    return json.dumps(text, ensure_ascii=False)


def accessibility_tree(nodes: Sequence[Node]) -> list[str]:
    """Lines of a tree, `[12] button "Add" focused`, a tab before a line for each level."""
    return ["\t" * n.depth + _line(n) for n in nodes]


def _line(n: Node) -> str:
    role = "StaticText" if n.role == "text" else n.role
    parts = [f"[{n.number}]" if n.ref else "", role, quoted(n.name) if n.name else ""]
    parts += [f"value={quoted(n.value)}" if n.value else "", *n.states]
    return " ".join(filter(None, parts))


def marks(nodes: Sequence[Node]) -> list[str]:
    """What a picture with marks is told by: `[7] [BUTTON] [Add]` for what can be clicked, `[] [StaticText] [words]`."""
    found = [f"[{n.number}] [{(n.tag or n.role).upper()}] [{_bracketed(n)}]" for n in marked(nodes)]
    texts = [n.name for n in nodes if n.role == "text" and n.visible and not n.clickable]
    return found + [f"[] [StaticText] [{_plain(text)}]" for text in dict.fromkeys(texts)]


def _bracketed(n: Node) -> str:
    return _plain(" ".join(filter(None, (n.name, n.value, *n.states))))


def _plain(text: str) -> str:
    return text.replace("[", "(").replace("]", ")")


def marked(nodes: Sequence[Node]) -> list[Node]:
    """The nodes that a picture marks: in the viewport, to be clicked, and of a size that can be seen."""
    return [n for n in nodes if n.visible and n.clickable and n.ref and n.box[2] >= 4 and n.box[3] >= 4]


def marked_picture(picture: bytes, nodes: Sequence[Node]) -> bytes:
    """Set-of-Marks (Yang et al. 2023): a picture of the viewport as PNG, with a box and a number on each node."""
    from PIL import Image, ImageDraw

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    draw, taken = ImageDraw.Draw(image), list[tuple[float, float, float, float]]()
    for k, n in enumerate(marked(nodes)):
        x, y, w, h = n.box
        colour = COLOURS[k % len(COLOURS)]
        draw.rectangle((x, y, x + w, y + h), outline=colour, width=2)
        left, top, right, bottom = draw.textbbox((0, 0), n.number)
        wide, high = right - left + 4, bottom - top + 4
        corners = [(x, y - high), (x, y), (x + w - wide, y), (x, y + h - high), (x + w - wide, y + h - high)]
        spots = [(a, b, a + wide, b + high) for a, b in corners if 0 <= a <= image.width - wide and b >= 0]
        free = [s for s in spots if not any(_overlap(s, other) for other in taken)]
        spot = (free or spots or [(x, y, x + wide, y + high)])[0]
        taken.append(spot)
        draw.rectangle(spot, fill=colour)
        draw.text((spot[0] + 2 - left, spot[1] + 2 - top), n.number, fill="white")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def aria_yaml(nodes: Sequence[Node]) -> list[str]:
    """Lines of YAML, `- button "Add" [ref=e12] [focused]`, two spaces before a line for each level."""
    found: list[str] = []
    for n, after in zip(nodes, [*nodes[1:], None], strict=True):
        if n.role == "text" and not n.ref:
            found.append("  " * n.depth + f"- text: {quoted(n.name)}")
            continue
        said = " ".join([n.role, *([quoted(n.name)] if n.name else [])])
        said += "".join(f" [{state}]" for state in (f"ref={n.ref}", *n.states))
        said += f": {quoted(n.value)}" if n.value else ":" if after is not None and after.depth > n.depth else ""
        found.append("  " * n.depth + f"- {said}")
    return found


def pruned_html(nodes: Sequence[Node]) -> list[str]:
    """Lines of HTML with the elements of the list alone, closed where the next line is not inside."""
    found: list[str] = []
    open_: list[tuple[int, str]] = []
    for n in nodes:
        while open_ and open_[-1][0] >= n.depth:
            found[-1] += f"</{open_.pop()[1]}>"
        if not n.ref:
            found.append(" " * n.depth + f"<text>{html.escape(n.name, quote=False)}</text>")
            continue
        tag = n.tag or FORMS.get(n.role, "div")
        about = {"ref": n.ref, "value": n.value} | ({"name": n.name} if tag in (*VOID, "select", "textarea") else {})
        said = "".join(f' {key}="{html.escape(value)}"' for key, value in about.items() if value)
        said += "".join(f" {state}" for state in n.states)
        found.append(" " * n.depth + f"<{tag}{said}>" + ("" if "name" in about else html.escape(n.name, quote=False)))
        if tag not in VOID:
            open_.append((n.depth, tag))
    while open_:
        found[-1] += f"</{open_.pop()[1]}>"
    return found


RENDERERS: dict[str, Callable[[Sequence[Node]], list[str]]] = {
    "tree": accessibility_tree, "marks": marks, "aria": aria_yaml, "html": pruned_html,
}  # fmt: skip


def rendered(nodes: Sequence[Node], renderer: str, longest: int) -> str:
    """A rendering of at most so many characters: what is outside of the viewport goes first, then the end."""
    lines = RENDERERS[renderer](nodes)
    if sum(map(len, lines)) + len(lines) > longest:
        inside = [n for n in nodes if n.visible]
        lines = [*RENDERERS[renderer](inside), f"({len(nodes) - len(inside)} outside: scroll)"]
    room, kept = longest, list[str]()
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            return "\n".join([*kept, f"({len(lines) - len(kept)} lines left out)"])
        kept.append(line)
    return "\n".join(kept)
