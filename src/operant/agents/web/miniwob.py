"""MiniWoB++ (Shi et al. 2017, Liu et al. 2018) as a world: the pages of the package `miniwob`, reset inside the page.

`miniwob` has all tasks, `miniwob/click-test-2` one, `miniwob/text` those of a tag; `web/ladder` is another name of the
eight of `miniwob/ladder`, on which one small policy learns. Only the package's pages are used:
importing it would import Selenium. The display of past rewards and of the time is hidden, and the clock of an episode
is out of the way. Reward is 1 where the raw reward of the page, which does not fall with time, reaches `threshold`.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from operant.agents.options import made, number, one_of
from operant.agents.web.action import Action, Malformed
from operant.agents.web.browser import browser
from operant.agents.web.codecs import CODECS
from operant.agents.web.nodes import RENDERERS
from operant.agents.web.seen import Seen, prompt
from operant.agents.web.tabs import Answer, Tabs
from operant.agents.web.tasks import SCRIPTS, TAGS, tasks_of
from operant.config.errors import ConfigError, EnvError
from operant.language.episodes.world import Observation, Scenario, World

SIZE = (332, 260)
"""Pixels: a task is 160 wide and 210 high; some open lists beyond."""
SKIP = "#query, #reward-display, #sync-task-cover, #click-canvas"
DONE = ("WOB_DONE_GLOBAL", "WOB_RAW_REWARD_GLOBAL")
SCRIPTED = 10
"""Actions of a script at most: one that has not ended then fails."""
IDLE = 32
"""Contexts that wait for another episode of their task; beyond, one of another task goes to the page instead."""
TRIES = 3
"""Times that a script is played where its world breaks."""
FIRST_SEED = {"train": 0, "test": 1_000_000}
RESET = """async (seed) => {
  document.activeElement?.blur();
  Math.seedrandom(seed);
  core.EPISODE_MAX_TIME = 1e9;
  core.startEpisodeReal();
  for (let k = 0; !WOB_TASK_READY && k < 500; k++) await new Promise((done) => setTimeout(done, 10));
  for (const id of ["reward-display", "click-canvas"]) {
    const shown = document.getElementById(id);
    if (shown) shown.style.display = "none";
  }
  __operant.forget();
  const said = core.getUtterance();
  return said.utterance || said;
}"""
SYSTEM = "You do a task on a web page, which is shown as its nodes, with numbers in square brackets. {actions}"


def make(variant: str, **options: Any) -> World:
    """MiniWoB++.

    Args:
        variant: a task, or a tag; all tasks if empty.
        options: of `MiniWoB`.

    Raises:
        ConfigError: if there is none of that name, an option is none, or the package or a browser is missing.
    """
    return made(MiniWoB, "miniwob", {"tasks": variant} | options)


class Pages:
    """Answers with the files of a folder."""

    origin = "http://miniwob.test"

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """A file's content; 404 where there is none, or it lies elsewhere."""
        file = (self.folder / path.partition("?")[0].lstrip("/")).resolve()
        if method != "GET" or not file.is_relative_to(self.folder) or not file.is_file():
            return 404, "text/plain", b"not found"
        return 200, mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.read_bytes()


