"""Pages as a person sees them: buttons, links, fields and boxes to tick, with their text, and where each lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.vision.drawing import Picture
from operant.vision.scene import Part, of_part

ROLES = ("button", "link", "field", "checkbox")
WORDS = ("Save", "Send", "Cancel", "Search", "Name", "Email", "Cart", "Home", "Help", "Login", "Reply", "Delete",
         "Filter", "Next", "Back", "City", "Phone", "Price", "Settings", "Share")  # fmt: skip
SIZE = (128, 112)
"""Width and height of a page in pixels."""
_LINE, _LETTER = 14, 6


@dataclass(frozen=True, slots=True)
class Element:
    """One element: what it is, what stands on it, and its box, right and bottom without."""

    role: str
    text: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Elements, from above to below and from left to right; no two have one text."""

    elements: tuple[Element, ...]

    def tree(self) -> str:
        """The page as a list of roles and texts, one a line, numbered from 0."""
        return "\n".join(f"[{i}] {e.role} '{e.text}'" for i, e in enumerate(self.elements))

    def picture(self, *, marks: bool = False) -> Picture:
        """[112, 128, 3]; with `marks`, each element's number stands at its corner (Set-of-Marks: Yang et al. 2023)."""
        from PIL import Image, ImageDraw, ImageFont

        image = Image.new("RGB", SIZE, (250, 250, 250))
        pen, font = ImageDraw.Draw(image), ImageFont.load_default_imagefont()
        for i, e in enumerate(self.elements):
            _paint(pen, e, font)
            if marks:
                x, y = e.box[0], e.box[1]
                pen.rectangle((x, y, x + 5, y + 8), fill=(255, 230, 0))
                pen.text((x, y - 1), str(i), fill=(0, 0, 0), font=font)
        return np.asarray(image)


def _paint(pen: Any, e: Element, font: Any) -> None:
    x0, y0, x1, y1 = e.box
    edge = (x0, y0, x1 - 1, y1 - 1)
    match e.role:
        case "button":
            pen.rectangle(edge, fill=(40, 90, 200))
            pen.text((x0 + 4, y0 + 1), e.text, fill=(255, 255, 255), font=font)
        case "link":
            pen.text((x0 + 1, y0 + 1), e.text, fill=(20, 60, 220), font=font)
            pen.line((x0, y1 - 2, x1 - 1, y1 - 2), fill=(20, 60, 220))
        case "field":
            pen.rectangle(edge, outline=(120, 120, 120), fill=(255, 255, 255))
            pen.text((x0 + 3, y0 + 1), e.text, fill=(150, 150, 150), font=font)
        case _:
            pen.rectangle((x0, y0 + 2, x0 + 8, y0 + 10), outline=(60, 60, 60))
            pen.text((x0 + 12, y0 + 1), e.text, fill=(20, 20, 20), font=font)


def draw_page(seed: int, index: int, *, count: int = 6, part: Part = "train") -> Page:
    """Page number `index` with so many elements, 2 to 10.

    Raises:
        ConfigError: for another count.
    """
    if not 2 <= count <= 10:
        raise ConfigError(f"a page of {count} elements: give 2 to 10")
    return of_part(Streams(seed).numpy(f"vision/page/{part}", index), part, lambda random: _page(random, count))


def _page(random: np.random.Generator, count: int) -> Page:
    words = [WORDS[i] for i in random.permutation(len(WORDS))[:count]]
    elements: list[Element] = []
    y = int(random.integers(2, 5))
    while words:
        x = int(random.integers(2, 12))
        for _ in range(2):
            role = ROLES[int(random.integers(4))]
            wide = {"button": 8, "link": 2, "field": 24, "checkbox": 14}[role] + _LETTER * len(words[0])
            if x + wide > SIZE[0] - 2:
                break
            elements.append(Element(role, words.pop(0), (x, y, x + wide, y + _LINE - 1)))
            x += wide + int(random.integers(4, 10))
            if not words:
                break
            if len(words) <= (SIZE[1] - y) // (_LINE + 4) - 2 and random.random() < 0.5:
                break
        y += _LINE + int(random.integers(1, 5))
        if y + _LINE > SIZE[1]:
            break
    return Page(elements=tuple(elements))
