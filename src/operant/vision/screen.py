"""Screens of small programs: buttons, fields, boxes to tick and links in colours, in two themes, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.vision.drawing import Picture
from operant.vision.scene import COLOURS, Part, of_part

WIDGETS = ("button", "field", "checkbox", "link")
VERBS = ("click", "write", "tick", "open", "scroll")
"""What is done with each widget; the last where none is meant that is on the screen."""
THEMES = {"light": (235, 235, 235), "dark": (24, 24, 28)}
"""By name, the ground. Widgets of a light screen stand in rows from the top, those of a dark one anywhere."""
SIDE, CELL = 32, 8


@dataclass(frozen=True, slots=True)
class Widget:
    """What it is, its colour, and its box in pixels, right and bottom without."""

    kind: str
    colour: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Widgets in cells of 8 pixels, no two alike, and one thing to do."""

    theme: str
    widgets: tuple[Widget, ...]
    text: str  # what is to be done
    action: str
    target: tuple[int, int, int, int] | None  # the box of what it is done with; None where nothing is pointed at

    def gold(self) -> dict[str, Any]:
        """As `operant.language.reward.spatial.Acted` has it."""
        return {"action": self.action} | ({} if self.target is None else {"box": [*self.target]})

    def picture(self) -> Picture:
        """[32, 32, 3]."""
        image = np.empty((SIDE, SIDE, 3), np.uint8)
        image[:] = THEMES[self.theme]
        for w in self.widgets:
            x0, y0, x1, y1 = w.box
            inside = image[y0:y1, x0:x1]
            match w.kind:
                case "button":
                    inside[:] = COLOURS[w.colour]
                case "field":
                    inside[[0, -1]] = inside[:, [0, -1]] = COLOURS[w.colour]
                case "checkbox":
                    inside[1:-1, 1:4] = COLOURS[w.colour]
                case _:
                    inside[-2:] = COLOURS[w.colour]
        return image

    def labels(self) -> list[int]:
        """[16], row by row: what each cell shows, 0 the ground."""
        found = [0] * (SIDE // CELL) ** 2
        for w in self.widgets:
            at = w.box[1] // CELL * (SIDE // CELL) + w.box[0] // CELL
            found[at] = 1 + WIDGETS.index(w.kind) * len(COLOURS) + [*COLOURS].index(w.colour)
        return found


def draw_screen(seed: int, index: int, *, theme: str = "light", part: Part = "train") -> Screen:
    """Screen number `index`.

    Raises:
        ConfigError: for an unknown theme.
    """
    if theme not in THEMES:
        raise ConfigError(f"there are no screens {theme!r}: take {', '.join(THEMES)}")
    return of_part(Streams(seed).numpy(f"vision/screen/{theme}/{part}", index), part, lambda r: _screen(r, theme))


def _screen(random: np.random.Generator, theme: str) -> Screen:
    looks = [(kind, colour) for kind in WIDGETS for colour in COLOURS]
    count, order = int(random.integers(3, 8)), random.permutation(len(looks)).tolist()
    free = (SIDE // CELL) ** 2
    cells = range(count) if theme == "light" else sorted(random.permutation(free)[:count].tolist())
    widgets: list[Widget] = []
    for cell, which in zip(cells, order, strict=False):
        x, y = cell % (SIDE // CELL) * CELL, cell // (SIDE // CELL) * CELL
        kind, colour = looks[which]
        widgets.append(Widget(kind, colour, (x, y + 1, x + CELL - 1, y + CELL - 1)))
    there = random.random() < 0.8
    kind, colour = looks[order[int(random.integers(count)) if there else count]]
    verb = VERBS[WIDGETS.index(kind)]
    target = next((w.box for w in widgets if (w.kind, w.colour) == (kind, colour)), None)
    said = {"write": "Write into", "click": "Click", "tick": "Tick", "open": "Open"}[verb]
    text = f"{said} the {colour} {kind}. What is to be done on this screen?"
    return Screen(
        theme=theme, widgets=tuple(widgets), text=text, action=verb if there else VERBS[-1], target=target
    )  # fmt: skip
