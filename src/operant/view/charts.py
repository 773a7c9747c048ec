"""Small charts as SVG: numbers in, paths in a 1000 × 1000 box out.

The box is stretched to whatever room the page has, and strokes are not; labels are text of the page placed by per cent.
So a chart is as legible on a telephone as on a wall, is there where no script runs, and prints sharply.
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


@dataclass(slots=True)
class Chart:
    """What the template needs to draw one chart; each method lays something over what is there.

    Arrays are [K] in the units of the scales. `kind` is the CSS class of the path: `raw`, `smooth`, `whisker`, `dot`,
    `bad`, `edge`, `attempt`, `redone`.
    """

    x: Scale
    y: Scale
    label: str
    x_ticks: list[tuple[float, str]]  # position in per cent, text
    y_ticks: list[tuple[float, str]]
    layers: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())  # kind, path
    across: str = ""  # what is laid along each side
    up: str = ""
    band: tuple[float, float] | None = None  # top and height in per cent
    hover: str = "null"

    def line(self, kind: str, x: Array, y: Array, *, limit: int = 1200) -> None:
        """A line through the points, or as many as keep its outline; one that is not finite breaks it.

        A lone point becomes a dot.
        """
        kept = thin(x, y, limit)
        runs = [[f"{a:.1f} {b:.1f}" for a, b in run] for run in _finite_runs(self.x(x[kept]), self._down(y[kept]))]
        self._draw(kind, ("M" + "L".join(run) + ("h0" if len(run) == 1 else "") for run in runs))

    def area(self, kind: str, x: Array, low: Array, high: Array) -> None:
        """The surface between two lines; a point that is not finite parts it."""
        runs = _finite_runs(self.x(x), self._down(low), self._down(high))
        round_trips = ([(a, top) for a, _, top in run] + [(a, bottom) for a, bottom, _ in run[::-1]] for run in runs)
        self._draw(kind, ("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in trip) + "Z" for trip in round_trips))

    def dots(self, kind: str, x: Array, y: Array) -> None:
        """Lines of no length, which round caps turn into discs of one size however the box is stretched."""
        self._draw(kind, (f"M{a:.1f} {b:.1f}h0" for a, b in zip(self.x(x), self._down(y), strict=True)))

    def bars(self, kind: str, x: Array, low: Array, high: Array) -> None:
        """Upright strokes."""
        ends = zip(self.x(x), self._down(low), self._down(high), strict=True)
        self._draw(kind, (f"M{a:.1f} {bottom:.1f}V{top:.1f}" for a, bottom, top in ends))

    def boxes(self, kind: str, left: Array, right: Array, top: Array) -> None:
        """Boxes that stand on the lower edge."""
        sides = zip(self.x(left), self.x(right), self._down(top), strict=True)
        self._draw(kind, (f"M{a:.1f} {BOX:.0f}V{t:.1f}H{b:.1f}V{BOX:.0f}Z" for a, b, t in sides))

    def posts(self, kind: str, x: Array) -> None:
        """Strokes over the full height, one for each position of a tenth of a per cent."""
        self._draw(kind, (f"M{a}.0 0V{BOX:.0f}" for a in sorted({round(v) for v in self.x(x).tolist()})))

    def reading(self, step: Array, rows: Sequence[tuple[str, Sequence[float | None]]], unit: str = "step") -> None:
        """What the page says under the pointer: positions, steps and named values, None where there is nothing to say.

        `unit` is what a position is called.

        It is strict JSON, in which numbers that are not finite are words.
        """

        def plain(value: float | None) -> float | str | None:
            return value if value is None else float(f"{value:.5g}") if math.isfinite(value) else str(value)

        named = [[name, [plain(v) for v in value]] for name, value in rows]
        where = [round(v) if v == round(v) else plain(v) for v in step.tolist()]
        data = {"x": [round(v, 1) for v in self.x(step).tolist()], "step": where}
        self.hover = json.dumps(data | {"rows": named, "unit": unit}, separators=(",", ":"))

    def _down(self, y: Array) -> Array:
        """Distances from the upper edge, [K]."""
        return BOX - self.y(y)

    def _draw(self, kind: str, pieces: Iterable[str]) -> None:
        if path := "".join(pieces):
            self.layers.append((kind, path))


def chart(
    x: Scale, y: Scale, label: str, *, across: str = "environment steps", up: str, x_count: int = 6, y_count: int = 5
) -> Chart:
    """An empty chart with about so many ticks along each side; `label` is read to those who cannot see it.

    `across` and `up` are the titles of the axes.
    """
    along = [(x.percent(v), tick(v)) for v in ticks(x, x_count)]
    beside = [(100.0 - y.percent(v), tick(v)) for v in ticks(y, y_count)]
    return Chart(x, y, label, along, beside, across=across, up=up)


def ticks(scale: Scale, count: int) -> list[float]:
    """Round numbers inside the scale, 1, 2 or 5 times a power of ten apart: as near to `count` of them as can be."""
    power = 10.0 ** math.floor(math.log10((scale.high - scale.low) / count))
    candidates: list[list[float]] = []
    for gap in (power * m for m in (0.5, 1, 2, 5, 10)):
        first, last = math.ceil(scale.low / gap - 1e-9), math.floor(scale.high / gap + 1e-9)
        candidates.append([index * gap for index in range(first, last + 1)])
    return min(candidates, key=lambda marks: abs(len(marks) - count))


def tick(value: float) -> str:
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


def bulk(value: Array) -> tuple[float, float]:
    """The interval worth drawing in full: all of it, unless a few values lie far off; those go to the edge."""
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


def _finite_runs(*columns: Array) -> list[list[list[float]]]:
    """The stretches of rows in which every one of these columns [K] is finite."""
    import numpy as np

    table = np.stack(columns, axis=1)  # [K, C]
    edges = np.flatnonzero(np.diff(np.isfinite(table).all(axis=1), prepend=False, append=False))
    return [table[begin:end].tolist() for begin, end in edges.reshape(-1, 2).tolist()]