class MiniWoB:
    """The tasks of MiniWoB++ as a world; the scenarios of a split name every task in turn.

    Args:
        tasks: names or tags with commas between them; all if empty; `scripted` are those that have an oracle.
        codec: the grammar of actions: brackets, calls or tools.
        renderer: how a page is shown: tree, marks, aria or html.
        train, test: seeds of each task in each split.
        turns: actions of an episode.
        longest: characters of a page that are shown.
        threshold: the raw reward that is a success.
        terse: no system message, for policies that need no instructions and pay for every token.

    Raises:
        ConfigError: if an option is none, or the package, Playwright or a browser is missing.
    """

    splits: Sequence[str] = ("train", "test")
    draws = True

    def __init__(
        self, tasks: str = "", *, codec: str = "brackets", renderer: str = "tree", train: int = 100, test: int = 10,
        turns: int = 10, longest: int = 4000, threshold: float = 1.0, terse: bool = False,
    ) -> None:  # fmt: skip
        self.tasks = tasks_of(tasks)
        self.site, self.browser = Pages(_folder()), browser()
        self.name = f"miniwob/{tasks}" if tasks else "miniwob"
        self.codec, self.renderer = CODECS[one_of("codec", codec, CODECS)], one_of("renderer", renderer, RENDERERS)
        self.threshold = number("threshold", threshold, -1, 1)
        self.turns = number("turns", turns, 1, 1000, whole=True)
        self.longest = number("longest", longest, 100, 1_000_000, whole=True)
        self.counts = {"train": number("train", train, 1, 1_000_000, whole=True),
                       "test": number("test", test, 1, 1_000_000, whole=True)}  # fmt: skip
        self.system = "" if terse else SYSTEM.format(actions=self.codec.told)
        self.idle: dict[str, list[Tabs]] = {}
        self._said: dict[tuple[str, int], list[str]] = {}

    def scenarios(self, split: str) -> Sequence[Scenario]:
        """Every task with its first seed, then with its second; what is to be done, a page tells itself."""
        if split not in self.counts:
            raise ConfigError(f"{self.name} has no split {split!r}: there are train and test")
        return [
            Scenario(id=k * len(self.tasks) + i, template=task, seed=FIRST_SEED[split] + k, instruction="")
            for k in range(self.counts[split])
            for i, task in enumerate(self.tasks)
        ]

    def open(self, scenario: Scenario) -> MiniWoBSession:
        """A session with a context of its own while it lasts."""
        return MiniWoBSession(self, scenario)

    def oracle(self, scenario: Scenario) -> Sequence[str] | None:
        """The actions of a scripted agent that saw the pages as they came, played once; None where there is no script.

        A script that does not know its way ends there.

        Raises:
            EnvError: if the browser fails again and again.
        """
        if scenario.template not in SCRIPTS:
            return None
        key = (scenario.template, scenario.seed)
        for left in range(TRIES - 1, -1, -1):
            if key in self._said:
                break
            try:
                self._said[key] = self.browser.do(lambda: self._scripted(scenario))
            except EnvError:
                if not left:
                    raise
        return self._said[key]

    async def _scripted(self, scenario: Scenario) -> list[str]:
        session, said = MiniWoBSession(self, scenario), list[str]()
        script = SCRIPTS[scenario.template]
        try:
            await session.begin()
            for k in range(min(self.turns, SCRIPTED)):
                try:
                    action = script(session.goal, session.seen.nodes, k)
                except (ValueError, IndexError):  # what it looks for is not shown
                    break
                said.append(self.codec.write(action))
                if (await session.do(action)).terminated:
                    break
        finally:
            await session.end()
        return said

    async def tabs(self, task: str) -> Tabs:
        """A context at the page of a task: one that waits there, else one of another task, else a new one."""
        for waiting in self.idle.values():
            waiting[:] = [one for one in waiting if one.connected]  # the others ended with their browser
        own, path = self.idle.setdefault(task, []), f"/miniwob/{task}.html"
        if own:
            return own.pop()
        found: Tabs | None = None
        if sum(map(len, self.idle.values())) >= IDLE:
            found = max(self.idle.values(), key=len).pop(0)
        try:
            if found is not None:
                await found.begin(self.site, path)
                return found
            found = await Tabs(self.browser, self.site, width=SIZE[0], height=SIZE[1], skip=SKIP).open()
            await found.goto(path)
        except EnvError:
            if found is not None:
                await found.close()
            raise
        return found


class MiniWoBSession:
    """An episode.

    Attributes:
        goal: what the page asks for.
        seen: what it shows.
    """

    def __init__(self, world: MiniWoB, scenario: Scenario) -> None:
        self.world, self.scenario, self.left = world, scenario, world.turns
        self.goal = ""
        self.seen: Seen
        self._tabs: Tabs | None = None

    async def reset(self) -> Observation:
        """Begin."""
        return await self.world.browser.run(self.begin)

    async def step(self, action: str) -> Observation:
        """Do what a text says; what is no action is told so."""
        try:
            parsed = self.world.codec.read(action)
        except Malformed as error:
            self.left -= 1
            return self._told(str(error))
        return await self.world.browser.run(lambda: self.do(parsed))

    async def picture(self) -> bytes:
        """What is seen, as PNG with marks."""
        tabs = self._tabs
        assert tabs is not None
        return await self.world.browser.run(lambda: tabs.picture(self.seen.nodes))

    async def close(self) -> None:
        """Give the context back."""
        await self.world.browser.run(self.end)

    # ------------------------------------------------------------------------------------- on the browser's loop
    async def begin(self) -> Observation:
        """Take a context that has the page, or make one, and begin the episode inside the page."""
        self._tabs = await self.world.tabs(self.scenario.template)
        try:
            self.goal = re.sub(r"\s+", " ", str(await self._tabs.ask(RESET, self.scenario.seed)))
            self.seen = await self._tabs.look(DONE)
        except EnvError:
            await self.end()
            raise
        return self._told(None)

    async def do(self, action: Action) -> Observation:
        """Do an action, and see what came of it."""
        assert self._tabs is not None
        self.left -= 1
        if action.verb == "stop":
            return Observation(text="The episode is over.", terminated=True, info={"success": False})
        if action.verb in ("goto", "new_tab", "go_back", "go_forward"):
            return self._told(f"NAV_BLOCKED {action.verb}: the task is on this page")
        error = await self._tabs.act(action)
        self.seen = await self._tabs.look(DONE)
        return self._told(error)

    async def end(self) -> None:
        """Put the context back for others, or end it where it broke or is worn."""
        tabs, self._tabs = self._tabs, None
        if tabs is None:
            return
        tabs.used += 1
        if tabs.fit:
            self.world.idle[self.scenario.template].append(tabs)
        else:
            await tabs.close()

    def _told(self, error: str | None) -> Observation:
        done, raw = self.seen.values
        success = bool(done) and float(raw or 0.0) >= self.world.threshold
        text = prompt(self.goal, error, self.seen, self.world.renderer, self.world.longest)
        return Observation(
            text=text, reward=float(success), error=error, terminated=bool(done), truncated=not done and self.left <= 0,
            info={"success": success, "raw_reward": float(raw or 0.0), "tags": " ".join(TAGS[self.scenario.template])},
        )  # fmt: skip


@cache
def _folder() -> Path:
    found = find_spec("miniwob")
    if found is None or found.origin is None:
        raise ConfigError('miniwob needs a package: pip install "operant[web]"')
    return Path(found.origin).parent / "html"
