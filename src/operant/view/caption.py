"""What stands below the pictures of a film: a bar of numbers, and texts that were read, brighter where one looked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]

INK, DIM, PAPER = (236, 238, 241), (120, 128, 138), (22, 25, 29)
LINES = 12
"""Of texts, at most."""


class Said(NamedTuple):
    """A text that was read: its pieces as they follow one another, and how much was looked at each, if that is known.

    `looked` holds numbers from 0 to 1.
    """

    pieces: Sequence[str]
    looked: Sequence[float] | None = None


Reads = Callable[[int], Sequence[Said]]
"""What was read before the action that follows picture k."""


class Bar:
    """A slim caption bar. Parts keep their place while numbers grow, so that the eye can follow one of them."""

    def __init__(self, width: int, first: str) -> None:
        self.width, self.size = width, max(11, min(28, width // 42))
        self.font: Any = _font(self.size)
        self.margin = self.size * 3 // 4
        self.rows: list[int] = []  # the row of each part
        room = self.font.getlength("0000")  # for numbers that grow
        row, x = 0, float(self.margin)
        for part in first.split(" · "):
            need = self.font.getlength(part) + (room if part[-1:].isdigit() else 0)
            if x > self.margin and x + need > width - self.margin:
                row, x = row + 1, float(self.margin)
            self.rows.append(row)
            x += need + self.size
        self.widths = [0.0] * len(self.rows)  # of each part, the widest so far
        self.leading = self.size * 3 // 2
        self.height = self.leading * (row + 1) + self.size // 2

    def draw(self, caption: str) -> Frame:
        """The bar with `caption`: [height, width, 3]."""
        image, pen = _paper(self.width, self.height)
        row, x = 0, float(self.margin)
        for index, part in enumerate(caption.split(" · ", maxsplit=len(self.rows) - 1)):
            if self.rows[index] != row:
                row, x = self.rows[index], float(self.margin)
            middle = self.size // 4 + self.leading * row + self.leading / 2
            pen.text((x, middle), part, fill=INK, font=self.font, anchor="lm")
            self.widths[index] = max(self.widths[index], self.font.getlength(part))
            x += self.widths[index] + self.size
        return _array(image)


class Script:
    """Texts in as many lines as the first of them need and one to spare, `LINES` at most; what is too long is cut.

    A piece that was looked at most is as bright as ink, one that was not is dim.
    """

    def __init__(self, width: int, first: Sequence[Said]) -> None:
        self.width, self.size = width, max(13, min(28, width // 32))
        self.font: Any = _font(self.size)
        self.margin, self.leading = self.size * 3 // 4, self.size * 3 // 2
        self.lines = min(LINES, max((line for *_, line in self._placed(first)), default=0) + 2)
        self.height = self.leading * self.lines + self.size // 2

    def draw(self, texts: Sequence[Said]) -> Frame:
        """[height, width, 3]."""
        image, pen = _paper(self.width, self.height)
        for piece, light, x, line in self._placed(texts):
            if line < self.lines:
                ink = tuple(round(a + light * (b - a)) for a, b in zip(DIM, INK, strict=True))
                pen.text((x, self.leading * (line + 0.5)), piece, fill=ink, font=self.font, anchor="lm")
        return _array(image)

    def _placed(self, texts: Sequence[Said]) -> list[tuple[str, float, float, int]]:
        """Of each piece how bright it is, and where it stands; every text begins a line."""
        found, line = list[tuple[str, float, float, int]](), 0
        for text in texts:
            x, most = float(self.margin), max(text.looked or (), default=0.0)
            for k, piece in enumerate(text.pieces):
                light = 1.0 if text.looked is None else text.looked[k] / most if most > 0 else 0.0
                need = self.font.getlength(piece)
                if x > self.margin and x + self.font.getlength(piece.rstrip()) > self.width - self.margin:
                    line, x = line + 1, float(self.margin)
                found.append((piece, light, x, line))
                x += need
            line += 1
        return found


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def _paper(width: int, height: int) -> tuple[Any, Any]:
    """An empty picture, and a pen for it."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), PAPER)
    return image, ImageDraw.Draw(image)


def _array(image: Any) -> Frame:
    import numpy as np

    return np.asarray(image)
