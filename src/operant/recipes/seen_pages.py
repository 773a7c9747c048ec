"""Sites of two pages that are seen: widgets in colours, each with the number that an agent says to click it."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from operant.agents.text.session import LineWorld, seed_of
from operant.agents.web.action import Malformed
from operant.agents.web.codecs import CODECS
from operant.agents.web.nodes import Node, accessibility_tree, marked_picture
from operant.config.errors import ConfigError
from operant.language.episodes.world import Observation, Scenario
from operant.vision.drawing import Picture
from operant.vision.scene import COLOURS
from operant.vision.screen import CELL, SIDE, WIDGETS, Screen, Widget

SCALE = 3
"""Pixels of a pixel of `operant.vision.screen`, so that a number has room above its widget."""
ROLES: dict[str, str] = dict(zip(WIDGETS, ("button", "textbox", "checkbox", "link"), strict=True))
NAME = re.compile(r"(marked|plain)/(\d{1,18})/([01])")
SHOWN = ("marks", "plain", "other", "text")


@dataclass(frozen=True, slots=True)
class Site:
    """Two pages with the numbers of their widgets, what is to be done, and the number to be clicked on each page."""

    pages: tuple[Screen, Screen]
    numbers: tuple[tuple[int, ...], tuple[int, ...]]
    text: str
    right: tuple[int, int]

    def nodes(self, page: int) -> list[Node]:
        """A page's widgets as an agent is told of them."""
        found: list[Node] = []
        for number, w in zip(self.numbers[page], self.pages[page].widgets, strict=True):
            x0, y0, x1, y1 = (SCALE * edge for edge in w.box)
            found.append(
                Node(ref=f"e{number}", role=ROLES[w.kind], name=w.colour, value="", states=(), visible=True,
                     clickable=True, depth=0, box=(x0, y0, x1 - x0, y1 - y0))
            )  # fmt: skip
        return found

    def cells(self, page: int) -> tuple[int, ...]:
        """[16]: what each cell of a page shows: a widget with its number, 0 the ground."""
        numbers = iter(self.numbers[page])  # widgets stand in the order of their cells
        return tuple(10 * label + next(numbers) if label else 0 for label in self.pages[page].labels())


Look = tuple[str, str]
"""What a widget is, and its colour."""


