"""Rows that arrive one by one, and the last steps that every builder of rows shares."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.kernels.rows import means, tidy
from operant.mdp.rows import Floats, Integers, ModelError, Rows, unsigned


class RowBuilder:
    """Rows that arrive one by one from Python, in compact arrays: 24 bytes per entry while it grows."""

    def __init__(self) -> None:
        self.state, self.action = array("q"), array("q")  # [L]
        self.indptr = array("q", [0])  # [L+1]
        self.indices = array("q")  # [nnz]
        self.data, self.reward = array("d"), array("d")  # [nnz]

    def add(self, successor: int, probability: float, reward: float) -> None:
        """One more entry of the row that is being written."""
        self.indices.append(successor)
        self.data.append(probability)
        self.reward.append(reward)

    @property
    def nbytes(self) -> int:
        """Bytes of what is written so far."""
        arrays = (self.state, self.action, self.indptr, self.indices, self.data, self.reward)
        return sum(len(a) * a.itemsize for a in arrays)

    def close(self, state: int, action: int) -> None:
        """The entries added since the last row are those of (state, action)."""
        self.state.append(state)
        self.action.append(action)
        self.indptr.append(len(self.indices))

    def rows(self, states: int, terminal: Any) -> Rows:
        """The model's rows; `terminal` as `MDP` takes it, by index. Rows of terminal states are dropped."""
        ends, worth = terminal_states(terminal, states)
        state, action = (np.frombuffer(a, dtype=np.int64) for a in (self.state, self.action))
        indptr = np.frombuffer(self.indptr, dtype=np.int64)
        indices, data, reward = (np.frombuffer(a, dtype=a.typecode) for a in (self.indices, self.data, self.reward))
        order = np.lexsort((action, state))
        order = order[~ends[state[order]]]
        if np.array_equal(order, np.arange(len(state))):
            indptr, data, reward = indptr.copy(), data.copy(), reward.copy()
        else:
            lengths = np.diff(indptr)[order]
            chosen = np.repeat(indptr[:-1][order] - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
            chosen += np.arange(len(chosen))
            indptr = np.concatenate(([0], np.cumsum(lengths)))
            indices, data, reward = indices[chosen], data[chosen], reward[chosen]
        new = unsigned(indices, states - 1)
        indptr = unsigned(indptr)
        left = tidy(indptr, new, data, reward)
        new, data, reward = shrink(new, left), shrink(data, left), shrink(reward, left)
        return assemble(
            state[order],
            action[order],
            indptr,
            new,
            data,
            reward,
            reward=None,
            terminal=ends,
            terminal_value=worth,
        )


def assemble(
    state: NDArray[Any],
    action: NDArray[Any],
    indptr: Integers,
    indices: Integers,
    data: Floats,
    outcome: Floats | None,
    *,
    reward: Floats | None,
    terminal: NDArray[np.bool_],
    terminal_value: Floats,
) -> Rows:
    """The last step of every builder: the rows' states become a pointer, r(s, a) is averaged where only r(s, a, s') is.

    The rows are in order of state and action and tidy; `outcome` is dropped where it depends on (s, a) alone.
    """
    if reward is None:
        assert outcome is not None
        reward = np.empty(len(state))
        outcome = outcome if means(indptr, data, outcome, reward) else None
    return Rows(
        pointer=unsigned(np.concatenate(([0], np.cumsum(np.bincount(state, minlength=len(terminal)))))),
        action=action.astype(np.int32, copy=False),
        indptr=unsigned(indptr, len(data)),
        indices=indices,
        data=data,
        reward=reward,
        outcome_reward=outcome,
        terminal=terminal,
        terminal_value=terminal_value,
    )


def without(inadmissible: NDArray[np.bool_], indptr: Integers, *of_entries: Any) -> tuple[Any, ...]:
    """(indptr, …) without the rows in a mask: `indptr` counts anew, and what there is for each entry is shortened."""
    lengths, stays = np.diff(indptr.astype(np.int64)), ~inadmissible
    entry = np.repeat(stays, lengths)
    left = (None if x is None else x[entry] for x in of_entries)
    return unsigned(np.concatenate(([0], np.cumsum(lengths[stays])))), *left


def shrink(array: NDArray[Any], length: int | np.integer[Any]) -> NDArray[Any]:
    """The first `length` items, in a block of that size: memory is given back in place, without a copy."""
    if length == len(array):
        return array
    if not array.flags.owndata:
        return array[:length].copy()
    array.resize(int(length), refcheck=False)
    return array


def terminal_states(
    terminal: ArrayLike | Mapping[Any, float] | None, states: int, of_state: Floats | None = None
) -> tuple[NDArray[np.bool_], Floats]:
    """The mask and the values of the terminal states [S] from a mask, indices or a mapping from index to value.

    Raises:
        ModelError: if an index is out of range or a mask has another length.
    """
    ends, worth = np.zeros(states, dtype=bool), np.zeros(states)
    if terminal is None:
        return ends, worth
    given = np.asarray(list(terminal) if isinstance(terminal, Mapping) else terminal)
    if given.dtype == bool:
        if given.shape != (states,):
            raise ModelError(f"terminal is a mask of shape {given.shape}: expected one bit per state, ({states},).")
        given = np.flatnonzero(given)
    if given.size and given.dtype.kind not in "iu":
        raise ModelError(f"terminal is {given.ravel()[0]!r}, …: give numbers of states, 0 to {states - 1}, or a mask.")
    given = given.astype(np.int64).ravel()
    wrong = given[(given < 0) | (given >= states)]
    if len(wrong):
        raise ModelError(f"terminal state {wrong[0]} does not exist: the model has states 0 to {states - 1}.")
    ends[given] = True
    if isinstance(terminal, Mapping):
        worth[given] = np.fromiter(terminal.values(), dtype=np.float64, count=len(terminal))
    elif of_state is not None:
        worth[ends] = of_state[ends]
    return ends, worth
