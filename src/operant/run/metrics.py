"""The metrics of a run folder, read by column: a million rows of a metric in a tenth of a second."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from operant.config.bounded import loads, read_bytes
from operant.config.errors import OperantError
from operant.data.memory import allow
from operant.run.parquet import LARGEST as LARGEST_READ
from operant.run.parquet import Columns
from operant.run.schemas import LARGEST, decode_number, encode_number

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Block = dict[str, tuple[NDArray[Any], Mask]]  # name → the values of these rows, and which of them were measured

KEYS = ("attempt", "step", "time")
WHOLE = KEYS[:2]
OPEN = 200
"""Parts that are open at once."""
LIVE = 2**28
"""Bytes of `live.jsonl` that are read: a row of it has some thousands, and they are sealed after `SEAL_EVERY`."""


@dataclass(frozen=True, slots=True)
class Column:
    """One metric by step. NaN and ±inf are values that were measured; a row that did not measure is not here."""

    step: Array  # [K] environment steps so far, ascending
    value: Array  # [K]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Every row of every attempt, by step, then attempt, then time; a row that a kill left twice is here once."""

    attempt: NDArray[np.int64]  # [N]
    step: NDArray[np.int64]  # [N] environment steps so far
    time: Array  # [N] seconds since the attempt began
    superseded: Mask  # [N] a later attempt, resumed from an earlier step, did this step again
    values: Mapping[str, NDArray[Any]]  # name → [N]; anything where it was not measured
    measured: Mapping[str, Mask]  # name → [N]

    def column(self, name: str, *, superseded: bool | None = False) -> Column | None:
        """One metric where it counts, or where it was superseded, or both (None); None if it was not measured there."""
        import numpy as np

        if name not in self.values:
            return None
        rows = self.measured[name] if superseded is None else self.measured[name] & (self.superseded == superseded)
        kept = np.flatnonzero(rows)
        return Column(*(x[kept].astype(np.float64) for x in (self.step, self.values[name]))) if len(kept) else None

    @property
    def resumed(self) -> Array:
        """The first step of each attempt but the first, of those that still count, [A - 1]."""
        import numpy as np

        kept = ~self.superseded
        begins = [self.step[kept & (self.attempt == a)].min() for a in np.unique(self.attempt[kept])[1:]]
        return np.asarray(begins, dtype=np.float64)

    def frame(self) -> pd.DataFrame:
        """The rows that count, a column a metric; NaN also where a row did not measure it: `measured` tells apart."""
        import numpy as np
        import pandas as pd

        rows = ~self.superseded
        table: dict[str, NDArray[Any]] = {key: getattr(self, key)[rows] for key in KEYS}
        for name, value in self.values.items():
            measured = self.measured[name][rows]
            if measured.any():
                table[name] = value[rows] if measured.all() else np.where(measured, value[rows], np.nan)
        return pd.DataFrame(table)


def read_metrics(run: Path, names: Sequence[str] | None = None) -> Metrics:
    """The metrics `names` of the run folder `run`, all of them if None.

    Raises:
        OperantError: if a sealed part or a whole line that is not sealed yet is no row of metrics; names it.
    """
    import numpy as np

    opened: list[tuple[Path, Columns]] = []
    for part in sorted((run / "metrics").glob("part-*.parquet")):
        with _readable(part):
            opened.append((part, Columns(part, None if names is None else (*KEYS, *names))))
            if len(opened) > OPEN:
                opened[-1][1].close()
    with _readable(run / "metrics"):
        allow(sum(columns.size for _, columns in opened), f"{len(opened)} files unpack to", LARGEST_READ)
    blocks = [_sealed(part, columns) for part, columns in opened]
    live = _live(run / "metrics" / "live.jsonl", names)
    blocks += [live] if len(live["step"][0]) or not blocks else []
    columns: Block = {}
    for name in dict.fromkeys(chain(KEYS, *blocks)):
        pieces = [block.get(name) or _absent(len(block["step"][0])) for block in blocks]
        columns[name] = (np.concatenate([v for v, _ in pieces]), np.concatenate([m for _, m in pieces]))
    order = _order(columns)
    attempt, step, time = (columns.pop(key)[0][order] for key in KEYS)
    superseded = np.zeros(len(step), dtype=bool)
    for later in np.unique(attempt)[1:].tolist() if (attempt != attempt[:1]).any() else ():
        superseded |= (attempt < later) & (step >= step[attempt == later].min())
    return Metrics(
        attempt=attempt.astype(np.int64),
        step=step.astype(np.int64),
        time=time,
        superseded=superseded,
        values={name: value[order] for name, (value, _) in columns.items()},
        measured={name: measured[order] for name, (_, measured) in columns.items()},
    )


def _absent(count: int) -> tuple[Array, Mask]:
    import numpy as np

    return np.full(count, np.nan), np.zeros(count, dtype=bool)


