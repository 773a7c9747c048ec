"""The tabs of a context: actions are done in them, and what they show is looked at once it has come to rest."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import urlsplit

from operant.agents.web.action import Action
from operant.agents.web.browser import Browser, first_line, own
from operant.agents.web.nodes import Node, marked_picture, node_of, one_line, quoted
from operant.agents.web.seen import Seen
from operant.config.errors import EnvError
from operant.language.episodes.world import SharedFault

ACTING = 10.0
"""Seconds of an action and of a look together; a page that takes longer hangs, which is a fault of the world."""
LOADING = 30.0
"""Seconds of the first page of an episode."""
RESTING = 1.0
"""Seconds at most until a page has come to rest; what still moves then is looked at as it is."""
NODES = 2000
TABS = 8
RECYCLED = 200
"""Episodes after which a context is made anew."""
WAITED = ("document", "xhr", "fetch", "script", "stylesheet", "image")
"""Kinds of requests that a page is not at rest without; a picture takes room once it is there."""
MOVED = ("Execution context was destroyed", "Cannot find context", "navigat", "__operant", "frame was detached")
"""What is said where a page went elsewhere under a question."""
WHY = {
    "UNKNOWN_REF": "no node has this number: take one that is shown",
    "STALE_REF": "the node is gone from the page",
    "HIDDEN": "the node cannot be seen",
    "DISABLED": "the node is disabled",
    "NOT_EDITABLE": "nothing can be typed into the node",
    "NO_OPTION": "the list has no such option",
    "BAD_VALUE": "the field takes no such value",
}
"""Error → what it means, behind it in one line."""
Answer = tuple[int, str, bytes]
"""Status, type of content, and content."""


class Site(Protocol):
    """What answers a context's requests, in this process."""

    origin: str  # "http://shop.test": all that can be reached

    def answer(self, method: str, path: str, body: bytes) -> Answer: ...


