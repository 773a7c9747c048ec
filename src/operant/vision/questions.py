"""Questions about scenes: a text, the program that answers it, its answer, its key steps and a trace in words.

Heads: count, exist, compare, attribute, relation, depth, distance, size, refer, detect. (Two scenes: `transform`.)
A question is never ambiguous: what it calls "the" is one thing, and who is left of whom differs by over two pixels.
`hops` says how many relations or superlatives a question goes through; the split Hop is those with two or more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from operant.config.errors import ConfigError
from operant.vision.program import EXTREMES, SIDES, AmbiguousError, Answer, Program, run
from operant.vision.scene import COLOURS, SHAPES, SIZES, TEXTURES, Scene

Random = np.random.Generator
Named = Mapping[str, str]
VALUES: Mapping[str, Sequence[str]] = {
    "size": tuple(SIZES), "texture": TEXTURES, "colour": tuple(COLOURS), "shape": SHAPES,
}  # fmt: skip
OF = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
_TRIES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question about a scene; all of it JSON can hold."""

    head: str
    text: str
    program: Program
    answer: Answer
    key_steps: tuple[str, ...]  # what a way to the answer says, in order
    trace: str  # the steps in words, up to the answer
    hops: int

    @property
    def written(self) -> str:
        """The answer as it is to be written: yes and no, numbers in digits, boxes in brackets."""
        return written(self.answer)


def written(answer: Answer) -> str:
    """An answer as text."""
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    return f"{answer:g}" if isinstance(answer, float) else str(answer)


def phrase(named: Named, *, many: bool = False) -> str:
    """What attributes call a thing: "small striped red circle"; "things" where no shape is named."""
    noun = named.get("shape", "thing")
    plural = {"plus": "plusses"}.get(noun, f"{noun}s")
    words = [named[k] for k in ("size", "texture", "colour") if k in named]
    return " ".join([*words, plural if many else noun])


def draw_question(random: Random, scene: Scene, head: str, *, hops: int | None = None) -> Question | None:
    """A question of a head about a scene; None where this scene has none that is not ambiguous.

    Args:
        random: draws it.
        scene: what is asked about.
        head: one of `HEADS`.
        hops: how many it goes through, of heads that have a choice; None: drawn.

    Raises:
        ConfigError: for an unknown head, or hops that it does not have.
    """
    if head not in HEADS:
        raise ConfigError(f"there are no questions {head!r}: take {', '.join(HEADS)}")
    if hops is not None and not 0 <= hops <= MOST_HOPS.get(head, 0):
        raise ConfigError(f"{head} has questions of 0 to {MOST_HOPS.get(head, 0)} hops, not of {hops}")
    for _ in range(_TRIES):
        wanted = int(random.integers(0, MOST_HOPS.get(head, 0) + 1)) if hops is None else hops
        drawn = HEADS[head](random, scene, wanted)
        if drawn is None:
            continue
        text, program = drawn
        try:
            done = run(program, scene)
        except AmbiguousError:
            continue
        words = _words(program, done.found, scene)
        return Question(
            head=head, text=text, program=program, answer=done.answer, key_steps=tuple(words[1:]),
            trace="; ".join(words), hops=wanted,
        )  # fmt: skip
    return None


def _words(program: Program, found: Sequence[Any], scene: Scene) -> list[str]:
    """What each step does and finds: "red: 3", "left: small gray circle", "count: 3"."""
    words: list[str] = []
    for (name, *rest), result in zip(program, found, strict=True):
        if name == "unique":
            continue
        told = rest[0] if rest else name
        told = phrase(told) if isinstance(told, Mapping) else str(told)
        if isinstance(result, tuple):
            seen: tuple[int, ...] = result
            thing = scene.things[seen[0]] if len(seen) == 1 else None
            words.append(f"{told}: {len(seen) if thing is None else f'{thing.colour} {thing.shape}'}")
        else:
            words.append(f"{told}: {written(result)}")
    return words


def some_named(random: Random, scene: Scene, most: int = 3) -> dict[str, str]:
    """Attributes of a thing of the scene, mostly, or of none: at least one of them."""
    names = [*VALUES]
    chosen = [names[i] for i in random.permutation(4)[: int(random.integers(1, most + 1))]]
    if scene.things and random.random() < 0.85:
        thing = scene.things[int(random.integers(len(scene.things)))]
        return {k: thing.attribute(k) for k in names if k in chosen}
    return {k: VALUES[k][int(random.integers(len(VALUES[k])))] for k in names if k in chosen}


def one_named(random: Random, scene: Scene) -> dict[str, str] | None:
    """The fewest attributes, among some drawn, that name one thing of the scene alone; None where none do."""
    if not scene.things:
        return None
    thing = scene.things[int(random.integers(len(scene.things)))]
    order = ["shape", *(k for k in (["colour", "size", "texture"][i] for i in random.permutation(3)))]
    for count in range(1, 5):
        named = {k: thing.attribute(k) for k in VALUES if k in order[:count]}
        if sum(all(t.attribute(k) == v for k, v in named.items()) for t in scene.things) == 1:
            return named
    return None


def _choice(random: Random, of: Sequence[str]) -> str:
    return of[int(random.integers(len(of)))]


