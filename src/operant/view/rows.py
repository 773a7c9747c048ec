"""The metric rows of a run folder as one series per metric, with absent kept apart from not-a-number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from operant.run.folder import RunFolder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric over a run, by step. A value that was measured as NaN or ±inf is here; one never measured is not."""

    step: NDArray[np.float64]  # [K] environment steps so far
    time: NDArray[np.float64]  # [K] seconds since the attempt began
    value: NDArray[np.float64]  # [K]
    attempt: NDArray[np.int64]  # [K]
    redone: NDArray[np.bool_]  # [K] a later attempt, resumed from an earlier step, did this step again

    def where(self, mask: NDArray[np.bool_]) -> Series:
        """The rows at which `mask` [K] is true."""
        return Series(
            step=self.step[mask],
            time=self.time[mask],
            value=self.value[mask],
            attempt=self.attempt[mask],
            redone=self.redone[mask],
        )


def read_series(run: Path) -> dict[str, Series]:
    """Every metric of the run folder `run` by name, those of abandoned attempts too.

    It is made of rows rather than of a DataFrame, in whose columns a value that was never measured and a value that was
    measured as NaN are the same.

    Raises OperantError when a parquet part cannot be read.
    """
    import numpy as np

    found: dict[str, list[tuple[float, float, float, int]]] = {}
    begin: dict[int, float] = {}  # the first step of each attempt
    for row in RunFolder(run).rows():
        step, time, attempt = float(row["step"]), float(row["time"]), int(row["attempt"])
        begin[attempt] = min(step, begin.get(attempt, step))
        for name, value in row.items():
            if "/" in name:
                found.setdefault(name, []).append((step, time, float(value), attempt))
    series: dict[str, Series] = {}
    for name, entries in found.items():
        table = np.asarray(entries, dtype=np.float64)  # [K, 4]
        step, time, value, attempt = table[np.lexsort((table[:, 1], table[:, 3], table[:, 0]))].T
        redone = np.zeros(len(step), dtype=bool)
        for later, first in begin.items():
            redone |= (attempt < later) & (step >= first)
        series[name] = Series(step=step, time=time, value=value, attempt=attempt.astype(np.int64), redone=redone)
    return series