class Tabs:
    """A context with its tabs; all methods run on the browser's loop.

    Args:
        browser: whose context it is.
        site: what answers.
        width, height: of the viewport.
        skip: selector of elements that are not shown.

    Attributes:
        pages, current: the tabs, and the one that is acted in.
        used: episodes that were played in it; counted by whoever plays.
    """

    def __init__(self, browser: Browser, site: Site, *, width: int, height: int, skip: str = "") -> None:
        self.browser, self.site, self.skip, self.size = browser, site, skip, {"width": width, "height": height}
        self.pages: list[Any] = []
        self.current: Any = None
        self.used, self.ok = 0, True
        self._context: Any = None
        self._told: list[str] = []
        self._asked: set[Any] = set()
        self._calm = asyncio.Event()

    async def open(self) -> Tabs:
        """Make the context, with one empty tab."""
        async with self.browser.opening:
            self._context = await self.browser.context(viewport=self.size, locale="en-US", timezone_id="UTC")
            async with _Guard(self, LOADING):
                page = files("operant.agents.web").joinpath("page.js").read_text(encoding="utf-8")
                await self._context.add_init_script(page)
                await self._context.route(re.compile(""), self._answer)
                self._context.on("page", self._opened)
                self._context.on("request", self._asks)
                self._context.on("requestfinished", self._answered)
                self._context.on("requestfailed", self._answered)
                await self._context.new_page()
        return self

    @property
    def connected(self) -> bool:
        """Whether the browser that the context is of still runs; another may have been started since."""
        return self._context is None or self._context.browser.is_connected()

    @property
    def fit(self) -> bool:
        """Whether another episode can be played in it."""
        return self.ok and self.connected and self.used < RECYCLED and len(self.pages) == 1

    async def close(self) -> None:
        """End the context; one that does not end is left to the browser."""
        self.ok = False
        try:
            async with asyncio.timeout(RESTING):
                await self._context.close()
        except (self.browser.package.Error, TimeoutError):
            return

    async def evaluate(self, script: str, value: Any = None) -> Any:
        """What a function says in the current tab, also where the tab is just going elsewhere."""
        for attempt in range(5):
            try:
                return await self.current.evaluate(script, value)
            except self.browser.package.Error as error:
                if attempt == 4 or not any(sign in str(error) for sign in MOVED):
                    raise
                await self.current.wait_for_load_state("domcontentloaded")

    async def goto(self, path: str) -> None:
        """Go to a path of the site."""
        async with _Guard(self, LOADING):
            await self.current.goto(self.site.origin + path, wait_until="load", timeout=1000 * LOADING)

    async def begin(self, site: Site, path: str) -> None:
        """Go to a path of another site of the same origin, and forget what was visited before."""
        self.site = site
        await self.goto(path)
        async with _Guard(self):
            protocol = await self._context.new_cdp_session(self.current)
            await protocol.send("Page.resetNavigationHistory")
            await protocol.detach()
        self._told = []

    async def ask(self, script: str, value: Any = None) -> Any:
        """What a function of ours says in the current tab."""
        async with _Guard(self):
            return await self.evaluate(script, value)

    async def look(self, values: Sequence[str] = ()) -> Seen:
        """What the current tab shows, once it has come to rest: no request under way, no change in a frame.

        Args:
            values: names of the page's variables that are told, too.

        Raises:
            EnvError: if the page hangs or the browser died: a fault of the world.
        """
        asked = {"skip": self.skip, "limit": NODES, "cap": 1000 * RESTING, "globals": [*values]}
        async with _Guard(self):
            until = asyncio.get_running_loop().time() + RESTING
            while True:
                seen = await self.evaluate("asked => window.__operant.look(asked)", asked)
                left = until - asyncio.get_running_loop().time()
                if any(one.resource_type == "document" for one in self._asked):  # a page that is not there yet
                    left = max(left, RESTING)
                if not (self._asked or seen["leaving"]) or left <= 0:
                    break
                if not self._asked:
                    await asyncio.sleep(0.005)  # the page is about to be left
                    continue
                self._calm.clear()
                try:
                    await asyncio.wait_for(self._calm.wait(), left)
                except TimeoutError:
                    self._asked = {one for one in self._asked if one.resource_type == "document"}
        told, self._told = self._told, []
        return Seen(nodes=[node_of(n) for n in seen["nodes"]], title=one_line(seen["title"]), url=self.current.url,
                    values=seen["globals"], told=told)  # fmt: skip

    async def picture(self, marks: Sequence[Node] = ()) -> bytes:
        """The viewport as PNG, with a number on each of these nodes that can be clicked."""
        async with _Guard(self):
            seen = await self.current.screenshot()
        return marked_picture(seen, marks) if marks else seen

    async def act(self, action: Action) -> str | None:
        """Do an action other than `stop`; its error in one line.

        Raises:
            EnvError: if the page hangs or the browser died: a fault of the world.
        """
        async with _Guard(self):
            try:
                if action.ref:
                    return await self._at(action)
                return await self._do(action)
            except self.browser.package.TimeoutError as error:
                raise EnvError(f"the page takes too long: {first_line(error)}") from error

    async def _at(self, action: Action) -> str | None:
        """An action on a node: where it lands is looked for first, and what lies on top is told."""
        n = int(action.ref.removeprefix("e"))
        aim = await self.evaluate("n => window.__operant.aim(n)", n)
        error, kind = aim.get("error"), aim.get("kind")
        if error == "COVERED":
            name = f" {quoted(one_line(aim['name'], 60))}" if aim["name"] else ""
            return f"COVERED by {one_line(aim['role'], 20)}{name} ({one_line(aim['ref'], 12)})"
        if error is None and action.verb == "type" and kind in ("none", "option"):
            error = "NOT_EDITABLE"
        if error is not None:
            return f"{error} {action.ref}: {WHY[error]}"
        if kind == "option" and action.verb == "hover":
            return None
        if kind == "option" or (action.verb == "type" and kind in ("select", "set")):
            error = await self.evaluate("([n, text]) => window.__operant.choose(n, text)", [n, action.text])
            return f"{error} {action.ref}: {WHY[error]}" if error else None
        mouse = self.current.mouse
        if action.verb == "hover":
            await mouse.move(aim["x"], aim["y"])
        elif kind == "select":  # its list would open in a window of the system's
            await self.evaluate("n => window.__operant.mark(n)", n)
        else:
            await mouse.click(aim["x"], aim["y"])
        if action.verb == "type":
            await self.evaluate("n => window.__operant.mark(n)", n)
            await (self.current.keyboard.type(action.text) if action.text else self.current.keyboard.press("Delete"))
            if action.enter:
                await self.current.keyboard.press("Enter")
        return None

    async def _do(self, action: Action) -> str | None:
        """An action on the tab as a whole."""
        match action.verb:
            case "press":
                await self.current.keyboard.press(action.text)
            case "scroll":
                sign = 1 if action.text == "down" else -1
                await self.evaluate("sign => window.scrollBy(0, sign * 0.8 * window.innerHeight)", sign)
            case "goto":
                if not own(action.text, self.site.origin):
                    return f"NAV_BLOCKED {quoted(one_line(action.text, 80))}: only {self.site.origin} can be reached"
                await self.current.goto(action.text, wait_until="domcontentloaded")
            case "go_back":
                await self.current.go_back(wait_until="domcontentloaded")
            case "go_forward":
                await self.current.go_forward(wait_until="domcontentloaded")
            case "new_tab":
                if len(self.pages) >= TABS:
                    return f"NO_TAB there are {TABS} tabs: close one"
                await self._context.new_page()
            case "tab_focus":
                if action.tab >= len(self.pages):
                    return f"NO_TAB {action.tab}: there are {len(self.pages)}, from 0 on"
                self.current = self.pages[action.tab]
                await self.current.bring_to_front()
            case _:
                if len(self.pages) == 1:
                    return "NO_TAB the last tab stays open"
                await self.current.close()
        return None

    # ------------------------------------------------------------------------------------------- what happens
    async def _answer(self, route: Any, request: Any) -> None:
        if not own(request.url, self.site.origin):
            self._tell(f"NAV_BLOCKED {quoted(one_line(request.url, 80))}")
            await route.abort("aborted")
            return
        parts = urlsplit(request.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        status, kind, body = self.site.answer(request.method, path, request.post_data_buffer or b"")
        if 300 <= status < 400:  # where a redirect leads is asked of no route: the page itself goes there
            there = json.dumps(body.decode()).replace("<", "\\u003c")
            status, kind, body = 200, "text/html", f"<script>location.replace({there})</script>".encode()
        await route.fulfill(status=status, content_type=kind, body=body)

    def _opened(self, page: Any) -> None:
        if len(self.pages) >= TABS:
            self._closing = asyncio.ensure_future(page.close())
            self._tell("a tab too many was closed")
            return
        if self.pages:
            self._tell(f"tab {len(self.pages)} was opened")
        self.pages.append(page)
        self.current = page
        page.set_default_timeout(900 * ACTING)
        page.on("dialog", self._dialog)
        page.on("download", self._downloads)
        page.on("crash", self._crashed)
        page.on("close", self._closed)

    def _closed(self, page: Any) -> None:
        if page in self.pages and len(self.pages) > 1:
            self.pages.remove(page)
            if self.current is page:
                self.current = self.pages[-1]

    async def _dialog(self, dialog: Any) -> None:
        said = f"dialog {one_line(dialog.type, 20)} {quoted(one_line(dialog.message, 100))}"
        if dialog.type in ("alert", "beforeunload"):
            self._tell(f"{said} accepted")
            await dialog.accept()
        else:
            self._tell(f"{said} dismissed")
            await dialog.dismiss()

    def _downloads(self, one: Any) -> None:
        self._tell(f"download of {quoted(one_line(one.suggested_filename, 60))} refused")

    def _crashed(self, _: Any) -> None:
        self.ok = False

    def _tell(self, what: str) -> None:
        if len(self._told) < 5:
            self._told.append(what)

    def _asks(self, request: Any) -> None:
        if request.resource_type in WAITED:
            self._asked.add(request)

    def _answered(self, request: Any) -> None:
        self._asked.discard(request)
        if not self._asked:
            self._calm.set()


class _Guard:
    """Makes what a browser raises, and a page that hangs, a fault of the world, after which the tabs are not used."""

    def __init__(self, tabs: Tabs, seconds: float | None = None) -> None:
        self.seconds = ACTING if seconds is None else seconds
        self.tabs, self.timeout = tabs, asyncio.timeout(self.seconds)

    async def __aenter__(self) -> None:
        await self.timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            await self.timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            self.tabs.ok = False
            raise EnvError(f"the page hangs: nothing came back within {self.seconds:g} s") from error
        if error is not None:
            self.tabs.ok = False
        if isinstance(error, self.tabs.browser.package.Error):
            kind_of = EnvError if self.tabs.connected else SharedFault
            raise kind_of(f"the browser fails: {first_line(error)}") from error
