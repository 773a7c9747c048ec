"""Bar charts and figures on squared ground, whose questions take a known number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.vision.drawing import GROUND, Picture
from operant.vision.scene import COLOURS, Part, of_part

SIDE = 64
UNIT = 6
"""Pixels of one: of a bar's height, and of the squares under a figure."""
STEPS = 6
"""The most steps of a question about a chart."""
FIGURES = ("rectangle", "triangle", "ell")
ASKED = ("width", "height", "perimeter", "area")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Bars by colour, from left to right, each of a height of 1 to 9, and a question about them."""

    bars: Mapping[str, int]
    text: str
    answer: int
    steps: tuple[str, ...]  # to the answer, one a line of reasoning

    def picture(self) -> Picture:
        """[64, 64, 3]: bars on a ground with a line for each unit."""
        picture = _squared(columns=False)
        wide = (SIDE - 4) // len(self.bars)
        for i, (colour, height) in enumerate(self.bars.items()):
            picture[SIDE - 4 - UNIT * height : SIDE - 4, 4 + i * wide : 4 + i * wide + wide - 2] = COLOURS[colour]
        return picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A rectangle, a right triangle, or a rectangle without its upper right corner (an L), in squares."""

    kind: str
    wide: int
    high: int
    notch: tuple[int, int]  # of an L, squares that its corner lacks; (0, 0) of others
    asked: str
    text: str
    answer: float
    steps: tuple[str, ...]

    def picture(self) -> Picture:
        """[64, 64, 3]: the figure on squares of `UNIT` pixels."""
        picture, (w, h), (a, b) = _squared(columns=True), (self.wide, self.high), self.notch
        y, x = (np.arange(h * UNIT) + 0.5)[:, None], (np.arange(w * UNIT) + 0.5)[None, :]
        there = np.ones((h * UNIT, w * UNIT), np.bool_)
        if self.kind == "triangle":
            there = x / w <= y / h
        there &= ~((x >= (w - a) * UNIT) & (y < b * UNIT))
        corner = picture[SIDE - 4 - h * UNIT : SIDE - 4, 4 : 4 + w * UNIT]
        corner[there] = np.where(np.asarray(corner == GROUND).all(-1, keepdims=True), COLOURS["blue"], 150)[there]
        return picture


def _squared(*, columns: bool) -> Picture:
    picture = np.empty((SIDE, SIDE, 3), np.uint8)
    picture[:] = GROUND
    lines = np.arange(SIDE - 4, -1, -UNIT)
    picture[lines - 1] = 60
    if columns:
        picture[:, np.arange(4, SIDE, UNIT)] = 60
    return picture


def draw_chart(seed: int, index: int, *, steps: int = 1, part: Part = "train") -> Chart:
    """Chart number `index`, whose question adds and takes away the heights of `steps` bars, 1 to 6 of them.

    Raises:
        ConfigError: for another number of steps.
    """
    if not 1 <= steps <= STEPS:
        raise ConfigError(f"a chart's question takes 1 to {STEPS} steps, not {steps}")
    return of_part(Streams(seed).numpy(f"vision/chart/{part}", index), part, lambda random: _chart(random, steps))


def _chart(random: np.random.Generator, steps: int) -> Chart:
    count = int(random.integers(max(3, steps), STEPS + 2))
    colours = [[*COLOURS][i] for i in random.permutation(len(COLOURS))[:count]]
    bars = dict(zip(colours, random.integers(1, 10, count).tolist(), strict=True))
    order = [colours[i] for i in random.permutation(count)[:steps]]
    total, way, words = bars[order[0]], [f"{order[0]}: {bars[order[0]]}"], f"the height of the {order[0]} bar"
    for colour in order[1:]:
        plus = bool(random.random() < 0.5)
        words += f" {'plus' if plus else 'minus'} the {colour} bar"
        way.append(f"{colour}: {bars[colour]}, {total} {'+-'[not plus]} {bars[colour]} = ")
        total += bars[colour] if plus else -bars[colour]
        way[-1] += str(total)
    return Chart(bars=bars, text=f"What is {words}?", answer=total, steps=tuple(way))


def draw_figure(seed: int, index: int, *, part: Part = "train") -> Figure:
    """Figure number `index`."""
    return of_part(Streams(seed).numpy(f"vision/figure/{part}", index), part, _figure)


def _figure(random: np.random.Generator) -> Figure:
    kind = FIGURES[int(random.integers(3))]
    w, h = random.integers(2, 10, 2).tolist()
    a, b = (int(random.integers(1, w)), int(random.integers(1, h))) if kind == "ell" else (0, 0)
    asked = ASKED[int(random.integers(3 if kind != "triangle" else 2))] if random.random() < 0.5 else "area"
    way, answer = [f"width: {w}", f"height: {h}"], 0.0
    match asked, kind:
        case "width", _:
            way, answer = way[:1], float(w)
        case "height", _:
            way, answer = way[1:], float(h)
        case "perimeter", _:  # the corner that an L lacks leaves its perimeter alone
            answer = 2.0 * (w + h)
            way.append(f"2 ({w} + {h}) = {answer:g}")
        case _, "triangle":
            answer = w * h / 2
            way.append(f"{w} · {h} / 2 = {answer:g}")
        case _:
            answer = float(w * h - a * b)
            way.append(f"{w} · {h} = {w * h}")
            if a:
                way.append(f"{w * h} - {a} · {b} = {answer:g}")
    text = f"What is the {asked} of the figure, in squares?" if asked == "area" else f"What is its {asked}, in squares?"
    return Figure(kind=kind, wide=w, high=h, notch=(a, b), asked=asked, text=text, answer=answer, steps=tuple(way))