def _page(rng: random.Random, looks: Sequence[Look]) -> Screen:
    row = SIDE // CELL
    cells = sorted(rng.sample(range(row**2), len(looks)))
    widgets = [Widget(kind, colour, (x, y + CELL // 2, x + CELL - 1, y + CELL))
               for cell, (kind, colour) in zip(cells, rng.sample(looks, len(looks)), strict=True)
               for x, y in [(cell % row * CELL, cell // row * CELL)]]  # fmt: skip
    return Screen(theme="light", widgets=tuple(widgets), text="", action="", target=None)


@lru_cache(maxsize=4_096)
def site_of(seed: int, template: Literal["told", "recall"]) -> Site:
    """The site of a seed. Of the second page's widget the look is `told`, or a field of the first page has its colour.

    The first page has one field, two links and some boxes to tick; the second three buttons and three boxes.
    """
    rng = random.Random(seed)
    hues = [*COLOURS]
    fact, link, other, *rest = rng.sample(hues, 8)
    first = [("field", fact), ("link", link), ("link", other), *(("checkbox", c) for c in rest[: rng.randint(0, 2)])]
    colours = [fact, *rng.sample([c for c in hues if c != fact], 2)]
    second = [(kind, c) for kind in ("button", "checkbox") for c in colours]
    target = ("button", fact) if template == "recall" else rng.choice(second)
    what = "the button that has the colour of the field" if template == "recall" else f"the {target[1]} {target[0]}"
    pages = _page(rng, first), _page(rng, second)
    numbers = [tuple(rng.sample(range(1, 10), len(page.widgets))) for page in pages]
    right = [of[[(w.kind, w.colour) for w in page.widgets].index(look)]
             for page, of, look in zip(pages, numbers, (("link", link), target), strict=True)]  # fmt: skip
    return Site(pages, (numbers[0], numbers[1]), f"Open the {link} link. Then click {what}.", (right[0], right[1]))


def template_of(seed: int) -> Literal["told", "recall"]:
    """What kind of task a seed has."""
    return "told" if seed // 3 % 2 == 0 else "recall"


def picture(name: str) -> Picture:
    """[96, 96, 3] of a page by what stands behind `page:`, as `marked/SEED/0`.

    Raises:
        ConfigError: if it is no page.
    """
    from PIL import Image

    found = NAME.fullmatch(name)
    if found is None:
        raise ConfigError(f"page:{name:.60} is no page: give page:marked/SEED/0, or page:plain/SEED/0")
    seed, page = int(found[2]), int(found[3])
    site = site_of(seed, template_of(seed))
    pixels = site.pages[page].picture().repeat(SCALE, 0).repeat(SCALE, 1)
    if found[1] == "plain":
        return pixels
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return np.asarray(Image.open(io.BytesIO(marked_picture(held.getvalue(), site.nodes(page)))))


@dataclass(kw_only=True)
class Sites(LineWorld):
    """The world: reward 1 where the right widget of the second page is clicked, and an end at any of its widgets.

    Args:
        shown: of a page: "marks": its picture with a number on each widget (Set-of-Marks: Yang et al. 2023); "plain":
            without; "other": with marks, of another site; "text": its accessibility tree alone.
    """

    shown: str = "marks"
    name, system, templates, turns = "sites", "", ("told", "recall"), 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shown not in SHOWN:
            raise ConfigError(f"sites: shown {self.shown!r}: take {', '.join(SHOWN)}")

    def scenario(self, split: str, number: int) -> Scenario:
        """The site of a number in a split."""
        seed = seed_of(split, number)
        template = template_of(seed)
        return Scenario(id=number, template=template, seed=seed, instruction=site_of(seed, template).text)

    def game(self, scenario: Scenario) -> _Visit:
        """The first page."""
        return _Visit(self.shown, scenario.seed)

    def oracle(self, scenario: Scenario) -> Sequence[str]:
        """The two clicks."""
        return [f"click [{number}]" for number in site_of(scenario.seed, template_of(scenario.seed)).right]


class _Visit:
    """A visit of a site."""

    def __init__(self, shown: str, seed: int) -> None:
        self.shown, self.seed, self.page = shown, seed, 0
        self.site = site_of(seed, template_of(seed))

    def begin(self) -> Observation:
        """The first page."""
        return self._seen("page 1")

    def do(self, command: str) -> Observation:
        """What comes of an action: of a click, what it leads to; of all else, nothing."""
        try:
            action = CODECS["brackets"].read(command)
        except Malformed as error:
            return self._seen("nothing", error=str(error))
        number = int(action.ref.removeprefix("e")) if action.verb == "click" else 0
        if self.page == 0 and number == self.site.right[0]:
            self.page = 1
            return self._seen("page 2")
        if self.page == 0 or number not in self.site.numbers[1]:
            return self._seen("nothing")
        return self._seen("end", reward=float(number == self.site.right[1]), terminated=True)

    def commands(self) -> Sequence[str]:
        """Clicks on what there is."""
        return [f"click [{number}]" for number in self.site.numbers[self.page]]

    def _seen(self, text: str, **more: Any) -> Observation:
        if self.shown == "text":
            return Observation(text="\n".join([text, *accessibility_tree(self.site.nodes(self.page))]), **more)
        seed = self.seed + 6 if self.shown == "other" else self.seed  # the next one of its kind, in its split
        name = f"page:{'plain' if self.shown == 'plain' else 'marked'}/{seed}/{self.page}"
        site = site_of(seed, template_of(seed))
        return Observation(text=text, pictures=(name,), cells=site.cells(self.page), **more)


def make(**options: Any) -> Sites:
    """The world, for `operant train ALGORITHM operant.recipes.seen_pages:make`."""
    return Sites(**options)
