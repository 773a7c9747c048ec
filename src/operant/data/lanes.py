"""Rows of what was seen and done, in a ring for each copy of the environment.

A row is an observation, written once, and what was done there: the observation that follows is that of the row behind
it. The last observation of an episode is a row as well, one on which nothing was done (`acted` False), so that nothing
is stored twice and every truncated step has what it bootstraps from. Of stacked frames a row holds the newest; where an
episode begins, the older ones of its first stack stand in rows before it, so that every stack lies in one piece.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from importlib import import_module
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from operant.data.trajectory import Trajectory

Array = NDArray[Any]
TERMINATED, TRUNCATED, ACTED = np.uint8(1), np.uint8(2), np.uint8(4)
ENDED = TERMINATED | TRUNCATED


def flags_of(traj: Trajectory) -> Array:
    """[N, T] uint8, of each step whether it was acted and what ended there."""
    ends = traj.terminated.cpu().numpy() * TERMINATED | traj.truncated.cpu().numpy() * TRUNCATED
    return ends | traj.acted.cpu().numpy() * ACTED


class Lanes:
    """The last rows of N copies, in a lane of its own for each.

    Args:
        capacity: rows of all lanes together; a row is a decision, the last observation of an episode, or an older frame
            of its first stack.
        lanes: N.
        stack: K, frames that an observation holds, the oldest first; 1 where it is stored as it is.
        frame: numbers of a frame; those behind K of them belong to the observation alone.
        spans: whether each row of an episode that is over learns where it began and ended.
        folder: on a disk, where the columns lie in files that have no name, of which memory holds what is used; None
            keeps them in memory.

    Attributes:
        head: [N], rows written so far. Row s of a lane lies in slot s modulo `size`.
        oldest: [N], the first row that is still there.
        least: [N], the first whose stack of frames is still whole.
        size: slots of a lane; the one at the head holds what is seen and not yet acted on.
        columns: [N, size, ...] by name: obs, action, reward, flags; none before the first segment.
        taken_of: [N], decisions ever stored.
        compiled: whether segments are written by `operant.data.replay_kernels`, where that is the same.
    """

    compiled = True

    def __init__(
        self, capacity: int, lanes: int, *, stack: int = 1, frame: int = 0, spans: bool = False,
        folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.lanes, self.capacity, self.size = lanes, capacity, max(2, -(-capacity // lanes)) + stack
        self.older, self.frame, self.folder = stack - 1, frame, folder
        self._lane = np.arange(lanes)
        self._move(np.zeros(lanes, np.int64))
        self.columns: dict[str, Array] = {}
        self._starts = np.zeros((lanes, self.size), np.int64)  # decisions that can be drawn, in their order: rings too
        self._first, self.taken_of = np.zeros((2, lanes), np.int64)  # of these, how many are gone, and all so far
        self._span = np.zeros((2, lanes, self.size if spans else 0), np.int64)
        self._last = np.zeros(lanes, np.uint8)  # the flags of each lane's last row
        self._begin = np.zeros(lanes, np.int64)  # the row in which each lane's newest episode begins
        self._flats: tuple[Array, Array, Array, Array] | None = None
        self.compiled = self.compiled and not spans

    def __len__(self) -> int:
        """How many decisions can be drawn."""
        return int((self.taken_of - self._first).sum())

    @property
    def taken(self) -> int:
        """How many decisions were ever stored."""
        return int(self.taken_of.sum())

    def bytes(self, steps: int) -> int:
        """What so many steps of experience take in memory, or all of its rows where they are fewer."""
        own = self._starts.itemsize + 2 * self._starts.itemsize * bool(self._span.size)
        held = 0 if self.folder is not None else sum(x[0, 0].nbytes for x in self.columns.values())
        return min(steps, self.lanes * self.size) * (own + held)

    def extend(self, traj: Trajectory) -> None:
        """Take in a segment of these copies, which goes on where the last one ended.

        Raises:
            ValueError: if it has other rows than there are lanes, or its observations are no stacks of frames.
        """
        if len(traj.reward) != self.lanes:
            raise ValueError(f"a segment of {len(traj.reward)} rows for a replay of {self.lanes} lanes")
        if self._went_on(traj):
            return
        fields = self._fields(traj)
        if "obs" not in self.columns:
            self.allocate(**{name: (x.dtype, x.shape[2:]) for name, x in fields.items()})
        obs, flags = fields.pop("obs"), fields["flags"]
        self._check(obs, (flags & ACTED) > 0)
        self._write(fields, obs, np.concatenate([self._last[:, None], flags[:, :-1]], 1))
        self._last = self._last_flags()
        slot = self._lane * self.size + self.head % self.size  # so that the last decisions can be drawn as well
        self._flat("obs")[slot], self._flat("flags")[slot] = obs[:, -1, self.older * self.frame :], 0

    def seam(self) -> None:
        """The copies are made anew: open episodes are truncated, and bootstrapped from what was seen last."""
        if "obs" not in self.columns:
            return
        last, lane = self._last, self._lane
        acted = (last & ACTED) > 0
        still = lane[acted & ((last & ENDED) == 0)]
        self.columns["flags"][still, (self.head[still] - 1) % self.size] |= TRUNCATED
        if self._span.size:
            self._note_spans(np.zeros_like(acted)[:, None], acted[:, None], self.head[:, None])
        self._advance(acted.astype(np.int64))  # what was seen last is a row now
        self.columns["flags"][lane, self.head % self.size] = 0
        self._last = np.zeros_like(last)

    def at(self, name: str, lane: Array, row: Array) -> Array:
        """A column in these rows, [..., *] for lanes and rows [...] that broadcast."""
        return self._flat(name).take(lane * self.size + row % self.size, axis=0)

    def _flat(self, name: str) -> Array:
        """A column without its lanes, [N · size, *]."""
        column = self.columns[name]
        return column.reshape(-1, *column.shape[2:])

    def allocate(self, **like: tuple[Any, tuple[int, ...]]) -> None:
        """Make the columns for rows of these types and shapes; the system gives memory as they are written."""
        for name, (dtype, shape) in like.items():
            shape = (shape[0] - self.older * self.frame,) if name == "obs" else shape
            self.columns[name] = self.blank((self.lanes, self.size, *shape), np.dtype(dtype))
        self._flats = None

    def blank(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A column of zeros, in memory or in a file.

        The file has no name, so that nothing is left of it, however the process ends; its bytes are set aside at once,
        so that a full disk is told of here and not in the middle of a run.

        Raises:
            OSError: if it cannot be made, or the disk has not so much room.
        """
        if self.folder is None or not prod(shape):
            return np.zeros(shape, dtype)
        with TemporaryFile(dir=self.folder) as file:
            size = prod(shape) * dtype.itemsize
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.frombuffer(mmap.mmap(file.fileno(), size), dtype).reshape(shape)

    def observed(self, lane: Array, row: Array) -> Array:
        """[B, D], what was seen in these rows [B]; stacks whole."""
        if not self.older:
            return self.at("obs", lane, row)
        frames = self.at("obs", lane[:, None], row[:, None] + np.arange(-self.older, 1))  # [B, K, ...]
        stacks = frames[..., : self.frame].reshape(len(row), -1)
        beside = frames[:, -1, self.frame :]
        return np.concatenate([stacks, beside], 1) if beside.shape[1] else stacks

    def stood(self, columns: Mapping[str, Array], head: Array, taken: Array) -> None:
        """Stand where rows that were saved ended; what can be drawn, and where episodes lay, follows from them.

        Args:
            columns: as the attribute.
            head: as the attribute.
            taken: [N], decisions ever stored in each lane.
        """
        self._move(head.copy())
        self.columns, self.taken_of, self._flats = dict(columns), taken, None
        self._first, self._last = taken.copy(), self._last_flags()
        for lane in range(self.lanes):
            rows = np.arange(self.oldest[lane], head[lane])
            acted = (columns["flags"][lane, rows % self.size] & ACTED) > 0
            starts = rows[acted & (rows >= self.least[lane])]
            self._first[lane] -= len(starts)
            self._starts[lane, (self._first[lane] + np.arange(len(starts))) % self.size] = starts
            if self._span.size:
                self._find_spans(lane, rows, acted)

    def _fields(self, traj: Trajectory) -> dict[str, Array]:
        """The columns of a segment, [N, T, ...], and obs [N, T+1, D]."""
        obs = traj.obs if isinstance(traj.obs, Tensor) else traj.obs["obs"]
        return {
            "obs": obs.cpu().numpy(), "action": traj.action.cpu().numpy(), "reward": traj.reward.cpu().numpy(),
            "flags": flags_of(traj),
        }  # fmt: skip

    def _last_flags(self) -> Array:
        """[N], those of the last row of each lane; 0 where there is none."""
        return np.where(self.head > 0, self.at("flags", self._lane, self.head - 1), np.uint8(0))

    def _went_on(self, traj: Trajectory) -> bool:
        """Write a segment in which no episode ends but at its end, nor began, the short way; False if it is another."""
        obs = traj.obs if isinstance(traj.obs, Tensor) else traj.obs["obs"]
        if not self.compiled or "obs" not in self.columns or obs.device.type != "cpu":
            return False
        told = (traj.action, traj.reward, traj.terminated, traj.truncated, traj.acted)
        seen, did, *rest = (np.ascontiguousarray(x.numpy()) for x in (obs, *told))
        if self.older:
            self._check(seen, rest[-1])
        kernels = import_module("operant.data.replay_kernels")
        return kernels.go_on(
            *self._rows(), self._starts, self.head, self.oldest, self.least, self._first, self.taken_of, self._last,
            self.older, self.frame, seen, did.reshape(*did.shape[:2], -1), *rest,
        )  # fmt: skip

    def _rows(self) -> tuple[Array, Array, Array, Array]:
        """The columns of all lanes: obs [N · size, W], action [N · size, A], reward and flags [N · size]."""
        if self._flats is None:
            obs, action, reward, flags = (self._flat(name) for name in ("obs", "action", "reward", "flags"))
            self._flats = obs, action.reshape(len(action), -1), reward, flags
        return self._flats

    def _write(self, fields: Mapping[str, Array], obs: Array, before: Array) -> None:
        """Write a segment, `before` [N, T] the flags of the columns before its own."""
        acted = (fields["flags"] & ACTED) > 0
        real = (fields["flags"] > 0) | ((before & ENDED) > 0)  # the others only pad the segment
        begins = acted & ((before & ACTED) == 0)
        counts = real + self.older * begins
        rows = self.head[:, None] + counts.cumsum(1) - 1
        self._advance(counts.sum(1))
        lane, time = np.nonzero(real & (rows >= self.oldest[:, None]))
        row = rows[lane, time]
        slot = lane * self.size + row % self.size
        for name, x in {**fields, "obs": obs[..., self.older * self.frame :]}.items():
            self._flat(name)[slot] = x[lane, time]
        if self.older:
            self._write_older(obs, begins, rows)
        if self._span.size:
            self._note_spans(begins, real & ~acted, rows)
        drawable = acted[lane, time] & (row >= self.least[lane])
        self._note(lane[drawable], row[drawable])

    def _check(self, obs: Array, acted: Array) -> None:
        """Refuse observations that are no stacks of frames."""
        width = self.older * self.frame
        if width and not np.array_equal(obs[:, 1:, :width][acted], obs[:, :-1, self.frame :][..., :width][acted]):
            raise ValueError(f"an observation is not the one before it moved on by a frame of {self.frame} numbers")

    def _write_older(self, obs: Array, begins: Array, rows: Array) -> None:
        """The frames that a first stack holds besides the newest, in rows of their own."""
        lane, time = np.nonzero(begins)
        older = obs[lane, time, : self.older * self.frame].reshape(-1, self.older, self.frame)
        row = rows[lane, time][:, None] + np.arange(-self.older, 0)  # [k, K − 1]
        first, nth = np.nonzero(row >= self.oldest[lane][:, None])
        slot = row[first, nth] % self.size
        self.columns["obs"][lane[first], slot, : self.frame] = older[first, nth]
        self.columns["flags"][lane[first], slot] = 0

    def _note_spans(self, begins: Array, over: Array, rows: Array) -> None:
        """Episodes begin, and are over, in these rows [N, T]."""
        for lane, time in np.argwhere(begins | over):
            row = int(rows[lane, time])
            if begins[lane, time]:
                self._begin[lane] = row
            else:
                first = max(int(self._begin[lane]), row - self.size + 1)
                self._span[:, lane, np.arange(first, row + 1) % self.size] = [[first], [row]]

    def _find_spans(self, lane: int, rows: Array, acted: Array) -> None:
        """As `_note_spans`, for all rows of a lane."""
        over = rows[~acted]
        nth = np.searchsorted(over, rows)
        first = np.where(nth > 0, over[nth - 1] + 1, rows[0]) if len(over) else np.full(len(rows), rows[0])
        closed = nth < len(over)
        self._span[:, lane, rows[closed] % self.size] = first[closed], over[nth[closed]]
        self._begin[lane] = first[-1] if len(rows) else 0

    def _note(self, lane: Array, row: Array) -> None:
        """Decisions that can be drawn from now on, lane by lane in their order."""
        if self.lanes == 1:
            count, nth = len(lane), np.arange(len(lane))
        else:
            count = np.bincount(lane, minlength=self.lanes)
            nth = np.arange(len(lane)) - (count.cumsum() - count)[lane]
        self._starts[lane, (self.taken_of[lane] + nth) % self.size] = row
        self.taken_of += count

    def _move(self, head: Array) -> None:
        """Let the lanes end there."""
        self.head: NDArray[np.int64] = head
        self.oldest = np.maximum(0, head - (self.size - 1))
        self.least = self.oldest + self.older * (self.oldest > 0) if self.older else self.oldest

    def _advance(self, rows: Array) -> None:
        """So many rows are about to be written in each lane; decisions that lose theirs, or a frame, are gone."""
        before, written = self.least, self.head
        self._move(written + rows)
        most = int((self.least - before).max())
        if most:
            row = before[:, None] + np.arange(most)
            lost = (row < self.least[:, None]) & (row < written[:, None])
            lost &= (self.at("flags", self._lane[:, None], row) & ACTED) > 0
            self._first += lost.sum(1)
            lane, nth = np.nonzero(lost)
            self._leave(lane, row[lane, nth])

    def _leave(self, lane: Array, row: Array) -> None:
        """These decisions can be drawn no more."""