def referred(random: Random, scene: Scene, hops: int) -> tuple[str, list[Any]] | None:
    """What calls one thing through so many relations or superlatives, and the steps that find it."""
    if hops == 0:
        named = one_named(random, scene)
        return None if named is None else (phrase(named), [["scene"], ["filter", named], ["unique"]])
    if hops == 1 and random.random() < 0.4:
        named, which = some_named(random, scene, 1), _choice(random, EXTREMES)
        return f"{which} {phrase(named)}", [["scene"], ["filter", named], ["extreme", which]]
    inner = referred(random, scene, hops - 1)
    if inner is None:
        return None
    named, side = some_named(random, scene, 2), _choice(random, SIDES)
    if random.random() < 0.5:
        which = _choice(random, EXTREMES[:4])
        steps = [*inner[1], ["relate", side], ["extreme", which]]
        return (f"{which} thing {OF[side]} the {inner[0]}", steps) if hops > 1 else None
    return f"{phrase(named)} {OF[side]} the {inner[0]}", [*inner[1], ["relate", side], ["filter", named], ["unique"]]


Drawn = tuple[str, list[Any]]


def _count(random: Random, scene: Scene, hops: int) -> Drawn | None:
    named = some_named(random, scene)
    if hops == 0:
        return f"How many {phrase(named, many=True)} are there?", [["scene"], ["filter", named], ["count"]]
    inner = referred(random, scene, hops - 1)
    if inner is None:
        return None
    side = _choice(random, SIDES)
    text = f"How many {phrase(named, many=True)} are {OF[side]} the {inner[0]}?"
    return text, [*inner[1], ["relate", side], ["filter", named], ["count"]]


def _exist(random: Random, scene: Scene, hops: int) -> Drawn | None:
    drawn = _count(random, scene, hops)
    if drawn is None:
        return None
    text, steps = drawn
    return text.replace("How many", "Are there any").replace(" are there?", "?").replace(" are ", " "), [
        *steps[:-1],
        ["exist"],
    ]


def _compare(random: Random, scene: Scene, hops: int) -> Drawn | None:
    first, second, how = (
        some_named(random, scene, 2),
        some_named(random, scene, 2),
        _choice(random, ("more", "fewer", "equal")),
    )
    if first == second:
        return None
    steps = [["scene"], ["filter", first], ["count"], ["scene"], ["filter", second], ["count"], [how]]
    a, b = phrase(first, many=True), phrase(second, many=True)
    return (f"Are there as many {a} as {b}?" if how == "equal" else f"Are there {how} {a} than {b}?"), steps


def _attribute(random: Random, scene: Scene, hops: int) -> Drawn | None:
    inner, asked = referred(random, scene, hops), _choice(random, [*VALUES])
    if inner is None or _told(inner[1], asked):
        return None
    return f"What {asked} is the {inner[0]}?", [*inner[1], ["query", asked]]


def _told(steps: Sequence[Any], attribute: str) -> bool:
    """Whether what a thing is called says its attribute, so that nobody need look."""
    last = max((i for i, step in enumerate(steps) if step[0] == "relate"), default=0)
    return any(step[0] == "filter" and attribute in step[1] for step in steps[last:])


def _two(random: Random, scene: Scene) -> tuple[Drawn, Drawn] | None:
    """What calls two different things."""
    first, second = referred(random, scene, 0), referred(random, scene, 0)
    if first is None or second is None:
        return None
    one, other = (run([*each[1], ["box"]], scene).answer for each in (first, second))
    return None if one == other else (first, second)


def _relation(random: Random, scene: Scene, hops: int) -> Drawn | None:
    two, side = _two(random, scene), _choice(random, SIDES)
    if two is None:
        return None
    steps = [*two[1][1], ["relate", side], ["filter", two[0][1][1][1]], ["exist"]]
    return f"Is the {two[0][0]} {OF[side]} the {two[1][0]}?", steps


def _depth(random: Random, scene: Scene, hops: int) -> Drawn | None:
    two = _two(random, scene)
    if two is None:
        return None
    steps = [*two[0][1], *two[1][1], ["closer"]]
    first, second = (run([*each[1], ["box"]], scene).answer for each in two)
    assert isinstance(first, list)
    assert isinstance(second, list)
    if first[3] == second[3]:
        return None
    return f"Is the {two[0][0]} nearer to the camera than the {two[1][0]}?", steps


def _distance(random: Random, scene: Scene, hops: int) -> Drawn | None:
    two = _two(random, scene)
    if two is None:
        return None
    return f"How many pixels are between the centres of the {two[0][0]} and the {two[1][0]}?", [
        *two[0][1],
        *two[1][1],
        ["distance"],
    ]


def _size(random: Random, scene: Scene, hops: int) -> Drawn | None:
    inner = referred(random, scene, hops)
    if inner is None or _told(inner[1], "size"):
        return None
    return f"Is the {inner[0]} small or large?", [*inner[1], ["query", "size"]]


def _refer(random: Random, scene: Scene, hops: int) -> Drawn | None:
    inner = referred(random, scene, hops)
    return None if inner is None else (f"Where is the {inner[0]}?", [*inner[1], ["box"]])


def _detect(random: Random, scene: Scene, hops: int) -> Drawn | None:
    named = some_named(random, scene, 2)
    return f"List the boxes of all {phrase(named, many=True)}.", [["scene"], ["filter", named], ["boxes"]]


HEADS: Mapping[str, Callable[[Random, Scene, int], Drawn | None]] = {
    "count": _count, "exist": _exist, "compare": _compare, "attribute": _attribute, "relation": _relation,
    "depth": _depth, "distance": _distance, "size": _size, "refer": _refer, "detect": _detect,
}  # fmt: skip
MOST_HOPS: Mapping[str, int] = {"count": 2, "exist": 2, "attribute": 2, "size": 2, "refer": 2}
"""How many hops the questions of a head have at most; 0 where it is not named."""
