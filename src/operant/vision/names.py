"""Pictures by name, so that a message can refer to one: what stands behind `KIND:` says all of it.

- scene:SPLIT/PART/SIDE-CELL-LEAST-MOST/SEED/NUMBER
- changed:STEPS/…: that scene after so many changes (`operant.vision.film.transform`)
- seen:HOW-LEVEL/…: that scene blurred, dark, inverted, … (`operant.vision.drawing.degraded`)
- film:FRAMES-FRAME/…: a frame of the film whose things are drawn so
- figure:PART/SEED/NUMBER
- screen:THEME/PART/SEED/NUMBER
"""

from __future__ import annotations

import re
from functools import lru_cache

from operant.config.errors import ConfigError
from operant.vision.chart import SIDE, Figure, draw_figure
from operant.vision.drawing import Picture, degraded, render
from operant.vision.film import Film, draw_film, transform
from operant.vision.scene import PARTS, Part, Scene, Style, draw_scene
from operant.vision.screen import Screen, draw_screen

_SCENE = re.compile(r"([\w-]{1,20})/(train|test)/(\d{1,4})-(\d{1,3})-(\d{1,3})-(\d{1,3})/(\d{1,18})/(\d{1,18})")
_NUMBERED = re.compile(r"(?:([a-z-]{1,20})/)?(train|test)/(\d{1,18})/(\d{1,18})")


def name_of(seed: int, index: int, *, split: str, part: Part, style: Style, kind: str = "scene:") -> str:
    """The name of scene number `index`, for a message's picture; of another kind, as "changed:2/"."""
    least, most = style.counts(split)
    return f"{kind}{split}/{part}/{style.side}-{style.cell}-{least}-{most}/{seed}/{index}"


Drawn = tuple[int, int, str, Part, Style]


def drawn_of(name: str) -> Drawn:
    """Seed, number, split, part and style behind the name of a scene, without its kind.

    Raises:
        ConfigError: if it is none.
    """
    found = _SCENE.fullmatch(name)
    if found is None:
        raise ConfigError(f"scene:{name:.60} is no scene: give scene:SPLIT/PART/SIDE-CELL-LEAST-MOST/SEED/NUMBER")
    side, cell, least, most, seed, index = (int(x) for x in found.groups()[2:])
    return seed, index, found[1], _part(found[2]), Style(side=side, cell=cell, least=least, most=most)


def scene_of(name: str) -> Scene:
    """The scene behind a name, with or without `scene:`.

    Raises:
        ConfigError: if it is none.
    """
    seed, index, split, part, style = drawn_of(name.removeprefix("scene:"))
    return draw_scene(seed, index, split=split, part=part, style=style)


def picture(name: str) -> Picture:
    """[side, side, 3] of a scene by what stands behind `scene:`."""
    return render(scene_of(name))


def changes(name: str) -> tuple[Scene, list[str]]:
    """The scene behind `changed:`, and the calls that lead to it."""
    steps, _, rest = name.partition("/")
    seed, index, *_ = drawn_of(rest)
    return transform(scene_of(rest), seed, index, steps=_number(steps, f"changed:{name}"))


def changed(name: str) -> Picture:
    """[side, side, 3] of a scene after changes."""
    return render(changes(name)[0])


def seen(name: str) -> Picture:
    """[side, side, 3] of a scene as it is seen through what spoils it, or by another apparatus."""
    how, _, rest = name.partition("/")
    kind, _, level = how.partition("-")
    seed, index, *_ = drawn_of(rest)
    return degraded(picture(rest), kind, _number(level, f"seen:{name}"), seed + index)


@lru_cache(maxsize=64)
def film_of(frames: int, rest: str) -> Film:
    """The film of so many frames whose things are drawn as a scene's name says."""
    seed, index, split, part, style = drawn_of(rest)
    return draw_film(seed, index, split=split, part=part, frames=frames, style=style)


def frame(name: str) -> Picture:
    """[side, side, 3] of a frame of a film."""
    which, _, rest = name.partition("/")
    frames, _, number = which.partition("-")
    return render(film_of(_number(frames, f"film:{name}"), rest).frame(_number(number, f"film:{name}")))


def figure_of(name: str) -> Figure:
    """The figure behind a name."""
    _, part, seed, index = _numbered("figure", name)
    return draw_figure(seed, index, part=part)


def figure(name: str) -> Picture:
    """[32, 32, 3] of a figure, at half of its size."""
    large = figure_of(name).picture()
    return large.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean((1, 3)).astype(large.dtype)


def screen_of(name: str) -> Screen:
    """The screen behind a name."""
    theme, part, seed, index = _numbered("screen", name)
    return draw_screen(seed, index, theme=theme, part=part)


def screen(name: str) -> Picture:
    """[32, 32, 3] of a screen."""
    return screen_of(name).picture()


def _numbered(kind: str, name: str) -> tuple[str, Part, int, int]:
    found = _NUMBERED.fullmatch(name)
    if found is None:
        raise ConfigError(f"{kind}:{name:.60} is no {kind}: give {kind}:…/PART/SEED/NUMBER")
    return found[1] or "", _part(found[2]), int(found[3]), int(found[4])


def _part(name: str) -> Part:
    return "train" if name == PARTS[0] else "test"


def _number(text: str, name: str) -> int:
    if not text.isdecimal() or len(text) > 3:
        raise ConfigError(f"{name:.60}: {text!r:.20} is no number of a picture")
    return int(text)
