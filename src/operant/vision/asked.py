"""What is asked: a text beside pictures, its answer, the way to it, and what every cell of the pictures shows.

Heads are those of `operant.vision.questions`, `segment` (a box and two points in it), and

- `transform`: what was done between two pictures of a scene, as calls
- `interval`, `first`, `direction`, `still`: of a film, its frames as pictures; the last can be told from one of them
- `figure`: lengths and areas of a figure on squares
- `kind`, `level`: what has spoilt a picture, and how much (1 to 5)
- `act`: what is to be done on a screen, and where
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from operant.vision.drawing import APPARATUS, DEGRADATIONS, LABELS, labels
from operant.vision.film import film_questions
from operant.vision.names import changes, figure_of, film_of, name_of, scene_of, screen_of
from operant.vision.program import AmbiguousError, run
from operant.vision.questions import HEADS, MOST_HOPS, VALUES, Question, draw_question
from operant.vision.scene import COLOURS, SHAPES, Part, Scene, Style
from operant.vision.screen import VERBS

SEEN = {"colour", "shape"}
"""What questions here are about: the labels of cells tell nothing else."""
FRAMES = 8
"""Of a film."""
CHANGED = 2
"""Changes between two pictures."""
SHOWN = ("photo", "words", *APPARATUS)
"""How a scene is shown: as it is drawn, in words alone, or by another apparatus."""
Random = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question.

    Attributes:
        head: its kind.
        pictures: names, in order; none where all is said in words.
        text: what is asked.
        gold: what a reward holds the answer against, as JSON holds it.
        way: how it is found, in cells: "b2 c4", "a1 / -".
        cells: what each cell of the pictures shows, row by row.
        keys: what a way to the answer says, in order.
        choices: what the answer is one of; () of numbers and places.
    """

    head: str
    pictures: tuple[str, ...]
    text: str
    gold: Any
    way: str = "-"
    cells: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Which scene, screen or figure is asked about.

    Attributes:
        seed, index, split, part, style: of a scene.
        hops: of its questions, where their head has so many; -1: drawn.
        shown: how: one of `SHOWN`.
        lossy: share of its things that whoever answers takes for others.
    """

    seed: int
    index: int
    split: str
    part: Part
    style: Style
    hops: int = 0
    shown: str = "photo"
    lossy: float = 0.0

    @property
    def grid(self) -> int:
        """Pixels of a cell, as ways name it."""
        return self.style.cell or self.style.side // 4

    def name(self, kind: str = "scene:") -> str:
        """Of the scene's picture."""
        return name_of(self.seed, self.index, split=self.split, part=self.part, style=self.style, kind=kind)

    def cells(self, *scenes: Scene) -> tuple[int, ...]:
        """What the cells of these scenes show."""
        return tuple(x for scene in scenes for x in labels(scene, self.style.side // self.grid).tolist())


def draw_asked(random: Random, source: Source, heads: Sequence[str]) -> Asked | None:
    """A question of one of some heads; None where none was found."""
    for _ in range(200):
        head = heads[int(random.integers(len(heads)))]
        found = OTHER.get(head, _about_scene)(random, source, head)
        if found is not None:
            return found
    return None


def _about_scene(random: Random, source: Source, head: str) -> Asked | None:
    """A question about colours and shapes of a scene."""
    scene, most = scene_of(source.name()), MOST_HOPS.get(head, 0)
    hops = None if source.hops < 0 else min(source.hops, most)
    question = draw_question(random, scene, "refer" if head == "segment" else head, hops=hops)
    if question is None or not all(_of_what(step) <= SEEN for step in question.program):
        return None
    question, seen = replace(question, head=head), scene
    if source.lossy:
        question, seen = _misread(random, question, scene, source.lossy)
    gold = gold_of(question)
    told = f"{_in_words(scene, source.grid)} {question.text}" if source.shown == "words" else question.text
    kind = "scene:" if source.shown in ("photo", "words") else f"seen:{source.shown}-1/"
    return Asked(
        head=head, pictures=() if source.shown == "words" else (source.name(kind),), text=told, gold=gold,
        way=_way(question, seen, source.grid), keys=question.key_steps,
        cells=() if source.shown == "words" else source.cells(scene),
        choices=next((tuple(k) for k in (("yes", "no"), *VALUES.values()) if gold in k), ()),
    )  # fmt: skip


def _misread(random: Random, question: Question, scene: Scene, lossy: float) -> tuple[Question, Scene]:
    """A question as one answers it who takes a share of the things for others, where that leaves it an answer."""
    read = replace(scene, things=tuple(
        replace(t, colour=[*COLOURS][int(random.integers(8))], shape=SHAPES[int(random.integers(3))])
        if random.random() < lossy else t for t in scene.things
    ))  # fmt: skip
    try:
        return replace(question, answer=run(question.program, read).answer), read
    except AmbiguousError:
        return question, scene


def _of_what(step: Sequence[Any]) -> set[str]:
    return {*step[1]} if step[0] == "filter" else {step[1]} if step[0] == "query" else set()


def gold_of(question: Question) -> Any:
    """What a reward holds the answer against: boxes as lists, all else as it is written."""
    if question.head == "segment":
        x0, y0, x1, y1 = cast("list[int]", question.answer)
        at = [[x0 + (x1 - x0) * k // 4, (y0 + y1) // 2] for k in (1, 3)]
        return {"box": question.answer, "points": at}
    return question.answer if isinstance(question.answer, list) else question.written


def cell_name(at: tuple[float, float], grid: int) -> str:
    """The cell that a point x, y lies in, its row by letter."""
    x, y = at
    return f"{'abcdefghijklmnop'[int(y) // grid]}{int(x) // grid + 1}"


def middle(box: tuple[int, int, int, int]) -> tuple[float, float]:
    """x, y of the middle of a box."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _way(question: Question, scene: Scene, grid: int) -> str:
    """The cells of what each step finds: "b2 c4", "a1 / -"."""
    steps = zip(question.program, run(question.program, scene).found, strict=True)
    found = [result for step, result in steps if step[0] in ("filter", "extreme")]
    return " / ".join(" ".join(sorted(cell_name(scene.things[i].centre, grid) for i in each)) or "-" for each in found)


def _in_words(scene: Scene, grid: int) -> str:
    """All that is in a scene, cell by cell."""
    seen = sorted((cell_name(t.centre, grid), t.colour, t.shape) for t in scene.things)
    return "; ".join(f"{cell} {colour} {shape}" for cell, colour, shape in seen) + "."


def _transform(random: Random, source: Source, head: str) -> Asked | None:
    name, grid = source.name(f"changed:{CHANGED}/"), source.grid
    before = scene_of(source.name())
    if len(before.things) < CHANGED:
        return None
    after, calls = changes(name.removeprefix("changed:"))
    order = sorted(t.box for t in before.things)
    moved = [order[int(call.partition("(")[2].partition(",")[0].rstrip(")"))] for call in calls]
    return Asked(
        head=head, pictures=(source.name(), name), text="What was done between the pictures?", gold=calls,
        way=" / ".join(cell_name(middle(b), grid) for b in moved),
        cells=source.cells(before, after),
    )  # fmt: skip


def _film(random: Random, source: Source, head: str) -> Asked | None:
    rest = source.name("")
    film = film_of(FRAMES, rest)
    things = film.scene.things
    looks = [f"{t.colour} {t.shape}" for t in things]
    if head == "still":
        shapes = [t.shape for t in things]
        single = [t for t in things if shapes.count(t.shape) == 1]
        if not single:
            return None
        thing = single[int(random.integers(len(single)))]
        text, gold, choices, about = f"What colour is the {thing.shape}?", thing.colour, tuple(COLOURS), [thing]
    else:
        asked = [q for q in film_questions(film) if q.head == head]
        if not asked:
            return None
        one = asked[int(random.integers(len(asked)))]
        text, gold = one.text, one.answer
        about = [t for t, look in zip(things, looks, strict=True) if f"the {look}" in text]
        choices = {"first": tuple(f"{t.colour} {t.shape}" for t in about),
                   "direction": ("left", "right", "up", "down")}.get(head, ())  # fmt: skip
    spans = [film.seen[things.index(t)] for t in about]
    frames = [film.frame(k) for k in range(FRAMES)]
    return Asked(
        head=head, pictures=tuple(f"film:{FRAMES}-{k}/{rest}" for k in range(FRAMES)), text=text, gold=gold,
        way=" / ".join(" ".join(map(str, range(*span))) for span in spans), cells=source.cells(*frames),
        choices=choices,
    )  # fmt: skip


def _figure(random: Random, source: Source, head: str) -> Asked | None:
    """Rectangles and triangles in split A, figures with a corner cut out in others; cells tell how far they reach."""
    name = f"{source.part}/{source.seed}/{source.index}"
    figure = figure_of(name)
    if (figure.kind == "ell") != (source.split != "cogent-a"):
        return None
    there = np.asarray(figure.picture()[:, :, 2] > 100).reshape(4, 16, 4, 16).swapaxes(1, 2)
    across, down = (there.any(axis).sum(-1).ravel() for axis in (2, 3))
    return Asked(
        head=head, pictures=(f"figure:{name}",), text=figure.text, gold=f"{figure.answer:g}",
        way=" / ".join(figure.steps), keys=figure.steps,
        cells=tuple(LABELS + (across * 17 + down).astype(int)),
    )  # fmt: skip


def _spoilt(random: Random, source: Source, head: str) -> Asked | None:
    """By what, and how much, a picture is spoilt; that is what its cells are said to show."""
    kind, level = DEGRADATIONS[int(random.integers(4))], int(random.integers(1, 6))
    text = "What has spoilt the picture?" if head == "kind" else "How much is the picture spoilt, from 1 to 5?"
    cells = len(source.cells(scene_of(source.name())))
    return Asked(
        head=head, pictures=(source.name(f"seen:{kind}-{level}/"),), text=text,
        gold=kind if head == "kind" else str(level), way=f"{kind} {level}",
        cells=(DEGRADATIONS.index(kind) * 5 + level,) * cells, choices=DEGRADATIONS if head == "kind" else (),
    )  # fmt: skip


def _act(random: Random, source: Source, head: str) -> Asked | None:
    theme = "light" if source.split == "cogent-a" else "dark"
    name = f"{theme}/{source.part}/{source.seed}/{source.index}"
    screen = screen_of(name)
    at = screen.target
    return Asked(
        head=head, pictures=(f"screen:{name}",), text=screen.text, gold=screen.gold(),
        way="-" if at is None else cell_name(middle(at), 8),
        cells=tuple(screen.labels()), choices=VERBS,
    )  # fmt: skip


OTHER: Mapping[str, Callable[[Random, Source, str], Asked | None]] = {
    "transform": _transform, **dict.fromkeys(("interval", "first", "direction", "still"), _film), "figure": _figure,
    "kind": _spoilt, "level": _spoilt, "act": _act,
}  # fmt: skip
"""Heads that are not of one scene."""
ALL = (*HEADS, "segment", *OTHER)
