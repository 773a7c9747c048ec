"""Tasks of BrowserGym's form: `browsergym/miniwob.click-test` of an installed package, or `browsergym/FILE.py:make`.

An environment of that form has `reset(seed=)` and `step(call)` of Gymnasium, and observes `goal_object`,
`axtree_object`, `extra_element_properties` and `last_action_error` (version 0.14). Pages are shown and actions are read
as in all worlds of the web here; what is handed on is a call whose values are literals, since BrowserGym runs it as
code. It has one browser driver for a process, bound to the thread that began it, so episodes are played one at a time.
Naming one imports its code.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from operant.agents.options import made, number, one_of
from operant.agents.web.action import UNACHIEVABLE, Action, Malformed, action_of
from operant.agents.web.codecs import CODECS, write_calls
from operant.agents.web.nodes import RENDERERS, Node, one_line
from operant.agents.web.seen import Seen, prompt
from operant.config.errors import ConfigError, EnvError
from operant.language.episodes.world import Observation, Scenario, World
from operant.workers.resolve import own_code

T = TypeVar("T")
SYSTEM = "You do a task on web pages, which are shown as their nodes, with numbers in square brackets. {actions}"
STATES = ("checked", "disabled", "expanded", "focused", "pressed", "readonly", "required", "selected")
PRESSED = (
    "button",
    "link",
    "checkbox",
    "radio",
    "textbox",
    "searchbox",
    "combobox",
    "listbox",
    "option",
    "tab",
    "menuitem",
)
LEFT_OUT = ("InlineTextBox", "LineBreak", "RootWebArea", "none", "presentation")
CHOSEN = ("combobox", "listbox")
VISIBLE = 0.5
"""Share of a node in the viewport from which it counts as seen."""
FRAMED = 1_000_000
"""Numbers of nodes inside of frames, whose names have letters, begin here."""


def make(variant: str, **options: Any) -> World:
    """A task of BrowserGym by its name, `miniwob.click-test`, or what makes one, `module:callable`, `file.py:callable`.

    Raises:
        ConfigError: if there is none of that name, or an option is none.
    """
    if not variant:
        raise ConfigError("browsergym needs a task: browsergym/miniwob.click-test, or browsergym/file.py:make")
    maker = own_code(variant, "environment") if ":" in variant else _registered(variant)
    return made(BrowserGym, f"browsergym/{variant}", {"name": f"browsergym/{variant}", "maker": maker, **options})


class BrowserGym:
    """A task of BrowserGym's form as a world: a scenario is a seed.

    Args:
        name: what it is called.
        maker: makes an environment.
        codec: the grammar of actions: brackets, calls or tools.
        renderer: how a page is shown: tree, marks, aria or html.
        train, test: seeds of each split.
        turns: actions of an episode.
        longest: characters of a page that are shown.

    Raises:
        ConfigError: if an option is none.
    """

    splits: Sequence[str] = ("train", "test")

    def __init__(
        self, name: str, maker: Callable[[], Any], *, codec: str = "calls", renderer: str = "tree", train: int = 100,
        test: int = 20, turns: int = 15, longest: int = 6000,
    ) -> None:  # fmt: skip
        self.name, self.maker = name, maker
        self.codec, self.renderer = CODECS[one_of("codec", codec, CODECS)], one_of("renderer", renderer, RENDERERS)
        self.counts = {"train": number("train", train, 1, 1_000_000, whole=True),
                       "test": number("test", test, 1, 1_000_000, whole=True)}  # fmt: skip
        self.turns = number("turns", turns, 1, 10_000, whole=True)
        self.longest = number("longest", longest, 100, 1_000_000, whole=True)
        self.system = SYSTEM.format(actions=self.codec.told)
        self._thread = ThreadPoolExecutor(1, "browsergym")

    def scenarios(self, split: str) -> Sequence[Scenario]:
        """Seeds; those of the splits differ."""
        if split not in self.counts:
            raise ConfigError(f"{self.name} has no split {split!r}: there are train and test")
        first = 0 if split == "train" else self.counts["train"]
        task = self.name.partition("/")[2]
        return [Scenario(id=k, template=task, seed=first + k, instruction="") for k in range(self.counts[split])]

    def open(self, scenario: Scenario) -> BrowserGymSession:
        """A session with an environment of its own."""
        return BrowserGymSession(self, scenario)

    def oracle(self, scenario: Scenario) -> None:
        """Its own solutions act on the page past any action, so there is none."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run something on the thread of the environments."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class BrowserGymSession:
    """An episode.

    Attributes:
        seen: what the page shows.
    """

    def __init__(self, world: BrowserGym, scenario: Scenario) -> None:
        self.world, self.scenario, self.left = world, scenario, world.turns
        self.seen = Seen(nodes=(), title="", url="", values=())
        self.goal, self._env = "", None
        self._refs: dict[str, str] = {}

    async def reset(self) -> Observation:
        """Begin."""
        return await self.world.run(self._begin)

    async def step(self, action: str) -> Observation:
        """Do what a text says; what is no action is told so."""
        self.left -= 1
        try:
            parsed = self.world.codec.read(action)
            calls = self._calls(parsed)
        except Malformed as error:
            return self._told(str(error), truncated=self.left <= 0)
        return await self.world.run(lambda: self._do(calls, stops=parsed.verb == "stop"))

    async def close(self) -> None:
        """End the environment."""
        env, self._env = self._env, None
        if env is not None:
            await self.world.run(env.close)

    # ------------------------------------------------------------------------------ on the thread of the environments
    def _begin(self) -> Observation:
        self._env = self.world.maker()
        observed = self._env.reset(seed=self.scenario.seed)[0]
        self._look(observed)
        parts = observed.get("goal_object") or ()
        texts = [str(part["text"]) for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
        self.goal = one_line(" ".join(texts) or observed.get("goal") or "", 2000)
        return self._told(None)

    def _do(self, calls: Sequence[str], *, stops: bool) -> Observation:
        assert self._env is not None
        total, done, cut, error = 0.0, False, False, ""
        for call in calls:
            observed, reward, done, cut, _ = self._env.step(call)
            total += float(reward)
            self._look(observed)
            error = one_line((str(observed.get("last_action_error") or "").strip().splitlines() or [""])[0])
            if error or done or cut:
                break
        over = bool(done) or stops
        return self._told(
            f"FAILED {error}" if error else None, reward=total, terminated=over,
            truncated=not over and (bool(cut) or self.left <= 0),
        )  # fmt: skip

    def _look(self, observed: Any) -> None:
        try:
            nodes = [*nodes_of(observed["axtree_object"], observed.get("extra_element_properties") or {}, self._refs)]
            self.seen = Seen(nodes=nodes, title="", url=one_line(observed.get("url", "")), values=())
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise EnvError(f"{self.world.name}: an observation of another form ({error!r})") from error

    def _told(self, error: str | None, **more: Any) -> Observation:
        text = prompt(self.goal, error, self.seen, self.world.renderer, self.world.longest)
        return Observation(text=text, error=error, **more)

    def _calls(self, action: Action) -> list[str]:
        """An action in BrowserGym's own calls; typing with Enter behind it is two.

        Raises:
            Malformed: for a node that is not shown.
        """
        if not action.ref:
            infeasible = action.verb == "stop" and action.text == UNACHIEVABLE
            return ["report_infeasible('it cannot be done')" if infeasible else write_calls(action)]
        node = next((n for n in self.seen.nodes if n.ref == action.ref), None)
        if node is None:
            raise Malformed(f"UNKNOWN_REF {action.ref}: no node has this number: take one that is shown")
        bid = repr(next(bid for bid, ref in self._refs.items() if ref == action.ref))
        if action.verb != "type":
            return [f"{action.verb}({bid})"]
        verb = "select_option" if node.role in CHOSEN else "fill" if action.text else "clear"
        first = f"{verb}({bid}, {action.text!r})" if verb != "clear" else f"clear({bid})"
        return [first, write_calls(action_of("press", {"keys": "Enter"}))] if action.enter else [first]


def nodes_of(tree: Mapping[str, Any], about: Mapping[str, Any], refs: dict[str, str]) -> Iterator[Node]:
    """The nodes of an accessibility tree as Chromium's protocol tells it, in the order of the page.

    Args:
        tree: `nodes`, each with nodeId, role, name, properties, childIds and browsergym_id.
        about: of each browsergym_id visibility, bbox and clickable.
        refs: browsergym_id of a node → its number; gets those that are new.
    """
    by_id = {node["nodeId"]: node for node in tree["nodes"]}
    children = {child for node in tree["nodes"] for child in node.get("childIds", ())}
    waiting = [(id, 0, "") for id in reversed([id for id in by_id if id not in children])]
    seen = set[Any]()
    while waiting:
        id, depth, named = waiting.pop()
        if id not in by_id or id in seen:
            continue
        seen.add(id)
        node = by_id[id]
        role, name = _value(node.get("role")), one_line(_value(node.get("name")))
        bid = str(node.get("browsergym_id") or "")
        shown = role not in LEFT_OUT and not node.get("ignored")
        its: Mapping[str, Any] = about.get(bid) or {}
        if role == "StaticText":
            shown = shown and bool(name) and name not in named
        elif role == "generic":
            shown = shown and bool(its.get("clickable"))
        if shown:
            yield _node(node, role, name, bid, its, depth, refs)
        below = (depth + shown, name if shown and name else named)
        waiting += [(child, *below) for child in reversed(node.get("childIds", ()))]


def _node(
    node: Mapping[str, Any], role: str, name: str, bid: str, its: Mapping[str, Any], depth: int, refs: dict[str, str]
) -> Node:
    told = {one.get("name"): _value(one.get("value")).lower() for one in node.get("properties", ())}
    left, top, wide, high = (int(side) for side in its.get("bbox") or (0, 0, 0, 0))
    return Node(
        ref=_ref(bid, refs) if bid and role != "StaticText" else "",
        role="text" if role == "StaticText" else "".join(c for c in role.lower() if c.isalpha())[:20] or "generic",
        name=name, value=one_line(_value(node.get("value"))),
        states=tuple(state for state in STATES if told.get(state) not in (None, "", "false")),
        box=(left, top, wide, high), visible=float(its.get("visibility", 1.0)) >= VISIBLE,
        clickable=bool(its.get("clickable")) or role in PRESSED, depth=depth,
    )  # fmt: skip


def _ref(bid: str, refs: dict[str, str]) -> str:
    """The number of a node: its own, or where that has letters the next one behind `FRAMED`."""
    if bid not in refs:
        refs[bid] = f"e{int(bid)}" if bid.isdecimal() and int(bid) < FRAMED else f"e{FRAMED + len(refs)}"
    return refs[bid]


def _value(told: Any) -> str:
    """The text of a value of the protocol."""
    found = told.get("value") if isinstance(told, Mapping) else told
    return "" if found is None else str(found)


def _registered(task: str) -> Callable[[], Any]:
    """What makes a task that an installed package of BrowserGym registers."""
    import gymnasium

    family = task.partition(".")[0]
    try:
        importlib.import_module(f"browsergym.{family}")
    except ImportError as error:
        why = f"a task of BrowserGym needs its package ({error}): pip install browsergym-{family}"
        raise ConfigError(f"{why}, or name what makes an environment, browsergym/file.py:make") from None
    return lambda: gymnasium.make(f"browsergym/{task}")
