"""A few metrics of a long run, read by column: a million rows in a tenth of a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.errors import OperantError
from operant.run.folder import live_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

KEYS = ("attempt", "step", "time")


@dataclass(frozen=True, slots=True)
class Column:
    """One metric by step. NaN and ±inf are values that were measured; a row that did not measure is not here."""

    step: Array  # [K] environment steps so far, ascending
    value: Array  # [K]


def read_columns(run: Path, names: Sequence[str]) -> dict[str, Column]:
    """The metrics `names` of the run folder `run`, those which it measured at least once.

    Rows count as in `RunFolder.metrics`: where a later attempt did a step again, its rows do, and a row that a kill
    left both sealed and live counts once.

    Raises:
        OperantError: if a sealed part cannot be read; names it.
    """
    import numpy as np

    blocks = [_sealed(part, names) for part in sorted((run / "metrics").glob("part-*.parquet"))]
    blocks.append(_live(run, names))
    table = {name: np.concatenate([block[name] for block in blocks]) for name in (*KEYS, *names)}
    measured = {name: np.concatenate([block["?" + name] for block in blocks]) for name in names}
    attempt, step, time = (table[key] for key in KEYS)
    counts = np.ones(len(step), dtype=bool)
    for later in np.unique(attempt)[1:].tolist() if len(step) else ():
        counts &= ~((attempt < later) & (step >= step[attempt == later].min()))
    found: dict[str, Column] = {}
    for name in names:
        rows = np.flatnonzero(measured[name] & counts)
        rows = rows[_order(attempt[rows], step[rows], time[rows])]
        if len(rows):
            found[name] = Column(step=step[rows], value=table[name][rows])
    return found


def _order(attempt: Array, step: Array, time: Array) -> NDArray[np.int64]:
    """Indices that sort rows by step, then time, and leave out repetitions; nothing is sorted that is in order."""
    import numpy as np

    def ascending(step: Array, time: Array) -> NDArray[np.bool_]:
        return (np.diff(step) > 0) | ((np.diff(step) == 0) & (np.diff(time) > 0))

    if ascending(step, time).all():
        return np.arange(len(step))
    order = np.lexsort((attempt, time, step))
    again = (np.diff(step[order]) == 0) & (np.diff(time[order]) == 0) & (np.diff(attempt[order]) == 0)
    return order[np.concatenate([[True], ~again])]


def _sealed(part: Path, names: Sequence[str]) -> dict[str, Any]:
    """The columns of one part, and under "?name" whether each row measured it; a value not measured is arbitrary."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(part)
        if absent := set(KEYS) - set(file.schema_arrow.names):
            raise pa.ArrowInvalid(f"the column {min(absent)} is missing")
        wanted = [name for name in (*KEYS, *names) if name in file.schema_arrow.names]
        table = file.read(columns=wanted)
        block: dict[str, Any] = {}
        for name in wanted:
            column = table.column(name).cast(pa.float64()).combine_chunks()
            bare = pa.Array.from_buffers(pa.float64(), len(column), [None, column.buffers()[1]], offset=column.offset)
            # DLPack, as `to_numpy` of an array with nulls would import pandas.
            block[name] = np.from_dlpack(bare)  # anything where not measured
            block["?" + name] = np.from_dlpack(column.is_valid().cast(pa.uint8())).astype(bool)
    except (pa.ArrowException, OSError) as error:
        raise OperantError(f"the metrics in {part} cannot be read ({error}); move it away to go on") from error
    for name in names:
        block.setdefault(name, np.full(table.num_rows, np.nan))
        block.setdefault("?" + name, np.zeros(table.num_rows, dtype=bool))
    return block


def _live(run: Path, names: Sequence[str]) -> dict[str, Any]:
    """As `_sealed`, of the rows that are not sealed yet."""
    import numpy as np

    rows = [*live_rows(run / "metrics" / "live.jsonl")]
    block: dict[str, Any] = {}
    for name in (*KEYS, *names):
        block[name] = np.asarray([row.get(name, np.nan) for row in rows], dtype=np.float64)
        block["?" + name] = np.asarray([name in row for row in rows], dtype=bool)
    return block
