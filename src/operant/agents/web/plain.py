"""Tabs without a browser, for sites of plain HTML: the nodes, actions and errors of Chromium's, at less cost.

Pages have no script and no style that hides anything; what it reads are headings, paragraphs, links, pictures, and
forms of lines, areas, lists and buttons. There is no viewport: all of a page is in view. A test holds it to Chromium.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from operant.agents.web.action import Action
from operant.agents.web.browser import own
from operant.agents.web.nodes import Node, node_of, one_line, quoted
from operant.agents.web.seen import Seen
from operant.agents.web.tabs import NODES, TABS, WHY, Site

ROLES = {"a": "link", "button": "button", "h1": "heading", "img": "img", "input": "textbox", "textarea": "textbox",
         "select": "combobox", "option": "option"}  # fmt: skip
NAMED = ("link", "button", "heading", "option")
"""Roles whose name is their text."""
BLANK = "about:blank"


@dataclass(eq=False)
class Element:
    """An element of a page."""

    tag: str
    about: dict[str, str]
    depth: int
    form: dict[str, str] | None
    text: str = ""
    inside: list[Element] = field(default_factory=list["Element"])
    children: bool = False
    chosen: str = ""  # of a list
    ref: str = ""

    @property
    def role(self) -> str:
        """What it is; empty where it is only a place for others."""
        return ROLES.get(self.tag, "text" if self.text and not self.children else "")


class Page(HTMLParser):
    """A page as it was read, with what was typed into it since."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.title, self.focused = "", None
        self.focused: Element | None = None
        self._open: list[Element] = []
        self._form: dict[str, str] | None = None
        self.feed(html)
        self.close()
        self.shown = [one for one in self.elements if one.role][:NODES]
        for k, one in enumerate(self.shown, 1):
            one.ref = f"e{k}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        about = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = about
            return
        for one in self._open:
            one.children = True
        made = Element(tag, about, int(tag == "option"), self._form, chosen=about.get("value", ""))
        if tag == "option" and self._open:
            self._open[-1].inside.append(made)
        self.elements.append(made)
        if tag not in ("img", "input", "meta", "link", "br"):
            self._open.append(made)

    def handle_endtag(self, tag: str) -> None:
        """An element, or a form, ends."""
        if tag == "form":
            self._form = None
        elif self._open and self._open[-1].tag == tag:
            one = self._open.pop()
            one.text = one.text if tag == "textarea" else " ".join(one.text.split())
            if tag == "textarea":
                one.chosen = one.text
            elif tag == "select" and one.inside:
                one.chosen = next((o for o in one.inside if "selected" in o.about), one.inside[0]).text
            elif tag == "title":
                self.title = one.text
            if tag in ("title", "style", "script"):
                one.text = ""

    def handle_data(self, data: str) -> None:
        """Text, of the innermost element."""
        if self._open:
            self._open[-1].text += data

    def nodes(self) -> list[Node]:
        """What is seen."""
        return [node_of(self._told(one)) for one in self.shown]

    def _told(self, one: Element) -> dict[str, Any]:
        role, states = one.role, ["focused"] * (one is self.focused)
        if role == "option":
            states += ["selected"] * any(one in s.inside and s.chosen == one.text for s in self.elements)
        named = one.text if role in NAMED or role == "text" else ""
        name = one.about.get("aria-label") or one.about.get("alt") or named
        value = one.chosen if role in ("textbox", "combobox") else ""
        return {"ref": one.ref, "role": role, "name": name[:300], "value": " ".join(value.split())[:300],
                "states": states, "box": (0, 0, 40, 20), "visible": True, "depth": one.depth, "tag": one.tag,
                "clickable": role not in ("text", "heading", "img")}  # fmt: skip

    def sent(self, form: dict[str, str]) -> str:
        """A form's fields as they are sent."""
        inputs = [one for one in self.elements if one.form is form and one.tag in ("input", "select", "textarea")]
        return urlencode([(one.about["name"], one.chosen.replace("\n", "\r\n")) for one in inputs])


