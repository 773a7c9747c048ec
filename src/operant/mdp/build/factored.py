"""Factored models: a state is one value of each of several variables, which change independently given the state."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.mdp.build.forecast import memory, require
from operant.mdp.convert.row_builder import assemble
from operant.mdp.kernels.factored import count, fill
from operant.mdp.model import MDP
from operant.mdp.rows import Floats, ModelError

Table = tuple[Sequence[str], ArrayLike]
"""(parents, array): names of variables or "action", and one axis for each of them."""
NAMED = 1 << 20
"""States up to which names are kept: a name costs more memory than the state's rows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Flat:
    """Several tables in one vector: table i at state digits d and action a begins at base[i] + Σ stride[i]·(d, a)."""

    base: NDArray[np.int64]  # [tables]
    stride: NDArray[np.int64]  # [tables, variables + 1]  the last is that of the action
    numbers: Floats


def factored(
    variables: Mapping[str, int | Sequence[Hashable]],
    actions: int | Sequence[Hashable],
    transitions: Mapping[str, Table],
    rewards: Sequence[Table],
    *,
    discount: float,
    terminal: Sequence[Mapping[str, Hashable]] = (),
    start: Mapping[str, Hashable] | None = None,
    horizon: int | None = None,
    limit: int | None = None,
) -> MDP:
    """The model p(s' | s, a) = Π_i p_i(s'_i | parents of i in s, a), r(s, a) = Σ_j r_j(parents of j in s, a).

    The product is formed row by row into arrays of exactly the right size: memory is that of the model. The first
    variable changes slowest in the numbering of states. Up to a million states are named by the tuple of their values.

    Args:
        variables: for each variable how many values it has, or the values.
        actions: how many, or their names.
        transitions: for each variable (parents, p), p [|parent 1|, …, |variable|]: parents are variables before the
            step, or "action". A dynamic Bayesian network without arcs within a step.
        rewards: tables (parents, r), r [|parent 1|, …], which are added.
        discount: γ.
        terminal: states that agree with one of these partial assignments are terminal: [{"fuel": 0}].
        start: values of the variables at the start; each variable that is left out is uniform.
        horizon: as `MDP`.
        limit: bytes that the model may take; if None, nine tenths of what is available.

    Raises:
        ModelError: if a table has another shape than its parents say or is no distribution, naming the variable and the
            values of its parents; if the model would not fit into memory.

    Source: Boutilier, Dearden & Goldszmidt (2000), Stochastic dynamic programming with factored representations.
    """
    values = {name: list(range(v)) if isinstance(v, int) else list(v) for name, v in variables.items()}
    choices: list[Hashable] = list(range(actions)) if isinstance(actions, int) else list(actions)
    if "action" in values or not values or not choices or not all(values.values()):
        raise ModelError('give at least one action and one variable, with values, none of them named "action".')
    if set(transitions) != set(values):
        raise ModelError(f"transitions are of {sorted(transitions)}: give one table for each of {sorted(values)}.")
    sizes = np.array([len(v) for v in values.values()], dtype=np.int64)
    states = math.prod(sizes.tolist())
    require(9 * states, f"a list of {states:,} states", limit=limit)
    chances = _flat([_chances(name, transitions[name], values, choices) for name in values], values)
    pays = _flat([_pays(number, table, values, choices) for number, table in enumerate(rewards)], values)
    ends = np.zeros(states, dtype=bool)
    for pattern in terminal:
        ends |= _mask(pattern, values, sizes)
    every = (sizes, len(choices), chances.base, chances.stride, chances.numbers, ends)
    entries, pairs = int(count(*every)), len(choices) * int(np.count_nonzero(~ends))
    needed = memory(states, pairs / states, entries / max(pairs, 1)).model + 24 * pairs
    require(needed, f"the product of {states:,} states and {entries:,} entries", limit=limit)
    indptr = np.empty(pairs + 1, dtype=np.uint32 if entries < 2**32 else np.uint64)
    indices = np.empty(entries, dtype=np.uint32 if states <= 2**32 else np.uint64)
    data, reward = np.empty(entries), np.empty(pairs)
    fill(*every, pays.base, pays.stride, pays.numbers, indptr, indices, data, reward)
    rows = assemble(
        np.repeat(np.flatnonzero(~ends), len(choices)),
        np.tile(np.arange(len(choices), dtype=np.int32), pairs // len(choices)),
        indptr,
        indices,
        data,
        None,
        reward=reward,
        terminal=ends,
        terminal_value=np.zeros(states),
    )
    first = None if start is None else _mask(start, values, sizes)
    return MDP.from_rows(
        rows,
        discount,
        start=None if first is None else first / first.sum(),
        horizon=horizon,
        states=list(product(*values.values())) if states <= NAMED else None,
        actions=None if isinstance(actions, int) else choices,
    )


Values = Mapping[str, list[Any]]


def _array(what: str, table: Table, values: Values, actions: list[Hashable], own: tuple[int, ...]) -> Any:
    """(parents, array) with the shape that the parents say."""
    parents, numbers = list(table[0]), np.asarray(table[1], dtype=np.float64)
    for parent in parents:
        if parent != "action" and parent not in values:
            raise ModelError(f'{what} has the parent {parent!r}: parents are {", ".join(values)} or "action".')
    if len(set(parents)) < len(parents):
        raise ModelError(f"{what} names a parent twice: {parents}.")
    shape = tuple(len(actions if parent == "action" else values[parent]) for parent in parents) + own
    if numbers.shape != shape:
        raise ModelError(f"{what} has shape {numbers.shape}: its parents {parents} say {shape}.")
    return parents, numbers


def _chances(name: str, table: Table, values: Values, actions: list[Hashable]) -> Any:
    parents, numbers = _array(f"the table of {name!r}", table, values, actions, (len(values[name]),))
    total = numbers.sum(axis=-1)
    wrong = np.argwhere(~(np.abs(total - 1.0) <= 1e-8 * numbers.shape[-1]) | ~(numbers >= 0.0).all(axis=-1))
    if len(wrong):
        at = tuple(wrong[0].tolist())
        given = (actions[i] if p == "action" else values[p][i] for p, i in zip(parents, at, strict=True))
        case = ", ".join(f"{p}={value!r}" for p, value in zip(parents, given, strict=True))
        raise ModelError(
            f"the table of {name!r} at {case or 'all states'} is {numbers[at].tolist()}: "
            "give probabilities from 0 to 1 that sum to 1."
        )
    return parents, numbers


def _pays(number: int, table: Table, values: Values, actions: list[Hashable]) -> Any:
    parents, numbers = _array(f"rewards[{number}]", table, values, actions, ())
    if not np.isfinite(numbers).all():
        raise ModelError(f"rewards[{number}] holds a number that is not finite: rewards are finite.")
    return parents, numbers


def _flat(tables: list[Any], values: Values) -> _Flat:
    axes = [*values, "action"]
    stride = np.zeros((len(tables), len(axes)), dtype=np.int64)
    for i, (parents, numbers) in enumerate(tables):
        for axis, parent in enumerate(parents):
            stride[i, axes.index(parent)] = math.prod(numbers.shape[axis + 1 :])
    lengths = [numbers.size for _, numbers in tables]
    base = np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64) if tables else np.zeros(0, dtype=np.int64)
    return _Flat(base=base, stride=stride, numbers=np.concatenate([n.ravel() for _, n in tables] or [np.zeros(0)]))


def _mask(pattern: Mapping[str, Hashable], values: Values, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The states [S] that agree with a partial assignment."""
    found = np.ones(tuple(sizes.tolist()), dtype=bool)
    for name, value in pattern.items():
        if name not in values or value not in values[name]:
            raise ModelError(f"{name}={value!r}: there is no such variable or value: {dict(values)!r:.200}.")
        axis = list(values).index(name)
        keep = np.arange(sizes[axis]) == values[name].index(value)
        found &= keep.reshape([-1 if i == axis else 1 for i in range(len(sizes))])
    return found.ravel()
