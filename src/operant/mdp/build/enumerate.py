"""Models enumerated from a function: any Python function breadth first, or a compiled one over numbered states."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numba.core.errors import NumbaError

from operant.config.streams import Lenient, steerable
from operant.data.memory import SHARE, available, gigabytes
from operant.data.ranges import whole
from operant.mdp.build.forecast import memory, require
from operant.mdp.convert.row_builder import RowBuilder
from operant.mdp.kernels.enumerate import COUNT, FINE, IMPURE, SUCCESSOR, compiled
from operant.mdp.kernels.rows import is_tidy, tidy
from operant.mdp.model import MDP
from operant.mdp.rows import Criterion, Floats, Grid, Integers, ModelError, Rows, unsigned
from operant.mdp.validate import public

Outcomes = Iterable[tuple[float, Hashable, float]]
"""(probability, successor, reward) of each outcome."""
LOOK = 4096
"""States between two looks at the memory."""


@public()
def enumerate_mdp(
    transition: Callable[..., Any],
    start: Hashable | Mapping[Hashable, float],
    *,
    discount: float,
    actions: Callable[[Any], Iterable[Hashable]] | Sequence[Hashable] | None = None,
    terminal: Callable[[Any], bool] | None = None,
    horizon: int | None = None,
    criterion: Criterion | None = None,
    limit: int | None = None,
    quiet: bool = False,
) -> MDP:
    """The model of all states that can be reached from `start`, numbered in the order in which they are found.

    Where standard error is a terminal a bar shows states found, expanded and the memory that they need.

    Args:
        transition: transition(state, action) gives the outcomes [(probability, successor, reward), …]. Without
            `actions`, transition(state) gives all actions at once: {action: outcomes}, empty where terminal.
        start: one state, or a mapping from state to probability. States are any hashable objects.
        discount: γ.
        actions: the actions of every state, or a function of the state; a state without actions is terminal.
        terminal: says of a state whether it is terminal; `transition` is not asked about such a state.
        horizon, criterion: as `MDP`.
        limit: bytes of memory that may be used; if None, nine tenths of what is available.
        quiet: no bar.

    Raises:
        ModelError: if the outcomes of a state are of another form, or are no distribution (named by state and action);
            if the states found so far already need more memory than `limit`.
    """
    first: Mapping[Any, float] = start if isinstance(start, Mapping) else {start: 1.0}
    index: dict[Hashable, int] = {state: i for i, state in enumerate(first)}
    states = list(index)
    named = () if actions is None or callable(actions) else actions
    labels: dict[Hashable, int] = {action: i for i, action in enumerate(named)}
    builder, ends = RowBuilder(), list[int]()
    with _progress(quiet) as tell:
        at = 0
        while at < len(states):
            state = states[at]
            choices = {} if terminal is not None and terminal(state) else _choices(transition, actions, state)
            rows = 0
            for action, outcomes in choices.items():
                rows += 1
                label = labels.setdefault(action, len(labels))
                try:
                    for p, successor, r in outcomes:
                        number = index.setdefault(successor, len(states))
                        if number == len(states):
                            states.append(successor)
                        builder.add(number, p, r)
                except (TypeError, ValueError) as error:
                    raise ModelError(
                        f"transition({state!r}, {action!r}): {error}: "
                        "expected outcomes [(probability, successor, reward), …] with hashable successors."
                    ) from error
                builder.close(at, label)
            if rows == 0:
                ends.append(at)
            at += 1
            if at % LOOK == 0:
                tell(at, len(states), _watched(builder, states, at, limit))
    plain = all(type(state) is int for state in states) and states == list(range(len(states)))
    return MDP.from_rows(
        builder.rows(len(states), np.array(ends, dtype=np.int64)),
        discount,
        start={index[state]: p for state, p in first.items()} if plain else first,
        horizon=horizon,
        criterion=criterion,
        states=None if plain else states,
        actions=None if list(labels) == list(range(len(labels))) else tuple(labels),
    )


def _choices(transition: Callable[..., Any], actions: Any, state: Hashable) -> Mapping[Hashable, Outcomes]:
    if actions is None:
        choices = transition(state)
        if not isinstance(choices, Mapping):
            raise ModelError(
                f"transition({state!r}) is {choices!r}: without `actions` it gives {{action: [(p, s', r), …]}}."
            )
        return choices
    return {action: transition(state, action) for action in _admissible(actions, state)}


def _admissible(actions: Any, state: Hashable) -> Iterable[Hashable]:
    return cast("Iterable[Hashable]", actions(state) if callable(actions) else actions)


def _watched(builder: RowBuilder, states: list[Hashable], expanded: int, limit: int | None) -> int:
    """Bytes that the states found so far will need, if those not yet expanded are like the others.

    Raises:
        ModelError: if that is more than may be used.
    """
    table_bytes = builder.nbytes
    objects = len(states) * (sys.getsizeof(states[-1]) + 120)  # the state, its place in the index and in the list
    pairs, entries = len(builder.action), len(builder.indices)
    model = memory(
        len(states), pairs / expanded, entries / max(pairs, 1), outcome_rewards=True, policy_copy=False
    ).model
    needed = round(table_bytes * len(states) / expanded) + objects + model
    free = available()
    if limit is None and free is not None:
        limit = int(SHARE * (free + table_bytes + objects * expanded // len(states)))
    if limit is not None and needed > limit:
        raise ModelError(
            f"enumeration stopped with {expanded:,} states expanded and {len(states):,} found: these alone need "
            f"{gigabytes(needed)} of memory and {gigabytes(limit)} may be used. "
            "Use a smaller model, a compiled function (operant.mdp.enumerate_compiled), or raise `limit`."
        )
    return needed


@contextmanager
def _progress(quiet: bool) -> Generator[Callable[[int, int, int], None]]:
    """A bar of states expanded out of those found, where someone looks on; nothing elsewhere."""
    if quiet or not steerable(sys.stderr):
        yield lambda expanded, found, needed: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    file: Any = Lenient(sys.stderr)
    columns = (TextColumn("states"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[needed]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(file=file), transient=True) as bar:
        task = bar.add_task("", total=None, needed="")

        def tell(expanded: int, found: int, needed: int) -> None:
            bar.update(task, completed=expanded, total=found, needed=f"needs {gigabytes(needed)} so far")

        yield tell


@public()
def enumerate_compiled(
    transition: Any,
    *,
    states: int,
    actions: int,
    successors: int,
    discount: float,
    start: Any = None,
    horizon: int | None = None,
    criterion: Criterion | None = None,
    names: Sequence[Hashable] | None = None,
    action_names: Sequence[Hashable] | None = None,
    grid: Grid | None = None,
    threads: int = 1,
    limit: int | None = None,
    quiet: bool = False,
) -> MDP:
    """The model of a function that Numba compiles: `transition(s, a, successor, probability, reward) -> n`.

    It writes the n outcomes of action a in state s to the first n entries of its buffers (int64, float64, float64) and
    returns n; 0 says that a is not admissible in s. A successor -1 ends the episode: its reward counts, and nothing
    follows; the model then has one more state, S, which is terminal. A state without admissible actions is terminal.
    It must be a pure function of s and a: it is called twice, once to count and once to fill arrays of exactly the
    right size, so that no more than the model itself is ever in memory. The same function makes a model without a
    matrix (`operant.mdp.MatrixFree`).

    Args:
        transition: a Numba function, or a Python function to be compiled.
        states, actions: S and A: s is 0 … S-1, a is 0 … A-1, both int64.
        successors: the greatest n.
        discount, start, horizon, criterion, grid: as `MDP`.
        names, action_names: names of states and actions.
        threads: how many share the work; the model is the same for any number.
        limit: bytes that the model may take; if None, nine tenths of what is available.
        quiet: no bar.

    Raises:
        ModelError: if Numba cannot compile it, a row is no distribution (named by state and action), or the model would
            not fit into memory.
    """
    whole("threads", threads, error=ModelError)
    count, fill = _kernels(transition, states, actions, successors)
    sizes = np.zeros((2, states), dtype=np.int64)  # rows and entries of each state
    chunks = [(begin, min(begin + 65536, states)) for begin in range(0, states, 65536)]

    def counted(chunk: tuple[int, int]) -> Any:
        return count(*chunk, actions, states, sizes, *_buffers(successors))

    def filled(chunk: tuple[int, int]) -> Any:
        return fill(*chunk, actions, states, *arrays, *_buffers(successors))

    with _progress(quiet) as tell, ThreadPoolExecutor(threads) as pool:
        flags = []
        for (_, end), report in zip(chunks, pool.map(counted, chunks), strict=True):
            _raise(report, states, successors)
            flags.append(report[4:])
            tell(end // 2, states, 0)
        leaves, varies = (any(flag[i] for flag in flags) for i in range(2))
        pairs, entries = (int(total) for total in sizes.sum(axis=1))
        size = memory(states, pairs / states, entries / max(pairs, 1), outcome_rewards=varies)
        require(size.model + 16 * states, f"the model of {states:,} states and {entries:,} entries", limit=limit)
        arrays = _arrays(sizes, states + leaves, pairs, entries, varies=varies)
        for (_, end), report in zip(chunks, pool.map(filled, chunks), strict=True):
            _raise(report, states, successors)
            tell((states + end) // 2, states, size.model)
    rows = _rows(arrays, states, leaves=leaves, varies=varies)
    return MDP.from_rows(
        rows,
        discount,
        start=np.append(start, 0.0) if leaves and np.shape(start) == (states,) else start,
        horizon=horizon,
        criterion=criterion,
        states=[*names, "end"] if names is not None and leaves else names,
        actions=action_names,
        grid=grid if grid is None or not leaves else _with_end(grid),
    )


def _with_end(grid: Grid) -> Grid:
    return Grid(lines=grid.lines, cell=np.append(grid.cell, -1), moves=grid.moves)


def _kernels(transition: Any, states: int, actions: int, successors: int) -> tuple[Any, Any]:
    for name, number in (("states", states), ("actions", actions), ("successors", successors)):
        whole(name, number, error=ModelError)
    count, fill = compiled(transition)
    try:  # on no states: this compiles, and reads nothing
        count(0, 0, actions, states, np.zeros((2, 0), dtype=np.int64), *_buffers(successors))
    except NumbaError as error:
        raise ModelError(
            f"Numba cannot compile the transition function: {str(error).strip().splitlines()[-1]} "
            "Write it in what Numba supports, or use operant.mdp.enumerate_mdp."
        ) from error
    return count, fill


def _buffers(successors: int) -> tuple[Integers, Floats, Floats]:
    room = successors + 64  # a function that writes a little more than it should is found, not fatal
    return np.zeros(room, dtype=np.int64), np.zeros(room), np.zeros(room)


Arrays = tuple[Integers, Integers, Integers, Integers, Integers, Floats, Floats, Floats]


def _arrays(per_state: Integers, states: int, pairs: int, entries: int, *, varies: bool) -> Arrays:
    """(pointer, first entry of each state, action, indptr, indices, data, reward, outcome), the last five to fill."""
    pointer = np.zeros(states + 1, dtype=np.uint32 if pairs < 2**32 else np.uint64)
    np.cumsum(per_state[0], out=pointer[1 : per_state.shape[1] + 1])
    pointer[per_state.shape[1] + 1 :] = pairs
    first = np.zeros(per_state.shape[1] + 1, dtype=np.int64)
    np.cumsum(per_state[1], out=first[1:])
    indptr = np.zeros(pairs + 1, dtype=np.uint32 if entries < 2**32 else np.uint64)
    indices = np.empty(entries, dtype=np.uint32 if states <= 2**32 else np.uint64)
    data, reward = np.empty(entries), np.empty(pairs)
    outcome = np.empty(entries if varies else 0)
    return pointer, first, np.empty(pairs, dtype=np.int32), indptr, indices, data, reward, outcome


def _rows(arrays: Arrays, states: int, *, leaves: bool, varies: bool) -> Rows:
    pointer, _, action, indptr, indices, data, reward, outcome = arrays
    if not is_tidy(indptr, indices, data):
        left = int(tidy(indptr, indices, data, outcome))
        for array in (indices, data, *((outcome,) if varies else ())):
            array.resize(left, refcheck=False)
    terminal = pointer[1:] == pointer[:-1]
    return Rows(
        pointer=pointer,
        action=action,
        indptr=unsigned(indptr, len(data)),
        indices=indices,
        data=data,
        reward=reward,
        outcome_reward=outcome if varies else None,
        terminal=terminal,
        terminal_value=np.zeros(len(terminal)),
    )


def _raise(report: Any, states: int, successors: int) -> None:
    what, state, action, value = report[:4]
    if what == FINE:
        return
    text = {
        COUNT: f"returns {value:.0f} outcomes, which is not 0 to {successors}: raise `successors`",
        SUCCESSOR: f"leads to state {value:.0f}, which does not exist: "
        f"states are 0 to {states - 1}, and -1 ends the episode",
        IMPURE: "gave another number of outcomes when it was called again: it must depend on s and a alone",
    }[what]
    raise ModelError(f"transition of state {state}, action {action} {text}.")
