"""One type for a finite Markov decision process: sparse rows, one per admissible state–action pair.

A model whose states lie on a map carries it: `mdp.grid` (a `Grid`, or None) has the text of the map, the cell of every
state and the displacement of every action, which is all that a picture of values and policy arrows needs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from operant.mdp.convert.actions_first import actions_first
from operant.mdp.convert.arrays import rows_of
from operant.mdp.convert.dictionary import rows_of_dictionary
from operant.mdp.convert.writers import write
from operant.mdp.options import About, Header, Kind, unknown_keyword
from operant.mdp.rows import Criterion, Endless, Floats, Grid, Labels, ModelError, Names, Rows
from operant.mdp.validate import check_entries, check_header, check_start, check_structure


class MDP:
    """A finite Markov decision process: v(s) = max over a in A(s) of r(s, a) + γ Σ_s' p(s' | s, a) v(s').

    Args:
        P: p(s' | s, a), one of: an array [S, A, S'], which nested lists of numbers are too; a list of A matrices
            [S, S'], sparse or of NumPy, one for each action; one sparse matrix [L, S'] whose rows are the pairs named
            by `pairs`; a dictionary {(s, a): {s': p}} or {s: {a: [(p, s', r), …]}} with hashable names. Duplicate
            entries are summed, zeros left out; nothing is densified. A sparse matrix that has the model's form already
            (float64, sorted, rows in order) is not copied: do not write to it afterwards.
        R: R(s) as [S], R(s, a) as [S, A] (with `pairs` as [L], also where L = S), or R(s, a, s') in a form of P. With a
            dictionary: a dictionary by s, by (s, a) or by (s, a, s'), what it leaves out is 0; None for the second
            form, which holds its rewards. A pair with reward -inf is not admissible and is left out.
        discount: γ in [0, 1].
        pairs: (states [L], actions [L]), for one sparse P; any order.
        terminal: terminal states: a mask [S], indices (or names, with a dictionary), or a mapping from these to values.
            They need no rows; rows that they have are dropped. Under R(s), in arrays and dictionaries alike, a terminal
            state is worth R(s) unless a mapping says otherwise; under R(s, a) and R(s, a, s') it is worth 0.
        start: distribution of the first state [S], the index (or name) of one state, or a mapping from these to
            probabilities; None if not known.
        horizon: number of decisions of a finite-horizon problem, else None.
        criterion: "discounted", "total" or "average"; if None, discounted for γ < 1 and total for γ = 1.
        endless: under total reward, what a play that never terminates is worth: what it earns (None), -∞ ("loses":
            only policies that terminate almost surely count, as with `must_terminate` of `solve`), or +∞ ("wins").
        leak: rows may sum to less than one; what is missing ends the episode with value 0.
        states, actions: names, for messages and pictures: [S] and [A].
        grid: where the states lie on a map.

    Raises:
        ModelError: what is wrong, naming the row.

    Source: Puterman (1994), Markov Decision Processes, chapter 2.
    """

    rows: Rows
    discount: float
    horizon: int | None
    criterion: Criterion
    endless: Endless | None
    start: Floats | None  # [S]
    leak: bool
    states: Names
    actions: Names
    grid: Grid | None

    def __init__(
        self,
        P: Any,
        R: Any = None,
        discount: float | None = None,
        *,
        pairs: tuple[ArrayLike, ArrayLike] | None = None,
        terminal: ArrayLike | Mapping[Any, float] | None = None,
        **about: Unpack[About],
    ) -> None:
        if isinstance(P, Mapping):
            if pairs is not None:
                raise ModelError("pairs is for one sparse P; a dictionary names its pairs itself: leave pairs out.")
            rows, about["states"], about["actions"] = rows_of_dictionary(
                P, R, terminal=terminal, states=about.get("states"), actions=about.get("actions")
            )
        else:
            rows = rows_of(P, R, pairs=pairs, terminal=terminal)
        if discount is None:
            raise ModelError("discount is missing: give γ in [0, 1], MDP(P, R, discount=0.95).")
        self._set(rows, discount, **about)

    @classmethod
    def from_arrays(cls, P: Any, R: Any, discount: float | None = None, **options: Any) -> Self:
        """A model from arrays with actions first, as MDPtoolbox has them: P[a][s, s'] = p(s' | s, a).

        Args:
            P: [A, S, S'], an array or a sequence of A matrices [S, S'], dense or sparse; sparse ones stay sparse.
            R: R(s) as [S], R(s, a) as [S, A], or R(s, a, s') as [A, S, S'], an array or A matrices like P.
            discount: γ in [0, 1].
            options: what `MDP` takes besides: terminal, start, horizon, criterion, names.

        Raises:
            ModelError: if shapes do not fit, or a row is no distribution.
        """
        matrices, rewards = actions_first(P, R)
        return cls(matrices, rewards, discount, **options)

    @classmethod
    def from_rows(cls, rows: Rows, discount: float, *, check: bool = True, **about: Unpack[About]) -> Self:
        """A model from its arrays, which are taken as they are and not copied. `check=False` skips the O(nnz) check."""
        self = cls.__new__(cls)
        self._set(rows, discount, check=check, **about)
        return self

    def _set(self, rows: Rows, discount: float, *, check: bool = True, **about: Unpack[About]) -> None:
        if unknown := about.keys() - About.__annotations__.keys():
            raise unknown_keyword("a model", unknown, Header.__annotations__)
        start, states, actions = (about.get(name) for name in ("start", "states", "actions"))
        self.rows = rows
        if not isinstance(discount, Real) or isinstance(discount, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ModelError(f"discount is {discount!r}: give γ, a number in [0, 1].")
        self.discount = float(discount)
        self.horizon = about.get("horizon")
        self.criterion = about.get("criterion") or ("discounted" if discount < 1.0 else "total")
        self.endless = about.get("endless")
        self.leak = about.get("leak", False)
        self.states = None if states is None else tuple(states)
        self.actions = None if actions is None else tuple(actions)
        self.grid = about.get("grid")
        if check:
            check_structure(rows, self.labels)
        self.start = None if start is None else self._distribution(start)
        check_header(self.header, self.num_states, self.num_actions)
        if self.start is not None:
            check_start(self.start, self.num_states, self.labels)
        if check:
            check_entries(rows, self.labels, states=self.num_states, leak=self.leak)

    @property
    def header(self) -> Header:
        """All of the model but its rows: what `from_rows` takes besides."""
        return {
            "discount": self.discount,
            "start": self.start,
            "horizon": self.horizon,
            "criterion": self.criterion,
            "endless": self.endless,
            "leak": self.leak,
            "states": self.states,
            "actions": self.actions,
            "grid": self.grid,
        }

    @property
    def kind(self) -> Kind:
        """Which problem is meant: "finite-horizon" where there is a horizon, else the criterion."""
        return self.criterion if self.horizon is None else "finite-horizon"

    @property
    def labels(self) -> Labels:
        """What its states and actions are called."""
        return Labels(self.states, self.actions)

    @property
    def num_states(self) -> int:
        """S."""
        return len(self.rows.terminal)

    @cached_property
    def num_actions(self) -> int:
        """A: one more than the largest action label, or the number of action names where they are more."""
        largest = int(self.rows.action.max()) + 1 if len(self.rows.action) else 0
        return max(largest, len(self.actions or ()))

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
        """The transitions [L, S] as a SciPy matrix that shares memory with the model.

        From 2³¹ entries or states on SciPy wants 64-bit indices, and those (not the probabilities) are a copy.
        """
        rows = self.rows
        signed = np.int32 if self.nnz < 2**31 and self.num_states < 2**31 else np.int64
        indices, indptr = (
            array.view(signed) if array.itemsize == np.dtype(signed).itemsize else array.astype(signed)
            for array in (rows.indices, rows.indptr)
        )
        return sp.csr_array((rows.data, indices, indptr), shape=(self.num_rows, self.num_states), copy=False)

    @property
    def row_state(self) -> NDArray[np.int64]:
        """The state of each row, [L]."""
        return np.repeat(np.arange(self.num_states), np.diff(self.rows.pointer).astype(np.int64))

    def row(self, state: int, action: int) -> int:
        """The row of a pair.

        Raises:
            ModelError: if the action is not admissible there.
        """
        if not 0 <= state < self.num_states:
            raise ModelError(f"there is no state {state}: the model has states 0 to {self.num_states - 1}.")
        first, last = int(self.rows.pointer[state]), int(self.rows.pointer[state + 1])
        at = first + int(np.searchsorted(self.rows.action[first:last], action))
        if at == last or self.rows.action[at] != action:
            labels = [self.action_name(label) for label in self.rows.action[first:last].tolist()]
            raise ModelError(
                f"action {self.action_name(action)} is not admissible in state {self.name(state)}: "
                + (f"it has {', '.join(labels)}." if labels else "it is terminal and has none.")
            )
        return at

    def action_labels(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """The action labels of rows (any shape), -1 where the row is -1."""
        labels = np.full(rows.shape, -1, dtype=np.int32)
        labels[rows >= 0] = self.rows.action[rows[rows >= 0]]
        return labels

    def index(self, name: Hashable) -> int:
        """The index of a state by its name.

        Raises:
            ModelError: if no state has that name.
        """
        try:
            return self._index[name]
        except KeyError:
            raise ModelError(f"no state is named {name!r}: the names are {_some(self.states)}.") from None

    @cached_property
    def _index(self) -> dict[Hashable, int]:
        try:
            return {name: i for i, name in enumerate(self.states or ())}
        except TypeError as error:
            raise ModelError(
                f"a state is named by what cannot be a name ({error}): use texts, numbers or tuples."
            ) from None

    def name(self, state: int) -> str:
        """The state's index, with its name where it has one."""
        return self.labels.state(state)

    def action_name(self, action: int) -> str:
        """The action's label, with its name where it has one."""
        return self.labels.action(action)

    def where(self, row: int) -> str:
        """The pair of a row, for messages."""
        return self.labels.pair(self.rows, row)

    def replace(self, **changes: Any) -> MDP:
        """The same rows with another discount, start, horizon, criterion, names, grid or rows; nothing is copied.

        Where the discount changes and no criterion is named, it follows the discount, unless it was the average.
        """
        now: dict[str, Any] = {"rows": self.rows, **self.header}
        if "discount" in changes and self.criterion != "average":
            now["criterion"] = None
        return MDP.from_rows(**now | changes, check="rows" in changes or "leak" in changes)

    def save(self, path: str | Path) -> None:
        """Write the model to a file: by its suffix .npz (fast, exact) or .json (to be read by people); see `load`."""
        write(self.rows, self.header, path)

    def __repr__(self) -> str:
        kind = f"horizon {self.horizon}" if self.horizon is not None else self.criterion
        kind += f", an endless play {self.endless}" if self.endless and self.kind == "total" else ""
        size = f"{self.num_states:,} states, {self.num_rows:,} pairs, {self.nnz:,} entries"
        return f"MDP({size}, {kind}, γ={self.discount:g})"

    def _distribution(self, start: Any) -> Floats:
        """The start distribution [S] from any form of it."""
        if isinstance(start, Mapping):
            distribution = np.zeros(self.num_states)
            for state, probability in start.items():
                distribution[self._known(state)] += probability
            return distribution
        if np.ndim(start) == 0 or (self.states is not None and isinstance(start, Hashable) and start in self._index):
            distribution = np.zeros(self.num_states)
            distribution[self._known(start)] = 1.0
            return distribution
        return np.ascontiguousarray(start, dtype=np.float64)

    def _known(self, state: Any) -> int:
        """The index of a state given by name, where it has that name, or else by index."""
        if self.states is not None and state in self._index:
            return self._index[state]
        if isinstance(state, int | np.integer) and 0 <= state < self.num_states:
            return int(state)
        raise ModelError(
            f"start state {state!r} does not exist: the model has states 0 to {self.num_states - 1}"
            + ("." if self.states is None else f", named {_some(self.states)}.")
        )


def _some(names: Names) -> str:
    if not names:
        return "not set"
    return ", ".join(repr(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
