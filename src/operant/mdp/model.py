"""One type for a finite Markov decision process: sparse rows, one per admissible state–action pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from operant.config.errors import ConfigError

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]
Criterion = Literal["discounted", "total", "average"]


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
    data: Floats  # [nnz]  its probability
    reward: Floats  # [L]    r(s, a), the mean over successors
    outcome_reward: Floats | None = None  # [nnz]  r(s, a, s'), kept for sampling where it depends on s'
    terminal: NDArray[np.bool_]  # [S]
    terminal_value: Floats  # [S]    0 where not terminal


class MDP:
    """A finite Markov decision process: v(s) = max over a in A(s) of r(s, a) + γ Σ_s' p(s' | s, a) v(s').

    Args:
        P: p(s' | s, a): an array [S, A, S'], a sequence of A sparse matrices [S, S'], or one sparse matrix [L, S'] whose
            rows are the pairs named by `pairs`. Duplicate entries are summed; nothing is densified.
        R: R(s) as [S], R(s, a) as [S, A] (or [L] with `pairs`), or R(s, a, s') in the form of P. A pair with reward -inf
            is not admissible and is left out.
        discount: γ in [0, 1].
        pairs: (states [L], actions [L]), for one sparse P; any order.
        terminal: terminal states: a mask [S], indices, or a mapping from index to value. They need no rows; rows that
            they have are dropped. Under R(s) a terminal state is worth R(s) unless a mapping says otherwise.
        start: distribution of the first state [S], or the index of one state; None if not known.
        horizon: number of decisions of a finite-horizon problem, else None.
        criterion: "discounted", "total" or "average"; if None, discounted for γ < 1 and total for γ = 1.
        leak: rows may sum to less than one; what is missing ends the episode with value 0.
        states, actions: names, for messages and pictures.

    Raises:
        ModelError: what is wrong, naming the row.

    Source: Puterman (1994), Markov Decision Processes, chapter 2.
    """

    def __init__(
        self,
        P: Any,
        R: Any,
        discount: float,
        *,
        pairs: tuple[ArrayLike, ArrayLike] | None = None,
        terminal: ArrayLike | Mapping[int, float] | None = None,
        start: ArrayLike | int | None = None,
        horizon: int | None = None,
        criterion: Criterion | None = None,
        leak: bool = False,
        states: Sequence[str] | None = None,
        actions: Sequence[str] | None = None,
    ) -> None:
        from operant.mdp.arrays import rows_of  # the conversions are a room of their own

        self._set(
            rows_of(P, R, pairs=pairs, terminal=terminal),
            discount,
            start=start,
            horizon=horizon,
            criterion=criterion,
            leak=leak,
            states=states,
            actions=actions,
        )

    @classmethod
    def from_rows(
        cls,
        rows: Rows,
        discount: float,
        *,
        start: ArrayLike | int | None = None,
        horizon: int | None = None,
        criterion: Criterion | None = None,
        leak: bool = False,
        states: Sequence[str] | None = None,
        actions: Sequence[str] | None = None,
        check: bool = True,
    ) -> Self:
        """A model from its arrays, which are taken as they are and not copied. `check=False` skips the O(nnz) check."""
        self = cls.__new__(cls)
        self._set(
            rows,
            discount,
            start=start,
            horizon=horizon,
            criterion=criterion,
            leak=leak,
            states=states,
            actions=actions,
            check=check,
        )
        return self

    def _set(
        self,
        rows: Rows,
        discount: float,
        *,
        start: ArrayLike | int | None,
        horizon: int | None,
        criterion: Criterion | None,
        leak: bool,
        states: Sequence[str] | None,
        actions: Sequence[str] | None,
        check: bool = True,
    ) -> None:
        from operant.mdp.validate import check_rows, check_scalars

        self.rows = rows
        self.discount = float(discount)
        self.horizon = horizon
        self.criterion: Criterion = criterion or ("discounted" if discount < 1.0 else "total")
        self.leak = leak
        self.states = None if states is None else tuple(states)
        self.actions = None if actions is None else tuple(actions)
        self.start = _start(start, self.num_states)
        check_scalars(self)
        if check:
            check_rows(self)

    @property
    def num_states(self) -> int:
        """S."""
        return len(self.rows.terminal)

    @property
    def num_actions(self) -> int:
        """A: one more than the largest action label."""
        return int(self.rows.action.max()) + 1 if len(self.rows.action) else 0

    @property
    def num_rows(self) -> int:
        """L: admissible state–action pairs."""
        return len(self.rows.action)

    @property
    def nnz(self) -> int:
        """Entries of the transition matrix."""
        return len(self.rows.data)

    @property
    def matrix(self) -> sp.csr_array:
        """The transitions [L, S] as a SciPy matrix that shares memory with the model."""
        rows, signed = self.rows, np.int32 if self.nnz < 2**31 else np.int64
        return sp.csr_array(
            (rows.data, rows.indices.view(np.int32), rows.indptr.astype(signed)), shape=(self.num_rows, self.num_states)
        )

    @property
    def row_state(self) -> NDArray[np.int64]:
        """The state of each row, [L]."""
        return np.repeat(np.arange(self.num_states), np.diff(self.rows.pointer.astype(np.int64)))

    def row(self, state: int, action: int) -> int:
        """The row of a pair.

        Raises:
            ModelError: if the action is not admissible there.
        """
        first, last = int(self.rows.pointer[state]), int(self.rows.pointer[state + 1])
        at = first + int(np.searchsorted(self.rows.action[first:last], action))
        if at == last or self.rows.action[at] != action:
            raise ModelError(f"action {action} is not admissible in state {self.name(state)}.")
        return at

    def name(self, state: int) -> str:
        """The state's name, or its index."""
        return str(state) if self.states is None else f"{state} ({self.states[state]})"

    def replace(self, **changes: Any) -> MDP:
        """The same rows with another discount, start, horizon, criterion or names; nothing is copied."""
        now: dict[str, Any] = {
            "discount": self.discount,
            "start": self.start,
            "horizon": self.horizon,
            "criterion": self.criterion if "discount" not in changes else None,
            "leak": self.leak,
            "states": self.states,
            "actions": self.actions,
        } | changes
        return MDP.from_rows(now.pop("rows", self.rows), now.pop("discount"), check="rows" in changes, **now)

    def __repr__(self) -> str:
        kind = f"horizon {self.horizon}" if self.horizon is not None else self.criterion
        return f"MDP({self.num_states:,} states, {self.num_rows:,} pairs, {self.nnz:,} entries, {kind}, γ={self.discount:g})"


def _start(start: ArrayLike | int | None, states: int) -> Floats | None:
    if start is None:
        return None
    if isinstance(start, int | np.integer):
        if not 0 <= start < states:
            raise ModelError(f"start state {start} does not exist: the model has states 0 to {states - 1}.")
        found = np.zeros(states)
        found[start] = 1.0
        return found
    return cast("Floats", np.ascontiguousarray(start, dtype=np.float64))


def unsigned(values: ArrayLike, largest: int | None = None) -> Integers:
    """Indices in the smallest unsigned type that the kernels read: uint32, or uint64 where `largest` needs it."""
    array = np.asarray(values)
    top = int(array.max(initial=0)) if largest is None else largest
    return array.astype(np.uint32 if top < 2**32 else np.uint64, copy=False)
