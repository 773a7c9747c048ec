"""What makes arrays a Markov decision process, and a call one that can be honoured; a failure names row or keyword."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, wraps
from inspect import Parameter, signature
from numbers import Real
from typing import Any, ParamSpec, TypeVar, Unpack, get_args, get_origin, get_type_hints

import numpy as np

from operant.data.ranges import whole
from operant.mdp.kernels.bellman import serial
from operant.mdp.options import EPSILON, Header, Kind, Stop, Watch, unknown_keyword
from operant.mdp.rows import Floats, Integers, Labels, ModelError, Rows

GOOD, NEGATIVE, NOT_FINITE, ZERO, RANGE, ORDER, SUM, REWARD, MEAN, OUTCOME = range(10)
"""What `_inspect` finds in a row."""


MADE_SO = {
    "discounted": "mdp.replace(discount=0.99, criterion=None, horizon=None)",
    "total": "mdp.replace(discount=1.0, criterion=None, horizon=None)",
    "average": 'mdp.replace(criterion="average", horizon=None)',
    "finite-horizon": "mdp.replace(horizon=100)",
}
"""How a model asks for each kind of problem."""

P = ParamSpec("P")
T = TypeVar("T")


def public(*kinds: Kind) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """For what this room offers: a call is refused, before anything is computed, for what the function cannot honour.

    That is a keyword that it does not take, with the nearest that it does; something else than a model where its first
    parameter is `mdp`; and a model of another kind than `kinds`, if these are named.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        given = signature(function).parameters.values()
        own = frozenset(p.name for p in given if p.kind is not Parameter.VAR_KEYWORD)
        of_model, name = "mdp" in own, _name(function)

        @wraps(function)
        def called(*args: P.args, **keywords: P.kwargs) -> T:
            if not own >= keywords.keys():
                refuse_unknown(function, keywords)
            if of_model and (args or "mdp" in keywords):
                _refuse_other(name, args[0] if args else keywords["mdp"], kinds)
            return function(*args, **keywords)

        return called

    return decorate


def refuse_unknown(function: Callable[..., Any], given: Iterable[str]) -> None:
    """Refuse the first of these keywords that a function does not take.

    Raises:
        KeywordError: it names the nearest that there is.
    """
    known = parameters(function)
    if "" not in known and (unknown := set(given).difference(known)):
        raise unknown_keyword(_name(function), unknown, known)


def _name(function: Callable[..., Any]) -> str:
    """What it is called by: a class by its own name."""
    return function.__qualname__.removesuffix(".__init__")


