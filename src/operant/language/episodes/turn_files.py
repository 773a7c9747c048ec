"""Episodes on disk, a row for each message: `rollouts/turns-step-<8 digits>.parquet`, and `rollouts/turns-eval-…`.

A message of the world that the policy never read (the last observation of an episode) has no tokens. The reward and the
error of an observation are those of the action before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from operant.config.errors import OperantError
from operant.run.disk import writing
from operant.run.parquet import Columns

NAME = re.compile(r"turns-(eval-)?step-(\d{8,})\.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow:
    """One message of an episode.

    `written` is the text of all its tokens, what the chat template puts around a message too, and `ends[i]` the
    character of it with which the i-th token ends.
    """

    episode: int
    scenario: int
    sample: int  # of the scenario, in its group
    split: str
    template: str
    mode: str  # sampled, greedy
    turn: int  # 0 …, in order; one number a message
    role: str  # system, user, assistant
    text: str
    written: str = ""
    ends: Sequence[int] = ()
    tokens: Sequence[int] = ()
    sampled: Sequence[bool] = ()  # True exactly where the policy drew the token
    logp: Sequence[float] = ()  # log π of each token as it was drawn; 0 where it was given
    advantage: Sequence[float] = ()  # of each token in learning; empty outside of it
    reward: float = 0.0  # of an observation: for the action before it
    error: str | None = None  # of an observation: what was wrong with the action before it
    ended: str = ""  # why the episode ended, with its last message: success, fail, turns, cut, …

    def pieces(self) -> list[str]:
        """The text of each token."""
        return [self.written[begin:end] for begin, end in zip((0, *self.ends), self.ends, strict=False)]


_NUMBERS = {"episode": "int64", "scenario": "int64", "sample": "int64", "turn": "int64", "reward": "float64"}
_LISTS = {"ends": "int32", "tokens": "int32", "sampled": "bool_", "logp": "float32", "advantage": "float32"}


def write_turns(path: Path, step: int, rows: Sequence[TurnRow]) -> None:
    """Replace a file of episodes.

    Raises:
        DiskError: if the disk refuses.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"step": pa.array([step] * len(rows), pa.int64())}
    for name in (field.name for field in fields(TurnRow)):
        kind = pa.list_(getattr(pa, _LISTS[name])()) if name in _LISTS else getattr(pa, _NUMBERS.get(name, "string"))()
        values = [getattr(row, name) for row in rows]
        columns[name] = pa.array([list(v) for v in values] if name in _LISTS else values, kind)
    table = pa.table(columns)
    temporary = path.with_name(f".tmp-{path.name}")
    with writing(path, table.nbytes):
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, temporary)
        temporary.replace(path)


def read_turns(path: Path) -> list[list[TurnRow]]:
    """The episodes of a file, each in the order of its messages.

    Raises:
        OperantError: if it cannot be read; names it.
    """
    import pyarrow as pa

    names = [field.name for field in fields(TurnRow)]
    try:
        read = Columns(path, names).read().to_pylist()
        found = [TurnRow(**{name: _held(row[name]) for name in names}) for row in read]
        episodes: dict[int, list[TurnRow]] = {}
        for row in found:
            episodes.setdefault(row.episode, []).append(row)
        return [sorted(rows, key=lambda row: row.turn) for rows in episodes.values()]
    except (pa.ArrowException, OSError, TypeError, ValueError, KeyError) as error:
        raise OperantError(f"the episodes in {path} cannot be read ({error}); move it away to go on") from error


def _held(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
