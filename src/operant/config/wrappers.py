"""Wrappers of an environment as text: "frame-stack 4", "resize 84 84", a name and what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from operant.config.randomise import ranges

ATARI = "atari"
PRESETS = {
    ATARI: (
        *("noop-start 30", "fire-reset", "max-and-skip 4", "grey", "resize 84 84", "frame-stack 4 zero"),
        *("episodic-life", "clip-reward"),
    )
}
"""Names for several. "atari": what DQN and Machado et al. (2018) play through; the frames that an id skips itself, and
the colours that it draws, are set to none beneath it."""

TAKES = {
    "action-repeat": ("a whole number of steps, 1 or more",),
    "clip-reward": ("the least and the largest reward, or nothing for its sign",),
    "episodic-life": (),
    "fire-reset": (),
    "frame-stack": (
        "a whole number of frames, 1 or more, then perhaps `zero`: what an episode begins with in their place",
    ),
    "grey": (),
    "key": ("the name of a key of the observation, or the names of several",),
    "max-and-skip": ("a whole number of frames, 2 or more",),
    "noop-start": ("the most steps, a whole number of 1 or more",),
    "one-hot": ("for each number of the last axis how many values it may have, whole numbers of 1 or more",),
    "randomise": ("names of parameters, each with its least and largest value",),
    "resize": ("height and width, whole numbers of 1 or more",),
    "sticky": ("a probability, from 0 up to, not including, 1",),
    "time-limit": ("a whole number of steps, 1 or more",),
    "words": (
        "a key of the observation that is a text, then perhaps how many words it has at most, then perhaps the words "
        "that have codes of their own",
    ),
}
"""Every wrapper and what it takes."""
_LEAST = {"max-and-skip": 2}
_COUNTS = {"action-repeat": 1, "frame-stack": 1, "max-and-skip": 1, "noop-start": 1, "resize": 2, "time-limit": 1}
_OF_TRAINING = ("episodic-life", "clip-reward")


class Wrapper(NamedTuple):
    """One wrapper: its name, and its numbers, or words: of keys, of a padding, of ranges, or of a text."""

    name: str
    numbers: tuple[float, ...] = ()
    word: str = ""


def read(text: str) -> Wrapper:
    """One wrapper out of its text.

    Raises:
        ValueError: if there is none of that name, or it takes something else; says what.
    """
    name, _, rest = text.strip().partition(" ")
    padding = "zero" if name == "frame-stack" and rest.endswith(" zero") else ""
    rest = rest.removesuffix(padding)
    if name not in TAKES:
        raise ValueError(f"there is no wrapper {name!r}: use one of {', '.join([*PRESETS, *TAKES])}")
    if name == "key" and rest:
        return Wrapper(name, (), rest.strip())
    if name == "words" and rest.strip():
        key, *more = rest.split()
        if more and not (more[0].isdecimal() and 0 < int(more[0]) < 2**15):
            raise ValueError(f"wrapper {text!r}: behind the key stands how many words it has at most, 1 or more")
        return Wrapper(name, tuple(float(n) for n in more[:1]), " ".join((key, *more[1:])))
    if name == "randomise":
        try:
            ranges(rest)
        except ValueError as error:
            raise ValueError(f"wrapper {text!r}: {error}") from error
        return Wrapper(name, (), rest.strip())
    try:
        numbers = tuple(float(word) for word in rest.split())
    except ValueError:
        numbers = (-1.0,) * 9
    least = _LEAST.get(name, 1)
    if name == "one-hot":
        sound = len(numbers) > 0 and all(1 <= n < 2**15 and n == int(n) for n in numbers)
    elif name in _COUNTS:
        sound = len(numbers) == _COUNTS[name] and all(least <= n < 2**31 and n == int(n) for n in numbers)
    elif name == "sticky":
        sound = len(numbers) == 1 and 0.0 <= numbers[0] < 1.0
    elif name == "clip-reward":
        sound = not rest or (len(numbers) == 2 and abs(numbers[0]) < float("inf") and numbers[0] < numbers[1])
    else:
        sound = name not in ("key", "words") and not rest
    if not sound:
        raise ValueError(f"wrapper {text!r}: {name} takes {', '.join(TAKES[name]) or 'nothing'}")
    return Wrapper(name, numbers, padding)


def parsed(wrappers: Sequence[str], *, measured: bool = False) -> list[Wrapper]:
    """Wrappers out of their texts, presets spelt out, the innermost first.

    Where a policy is `measured`, games are whole and rewards the environment's own: without episodic-life and
    clip-reward.

    Raises:
        ValueError: as `read`.
    """
    texts = [part for text in wrappers for part in PRESETS.get(text.strip(), (text,))]
    found = [*map(read, texts)]
    if sum(one.name == "randomise" for one in found) > 1:
        raise ValueError("randomise stands there twice: give all its parameters to one")
    return [one for one in found if not (measured and one.name in _OF_TRAINING)]
