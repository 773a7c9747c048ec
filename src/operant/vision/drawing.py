"""Pictures of scenes, masks of things, labels of cells, and what spoils a picture."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import ConfigError
from operant.vision.scene import COLOURS, SHAPES, Scene

Picture = NDArray[np.uint8]
GROUND = (24, 24, 28)
DEGRADATIONS = ("blur", "noise", "jpeg", "dark")
APPARATUS = ("inverted", "edges", "speckle")
"""Other ways to take a picture of the same things."""
LABELS = 1 + len(SHAPES) * len(COLOURS)
"""What a cell may show: nothing, or a shape in a colour."""
_NAMES = list(COLOURS)
_SHADE = 0.5


@lru_cache(maxsize=256)
def stamp(shape: str, pixels: int) -> NDArray[np.bool_]:
    """[pixels, pixels]: where a shape is.

    Raises:
        ConfigError: for an unknown shape.
    """
    grid = (np.arange(pixels) + 0.5) / pixels * 2 - 1
    x, y = grid[None, :], grid[:, None]
    radius, angle = np.hypot(x, y), np.arctan2(-y, x)
    match shape:
        case "circle":
            found = radius <= 1.0
        case "square":
            found = np.ones((pixels, pixels), np.bool_)
        case "triangle":
            found = np.abs(x) <= (y + 1) / 2 + 0.5 / pixels
        case "star":
            found = radius <= 0.45 + 0.55 * np.abs(np.cos(2.5 * (angle - np.pi / 2))) ** 1.5
        case "plus":
            found = (np.abs(x) <= 0.36) | (np.abs(y) <= 0.36)
        case "crescent":
            found = (radius <= 1.0) & (np.hypot(x - 0.5, y) > 0.75)
        case _:
            raise ConfigError(f"there is no shape {shape!r}: take {', '.join(SHAPES)}")
    return np.asarray(found, np.bool_)


@lru_cache(maxsize=2048)
def _painted(shape: str, colour: str, texture: str, pixels: int) -> tuple[NDArray[np.bool_], Picture]:
    """[P, P, 1] where a thing is, [P, P, 3] how it looks."""
    look = np.empty((pixels, pixels, 3), np.uint8)
    look[:] = COLOURS[colour]
    if texture == "striped":
        look[(np.arange(pixels) // 2) % 2 == 1] = np.array(COLOURS[colour]) * _SHADE
    return stamp(shape, pixels)[:, :, None], look


def render(scene: Scene) -> Picture:
    """[side, side, 3] uint8."""
    picture = _ground(scene.side, scene.clutter)
    for thing in sorted(scene.things, key=lambda t: t.box[3]):  # the nearest last
        x0, y0, x1, y1 = thing.box
        there, look = _painted(thing.shape, thing.colour, thing.texture, x1 - x0)
        np.copyto(picture[y0:y1, x0:x1], look, where=there)
    return picture


def masks(scene: Scene) -> NDArray[np.bool_]:
    """[things, side, side]: where each thing is seen."""
    owner = np.full((scene.side, scene.side), -1)
    for i in sorted(range(len(scene.things)), key=lambda i: scene.things[i].box[3]):
        x0, y0, x1, y1 = scene.things[i].box
        owner[y0:y1, x0:x1][stamp(scene.things[i].shape, x1 - x0)] = i
    return owner[None] == np.arange(len(scene.things))[:, None, None]


def label_of(shape: str, colour: str) -> int:
    """The number of a shape in a colour, 1 … LABELS - 1."""
    return 1 + SHAPES.index(shape) * len(_NAMES) + _NAMES.index(colour)


def labels(scene: Scene, cells: int) -> NDArray[np.int64]:
    """[cells · cells], row by row: what each cell of the picture shows most of; 0 where that is the ground.

    Raises:
        ConfigError: if the cells do not divide the picture.
    """
    if scene.side % cells:
        raise ConfigError(f"{cells} cells a side do not divide a picture of {scene.side} pixels")
    cell, found = scene.side // cells, np.zeros(cells * cells, np.int64)
    most = np.zeros(cells * cells)
    for thing in scene.things:
        x0, y0, x1, y1 = thing.box
        for row in range(y0 // cell, (y1 - 1) // cell + 1):
            for column in range(x0 // cell, (x1 - 1) // cell + 1):
                wide = min(x1, (column + 1) * cell) - max(x0, column * cell)
                high = min(y1, (row + 1) * cell) - max(y0, row * cell)
                at = row * cells + column
                if wide * high > max(most[at], cell * cell / 8):
                    most[at], found[at] = wide * high, label_of(thing.shape, thing.colour)
    return found


def degraded(picture: Picture, kind: str, level: int, seed: int = 0) -> Picture:
    """A picture that was blurred, has noise, went through JPEG, or is dark; levels 1 (slight) to 5. Or one taken by
    another apparatus, at any level: a negative, edges, or with noise that grows with what it falls on.

    Raises:
        ConfigError: for another kind or level.
    """
    known = (*DEGRADATIONS, *APPARATUS)
    if kind not in known or level not in range(1, 6):
        raise ConfigError(f"{kind!r} of level {level}: take {', '.join(known)}, and a level of 1 to 5")
    match kind:
        case "blur":
            from scipy.ndimage import gaussian_filter

            spoilt = gaussian_filter(picture.astype(np.float32), (0.5 * level, 0.5 * level, 0.0))
        case "noise":
            spoilt = picture + np.random.default_rng(seed).normal(0.0, 12.0 * level, picture.shape)
        case "jpeg":
            from PIL import Image

            held = io.BytesIO()
            Image.fromarray(picture).save(held, "JPEG", quality=(40, 20, 10, 5, 2)[level - 1])
            spoilt = np.asarray(Image.open(held))
        case "inverted":
            spoilt = 255 - picture
        case "edges":
            light = np.pad(picture.astype(np.float32), ((1, 1), (1, 1), (0, 0)), "edge")
            spoilt = np.hypot(light[2:, 1:-1] - light[:-2, 1:-1], light[1:-1, 2:] - light[1:-1, :-2])
        case "speckle":
            spoilt = picture * np.random.default_rng(seed).gamma(4.0, 0.25, picture.shape[:2])[:, :, None]
        case _:
            spoilt = picture * (0.75, 0.55, 0.38, 0.24, 0.14)[level - 1]
    return np.clip(np.rint(spoilt), 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _plain_ground(side: int) -> Picture:
    ground = np.empty((side, side, 3), np.uint8)
    ground[:] = GROUND
    return ground


def _ground(side: int, clutter: int) -> Picture:
    if not clutter:
        return _plain_ground(side).copy()
    coarse = np.random.Generator(np.random.Philox(key=clutter)).integers(10, 70, (side // 4 + 1, side // 4 + 1, 3))
    return np.asarray(coarse, np.uint8).repeat(4, 0).repeat(4, 1)[:side, :side].copy()
