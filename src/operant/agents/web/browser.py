"""One browser of this process, on an event loop in a thread of its own, so that it outlives whoever plays.

Contexts share its process and nothing else. It reaches no network: what a context asks for is answered by its site, in
this process, or refused, and whatever no context sees (sockets, the browser's own requests) meets a proxy that is not
there.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from operant.config.errors import ConfigError, EnvError
from operant.config.text import home_path

T = TypeVar("T")
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/usr/lib/chromium/chromium-headless-shell",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
DOWNLOADED = (
    "chromium*/chrome-*/headless_shell",
    "chromium*/chrome-*/chrome-headless-shell",
    "chromium*/chrome-*/chrome",
)
VARIABLE = "OPERANT_BROWSER"
FIX = f"install Debian's chromium-headless-shell, or playwright install chromium, or name one in {VARIABLE}"
FLAGS = (
    "--proxy-server=http://127.0.0.1:9",  # nobody listens there
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
)
STARTING = 60.0
"""Seconds that the browser may take to start."""
CLOSING = 5.0
OPENING = 4
"""Contexts that are opened at once: many make each of them slow, and one that is too slow counts as broken."""


def browser_path() -> Path | None:
    """Where a browser is: the one named in the environment, an installed one, or one that Playwright downloaded."""
    if named := os.environ.get(VARIABLE):
        return Path(named) if Path(named).is_file() else None
    for place in (*PLACES, *map(shutil.which, NAMES)):  # what is on the path may be a script that starts it
        if place and Path(place).is_file():
            return Path(place)
    homes = [os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright", "~/Library/Caches/ms-playwright"]
    found = [p for home in homes for kind in DOWNLOADED for p in sorted(home_path(home).glob(kind))]
    return found[-1] if found else None


class Browser:
    """The browser, started when it is first needed, and again where it died.

    Raises:
        ConfigError: if Playwright or a browser is missing.
    """

    def __init__(self) -> None:
        try:
            import playwright.async_api as playwright
        except ImportError as error:
            raise ConfigError(f'a browser needs a package ({error}): pip install "operant[web]"') from None
        path = browser_path()
        if path is None:
            raise ConfigError(f"no browser was found: {FIX}")
        self.path, self.package = path, playwright
        self._driver: Any = None
        self._process: Any = None
        self._loop = asyncio.new_event_loop()
        self._starting = asyncio.Lock()
        self.opening = asyncio.Semaphore(OPENING)
        threading.Thread(target=self._loop.run_forever, name="browser", daemon=True).start()
        atexit.register(self.close)

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the browser's loop, from another loop.

        Raises:
            RuntimeError: where no loop runs; nothing has begun then.
        """
        asyncio.get_running_loop()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self._loop))

    def do(self, work: Callable[[], Coroutine[Any, Any, T]], timeout: float | None = None) -> T:
        """Run a coroutine on the browser's loop, and wait for it where no loop runs."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(timeout)

    async def context(self, **options: Any) -> Any:
        """A new context; on the browser's loop.

        Raises:
            EnvError: if the browser does not start, or died: a fault of the world.
        """
        try:
            async with self._starting, asyncio.timeout(STARTING):
                if self._process is None or not self._process.is_connected():
                    await self._start()
                process: Any = self._process
                return await process.new_context(service_workers="block", accept_downloads=False, **options)
        except (self.package.Error, OSError, TimeoutError) as error:
            raise EnvError(f"{self.path}: the browser fails ({first_line(error)})") from error

    async def _start(self) -> None:
        try:
            if self._driver is None:
                self._driver = await self.package.async_playwright().start()
            root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
            launch = self._driver.chromium.launch
            self._process = await launch(executable_path=str(self.path), args=[*FLAGS, *root], timeout=1000 * STARTING)
        except BaseException:
            self._driver, self._process = None, None  # begun anew by whoever comes next
            raise

    def close(self) -> None:
        """End the browser, and its loop."""
        if self._loop.is_running():
            with suppress(Exception):  # it dies with this process
                self.do(self._end, CLOSING)
            self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self) -> None:
        process, driver, self._process, self._driver = self._process, self._driver, None, None
        if process is not None:
            await process.close()
        if driver is not None:
            await driver.stop()


def browser() -> Browser:
    """The browser of this process."""
    return _browser(os.getpid())


@cache
def _browser(pid: int) -> Browser:
    del pid  # a fork has no thread
    return Browser()


def first_line(error: BaseException | None) -> str:
    """What an error says, without the log of calls behind it."""
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]


def own(url: str, origin: str) -> bool:
    """Whether an address is of an origin."""
    try:
        parts, home = urlsplit(url), urlsplit(origin)
    except ValueError:
        return False
    return (parts.scheme, parts.netloc) == (home.scheme, home.netloc)
