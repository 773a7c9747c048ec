"""Pictures of the robots that are stepped together: a hopper and a cart from the side, a quadrotor from a corner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FINE = 320, 240, 3
"""Pixels, and how many times finer it is drawn before it is made smaller, so that edges are smooth."""
PAPER, INK, BLUE, ORANGE, GREY = (250, 250, 248), (40, 44, 52), (38, 98, 170), (222, 120, 30), (190, 194, 200)
CORNER = np.array([[0.87, -0.87, 0.0], [0.4, 0.4, 1.0]])
"""How the three axes of space lie in a picture that is seen from a corner."""
LARGER = 5.0
"""A quadrotor of eight centimetres is drawn so many times as large, or it would be a dot."""


class Pen:
    """Lines and discs at places in metres, [across, up], about a middle.

    Args:
        middle: the place in the middle of the picture.
        scale: pixels of a metre.
    """

    def __init__(self, middle: Sequence[float], scale: float) -> None:
        from PIL import Image, ImageDraw

        self._image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), PAPER)
        self._draw: Any = ImageDraw.Draw(self._image)
        self._middle, self._scale = middle, scale * FINE

    def _at(self, place: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
        across, up = ((float(x) - m) * self._scale for x, m in zip(place, self._middle, strict=True))
        return WIDTH * FINE / 2 + across, HEIGHT * FINE / 2 - up

    def line(self, a: Any, b: Any, colour: tuple[int, int, int], wide: float) -> None:
        """From a place to another, `wide` pixels, with round ends."""
        ends = self._at(a), self._at(b)
        self._draw.line(ends, fill=colour, width=round(wide * FINE))
        for x, y in ends:
            r = wide * FINE / 2
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def disc(self, a: Any, radius: float, colour: tuple[int, int, int], *, ring: bool = False) -> None:
        """About a place, of so many pixels; filled, or a ring."""
        (x, y), r = self._at(a), radius * FINE
        told: dict[str, Any] = {"outline": colour, "width": 2 * FINE} if ring else {"fill": colour}
        self._draw.ellipse((x - r, y - r, x + r, y + r), **told)

    def ground(self, height: float) -> None:
        """A line with a mark at each half metre, which shows what moves past."""
        half = WIDTH * FINE / self._scale / 2
        left, right = self._middle[0] - half, self._middle[0] + half
        self.line((left, height), (right, height), INK, 1.5)
        for k in range(math.ceil(2 * left), math.floor(2 * right) + 1):
            self.line((k / 2, height), (k / 2, height - 6 * FINE / self._scale), GREY if k % 2 else INK, 1.5)

    def picture(self) -> NDArray[np.uint8]:
        """[240, 320, 3]."""
        return np.asarray(self._image.reduce(FINE))


def hopper(state: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A trunk on its leg, that hops to the right where it goes on."""
    x, z, pitch, stands = state[0], state[1], state[2], state[8]
    foot = (state[6], 0.0) if stands else (x + math.sin(state[7]), z - math.cos(state[7]))
    pen = Pen((x, 0.9), 100.0)
    pen.ground(0.0)
    up = np.array([math.sin(pitch), math.cos(pitch)])
    pen.line((x, z), foot, ORANGE if stands else GREY, 4.0)
    pen.line((x, z), np.array([x, z]) + 0.5 * up, BLUE, 16.0)
    pen.disc((x, z), 6.0, INK)
    pen.disc(foot, 4.0, INK)
    return pen.picture()


def quadrotor(state: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Four rotors about the place to be at, with the point of the floor of the picture that is below."""
    from operant.robots.batched_kernels import ARM, rotation

    place, row = state[:3], state[None]
    turned = np.array([[rotation(row, 0, i, j) for j in range(3)] for i in range(3)])
    pen, below = Pen((0.0, -0.1), 62.0), np.array([place[0], place[1], -1.0])
    for a, b in (((-1, -1), (1, -1)), ((1, -1), (1, 1)), ((1, 1), (-1, 1)), ((-1, 1), (-1, -1))):
        pen.line(CORNER @ [*a, -1.0], CORNER @ [*b, -1.0], GREY, 1.5)
    pen.line(CORNER @ place, CORNER @ below, GREY, 1.0)
    pen.disc(CORNER @ below, 3.0, GREY)
    pen.disc((0.0, 0.0), 7.0, ORANGE, ring=True)
    for x, y in ((1, -1), (-1, -1), (-1, 1), (1, 1)):
        tip = CORNER @ (place + turned @ (LARGER * ARM * np.array([x, y, 0.0])))
        pen.line(CORNER @ place, tip, INK, 3.0)
        pen.disc(tip, 7.0, BLUE if x > 0 else INK, ring=True)
    return pen.picture()


def swing_up(state: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A cart on its track, a pole, and where its tip is to be."""
    from operant.robots.batched_kernels import POLE

    x, angle = state[0], state[1]
    pen = Pen((x - min(max(x, -1.0), 1.0), 0.0), 110.0)  # it stands still until the cart would leave
    pen.ground(-0.08)
    pen.disc((0.0, POLE), 7.0, ORANGE, ring=True)
    pen.line((x - 0.1, 0.0), (x + 0.1, 0.0), INK, 16.0)
    pen.line((x, 0.0), (x + POLE * math.sin(angle), -POLE * math.cos(angle)), BLUE, 6.0)
    return pen.picture()


PICTURES = {"hopper": hopper, "quadrotor": quadrotor, "swing_up": swing_up}


def drawn(robot: str, state: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A robot in this state, [240, 320, 3]."""
    return PICTURES[robot](state)
