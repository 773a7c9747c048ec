"""The desk's database: SQLite in memory, copied from a snapshot, with a log of every write.

All writes go through `insert`, `update` and `delete`, so that what an episode changed is known without comparing
databases: `changes` costs as much as there are writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | None
Row: TypeAlias = dict[str, Any]

SCHEMA = """
CREATE TABLE me (id INTEGER PRIMARY KEY, name TEXT, number TEXT, email TEXT, username TEXT, balance INTEGER);
CREATE TABLE passwords (id INTEGER PRIMARY KEY, app TEXT, password TEXT);
CREATE TABLE contacts (id INTEGER PRIMARY KEY, name TEXT, number TEXT, email TEXT, relation TEXT, birthday TEXT);
CREATE TABLE members (id INTEGER PRIMARY KEY, label TEXT, contact_id INTEGER);
CREATE TABLE messages (id INTEGER PRIMARY KEY, number TEXT, direction TEXT, text TEXT, at TEXT,
  unread INTEGER DEFAULT 0, starred INTEGER DEFAULT 0);
CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, name TEXT, number TEXT, friend INTEGER DEFAULT 0);
CREATE TABLE transactions (id INTEGER PRIMARY KEY, sender TEXT, receiver TEXT, amount INTEGER, note TEXT, at TEXT,
  liked INTEGER DEFAULT 0);
CREATE TABLE requests (id INTEGER PRIMARY KEY, sender TEXT, payer TEXT, amount INTEGER, note TEXT, at TEXT,
  status TEXT DEFAULT 'open');
CREATE TABLE cards (id INTEGER PRIMARY KEY, kind TEXT, last4 TEXT, limit_ INTEGER);
CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT, body TEXT, at TEXT, pinned INTEGER DEFAULT 0);
CREATE TABLE tags (id INTEGER PRIMARY KEY, note_id INTEGER, tag TEXT);
CREATE TABLE mails (id INTEGER PRIMARY KEY, folder TEXT, sender TEXT, recipient TEXT, subject TEXT, body TEXT, at TEXT,
  unread INTEGER DEFAULT 0, flagged INTEGER DEFAULT 0);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, category TEXT, price INTEGER, rating REAL, stock INTEGER);
CREATE TABLE cart (id INTEGER PRIMARY KEY, product_id INTEGER, quantity INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT, status TEXT, total INTEGER, card_id INTEGER);
CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, product_id INTEGER, quantity INTEGER, price INTEGER,
  returned INTEGER DEFAULT 0);
CREATE TABLE reviews (id INTEGER PRIMARY KEY, product_id INTEGER, author TEXT, stars INTEGER, text TEXT);
CREATE TABLE wishes (id INTEGER PRIMARY KEY, product_id INTEGER);
CREATE TABLE events (id INTEGER PRIMARY KEY, title TEXT, day TEXT, start TEXT, minutes INTEGER, place TEXT,
  status TEXT DEFAULT 'accepted');
CREATE TABLE guests (id INTEGER PRIMARY KEY, event_id INTEGER, email TEXT);
"""
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
        snapshot: another store's `snapshot()`; an empty one if None.
        now: the minute at which the clock of the world stands; every write moves it on by one.
    """

    def __init__(self, snapshot: bytes | None = None, now: str = "2026-05-18 09:00") -> None:
        self._connection = sqlite3.connect(
            ":memory:", isolation_level=None, cached_statements=256, check_same_thread=False
        )  # one thread at a time uses it, not always the same
        if snapshot is None:
            self._connection.executescript("PRAGMA journal_mode=OFF; PRAGMA page_size=1024;" + SCHEMA)
        else:
            self._connection.deserialize(snapshot)
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
        sets = ", ".join(f"{name} = ?" for name in values)
        self._connection.execute(f"UPDATE {table} SET {sets} WHERE id = ?", (*values.values(), id))

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
