"""Geometry of the small charts in a report: numbers in, path strings in a 1000 × 1000 box out.

The box is stretched to whatever room the page has, and strokes are not; labels are text of the page placed by per cent.
So a chart is as legible on a telephone as on a wall.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

BOX = 1000.0


@dataclass(frozen=True, slots=True)
class Scale:
    """The interval [low, high] laid on [0, 1000]."""

    low: float
    high: float

    def __call__(self, value: Array) -> Array:
        """Position of each value, [K] → [K]."""
        return (value - self.low) / (self.high - self.low) * BOX

    def percent(self, value: float) -> float:
        """Position of one value in per cent of the box."""
        return round((value - self.low) / (self.high - self.low) * 100, 3)


@dataclass(frozen=True, slots=True)
class Layer:
    """A path of one kind (a CSS class): `raw`, `smooth`, `whisker`, `dot`, `bad`, `edge`, `attempt`, `redone`."""

    kind: str
    path: str


@dataclass(slots=True)
class Chart:
    """What the template needs to draw one chart."""

    x: Scale
    y: Scale
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    layers: list[Layer] = field(default_factory=list)
    band: tuple[float, float] | None = None  # top and height in per cent
    hover: str = "null"
    label: str = ""

    def draw(self, kind: str, path: str) -> None:
        """Lay a path over what is there; an empty one is left out."""
        if path:
            self.layers.append(Layer(kind, path))


def ticks(scale: Scale, count: int) -> list[float]:
    """Round numbers inside the scale, 1, 2 or 5 times a power of ten apart: as near to `count` of them as can be."""
    power = 10.0 ** math.floor(math.log10((scale.high - scale.low) / count))
    found: list[list[float]] = []
    for gap in (power * m for m in (0.5, 1, 2, 5, 10)):
        first, last = math.ceil(scale.low / gap - 1e-9), math.floor(scale.high / gap + 1e-9)
        found.append([index * gap for index in range(first, last + 1)])
    return min(found, key=lambda marks: abs(len(marks) - count))


def label(value: float) -> str:
    """A tick label: 0, 0.02, 250, 50k, 1.5M, 2e−9, with a true minus sign."""
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e10 or size < 1e-4:
        text = f"{value:.2g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    elif size >= 1e6:
        text = f"{value / 1e6:.6g}M"
    elif size >= 1e4:
        text = f"{value / 1e3:.6g}k"
    else:
        text = f"{value:.6g}"
    return text.replace("-", "−")


def fit(values: Iterable[Array], include: Sequence[float] = ()) -> Scale:
    """A scale that holds every finite value and what is to be included, with a little air; never of no width."""
    import numpy as np

    every = np.concatenate([*(np.asarray(v, dtype=np.float64).reshape(-1) for v in values), np.asarray(include)])
    every = every[np.isfinite(every)]
    if not len(every):
        return Scale(0.0, 1.0)
    low, high = float(every.min()), float(every.max())
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-300):
        air = abs(high) * 0.5 or 1.0
    else:
        air = (high - low) * 0.06
    if not math.isfinite(high - low + 2 * air):  # a run that diverged to the edge of the floats
        return Scale(-1e300, 1e300)
    floor = low if low in include and low == 0 else low - air
    return Scale(floor, high + air)


def frame(x: Scale, y: Scale, *, x_count: int, y_count: int) -> Chart:
    """An empty chart with about so many ticks along each side."""
    across = [(x.percent(v), label(v)) for v in ticks(x, x_count)]
    up = [(100.0 - y.percent(v), label(v)) for v in ticks(y, y_count)]
    return Chart(x=x, y=y, x_ticks=across, y_ticks=up)


def reach(value: Array) -> tuple[float, float]:
    """The interval worth drawing in full: all of it, unless a few rows lie far from the bulk; those go to the edge."""
    import numpy as np

    finite = value[np.isfinite(value)]
    if len(finite) < 40:
        return (-math.inf, math.inf)
    low, high = np.quantile(finite, [0.02, 0.98])
    room = 4 * (high - low) or math.inf
    return float(low - room), float(high + room)


def thin(step: Array, value: Array, limit: int = 1200) -> NDArray[np.int64]:
    """Indices of at most about `limit` rows that keep the outline: the first, lowest and highest of each bucket.

    Rows that are not finite end a bucket and stay, so that a gap remains a gap.
    """
    import numpy as np

    if len(step) <= limit:
        return np.arange(len(step))
    kept: list[int] = [0, len(step) - 1]
    for bucket in np.array_split(np.arange(len(step)), limit // 3):
        inside = value[bucket]
        finite = np.isfinite(inside)
        if finite.any():
            kept.append(int(bucket[0]))
            kept.append(int(bucket[np.argmin(np.where(finite, inside, np.inf))]))
            kept.append(int(bucket[np.argmax(np.where(finite, inside, -np.inf))]))
        if not finite.all():
            kept.append(int(bucket[np.argmin(finite)]))
    return np.unique(np.asarray(kept))


def line(x: Array, y: Array) -> str:
    """A polyline through [K] points of the box; a point that is not finite breaks it, a lone point becomes a dot."""
    pieces: list[str] = []
    run: list[str] = []
    for a, b in [*zip(x.tolist(), y.tolist(), strict=True), (math.nan, math.nan)]:
        if math.isfinite(a) and math.isfinite(b):
            run.append(f"{a:.1f} {BOX - b:.1f}")
        elif run:
            pieces.append("M" + "L".join(run) + ("h0" if len(run) == 1 else ""))
            run = []
    return "".join(pieces)


def area(x: Array, low: Array, high: Array) -> str:
    """The surface between two lines through [K] points; a point that is not finite parts it."""
    pieces: list[str] = []
    run: list[tuple[float, float, float]] = []
    for a, b, c in [*zip(x.tolist(), low.tolist(), high.tolist(), strict=True), (math.nan,) * 3]:
        if math.isfinite(b) and math.isfinite(c):
            run.append((a, b, c))
        elif run:
            there = [f"{a:.1f} {BOX - c:.1f}" for a, _, c in run]
            back = [f"{a:.1f} {BOX - b:.1f}" for a, b, _ in reversed(run)]
            pieces.append("M" + "L".join(there + back) + "Z")
            run = []
    return "".join(pieces)


def dots(x: Array, y: Array) -> str:
    """Points of no length, which round caps turn into discs of one size however the box is stretched."""
    return "".join(f"M{a:.1f} {BOX - b:.1f}h0" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def bars(x: Array, low: Array, high: Array) -> str:
    """Vertical strokes from `low` to `high`."""
    return "".join(
        f"M{a:.1f} {BOX - b:.1f}V{BOX - c:.1f}" for a, b, c in zip(x.tolist(), low.tolist(), high.tolist(), strict=True)
    )


def boxes(left: Array, right: Array, top: Array) -> str:
    """Upright boxes that stand on the lower edge."""
    return "".join(
        f"M{a:.1f} {BOX:.0f}V{BOX - t:.1f}H{b:.1f}V{BOX:.0f}Z"
        for a, b, t in zip(left.tolist(), right.tolist(), top.tolist(), strict=True)
    )


def posts(x: Array) -> str:
    """Strokes over the full height, one for each position of a tenth of a per cent."""
    return "".join(f"M{a}.0 0V{BOX:.0f}" for a in sorted({round(v) for v in x.tolist()}))


def hover(chart: Chart, step: Array, rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    """What the page shows under the pointer, as JSON: positions, steps and named values, non-finite ones as words.

    A value of None says that there is nothing to read at that step.
    """

    def plain(value: float | None) -> float | str | None:
        return value if value is None else float(f"{value:.5g}") if math.isfinite(value) else str(value)

    return json.dumps(
        {
            "x": [round(v, 1) for v in chart.x(step).tolist()],
            "step": [round(v) for v in step.tolist()],
            "rows": [[name, [plain(v) for v in value]] for name, value in rows],
        },
        separators=(",", ":"),
    )
