"""The metric rows of a run folder as one series per metric, with absent kept apart from not-a-number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.errors import OperantError

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
    """Every metric of the run folder `run`, sealed or live, by name. A line torn by a kill is left out.

    This reads the files rather than a DataFrame, in whose columns a value that was never measured and a value that was
    measured as NaN are the same.

    Raises OperantError when a parquet part cannot be read.
    """
    import numpy as np

    found: dict[str, list[tuple[float, float, float, int]]] = {}
    seen: set[tuple[object, ...]] = set()
    begin: dict[int, float] = {}  # the first step of each attempt
    for row in [*_sealed(run / "metrics"), *_live(run / "metrics" / "live.jsonl")]:
        measured = {name: value for name, value in row.items() if "/" in name and value is not None}
        step, time, attempt = float(row["step"]), float(row.get("time") or 0.0), int(row.get("attempt") or 1)
        identity = (attempt, step, time, *sorted(measured))
        if identity in seen:  # sealed, and still live because of a kill in between
            continue
        seen.add(identity)
        begin[attempt] = min(step, begin.get(attempt, step))
        for name, value in measured.items():
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


def _sealed(folder: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in sorted(folder.glob("part-*.parquet")):
        try:
            yield from pq.read_table(part).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise OperantError(f"the metrics in {part} cannot be read ({error}); move it away to go on") from error


def _live(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with suppress(json.JSONDecodeError):
            yield {k: float(v["nf"]) if isinstance(v, dict) else v for k, v in json.loads(line).items()}
