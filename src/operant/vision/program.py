"""Programs on scenes: steps on a stack, as JSON can hold them, and what each step finds.

The functional programs of CLEVR (Johnson et al. 2017, arXiv:1612.06890), as a list of steps:

- ["scene"] puts all things on the stack
- ["filter", {attribute: value, …}] keeps those with these attributes
- ["unique"] says that there is one
- ["relate", "left" | "right" | "above" | "below"]: the things on that side of the one there is
- ["same", attribute]: the other things that have it as this one has
- ["extreme", "leftmost" | "rightmost" | "highest" | "lowest" | "nearest" | "farthest"]: the one thing that is so
- ["count"], ["exist"], ["query", attribute], ["box"], ["boxes"]: the answer of one set
- ["more"], ["fewer"], ["equal"] of two counts; ["closer"] of two things: whether the first is nearer to the camera;
  ["distance"] of two things, in pixels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from operant.config.errors import ConfigError
from operant.vision.scene import Scene

Step = Sequence[Any]
Program = Sequence[Step]
Answer = int | float | str | bool | list[int] | list[list[int]]

MARGIN = 2.0
"""Pixels by which centres must differ for one to be left of, or above, the other."""
SIDES = ("left", "right", "above", "below")
EXTREMES = ("leftmost", "rightmost", "highest", "lowest", "nearest", "farthest")


class AmbiguousError(ConfigError):
    """A program asks for the one thing where there is none, or several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a program found: the answer, and after each step how many things are meant, or what was found."""

    answer: Answer
    found: tuple[Any, ...]  # for each step: a tuple of indices, or an answer


def run(program: Program, scene: Scene) -> Run:
    """Follow a program on a scene.

    Raises:
        AmbiguousError: where ["unique"] or ["extreme"] does not name one thing.
        ConfigError: for a step that is none, or a program that leaves no answer.
    """
    stack: list[Any] = []
    found: list[Any] = []
    for step in program:
        try:
            _follow(step, scene, stack)
        except (IndexError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"the step {list(step)!r} of a program does not follow what stands before it") from error
        found.append(stack[-1])
    if len(stack) != 1 or isinstance(stack[0], tuple):
        raise ConfigError(f"a program leaves {len(stack)} results, not one answer")
    return Run(answer=stack[0], found=tuple(found))


def _follow(step: Step, scene: Scene, stack: list[Any]) -> None:
    things, (name, *rest) = scene.things, step
    match name:
        case "scene":
            stack.append(tuple(range(len(things))))
        case "filter":
            stack.append(tuple(i for i in stack.pop() if all(things[i].attribute(k) == v for k, v in rest[0].items())))
        case "unique":
            _only(stack[-1])
        case "relate":
            one = _only(stack.pop())
            stack.append(tuple(i for i in range(len(things)) if i != one and beside(scene, i, one, rest[0])))
        case "same":
            one = _only(stack.pop())
            value = things[one].attribute(rest[0])
            stack.append(tuple(i for i, t in enumerate(things) if i != one and t.attribute(rest[0]) == value))
        case "extreme":
            stack.append((extreme(scene, stack.pop(), rest[0]),))
        case "count":
            stack.append(len(stack.pop()))
        case "exist":
            stack.append(len(stack.pop()) > 0)
        case "query":
            stack.append(things[_only(stack.pop())].attribute(rest[0]))
        case "box":
            stack.append(list(things[_only(stack.pop())].box))
        case "boxes":
            stack.append([list(things[i].box) for i in stack.pop()])
        case "more" | "fewer" | "equal":
            second, first = stack.pop(), stack.pop()
            stack.append({"more": first > second, "fewer": first < second, "equal": first == second}[name])
        case "closer" | "distance":
            second, first = _only(stack.pop()), _only(stack.pop())
            far = scene.distance(first, second)
            stack.append(round(far, 1) if name == "distance" else scene.depth(first) < scene.depth(second))
        case _:
            raise ConfigError(f"a program has no step {name!r}")


def beside(scene: Scene, first: int, second: int, side: str) -> bool:
    """Whether the first thing is on that side of the second, by more than `MARGIN` pixels."""
    (x, y), (u, v) = scene.things[first].centre, scene.things[second].centre
    by = {"left": u - x, "right": x - u, "above": v - y, "below": y - v}
    if side not in by:
        raise ConfigError(f"there is no side {side!r}: take {', '.join(SIDES)}")
    return by[side] > MARGIN


def extreme(scene: Scene, of: Sequence[int], which: str) -> int:
    """The one of some things that is the leftmost, rightmost, highest, lowest, nearest or farthest, by over `MARGIN`.

    Raises:
        AmbiguousError: if there is none, or no single one.
    """
    keys = {"leftmost": (0, 1), "rightmost": (0, -1), "highest": (1, 1), "lowest": (1, -1)}
    if which not in EXTREMES:
        raise ConfigError(f"nothing is {which!r}: take {', '.join(EXTREMES)}")
    axis, sign = keys.get(which, (0, 0))
    near = 1 if which == "nearest" else -1
    order = sorted((sign * scene.things[i].centre[axis] if sign else float(near * scene.depth(i)), i) for i in of)
    if not order or (len(order) > 1 and order[1][0] - order[0][0] <= MARGIN):
        raise AmbiguousError(f"no single thing is the {which} of {len(order)}")
    return order[0][1]


def _only(of: tuple[int, ...]) -> int:
    if len(of) != 1:
        raise AmbiguousError(f"one thing is meant, and there are {len(of)}")
    return of[0]
