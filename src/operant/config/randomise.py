"""Parameters of a simulated world that each episode draws anew, as text: "mass 0.5 2 latency 0 4", names and ranges."""

from __future__ import annotations

from math import inf, isfinite
from typing import NamedTuple


class Parameter(NamedTuple):
    """What can be drawn: what it is in the world as it was made, its least and largest value, and whether a part of
    the model can be named."""

    calibrated: float
    least: float
    most: float
    parts: bool = False


_FACTOR = Parameter(1.0, 1e-3, 1e3, True)
PARAMETERS = {
    "mass": _FACTOR,
    "size": _FACTOR,
    "friction": _FACTOR,
    "damping": Parameter(1.0, 0.0, 1e3, True),
    "gravity": Parameter(1.0, 0.0, 1e3),
    "gear": _FACTOR,
    "latency": Parameter(0.0, 0.0, 100.0),
    "backlash": Parameter(0.0, 0.0, 1.0),
    "noise": Parameter(0.0, 0.0, inf),
    "bias": Parameter(0.0, 0.0, inf),
    "push": Parameter(0.0, 0.0, inf),
    "push_every": Parameter(50.0, 1.0, inf),
    "adversary": Parameter(0.0, 0.0, 1.0),
}
"""By name. The first six are factors on what a MuJoCo model says, of one part of it in the form `mass:torso`."""


class Range(NamedTuple):
    """From where to where one parameter is drawn; `part` is the body, geom, joint or actuator, all if empty."""

    name: str
    low: float
    high: float

    @property
    def kind(self) -> str:
        """Which of `PARAMETERS`."""
        return self.name.partition(":")[0]

    @property
    def part(self) -> str:
        """The name of a body, geom, joint or actuator; all if empty."""
        return self.name.partition(":")[2]

    @property
    def calibrated(self) -> float:
        """What it is in the world as it was made."""
        return PARAMETERS[self.kind].calibrated


def ranges(text: str) -> tuple[Range, ...]:
    """The ranges that a text speaks of, in its order.

    Raises:
        ValueError: if there is no parameter of a name, a bound is none, or it stands there twice; says what.
    """
    words = text.split()
    if not words or len(words) % 3:
        raise ValueError(
            f"{text!r} is not names, each with its least and largest value: write mass 0.5 2 latency 0 4, say"
        )
    found: list[Range] = []
    for name, *bounds in zip(words[::3], words[1::3], words[2::3], strict=True):
        kind, colon, part = name.partition(":")
        if kind not in PARAMETERS or (colon and not (part and PARAMETERS[kind].parts)):
            raise ValueError(f"there is no parameter {name!r}: use one of {', '.join(PARAMETERS)}")
        its = PARAMETERS[kind]
        try:
            low, high = (float(word) for word in bounds)
        except ValueError:
            low, high = inf, -inf
        if not (its.least <= low <= high <= its.most and isfinite(high)):
            most = "" if its.most == inf else f" and at most {its.most:g}"
            raise ValueError(
                f"{name} goes from {' to '.join(bounds)}: give two numbers, the least first, of at least "
                f"{its.least:g}{most}"
            )
        if name in (one.name for one in found):
            raise ValueError(f"{name} stands there twice: give it once")
        found.append(Range(name, low, high))
    return tuple(found)
