"""What changes: films of moving, appearing and vanishing things, and two pictures with what was done between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.vision.scene import COLOURS, SHAPES, Part, Scene, Style, Thing, draw_scene

SPEED = 3
"""Pixels that a thing moves in a frame at most, across and down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A scene over time.

    Attributes:
        scene: all things, where they stand when the film begins.
        frames: how many.
        motion: of each thing, pixels a frame across and down.
        seen: of each thing, the first frame in which it is there and the first in which it is no more.
    """

    scene: Scene
    frames: int
    motion: tuple[tuple[int, int], ...]
    seen: tuple[tuple[int, int], ...]

    def frame(self, number: int) -> Scene:
        """The scene of a frame; a thing that reaches the edge stays there.

        Raises:
            ConfigError: if there is no such frame.
        """
        if not 0 <= number < self.frames:
            raise ConfigError(f"a film of {self.frames} frames has no frame {number}")
        shown = [
            _moved(t, motion, number, self.scene.side)
            for t, motion, (first, end) in zip(self.scene.things, self.motion, self.seen, strict=True)
            if first <= number < end
        ]
        return replace(self.scene, things=tuple(shown))


def _moved(thing: Thing, motion: tuple[int, int], frames: int, side: int) -> Thing:
    x0, y0, x1, y1 = thing.box
    x = min(max(x0 + motion[0] * frames, 0), side - (x1 - x0))
    y = min(max(y0 + motion[1] * frames, 0), side - (y1 - y0))
    return replace(thing, box=(x, y, x + x1 - x0, y + y1 - y0))


def draw_film(
    seed: int, index: int, *, split: str = "cogent-a", part: Part = "train", frames: int = 8, style: Style | None = None
) -> Film:
    """Film number `index`: half of the things move, and half of them come late or leave early.

    No two things appear in the same frame but the first.

    Raises:
        ConfigError: for fewer than 2 frames.
    """
    if frames < 2:
        raise ConfigError(f"a film of {frames} frames: give 2 or more")
    scene = draw_scene(seed, index, split=split, part=part, style=style or Style(least=3, most=5))
    random = Streams(seed).numpy(f"vision/film/{split}/{part}", index)
    count = len(scene.things)
    moves = (random.integers(-SPEED, SPEED + 1, (count, 2)) * (random.random((count, 1)) < 0.5)).tolist()
    comes = random.permutation(np.arange(1, frames))[:count].tolist() + [0] * count
    seen: list[tuple[int, int]] = []
    for i in range(count):
        first = int(comes[i]) if random.random() < 0.5 else 0
        end = int(random.integers(first + 1, frames + 1)) if random.random() < 0.3 else frames
        seen.append((first, end))
    return Film(scene=scene, frames=frames, motion=tuple((int(x), int(y)) for x, y in moves), seen=tuple(seen))


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmQuestion:
    """A question about a film: `interval` is answered by [first frame, first frame after], `first` by a thing."""

    head: str  # interval, first, direction
    text: str
    answer: list[int] | str


def film_questions(film: Film) -> list[FilmQuestion]:
    """All questions about a film that are not ambiguous."""
    things, found = film.scene.things, list[FilmQuestion]()
    names = [f"{t.colour} {t.shape}" for t in things]
    for i, (name, (first, end)) in enumerate(zip(names, film.seen, strict=True)):
        if names.count(name) > 1:
            continue
        text = f"In which frames is the {name} there? Give the first, and the first without it."
        found.append(FilmQuestion(head="interval", text=text, answer=[first, end]))
        start, stop = (_moved(things[i], film.motion[i], k, film.scene.side).box for k in (first, end - 1))
        dx, dy = stop[0] - start[0], stop[1] - start[1]
        if abs(dx) != abs(dy):
            way = ("left", "right")[dx > 0] if abs(dx) > abs(dy) else ("up", "down")[dy > 0]
            found.append(FilmQuestion(head="direction", text=f"Where does the {name} move?", answer=way))
        for j in range(i + 1, len(things)):
            if names.count(names[j]) == 1 and film.seen[j][0] != first:
                sooner = name if first < film.seen[j][0] else names[j]
                text = f"Which appears first, the {name} or the {names[j]}?"
                found.append(FilmQuestion(head="first", text=text, answer=sooner))
    return found


CHANGES = ("change_colour", "change_shape", "move", "remove")


def transform(scene: Scene, seed: int, index: int, *, steps: int = 1) -> tuple[Scene, list[str]]:
    """A scene after so many changes of different things, and the changes as calls of functions, in order.

    change_colour(thing, colour), change_shape(thing, shape), move(thing, side) by 8 pixels, remove(thing); a thing is
    the number of its place from left to right in the first picture, and from top to bottom where that is equal.
    (Reason-RFT's spatial transformation: Tan et al. 2025, arXiv:2503.20752.)

    Raises:
        ConfigError: if there are fewer things than changes.
    """
    if not 0 < steps <= len(scene.things):
        raise ConfigError(f"{steps} changes of a scene of {len(scene.things)} things: give 1 to as many as there are")
    random = Streams(seed).numpy("vision/transform", index)
    order = sorted(range(len(scene.things)), key=lambda i: scene.things[i].box)
    after: list[Thing | None] = list(scene.things)
    calls: list[str] = []
    for number in random.permutation(len(order))[:steps].tolist():
        thing, change = scene.things[order[number]], CHANGES[int(random.integers(4))]
        if change == "move":
            boxes = [t.box for t in after if t is not None and t != thing]
            ways = [w for w in _WAYS if _free_at(_shifted(thing, *_WAYS[w]), boxes, scene.side)]
            if not ways:
                change = "remove"
            else:
                way = ways[int(random.integers(len(ways)))]
                after[order[number]] = _shifted(thing, *_WAYS[way])
                calls.append(f"move({number}, {way})")
        if change == "remove":
            after[order[number]] = None
            calls.append(f"remove({number})")
        elif change != "move":
            name = change.removeprefix("change_")
            values = [v for v in ([*COLOURS] if name == "colour" else SHAPES[:3]) if v != thing.attribute(name)]
            value = values[int(random.integers(len(values)))]
            after[order[number]] = replace(thing, colour=value) if name == "colour" else replace(thing, shape=value)
            calls.append(f"{change}({number}, {value})")
    return replace(scene, things=tuple(t for t in after if t is not None)), calls


_WAYS = {"left": (-8, 0), "right": (8, 0), "above": (0, -8), "below": (0, 8)}


def _shifted(thing: Thing, dx: int, dy: int) -> Thing:
    x0, y0, x1, y1 = thing.box
    return replace(thing, box=(x0 + dx, y0 + dy, x1 + dx, y1 + dy))


def _free_at(thing: Thing, boxes: Sequence[tuple[int, int, int, int]], side: int) -> bool:
    x0, y0, x1, y1 = thing.box
    inside = min(x0, y0) >= 0 and max(x1, y1) <= side
    return inside and all(x1 <= a or y1 <= b or x0 >= c or y0 >= d for a, b, c, d in boxes)
