"""Completions on disk: `rollouts/step-<8 digits>.parquet`, a row each, and `rollouts/eval-step-<8 digits>.parquet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operant.config.errors import OperantError
from operant.run.disk import writing
from operant.run.parquet import Columns


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRow:
    """One completion and what became of it."""

    prompt_id: int
    sample: int
    prompt: str
    completion: str
    finish: str
    mode: str  # sampled, greedy
    rewards: Mapping[str, float]  # by name; NaN where it failed
    reward: float | None  # the total; None where not judged
    advantage: float | None  # of the completion's last decision; None outside of training
    tokens: Sequence[int]
    logp: Sequence[float]
    gold: str = ""
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])  # columns that only some runs have


def write_rollouts(path: Path, step: int, rows: Sequence[RolloutRow]) -> None:
    """Replace a file of completions.

    Raises:
        DiskError: if the disk refuses.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row.rewards))
    plain = ("prompt_id", "sample", "prompt", "completion", "gold", "finish", "mode", "reward", "advantage")
    columns: dict[str, Any] = {"step": pa.array([step] * len(rows), pa.int64())}
    columns |= {name: [getattr(row, name) for row in rows] for name in plain}
    columns["reward"] = pa.array(columns["reward"], pa.float64())
    columns["advantage"] = pa.array(columns["advantage"], pa.float64())
    columns |= {f"reward/{name}": pa.array([row.rewards.get(name) for row in rows], pa.float64()) for name in names}
    columns["tokens"] = pa.array([list(row.tokens) for row in rows], pa.list_(pa.int32()))
    columns["logp"] = pa.array([list(row.logp) for row in rows], pa.list_(pa.float32()))
    columns |= {name: [row.more[name] for row in rows] for name in (rows[0].more if rows else ())}
    table = pa.table(columns)
    temporary = path.with_name(f".tmp-{path.name}")
    with writing(path, table.nbytes):
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, temporary)
        temporary.replace(path)


def read_rollouts(path: Path, *, tokens: bool = True) -> list[dict[str, Any]]:
    """The rows of a file of completions, `tokens` and `logp` among them unless they are left out.

    Raises:
        OperantError: if it cannot be read; names it.
    """
    import pyarrow as pa

    try:
        return Columns(path, without=() if tokens else ("tokens", "logp")).read().to_pylist()
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        raise OperantError(f"the completions in {path} cannot be read ({error}); move it away to go on") from error
