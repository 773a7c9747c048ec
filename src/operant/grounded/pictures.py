"""Pictures of worlds of cells: what lies where, by its name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

SIDE = 480
"""Points of a picture's side, about."""
FLOOR, LINE, WALL, INK = (238, 236, 230), (219, 215, 206), (92, 98, 108), (24, 27, 31)
PAINT = {
    "red": (214, 69, 65), "green": (76, 153, 84), "blue": (58, 123, 213), "yellow": (222, 178, 52),
    "purple": (146, 92, 186), "orange": (226, 132, 58), "teal": (56, 158, 158), "pink": (214, 112, 154),
}  # fmt: skip


class Mark(NamedTuple):
    """What lies at a row and a column, from 0 on; they need not be whole.

    A `place` is an outline, a `wall` fills its cell, `me` is who walks, with the name of what is in hand, and perhaps
    `looks` east, south, west or north, 0 to 3. Without a colour a thing has one that follows from its name.
    """

    at: tuple[float, float]
    name: str = ""
    kind: Literal["square", "circle", "place", "wall", "me"] = "square"
    colour: str = ""
    looks: int | None = None


def drawn(side: int, marks: Iterable[Mark]) -> NDArray[np.uint8]:
    """[H, H, 3], side by side cells, later marks over earlier ones."""
    from PIL import Image, ImageDraw

    cell = SIDE // side
    image = Image.new("RGB", (cell * side, cell * side), FLOOR)
    pen = ImageDraw.Draw(image)
    for k in range(side + 1):
        pen.line((k * cell, 0, k * cell, side * cell), fill=LINE)
        pen.line((0, k * cell, side * cell, k * cell), fill=LINE)
    for mark in marks:
        _put(pen, cell, mark)
    return np.array(image)


def _put(pen: Any, cell: int, mark: Mark) -> None:
    top, left = round(mark.at[0] * cell), round(mark.at[1] * cell)
    fill = PAINT[mark.colour or [*PAINT][crc32(mark.name.encode()) % len(PAINT)]]
    gap = 0 if mark.kind == "wall" else cell // 4 if mark.kind == "me" else max(2, cell // 16)
    box = (left + gap, top + gap, left + cell - gap, top + cell - gap)
    if mark.looks is not None:
        pen.regular_polygon((left + cell / 2, top + cell / 2, cell / 3), 3, -90 * (mark.looks + 1), fill=INK)
    elif mark.kind == "me":
        pen.ellipse(box, fill=INK)
    elif mark.kind == "circle":
        pen.ellipse(box, fill=fill)
    elif mark.kind == "place":
        pen.rectangle(box, outline=fill, width=max(2, cell // 14))
    else:
        pen.rectangle(box, fill=WALL if mark.kind == "wall" else fill)
    if mark.name:
        lines = mark.name.split()
        spot = (left + cell / 2, top + cell * (7 / 8 if mark.kind == "me" else 1 / 2))
        ink = INK if mark.kind in ("place", "me") else (255, 255, 255)
        pen.text(spot, "\n".join(lines), ink, _font(lines, cell), anchor="mm", align="center", spacing=1)


def _font(lines: list[str], cell: int) -> Any:
    """Letters in which these have room in a cell."""
    from PIL import ImageFont

    font: Any = ImageFont.load_default(size=18)
    widest = max(font.getlength(line) for line in lines)
    return ImageFont.load_default(size=max(7.0, min(18.0, 0.7 * cell / len(lines), 18 * 0.8 * cell / widest)))
