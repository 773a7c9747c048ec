"""The arrays of a model, and the types that everything exact is made of."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.config.errors import ConfigError

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]
Criterion = Literal["discounted", "total", "average"]
Endless = Literal["loses", "wins"]
"""What a play that never terminates is worth under total reward: -∞ or +∞."""
Start = ArrayLike | int | Mapping[Any, float]
"""A distribution [S], the index of one state, or a mapping from index or name to probability."""
Names = tuple[Hashable, ...] | None


class ModelError(ConfigError):
    """A model that is not a Markov decision process; the message names the row and the fix. Exit code 2."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """The arrays of a model: L rows, one per admissible pair (s, a), those of one state together, states in order.

    A terminal state has no rows; its value is `terminal_value[s]`, and entries that lead to it stay in the matrix,
    where they carry that value (0 unless set): γ = 1 is well defined, and a sampler knows how an episode ended.
    """

    pointer: Integers  # [S+1]  rows of state s are pointer[s] … pointer[s+1]-1; uint32 (uint64 from 2³² rows on)
    action: Integers  # [L]    label of the row's action, 0 … A-1, increasing within a state; int32
    indptr: Integers  # [L+1]  entries of row i are indptr[i] … indptr[i+1]-1; uint32 (uint64 from 2³² entries on)
    indices: Integers  # [nnz]  successor of each entry, increasing within a row, no duplicates; uint32
    data: Floats  # [nnz]  its probability, more than 0
    reward: Floats  # [L]    r(s, a), the mean over successors
    outcome_reward: Floats | None = None  # [nnz]  r(s, a, s'), kept for sampling where it depends on s'
    terminal: Mask  # [S]
    terminal_value: Floats  # [S]    0 where not terminal

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for name in self.__slots__ if (array := getattr(self, name)) is not None)

    def block(self, first: int, last: int) -> Rows:
        """The rows of states first … last-1: pointers start at 0, successors stay states of the whole model."""
        begin, end = int(self.pointer[first]), int(self.pointer[last])
        low, high = int(self.indptr[begin]), int(self.indptr[end])
        return Rows(
            pointer=self.pointer[first : last + 1] - self.pointer[first],
            action=self.action[begin:end],
            indptr=self.indptr[begin : end + 1] - self.indptr[begin],
            indices=self.indices[low:high],
            data=self.data[low:high],
            reward=self.reward[begin:end],
            outcome_reward=None if self.outcome_reward is None else self.outcome_reward[low:high],
            terminal=self.terminal[first:last],
            terminal_value=self.terminal_value[first:last],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Where the states of a model lie on a map of text, for pictures.

    Several states may share a cell (a position before and after a key is found), and a state may have none.
    """

    lines: tuple[str, ...]  # [height] of [width] characters each
    cell: NDArray[np.int64]  # [S]  row · width + column of each state, -1 for a state without a place
    moves: tuple[tuple[int, int], ...]  # [A]  (rows down, columns right) of each action label, (0, 0) to stay

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return len(self.lines), len(self.lines[0])


class Labels(NamedTuple):
    """What states and actions are called in messages: their index, with their name where they have one."""

    states: Names = None
    actions: Names = None
    first: int = 0  # the index, in the whole model, of a block's first state

    def state(self, index: int) -> str:
        """A state by its index in the whole model."""
        return _label(index, self.states)

    def action(self, label: int) -> str:
        """An action by its label."""
        return _label(label, self.actions)

    def pair(self, rows: Rows, row: int) -> str:
        """The state and the action of a row."""
        state = self.first + int(np.searchsorted(rows.pointer, row, side="right")) - 1
        return f"state {self.state(state)}, action {self.action(int(rows.action[row]))}"


def _label(index: int, names: Names) -> str:
    name = names[index] if names is not None and 0 <= index < len(names) else index
    if name == index:
        return str(index)
    return f"{index} {name}" if isinstance(name, tuple) else f"{index} ({name})"


def unsigned(values: ArrayLike, largest: int | None = None) -> Integers:
    """Indices in the smallest unsigned type that the kernels read: uint32, or uint64 where `largest` needs it."""
    array = np.asarray(values)
    top = int(array.max(initial=0)) if largest is None else largest
    wanted = np.uint32 if top < 2**32 else np.uint64
    if array.dtype == np.int32 and wanted is np.uint32:
        return array.view(np.uint32)  # the same bits: an index is not negative
    return array.astype(wanted, copy=False)