@cache
def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of what a function takes, those of its `**limits` too; "" among them if it takes any name."""
    names: list[str] = []
    for parameter in signature(function).parameters.values():
        if parameter.kind is not Parameter.VAR_KEYWORD:
            names.append(parameter.name)
        elif get_origin(hint := get_type_hints(function)[parameter.name]) is Unpack:
            names += get_args(hint)[0].__annotations__
        else:
            names.append("")
    return tuple(names)


def _refuse_other(name: str, mdp: Any, kinds: tuple[Kind, ...]) -> None:
    kind = getattr(mdp, "kind", None)
    if kind is None:
        raise ModelError(f"{name} takes a model, an MDP, and was given {type(mdp).__name__}: make one of it first.")
    if kinds and kind not in kinds:
        counted = "finite_horizon and finite_horizon_values count decisions; " if kind == "finite-horizon" else ""
        raise ModelError(
            f"{name} is for {' and '.join(kinds)} models, and this one is {kind}: {counted}{MADE_SO[kinds[0]]} is one."
        )


def stopping(stop: Stop) -> tuple[float, Watch | None, int | None]:
    """(epsilon, watch, max_iterations), looked at.

    Raises:
        ModelError: if ε is not positive, or the allowance is less than one iteration.
    """
    epsilon, most = stop.get("epsilon", EPSILON), stop.get("max_iterations")
    if not (isinstance(epsilon, Real) and epsilon > 0):
        raise ModelError(f"epsilon is {epsilon!r}: it must be positive.")
    return epsilon, stop.get("watch"), most if most is None else whole("max_iterations", most, error=ModelError)


def check_header(header: Header, states: int, actions: int) -> None:
    """Discount, horizon, criterion, names, map and start distribution of a model with so many states and actions.

    Raises:
        ModelError: what is wrong and what it may be.
    """
    discount, horizon, criterion = header["discount"], header.get("horizon"), header.get("criterion")
    if not 0.0 <= discount <= 1.0:
        raise ModelError(f"discount is {discount}: γ lies in [0, 1].")
    if horizon is not None and (
        not isinstance(horizon, int | np.integer) or isinstance(horizon, bool) or horizon < 1  # pyright: ignore
    ):
        raise ModelError(f"horizon is {horizon!r}: give the number of decisions, 1 or more, or None for no limit.")
    if criterion not in ("discounted", "total", "average"):
        raise ModelError(f'criterion is {criterion!r}: it is "discounted", "total" or "average".')
    if header.get("endless") not in (None, "loses", "wins"):
        raise ModelError(f'endless is {header.get("endless")!r}: it is "loses", "wins", or None for what a play earns.')
    if criterion == "discounted" and discount == 1.0 and horizon is None:
        raise ModelError('criterion is "discounted" with γ = 1: give a discount below 1, or criterion="total".')
    if criterion == "total" and discount < 1.0:
        raise ModelError(f'criterion is "total" with γ = {discount:g}: give discount=1, or criterion="discounted".')
    for what, names, count in (("states", header.get("states"), states), ("actions", header.get("actions"), actions)):
        if names is not None and len(names) != count:
            raise ModelError(f"{what} holds {len(names)} names: the model has {count} {what}, give one name for each.")
    grid = header.get("grid")
    if grid is not None and (len(grid.cell) != states or len(grid.moves) != actions):
        raise ModelError(
            f"grid has {len(grid.cell)} cells and {len(grid.moves)} moves: "
            f"give one for each of {states} states and {actions} actions."
        )


def check_start(start: Floats, states: int, labels: Labels) -> None:
    """A distribution of the first state, [S].

    Raises:
        ModelError: which state, or what the probabilities sum to.
    """
    if start.shape != (states,):
        raise ModelError(f"start has shape {start.shape}: give one probability per state, ({states},).")
    wrong = np.flatnonzero(~(start >= 0.0) | ~np.isfinite(start))
    if len(wrong):
        state = int(wrong[0])
        raise ModelError(f"start gives state {labels.state(state)} probability {start[state]}: it lies in [0, 1].")
    total = float(start.sum())
    if abs(total - 1.0) > 1e-8 * max(1, np.count_nonzero(start)):
        raise ModelError(f"the start probabilities sum to {total:.9g}, not to 1: divide start by its sum.")


def check_structure(rows: Rows, labels: Labels) -> None:
    """Lengths, types and pointers of the arrays, and which states have rows: all that is needed before reading entries.

    Raises:
        ModelError: which array, or which state.
    """
    states, count = len(rows.terminal), len(rows.action)
    if states == 0:
        raise ModelError("the model has no states: give at least one.")
    for name, kinds in (
        ("pointer", "u"),
        ("action", "i"),
        ("indptr", "u"),
        ("indices", "u"),
        ("data", "f"),
        ("reward", "f"),
    ):
        array = getattr(rows, name)
        if array.ndim != 1 or array.dtype.kind != kinds or (kinds == "f" and array.dtype != np.float64):
            wanted = {"u": "unsigned integers (operant.mdp.rows.unsigned)", "i": "int32", "f": "float64"}[kinds]
            raise ModelError(
                f"rows.{name} is {array.dtype} of shape {array.shape}: expected one dimension of {wanted}."
            )
    for name, length in (
        ("pointer", states + 1),
        ("indptr", count + 1),
        ("reward", count),
        ("indices", len(rows.data)),
        ("outcome_reward", len(rows.data)),
        ("terminal_value", states),
    ):
        array = getattr(rows, name)
        if array is not None and array.shape != (length,):
            raise ModelError(f"rows.{name} has shape {array.shape}: expected ({length},).")
    check_pointers(rows)
    _check_states(rows, labels)


def check_pointers(rows: Rows) -> None:
    """Where rows and entries begin and end.

    Raises:
        ModelError: which array does not rise from 0 to the end of what it points to.
    """
    last = {"pointer": len(rows.action), "indptr": len(rows.data)}
    for name, array in (("pointer", rows.pointer), ("indptr", rows.indptr)):
        if array[0] != 0 or array[-1] != last[name] or np.any(array[1:] < array[:-1]):
            raise ModelError(
                f"rows.{name} does not rise from 0 to {last[name]}: it says where each part begins and ends."
            )


def _check_states(rows: Rows, labels: Labels) -> None:
    """Terminal states have no rows, the others have some, and the actions of each increase."""
    empty = rows.pointer[1:] == rows.pointer[:-1]
    wrong = np.flatnonzero(empty == ~rows.terminal)
    if len(wrong):
        name = labels.state(labels.first + int(wrong[0]))
        if rows.terminal[wrong[0]]:
            raise ModelError(f"terminal state {name} has rows: leave them out, or take it from `terminal`.")
        raise ModelError(f"state {name} has no actions: give it a row, or name it in `terminal`.")
    if len(rows.action) and rows.action.min() < 0:
        row = int(np.flatnonzero(rows.action < 0)[0])
        raise ModelError(f"{labels.pair(rows, row)}: action labels are 0, 1, 2, …; renumber them.")
    inside = np.ones(len(rows.action), dtype=bool)
    inside[rows.pointer[:-1][~empty]] = False
    wrong = np.flatnonzero(inside[1:] & (rows.action[1:] <= rows.action[:-1]))
    if len(wrong):
        row = int(wrong[0]) + 1
        what = "is named twice" if rows.action[row] == rows.action[row - 1] else "comes after a larger label"
        raise ModelError(f"{labels.pair(rows, row)} {what}: each state has one row per action, in increasing order.")
    worth = rows.terminal_value
    wrong = np.flatnonzero(~np.isfinite(worth) | (~rows.terminal & (worth != 0.0)))
    if len(wrong):
        raise ModelError(
            f"terminal_value of state {labels.state(labels.first + int(wrong[0]))} is {worth[wrong[0]]}: "
            "it is finite, and 0 where the state is not terminal."
        )


def check_entries(rows: Rows, labels: Labels, *, states: int, leak: bool) -> None:
    """Probabilities, successors (0 … states-1) and rewards, in one O(nnz) pass without a copy.

    Sums are accepted within 1e-8 per entry.

    Raises:
        ModelError: the first faulty row by state and action, and what to do.
    """
    outcome = np.empty(0) if rows.outcome_reward is None else rows.outcome_reward
    row, entry, fault, number = _inspect(rows.indptr, rows.indices, rows.data, rows.reward, outcome, states, leak)
    if fault == GOOD:
        return
    successor = int(rows.indices[entry]) if 0 <= entry < len(rows.data) else -1
    to = labels.state(successor)
    text = {
        NOT_FINITE: f"the probability of state {to} is {number}: probabilities are numbers from 0 to 1",
        NEGATIVE: f"the probability of state {to} is {number:.9g}: probabilities are not negative",
        ZERO: f"the probability of state {to} is 0: leave the entry out",
        RANGE: f"successor {successor} does not exist: the model has states 0 to {states - 1}",
        ORDER: f"successor {to} is named twice or out of order: sort each row by successor and sum duplicates",
        SUM: f"the probabilities sum to {number:.9g}, {_sum(number, leak=leak)}",
        REWARD: f"the reward is {number}: rewards are finite; leave out pairs that are not admissible",
        MEAN: f"reward is {rows.reward[row]:.9g} but its outcomes average {number:.9g}: "
        "reward is the mean of outcome_reward over successors",
        OUTCOME: f"the reward on the way to state {to} is {number}: rewards are finite",
    }[fault]
    raise ModelError(f"{labels.pair(rows, int(row))}: {text}.")


def _sum(total: float, *, leak: bool) -> str:
    if leak:
        return "more than 1: scale the row"
    if total == 0.0:
        return "not to 1: give the pair reward -inf or leave it out if the action is not admissible there"
    return "not to 1: correct the row" + (
        ", or set leak=True if what is missing ends the episode" if total < 1.0 else ""
    )


@serial
def _inspect(
    indptr: Integers, indices: Integers, data: Floats, reward: Floats, outcome: Floats, states: int, leak: bool
) -> Any:
    """The first faulty row, as (row, entry, fault, number); (-1, -1, GOOD, 0) if none is. Compiled."""
    for row in range(len(reward)):
        begin, end = np.int64(indptr[row]), np.int64(indptr[row + 1])
        total, mean, scale, before = 0.0, 0.0, 0.0, np.int64(-1)
        for k in range(begin, end):
            p, successor = data[k], indices[k]
            if not np.isfinite(p):
                return row, k, NOT_FINITE, p
            if p < 0.0:
                return row, k, NEGATIVE, p
            if p == 0.0:
                return row, k, ZERO, p
            if successor >= states:
                return row, k, RANGE, float(successor)
            if np.int64(successor) <= before:
                return row, k, ORDER, float(successor)
            before = np.int64(successor)
            total += p
            if len(outcome) > 0:
                if not np.isfinite(outcome[k]):
                    return row, k, OUTCOME, outcome[k]
                mean += p * outcome[k]
                scale = max(scale, abs(outcome[k]))
        slack = 1e-8 * max(end - begin, 1)
        if total > 1.0 + slack or (total < 1.0 - slack and not leak):
            return row, begin, SUM, total
        if not np.isfinite(reward[row]):
            return row, begin, REWARD, reward[row]
        if len(outcome) > 0 and not leak and abs(mean - reward[row]) > 1e-6 * max(scale, 1e-300):
            return row, begin, MEAN, mean
    return np.int64(-1), np.int64(-1), GOOD, 0.0
