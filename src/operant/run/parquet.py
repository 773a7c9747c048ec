"""Columns of a parquet file, read within bounds: what repeats is stored once, so kilobytes may hold gigabytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from operant.config.bounded import require_regular
from operant.data.memory import allow

LARGEST = 2**32
"""Bytes of numbers that are read."""
TEXTS = 2**30
"""Bytes of texts that are read."""


class Columns:
    """A parquet file, and the columns that it has of those that are named, all of them if None, but `without`.

    Attributes:
        names: of these columns.
        size: bytes that they take in memory, as the file says; of a text that repeats, once.

    Raises:
        pyarrow.ArrowException, OSError: if it cannot be read.
        ValueError: if these columns are larger than what is read, or hold lists of texts.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None, *, without: Sequence[str] = ()) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        require_regular(path)
        self._path = path
        self._file: Any = pq.ParquetFile(path)
        schema = self._file.schema_arrow
        held = [name for name in schema.names if name not in without]
        self.names = held if columns is None else [name for name in dict.fromkeys(columns) if name in held]
        self._texts: list[str] = []
        if all(pa.types.is_primitive(kind) for kind in schema.types):  # numbers alone, a leaf for each column
            places = {name: i for i, name in enumerate(schema.names)}
            chosen = [places[name] for name in self.names]
        else:
            chosen = self._look(self._file.metadata.schema)
        self.size = 0
        for group in map(self._file.metadata.row_group, range(self._file.metadata.num_row_groups)):
            for chunk in map(group.column, chosen):
                self.size += max(chunk.total_uncompressed_size, 8 * chunk.num_values)
        allow(self.size, "it unpacks to", LARGEST)

    def _look(self, leaves: Any) -> list[int]:
        """Which leaves are of these columns; those of texts are noted."""
        every = [leaves.column(i) for i in range(len(leaves))]
        chosen = [i for i, leaf in enumerate(every) if _lies_in(leaf.path, self.names)]
        texts = [leaf for leaf in map(every.__getitem__, chosen) if leaf.physical_type.endswith("BYTE_ARRAY")]
        if any(leaf.max_repetition_level or leaf.physical_type != "BYTE_ARRAY" for leaf in texts):
            raise ValueError("it holds lists of texts")
        self._texts = [leaf.path for leaf in texts]
        return chosen

    def read(self) -> Any:
        """The columns as a `pyarrow.Table`; those of texts are dictionaries, as they are stored.

        Raises:
            pyarrow.ArrowException, OSError: if it cannot be read.
            ValueError: if there is more text in them than is read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        file, self._file = self._file, None
        if self._texts or file is None:
            file = pq.ParquetFile(self._path, read_dictionary=self._texts)
        table = file.read(columns=self.names) if self.names else pa.table({})
        chunks = [chunk for column in table.columns for chunk in column.chunks if pa.types.is_dictionary(chunk.type)]
        allow(sum(map(_letters, chunks)), "its texts unpack to", TEXTS)
        return table

    def close(self) -> None:
        """Let go of the file until it is read."""
        self._file.close()
        self._file = None


def _lies_in(path: str, columns: Sequence[str]) -> bool:
    """Whether a leaf is one of these columns, or a part of one."""
    return path in columns or ("." in path and any(path.startswith(name + ".") for name in columns))


def _letters(chunk: Any) -> int:
    """Bytes of the texts of a column, each as often as it stands there."""
    from importlib import import_module

    pc: Any = import_module("pyarrow.compute")
    return pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0
