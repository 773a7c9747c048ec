"""Scenes: things with a shape, a colour, a size and a texture at places that do not overlap, drawn from a seed.

A scene is its graph: what is in it and where. `operant.vision.drawing` makes a picture of it, `operant.vision.program`
answers questions about it. The draw of a scene depends on (seed, split, part, index) alone.

Splits, after CLEVR (Johnson et al. 2017, arXiv:1612.06890) and Super-CLEVR (Li et al. 2023, arXiv:2212.00259):

- `cogent-a`: squares are gray, blue, brown or yellow, triangles red, green, purple or cyan, circles anything.
- `cogent-b`: the colours of squares and triangles are exchanged.
- `super`: stars, plusses and crescents, more things than elsewhere, on a cluttered ground.
- `view`: as `cogent-a`, seen by a camera that is turned or mirrored; things stand upright all the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams

SHAPES = ("circle", "square", "triangle", "star", "plus", "crescent")
"""The last three are of the split `super` alone."""
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "gray": (130, 130, 130), "red": (220, 40, 40), "blue": (50, 80, 230), "green": (40, 170, 50),
    "brown": (140, 85, 30), "purple": (150, 50, 200), "cyan": (50, 210, 210), "yellow": (250, 230, 60),
}  # fmt: skip
"""By name, the colour of a thing; those of CLEVR."""
SIZES: Mapping[str, int] = {"small": 8, "large": 13}
"""By name, the side of a thing's box in pixels, of a scene whose side is 64 or more; half of it in smaller ones."""
TEXTURES = ("flat", "striped")
SPLITS = ("cogent-a", "cogent-b", "super", "view")
PARTS = ("train", "test")
HELD_OUT = 10
"""One draw in so many belongs to the part `test`."""

_HALF = (("gray", "blue", "brown", "yellow"), ("red", "green", "purple", "cyan"))
_GAP = 2
_TRIES = 400

