"""Pictures of things, drawn from their kind and colour: what a page shows and no text of it says."""

from __future__ import annotations

import io
from functools import lru_cache

COLOURS = {
    "red": (204, 36, 29), "blue": (38, 94, 190), "green": (40, 140, 60), "yellow": (235, 190, 30),
    "purple": (130, 60, 160), "black": (35, 35, 40),
}  # fmt: skip
SIDE = 96
DARK, LIGHT = (90, 70, 60), (240, 238, 230)
SHAPES = {
    "guitar": "polygon dark 46 4 54 4 54 52 46 52, ellipse body 34 38 66 68, ellipse body 28 56 72 96, "
    "ellipse dark 42 56 58 72",
    "drum": "polygon body 15 40 85 40 85 80 15 80, ellipse body 15 65 85 95, ellipse light 15 25 85 55, "
    "line dark 20 5 55 40, line dark 80 5 45 40",
    "lamp": "polygon body 32 10 68 10 85 50 15 50, line dark 50 50 50 88, ellipse dark 30 84 70 96",
    "mug": "arc body 60 35 92 72, polygon body 18 22 72 22 68 88 22 88, ellipse light 18 15 72 30",
    "chair": "polygon body 25 8 38 8 38 52 25 52, polygon body 25 48 80 48 80 60 25 60, line dark 28 60 28 95, "
    "line dark 77 60 77 95",
    "tent": "polygon body 50 12 94 88 6 88, polygon dark 50 40 66 88 34 88",
    "bicycle": "arc dark 4 48 44 88, arc dark 56 48 96 88, line body 24 68 42 36, line body 42 36 70 36, "
    "line body 70 36 76 68, line body 24 68 50 68, line body 50 68 70 36, line dark 66 26 80 26",
    "shirt": "polygon body 30 12 70 12 96 34 84 50 72 42 72 92 28 92 28 42 16 50 4 34, ellipse light 40 4 60 22",
    "hat": "ellipse body 4 58 96 86, polygon body 28 20 72 20 76 70 24 70, polygon dark 25 58 75 58 76 68 24 68",
    "scarf": "arc body 25 5 75 50, polygon body 30 38 46 38 50 94 30 94, polygon body 54 38 70 38 78 80 58 80",
    "palette": "ellipse body 6 18 94 84, ellipse light 60 52 78 70, ellipse light 22 34 36 48, "
    "ellipse light 44 26 58 40, line dark 70 90 96 50",
}
"""Kind of thing → what it is drawn of from the back to the front: a shape, its ink, its place on a square of 100."""


@lru_cache(maxsize=256)
def drawn(look: str) -> bytes:
    """A thing as PNG [SIDE, SIDE]; `look` is a kind and a colour, "guitar red"."""
    from PIL import Image, ImageDraw

    kind, colour = look.split(" ")
    inks = {"body": COLOURS[colour], "dark": DARK, "light": LIGHT}
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    for part in SHAPES[kind].split(", "):
        shape, ink, *at = part.split(" ")
        spot = [SIDE * int(x) / 100 for x in at]
        match shape:
            case "ellipse":
                draw.ellipse(spot, fill=inks[ink])
            case "polygon":
                draw.polygon(spot, fill=inks[ink])
            case "line":
                draw.line(spot, fill=inks[ink], width=SIDE // 16)
            case _:
                draw.arc(spot, 0, 360, fill=inks[ink], width=SIDE // 12)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