class PlainTabs:
    """The tabs of an episode, as `Tabs`; its coroutines never wait.

    Args:
        site: what answers.
    """

    def __init__(self, site: Site) -> None:
        self.site, self.ok, self.used = site, True, 0
        self.pages: list[_Tab] = [_Tab()]
        self.at = 0

    async def open(self) -> PlainTabs:
        """Nothing needs to be made."""
        return self

    async def close(self) -> None:
        """Nothing is held."""

    async def begin(self, site: Site, path: str) -> None:
        """Go to a path of a site in one tab without a past."""
        self.site, self.pages, self.at = site, [_Tab()], 0
        self._go(site.origin + path)

    async def look(self, values: Sequence[str] = ()) -> Seen:
        """What the current tab shows."""
        tab = self.pages[self.at]
        return Seen(nodes=tab.page.nodes(), title=one_line(tab.page.title), url=tab.url, values=[None for _ in values])

    async def act(self, action: Action) -> str | None:
        """Do an action other than `stop`; its error in one line."""
        return self._on(action) if action.ref else self._do(action)

    # ----------------------------------------------------------------------------------------------- what is done
    def _on(self, action: Action) -> str | None:
        page = self.pages[self.at].page
        number = int(action.ref.removeprefix("e"))
        if not 0 < number <= len(page.shown):
            return f"UNKNOWN_REF {action.ref}: {WHY['UNKNOWN_REF']}"
        one = page.shown[number - 1]
        if action.verb == "hover":
            return None
        if action.verb == "type":
            return self._type(page, one, action)
        page.focused = one if one.tag in ("input", "textarea", "select", "button", "a") else None
        if one.tag == "a":
            self._go(urljoin(self.pages[self.at].url, one.about.get("href", "")))
        elif one.tag == "button" and one.form is not None:
            self._send(page, one.form)
        elif one.tag == "option":
            self._choose(page, one)
        return None

    def _type(self, page: Page, one: Element, action: Action) -> str | None:
        if one.tag not in ("input", "textarea", "select"):
            return f"NOT_EDITABLE {action.ref}: {WHY['NOT_EDITABLE']}"
        if one.tag == "select":
            wanted = action.text.strip().lower()
            option = next((o for o in one.inside if o.text.lower() == wanted), None)
            if option is None:
                return f"NO_OPTION {action.ref}: {WHY['NO_OPTION']}"
            self._choose(page, option)
            return None
        page.focused = one
        text, newline, _ = action.text.partition("\n") if one.tag == "input" else (action.text, "", "")
        one.chosen = text
        if one.tag == "textarea":
            one.chosen += "\n" * action.enter
        elif (action.enter or newline) and one.form is not None:
            self._send(page, one.form)
        return None

    def _choose(self, page: Page, option: Element) -> None:
        for one in page.elements:
            if option in one.inside:
                one.chosen = option.text

    def _do(self, action: Action) -> str | None:
        tab = self.pages[self.at]
        match action.verb:
            case "press":
                one = tab.page.focused
                if (
                    action.text == "Enter"
                    and one is not None
                    and one.tag in ("input", "button")
                    and one.form is not None
                ):
                    self._send(tab.page, one.form)
            case "goto":
                if not own(action.text, self.site.origin):
                    return f"NAV_BLOCKED {quoted(one_line(action.text, 80))}: only {self.site.origin} can be reached"
                self._go(action.text)
            case "go_back" | "go_forward":
                to = tab.number + (1 if action.verb == "go_forward" else -1)
                if 0 <= to < len(tab.past):
                    tab.number = to
                    self._load(tab.past[to])
            case "new_tab":
                if len(self.pages) >= TABS:
                    return f"NO_TAB there are {TABS} tabs: close one"
                self.pages.append(_Tab())
                self.at = len(self.pages) - 1
            case "tab_focus":
                if action.tab >= len(self.pages):
                    return f"NO_TAB {action.tab}: there are {len(self.pages)}, from 0 on"
                self.at = action.tab
            case "close_tab":
                if len(self.pages) == 1:
                    return "NO_TAB the last tab stays open"
                del self.pages[self.at]
                self.at = len(self.pages) - 1
            case _:
                pass
        return None

    def _send(self, page: Page, form: dict[str, str]) -> None:
        url = urljoin(self.pages[self.at].url, form.get("action", ""))
        if form.get("method") == "post":
            self._go(url, page.sent(form).encode())
        else:
            self._go(f"{url.partition('?')[0]}?{page.sent(form)}")

    def _go(self, url: str, body: bytes | None = None) -> None:
        """Load a page, after those that came before."""
        if not own(url, self.site.origin):
            return
        tab = self.pages[self.at]
        url = self._load(url, body)
        tab.past = [*tab.past[: tab.number + 1], url]
        tab.number = len(tab.past) - 1

    def _load(self, url: str, body: bytes | None = None) -> str:
        """Load a page, or where it leads; returns its address."""
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        status, kind, answer = self.site.answer("GET" if body is None else "POST", path or "/", body or b"")
        if 300 <= status < 400:
            return self._load(urljoin(url, answer.decode()))
        tab = self.pages[self.at]
        tab.url, tab.page = url, Page(answer.decode("utf-8", "replace") if kind.startswith("text/html") else "")
        return url


class _Tab:
    """A tab: where it is, what it shows, and where it was."""

    def __init__(self) -> None:
        self.url, self.page = BLANK, Page("")
        self.past: list[str] = []
        self.number = -1
