"""A world's database: SQLite in memory, copied from a snapshot, with a log of every write.

All writes go through `insert`, `update` and `delete`, so that what an episode changed is known without comparing
databases: `changes` costs as much as there are writes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | None
Row: TypeAlias = dict[str, Any]

MINUTE = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True)
class Change:
    """What an episode did to a row in the end: `before` is None where it was added, `after` where it was removed."""

    table: str
    id: int
    before: Row | None
    after: Row | None


class Store:
    """One episode's database and clock.

    Args:
        source: another store's `snapshot()`, or the statements that make an empty one.
        now: the minute at which the clock of the world stands; every write moves it on by one.
    """

    def __init__(self, source: bytes | str, now: str = "2026-05-18 09:00") -> None:
        self._connection = sqlite3.connect(
            ":memory:", isolation_level=None, cached_statements=256, check_same_thread=False
        )  # one thread at a time uses it, not always the same
        if isinstance(source, str):
            self._connection.executescript("PRAGMA journal_mode=OFF; PRAGMA page_size=1024;" + source)
        else:
            self._connection.deserialize(source)
        self._start, self._moved = now, 0
        self._before: dict[tuple[str, int], Row | None] = {}

    @property
    def now(self) -> str:
        """The minute of the world, "2026-05-18 09:00"."""
        return (datetime.strptime(self._start, MINUTE) + timedelta(minutes=self._moved)).strftime(MINUTE)

    @property
    def written(self) -> int:
        """How many writes there were."""
        return self._moved

    def snapshot(self) -> bytes:
        """The database as bytes."""
        return self._connection.serialize()

    def close(self) -> None:
        """Forget it."""
        self._connection.close()

    def rows(self, sql: str, *values: Value) -> list[Row]:
        """The rows of a query."""
        cursor = self._connection.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, found, strict=True)) for found in cursor]

    def row(self, sql: str, *values: Value) -> Row | None:
        """The first row of a query, or None."""
        cursor = self._connection.execute(sql, values)
        found = cursor.fetchone()
        return None if found is None else dict(zip([c[0] for c in cursor.description], found, strict=True))

    def get(self, table: str, id: int) -> Row | None:
        """A row by its id, or None."""
        return self.row(f"SELECT * FROM {table} WHERE id = ?", id)

    def fill(self, table: str, rows: Iterable[Mapping[str, Value]]) -> None:
        """Add rows that belong to the world from its beginning: no change, no minute."""
        rows = list(rows)
        if rows:
            names = list(rows[0])
            marks = ", ".join("?" * len(names))
            lines: Sequence[list[Value]] = [[row[name] for name in names] for row in rows]
            self._connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", lines)

    def make(self, table: str, id: int, **values: Value) -> None:
        """Change a row as it is from the world's beginning: no change, no minute."""
        sets = ", ".join(f"{name} = ?" for name in values)
        self._connection.execute(f"UPDATE {table} SET {sets} WHERE id = ?", (*values.values(), id))

    def begin(self) -> None:
        """Write what `fill` adds at once; `end` must follow."""
        self._connection.execute("BEGIN")

    def end(self) -> None:
        """The end of what was begun."""
        self._connection.execute("COMMIT")

    def insert(self, table: str, **values: Value) -> int:
        """Add a row; returns its id."""
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
        id = self._connection.execute(sql, tuple(values.values())).lastrowid or 0
        self._note(table, id, None)
        return id

    def update(self, table: str, id: int, **values: Value) -> None:
        """Change a row."""
        self._note(table, id, self.get(table, id))
        self.make(table, id, **values)

    def delete(self, table: str, id: int) -> None:
        """Remove a row."""
        self._note(table, id, self.get(table, id))
        self._connection.execute(f"DELETE FROM {table} WHERE id = ?", (id,))

    def _note(self, table: str, id: int, before: Row | None) -> None:
        self._moved += 1
        self._before.setdefault((table, id), before)

    def changes(self) -> list[Change]:
        """What is not as it was at the beginning, row by row."""
        found = [Change(table, id, before, self.get(table, id)) for (table, id), before in self._before.items()]
        return [change for change in found if change.before != change.after]

    def digest(self, *more: Any) -> str:
        """Equal where the changes are, and what else there is."""
        changes = sorted((c.table, c.id, sorted((c.after or {}).items())) for c in self.changes())
        return hashlib.sha256(repr((changes, *more)).encode()).hexdigest()[:16]


def like(text: str) -> str:
    """A pattern of LIKE for what holds a text."""
    plain = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{plain}%"
