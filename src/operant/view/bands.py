"""The one moving average, exact at every point asked for, and what several seeds have in common on a grid of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from operant.data.stats import bootstrap_band, iqm_over_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from operant.run.metrics import Column

    Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Seeds over a grid of steps."""

    grid: Array  # [P] environment steps
    seeds: Array  # [n, P] each seed's moving average; NaN where it has none, or where a value was not finite
    alive: NDArray[np.bool_]  # [n, P] the seed had begun and not ended here
    middle: Array  # [P] interquartile mean of the seeds that are alive
    low: Array  # [P] its 95 % bootstrap interval, only where all seeds are alive
    high: Array  # [P]
    bad: Array  # [B] steps at which some seed measured NaN or ±inf

    @property
    def all_alive(self) -> NDArray[np.bool_]:
        """Where all seeds are alive, [P]."""
        import numpy as np

        return np.asarray(self.alive.all(axis=0))

    @property
    def any_alive(self) -> NDArray[np.bool_]:
        """Where any seed is alive, [P]."""
        import numpy as np

        return np.asarray(self.alive.any(axis=0))


def moving_average(column: Column, grid: Array, window: float) -> tuple[Array, NDArray[np.bool_]]:
    """One run's moving average at the points of a grid, and where it has one: ([P], [P]).

    At each point it is the mean of every row within `window`/2 environment steps, none skipped; where no row lies so
    near, but there are some before and after, it is interpolated linearly. A value that is not finite makes it NaN.
    The window is a number of steps, not of rows, so that rows written more densely do not count for more road; it is
    cut off at the ends of the run.
    """
    import numpy as np

    step, value = column.step, column.value
    begin = np.searchsorted(step, grid - window / 2, side="left")
    end = np.searchsorted(step, grid + window / 2, side="right")
    edges = np.stack([begin, end], axis=1).reshape(-1)  # [2P]
    # Window by window, not by differences of a running sum: one value of 1e20 would spoil all that follow it.
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.add.reduceat(np.append(value, 0.0), edges)[::2] / np.maximum(end - begin, 1)
        between = np.interp(grid, step, value)
    alive = (end > begin) | ((grid >= step[0]) & (grid <= step[-1]))
    average = np.where(end > begin, mean, between)
    return np.where(alive & np.isfinite(average), average, np.nan), alive


def band(columns: Sequence[Column], grid: Array, window: float) -> Band:
    """The seeds of a group on a grid. Where some have ended, the middle goes on over those left; the interval stops."""
    import numpy as np

    seeds, alive = (np.stack(rows) for rows in zip(*(moving_average(c, grid, window) for c in columns), strict=True))
    middle, low, high = (np.full(len(grid), np.nan) for _ in range(3))
    for pattern in np.unique(alive, axis=1).T:  # a pattern of seeds that are alive together
        where = (alive == pattern[:, None]).all(axis=0)  # [P]
        if pattern.any():
            middle[where] = iqm_over_rows(seeds[pattern][:, where])
        if pattern.all():
            low[where], high[where] = bootstrap_band(seeds[:, where])
    bad = np.unique(np.concatenate([column.step[~np.isfinite(column.value)] for column in columns]))
    return Band(grid=grid, seeds=seeds, alive=alive, middle=middle, low=low, high=high, bad=bad)


def training_grid(columns: Sequence[Column], points: int = 300) -> tuple[Array, float]:
    """A grid over all that these runs trained, and the window of the moving average: a twentieth of it, in steps.

    There are no more points than the longest run has rows, lest the average look like a stair.
    """
    import numpy as np

    begin, end = min(c.step[0] for c in columns), max(c.step[-1] for c in columns)
    points = min(points, max(len(column.step) for column in columns))
    return np.linspace(begin, end, points), float(f"{max(end / 20, 1.0):.1g}")


def evaluation_grid(columns: Sequence[Column]) -> Array:
    """Every step at which any of these runs was evaluated."""
    import numpy as np

    return np.unique(np.concatenate([column.step for column in columns]))