Part = Literal["train", "test"]
Drawn = TypeVar("Drawn")


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing: its attributes, and its box in pixels, left and top within, right and bottom without."""

    shape: str
    colour: str
    size: str
    texture: str
    box: tuple[int, int, int, int]  # x0, y0, x1, y1

    @property
    def centre(self) -> tuple[float, float]:
        """x, y of the middle of the box."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def attribute(self, name: str) -> str:
        """Its shape, colour, size or texture.

        Raises:
            ConfigError: for another name.
        """
        if name not in ("shape", "colour", "size", "texture"):
            raise ConfigError(f"a thing has no {name!r}: ask for its shape, colour, size or texture")
        return str(getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Things on a square ground. Nearer things stand lower in the picture, and are drawn over farther ones."""

    side: int  # pixels
    things: tuple[Thing, ...]
    clutter: int = 0  # seeds the pattern of the ground; 0: none

    def depth(self, index: int) -> int:
        """How far a thing is from the camera: pixels from its foot to the lower edge of the picture."""
        return self.side - self.things[index].box[3]

    def distance(self, first: int, second: int) -> float:
        """Pixels between the centres of two things."""
        (x, y), (u, v) = self.things[first].centre, self.things[second].centre
        return float(np.hypot(x - u, y - v))


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What scenes of a kind look like.

    Attributes:
        side: pixels; 16 at least.
        least, most: how many things; None: 3 to 10, and 11 to 14 of `super`.
        cell: things stand in cells of so many pixels, one in each at most; 0: anywhere.
    """

    side: int = 64
    least: int | None = None
    most: int | None = None
    cell: int = 0

    def counts(self, split: str) -> tuple[int, int]:
        """The least and the most things in a scene of a split."""
        low, high = (11, 14) if split == "super" else (3, 10)
        most = high if self.most is None else self.most
        least = min(low, most) if self.least is None else self.least
        return least, max(least, most) if self.most is None else most

    def sizes(self) -> Mapping[str, int]:
        """Pixels of a thing by its size."""
        return SIZES if self.side >= 64 else {name: (pixels + 1) // 2 for name, pixels in SIZES.items()}

    def __post_init__(self) -> None:
        if self.side < 16 or (self.cell and (self.side % self.cell or self.cell < 8)):
            raise ConfigError(
                f"a scene of {self.side} pixels in cells of {self.cell}: give a side of 16 or more, and cells of 8 or "
                "more that divide it"
            )
        low, high = self.counts("cogent-a")
        if not 0 <= low <= high or (self.cell and low > (self.side // self.cell) ** 2):
            raise ConfigError(f"a scene of {low} to {high} things: they do not fit, or the first number is the larger")


def of_part(random: np.random.Generator, part: str, draw: Callable[[np.random.Generator], Drawn]) -> Drawn:
    """The first draw that belongs to a part, which is told by a hash of what was drawn, so that parts share nothing.

    Raises:
        ConfigError: for an unknown part.
    """
    if part not in PARTS:
        raise ConfigError(f"there is no part {part!r}: take {' or '.join(PARTS)}")
    while True:
        drawn = draw(random)
        if (zlib.crc32(repr(drawn).encode()) % HELD_OUT == 0) == (part == "test"):
            return drawn


def draw_scene(
    seed: int, index: int, *, split: str = "cogent-a", part: Part = "train", style: Style | None = None
) -> Scene:
    """Scene number `index` of a split; those of `train` and of `test` are never the same.

    Raises:
        ConfigError: for an unknown split or part.
    """
    if split not in SPLITS:
        raise ConfigError(f"there are no scenes {split!r}: take {', '.join(SPLITS)}")
    random = Streams(seed).numpy(f"vision/{split}/{part}", index)
    return of_part(random, part, lambda random: _drawn(random, split, style or Style()))


def _drawn(random: np.random.Generator, split: str, style: Style) -> Scene:
    least, most = style.counts(split)
    room = (style.side // style.cell) ** 2 if style.cell else most
    count = min(room, int(random.integers(least, most + 1)))
    pixels, boxes = style.sizes(), list[tuple[int, int, int, int]]()
    draws: list[list[float]] = random.random((2 * count, 5)).tolist()
    names = list(pixels)
    things: list[Thing] = []
    cells: list[int] = random.permutation(room).tolist() if style.cell else []
    for i in range(count):
        a, b, c, d, e = draws[i]
        shape, colour = _look(split, a, b)
        size = names[int(c * len(names))]
        box = _in_cell(cells[i], style, pixels[size], d, e) if cells else _free(random, style.side, pixels[size], boxes)
        if box is None:  # no room: a small one, or one fewer
            size = names[0]
            box = _free(random, style.side, pixels[size], boxes)
        if box is None:
            continue
        boxes.append(box)
        things.append(Thing(shape, colour, size, TEXTURES[int(draws[count + i][0] * 2)], box))
    scene = Scene(side=style.side, things=tuple(things), clutter=int(random.integers(1, 2**31)) * (split == "super"))
    return turned(scene, int(random.integers(1, 8))) if split == "view" else scene


def _look(split: str, a: float, b: float) -> tuple[str, str]:
    """A shape and a colour that occur together in a split, from two uniform numbers."""
    if split == "super":
        return SHAPES[3 + int(a * 3)], [*COLOURS][int(b * 8)]
    shape = SHAPES[int(a * 3)]
    if shape == "circle":
        return shape, [*COLOURS][int(b * 8)]
    half = (shape == "triangle") != (split == "cogent-b")
    return shape, _HALF[int(half)][int(b * 4)]


def _in_cell(cell: int, style: Style, pixels: int, d: float, e: float) -> tuple[int, int, int, int]:
    row, column = divmod(cell, style.side // style.cell)
    pixels = min(pixels, style.cell)
    x = column * style.cell + int(d * (style.cell - pixels + 1))
    y = row * style.cell + int(e * (style.cell - pixels + 1))
    return x, y, x + pixels, y + pixels


def _free(
    random: np.random.Generator, side: int, pixels: int, boxes: Sequence[tuple[int, int, int, int]]
) -> tuple[int, int, int, int] | None:
    """A box that keeps its distance from others; None where none was found."""
    for start in range(0, _TRIES, 40):
        for x, y in random.integers(1, side - pixels, (40 if start else 8, 2)).tolist():
            u, v = x + pixels + _GAP, y + pixels + _GAP
            if all(u <= a or v <= b or x >= c + _GAP or y >= d + _GAP for a, b, c, d in boxes):
                return x, y, x + pixels, y + pixels
    return None


def turned(scene: Scene, camera: int) -> Scene:
    """A scene as another camera sees it: `camera` // 2 quarter turns to the left, and mirrored where it is odd."""
    side, turns = scene.side, camera // 2

    def place(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = box
        for _ in range(turns):
            x0, y0, x1, y1 = y0, side - x1, y1, side - x0
        return (side - x1, y0, side - x0, y1) if camera % 2 else (x0, y0, x1, y1)

    things = tuple(Thing(t.shape, t.colour, t.size, t.texture, place(t.box)) for t in scene.things)
    return Scene(side=side, things=things, clutter=scene.clutter)
