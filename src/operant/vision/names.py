"""Scenes by name: `scene:SPLIT/PART/SIDE-CELL-LEAST-MOST/SEED/NUMBER`, so that a message can refer to a picture."""

from __future__ import annotations

import re

from operant.config.errors import ConfigError
from operant.vision.drawing import Picture, render
from operant.vision.scene import PARTS, Part, Scene, Style, draw_scene

_NAME = re.compile(r"([\w-]{1,20})/(train|test)/(\d{1,4})-(\d{1,3})-(\d{1,3})-(\d{1,3})/(\d{1,18})/(\d{1,18})")


def name_of(seed: int, index: int, *, split: str, part: Part, style: Style) -> str:
    """The name of scene number `index`, for a message's picture."""
    least, most = style.counts(split)
    return f"scene:{split}/{part}/{style.side}-{style.cell}-{least}-{most}/{seed}/{index}"


def scene_of(name: str) -> Scene:
    """The scene behind a name, with or without `scene:`.

    Raises:
        ConfigError: if it is none.
    """
    found = _NAME.fullmatch(name.removeprefix("scene:"))
    if found is None:
        raise ConfigError(f"scene:{name:.60} is no scene: give scene:SPLIT/PART/SIDE-CELL-LEAST-MOST/SEED/NUMBER")
    side, cell, least, most, seed, index = (int(x) for x in found.groups()[2:])
    part = PARTS[0] if found[2] == "train" else PARTS[1]
    style = Style(side=side, cell=cell, least=least, most=most)
    return draw_scene(seed, index, split=found[1], part="train" if part == "train" else "test", style=style)


def picture(name: str) -> Picture:
    """[side, side, 3] of a scene by what stands behind `scene:`."""
    return render(scene_of(name))