def _order(columns: Block) -> NDArray[np.int64] | slice:
    """What sorts rows by step, attempt and time and leaves out repetitions: same keys, and the same names measured."""
    import numpy as np

    attempt, step, time = (columns[key][0] for key in KEYS)
    gap = np.diff(step)
    tie = np.flatnonzero(gap == 0)
    if (gap >= 0).all() and (attempt[tie] == attempt[tie + 1]).all() and (time[tie] < time[tie + 1]).all():
        return slice(None)
    order = np.lexsort((time, attempt, step))  # stable
    again = np.logical_and.reduce([np.diff(x[order]) == 0 for x in (step, attempt, time)])
    if not again.any():
        return order
    rows = order[np.append(again, False) | np.insert(again, 0, False)]
    keys = [value[rows] if name in KEYS else measured[rows] for name, (value, measured) in columns.items()]
    first = np.unique(np.column_stack(keys), axis=0, return_index=True)[1]
    return order[~np.isin(order, np.delete(rows, first))]


@contextmanager
def _readable(path: Path) -> Generator[None]:
    """Turn whatever is wrong with a sealed part into an OperantError that names it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise OperantError(f"the metrics in {path} cannot be read ({error}); move it away to go on") from error


def _sealed(part: Path, columns: Columns) -> Block:
    """The columns of one part."""
    with _readable(part):
        if absent := set(KEYS) - set(columns.names):
            raise TypeError(f"the column {min(absent)} is missing")
        table = columns.read()
        return {name: _numbers(name, table.column(name).combine_chunks()) for name in columns.names}


def _numbers(name: str, column: Any) -> tuple[NDArray[Any], Mask]:
    """A column of whole numbers without gaps as int64, any other as float64.

    Raises:
        TypeError: if it holds no numbers, or not those of its name.
    """
    import numpy as np
    import pyarrow as pa

    texts = pa.types.is_dictionary(column.type)
    kind, gaps = column.type.value_type if texts else column.type, column.null_count > 0
    known = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
    if not any(of(kind) for of in known) or (name in KEYS and gaps) or (name in WHOLE and not known[0](kind)):
        raise TypeError(f"{name} is {kind}{' with gaps' if gaps else ''}")
    integer = known[0](kind) and not gaps
    to = pa.int64() if integer else pa.float64()
    column = column.cast(to)
    bare = pa.Array.from_buffers(to, len(column), [None, column.buffers()[1]], offset=column.offset)
    # DLPack, as `to_numpy` of an array with nulls would import pandas.
    value, measured = np.from_dlpack(bare), np.from_dlpack(column.is_valid().cast(pa.uint8())).astype(bool)
    if integer and max(int(value.max(initial=0)), -int(value.min(initial=0))) > LARGEST:
        raise TypeError(f"{name} is too large")
    return value, measured


def _live(path: Path, names: Sequence[str] | None) -> Block:
    """The columns of the rows that are not sealed yet."""
    import numpy as np

    rows = [*live_rows(path)]
    block: Block = {}
    for name in dict.fromkeys(chain(KEYS, *rows)):
        if names is None or name in (*KEYS, *names):
            held = [row.get(name) for row in rows]
            measured = np.asarray([value is not None for value in held], dtype=bool)
            block[name] = np.asarray([math.nan if value is None else value for value in held]), measured
    return block


def live_rows(path: Path) -> Generator[dict[str, Any]]:
    """The rows of a `live.jsonl`; a line that a kill cut short is left out.

    Raises:
        OperantError: if the file cannot be read, or a whole line is no row of metrics; names it.
    """
    try:
        lines = read_bytes(path, LIVE).split(b"\n") if path.is_file() else []
    except (OSError, ValueError) as error:
        raise OperantError(f"the metrics in {path} cannot be read ({error}); move it away to go on") from error
    for number, line in enumerate(lines, 1):
        try:
            row = loads(line)
            if b"\\ud" in line.lower():  # half a character is no name
                json.dumps(row, ensure_ascii=False).encode()
        except ValueError:
            continue
        try:
            yield _checked({name: decode_number(value) for name, value in row.items()})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise OperantError(f"{path}:{number} is no row of metrics ({error}); remove that line to go on") from error


def encoded(row: Mapping[str, Any]) -> str:
    """A row as a line of `live.jsonl`."""
    return json.dumps({name: encode_number(value) for name, value in row.items()}) + "\n"


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    """The same row, seen to be one: whole `attempt` and `step`, and numbers under every other name.

    Raises:
        TypeError: if it is none.
    """
    for name, value in row.items():
        kinds = (int,) if name in WHOLE else (int, float) if name == "time" else (int, float, NoneType)
        if not isinstance(value, kinds) or (isinstance(value, int) and abs(value) > LARGEST):
            raise TypeError(f"{name} is {type(value).__name__}")
    if absent := set(KEYS) - row.keys():
        raise TypeError(f"{min(absent)} is missing")
    return row
