"""A replay in checkpoints: rows that will not change in sealed files that later checkpoints share, the rest anew.

Rows of a lane are cut into pieces. A piece that is full is written once, into `replay.<lane>.<piece>.safetensors`;
checkpoints after it hold the same file under a second name (a hard link), so that each is whole by itself and only the
tail is written: the rows behind the last full piece, priorities and counts, in `replay.safetensors`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from operant.config.errors import ConfigError
from operant.data.replay import Replay
from operant.run.disk import fits_memory, linked, save_tensors

PIECE = 65_536
"""Rows of all lanes together that a piece of each holds."""
LEAST = 1024
"""Rows of a piece, however many lanes there are."""


class ReplayFiles:
    """What checkpoints hold of a replay (`operant.run.train_state.Filed`).

    Args:
        replay: what is kept.
        steps: how many the run has, so that it is known how much may come to be kept.
    """

    def __init__(self, replay: Replay, steps: int) -> None:
        self.replay, self._rows_to_come = replay, min(steps, replay.lanes * replay.size)
        self.piece = max(LEAST, PIECE // replay.lanes)
        self._sealed: dict[str, tuple[int, int, int]] = {}  # files that were written or read, as they were then
        self._folders: list[str] = []  # the names of the checkpoints that may hold them, the newest first

    def size(self) -> int:
        """Bytes that a checkpoint writes of it: about a piece of each lane, and all priorities."""
        tail = min(self.piece * self.replay.lanes, self._rows_to_come)
        return tail * self._row + (0 if self.replay.tree is None else 8 * self._rows_to_come)

    def shared(self) -> int:
        """Bytes of all pieces."""
        return self._rows_to_come * self._row

    @property
    def _row(self) -> int:
        return sum(x[0, 0].nbytes for x in self.replay.columns.values())

    def save(self, folder: Path, name: str) -> None:
        """Write the tail into `<name>.safetensors`, and what is full and not yet sealed."""
        replay, before = self.replay, self._sealed
        self._sealed = {}
        rest: dict[str, NDArray[Any]] = {
            "head": replay.head, "taken": replay.taken_of, "highest": np.array([replay.highest])
        }  # fmt: skip
        for lane in range(replay.lanes):
            for k, rows in self._pieces(lane):
                file = folder / f"{name}.{lane}.{k:06}.safetensors"
                if not self._again(file, before.get(file.name)):
                    save_tensors(self._rows(lane, rows) | {"rows": rows[[0, -1]]}, file)
                self._sealed[file.name] = _mark(file)
            tail = self._rows(lane, self._tail(lane))
            if replay.tree is not None:
                tail["priority"] = replay.tree[lane * replay.size + self._kept(lane) % replay.size]
            rest |= {f"{lane}.{column}": x for column, x in tail.items()}
        save_tensors(rest, folder / f"{name}.safetensors")
        self._folders = [folder.name.removeprefix(".tmp-"), *self._folders[:1]]

    def read(self, folder: Path, name: str) -> Callable[[], None]:
        """What takes over a replay that was saved, when it is called.

        Raises:
            ConfigError: if a file cannot be read, or is of another replay.
        """
        replay, file = self.replay, folder / f"{name}.safetensors"
        columns = {k: replay.blank(x.shape, x.dtype) for k, x in replay.columns.items()}
        leaves = np.zeros((replay.lanes, replay.size))
        marks: dict[str, tuple[int, int, int]] = {}
        try:
            with _Tensors(file) as rest:
                head, taken = (rest.get(k, (replay.lanes,), np.dtype(np.int64)) for k in ("head", "taken"))
                highest = float(rest.get("highest", (1,), np.dtype(np.float64))[0])
                if (taken < 0).any() or (taken > head).any():
                    raise ValueError("it counts wrongly")
                for lane in range(replay.lanes):
                    for k, rows in self._pieces(lane, head):
                        file = folder / f"{name}.{lane}.{k:06}.safetensors"
                        with _Tensors(file) as found:
                            first = int(found.get("rows", (2,), np.dtype(np.int64))[0])
                            self._put(columns, found, "", lane, rows, first, (k + 1) * self.piece)
                        marks[file.name] = _mark(file)
                    file, rows = folder / f"{name}.safetensors", self._tail(lane, head)
                    self._put(columns, rest, f"{lane}.", lane, rows, rows[0], rows[-1] + 1)
                    if replay.tree is not None:
                        kept = self._kept(lane, head)
                        leaves[lane, kept % replay.size] = rest.get(f"{lane}.priority", kept.shape, leaves.dtype)
        except (OSError, SafetensorError, ValueError) as error:
            raise ConfigError(
                f"{file} holds another replay than this run's ({error}). Use another checkpoint."
            ) from error

        def fill() -> None:
            self._sealed, self._folders, replay.highest = marks, [folder.name], highest
            replay.stood(columns, head, taken, leaves)

        return fill

    def _kept(self, lane: int, head: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The rows of a lane that are there, and that of what is seen and not yet acted on."""
        end = int((self.replay.head if head is None else head)[lane])
        return np.arange(max(0, end - self.replay.size + 1), end + 1)

    def _full(self, rows: NDArray[np.int64]) -> int:
        """How many pieces are full: the last two rows may change, of what is open and of what is not acted on."""
        return max(0, int(rows[-1]) - 1) // self.piece

    def _pieces(self, lane: int, head: NDArray[np.int64] | None = None) -> list[tuple[int, NDArray[np.int64]]]:
        """The full pieces of a lane by number, with those of their rows that are there."""
        rows = self._kept(lane, head)
        first, full = int(rows[0]) // self.piece, self._full(rows)
        return [(k, np.arange(max(k * self.piece, rows[0]), (k + 1) * self.piece)) for k in range(first, full)]

    def _tail(self, lane: int, head: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The rows behind the full pieces."""
        rows = self._kept(lane, head)
        return rows[rows >= self._full(rows) * self.piece]

    def _rows(self, lane: int, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        slot = rows % self.replay.size
        return {k: np.ascontiguousarray(x[lane, slot]) for k, x in self.replay.columns.items()}

    def _put(
        self, columns: dict[str, NDArray[Any]], found: _Tensors, begin: str, lane: int, rows: NDArray[np.int64],
        first: int, end: int,
    ) -> None:  # fmt: skip
        """Copy rows of a lane out of a file that holds those from `first` to `end`."""
        if not first <= rows[0]:
            raise ValueError("rows are missing")
        for k, x in columns.items():
            got = found.get(begin + k, (end - first, *x.shape[2:]), x.dtype)
            x[lane, rows % self.replay.size] = got[rows[0] - first :]

    def _again(self, file: Path, mark: tuple[int, int, int] | None) -> bool:
        """Whether the file of a piece that was written before is here now under a second name, as it was."""
        there = [file.parent.with_name(name) / file.name for name in self._folders]
        return mark is not None and any(_mark(source) == mark and linked(source, file) for source in there)


class _Tensors:
    """A file of tensors that is mapped into memory and read piece by piece."""

    def __init__(self, file: Path) -> None:
        self._open: Any = safe_open(str(fits_memory(file)), framework="numpy")

    def __enter__(self) -> _Tensors:
        self._found = self._open.__enter__()
        self._names = set(self._found.keys())
        return self

    def __exit__(self, *error: object) -> None:
        self._open.__exit__(*error)

    def get(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """A tensor of this shape and type. Raises ValueError if it is another."""
        if name not in self._names:
            raise ValueError(f"it lacks {name}")
        found = self._found.get_tensor(name)
        if found.shape != shape or found.dtype != dtype:
            raise ValueError(f"{name} is {found.dtype} {list(found.shape)}, expected {dtype} {list(shape)}")
        return found


def _mark(file: Path) -> tuple[int, int, int]:
    """Which file it is, its size and when it was written; 0 where there is none."""
    try:
        stat = file.stat()
    except OSError:
        return 0, 0, 0
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
