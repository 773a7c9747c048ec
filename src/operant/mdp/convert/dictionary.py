"""From dictionaries with names to the rows of a model."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from operant.mdp.convert.row_builder import RowBuilder
from operant.mdp.rows import ModelError, Names, Rows


def rows_of_dictionary(
    P: Mapping[Any, Any],
    R: Any,
    *,
    terminal: Any = None,
    states: Sequence[Hashable] | None = None,
    actions: Sequence[Hashable] | None = None,
) -> tuple[Rows, Names, Names]:
    """Rows, state names and action names from {(s, a): {s': p}} with R, or from {s: {a: [(p, s', r), …]}}.

    States are numbered as `states` lists them; if None, in the order in which they are first named, but whole numbers
    from 0 without a gap are their own index and stay without names. Actions likewise.

    Raises:
        ModelError: if the form is neither of the two, or R has a key that P does not.
    """
    if not P:
        raise ModelError("P is empty: give at least one row, {(state, action): {successor: probability}}.")
    nested = all(isinstance(value, Mapping) and not _numbers(value) for value in P.values())
    if nested and R is not None:
        raise ModelError("P of the form {s: {a: [(p, s', r), …]}} holds its rewards: leave R out.")
    paid: Mapping[Any, Any] = {} if nested else _rewards(R)
    kind = "outcome" if nested else _kind(P, paid)
    triples = [row for row in (_nested(P) if nested else _flat(P, paid, kind)) if _admissible(row[2])]
    ends = _ends(terminal, paid if kind == "state" else {})
    known: dict[Hashable, None] = dict.fromkeys(P if states is None and nested else states or ())
    if states is None:
        for state, _, outcomes in triples:
            known[state] = None
            known.update((successor, None) for _, successor, _ in outcomes)
        known.update(dict.fromkeys(ends))
    index, state_names = _numbered(known, given=states is not None)
    choices, action_names = _numbered(
        dict.fromkeys(actions if actions is not None else (a for _, a, _ in triples)), given=actions is not None
    )
    builder = RowBuilder()
    for state, action, outcomes in triples:
        for p, successor, r in outcomes:
            builder.add(_at(index, successor, "state", f"successor of state {state!r}, action {action!r}"), p, r)
        builder.close(_at(index, state, "state", "key of P"), _at(choices, action, "action", f"key of P at {state!r}"))
    worth = {_at(index, state, "state", "terminal"): value for state, value in ends.items()}
    return builder.rows(len(index), worth), state_names, action_names


def _ends(terminal: Any, of_state: Mapping[Any, float]) -> dict[Hashable, float]:
    """The terminal states and what they are worth: what a mapping says, else R(s), else 0."""
    if isinstance(terminal, Mapping):
        return dict(cast("Mapping[Hashable, float]", terminal))
    if terminal is None:
        return {}
    try:
        return {state: of_state.get(state, 0.0) for state in terminal}
    except TypeError:
        raise ModelError(
            f"terminal is {terminal!r}: give a list of states, or a mapping from states to values."
        ) from None


def _admissible(outcomes: list[tuple[float, Any, float]]) -> bool:
    return not any(r == -np.inf and p > 0.0 for p, _, r in outcomes)


def _numbers(value: Mapping[Any, Any]) -> bool:
    """Whether a dictionary maps to numbers: {s': p}, not {a: [(p, s', r), …]}."""
    return len(value) > 0 and all(isinstance(p, int | float | np.number) for p in value.values())


def _nested(P: Mapping[Any, Any]) -> Iterable[tuple[Any, Any, list[tuple[float, Any, float]]]]:
    for state, choices in P.items():
        for action, outcomes in choices.items():
            try:
                yield state, action, [(float(p), successor, float(r)) for p, successor, r in outcomes]
            except (TypeError, ValueError):
                raise ModelError(
                    f"P[{state!r}][{action!r}] is {outcomes!r}: expected a list of (probability, successor, reward). "
                    "With a fourth item `done` use operant.mdp.from_gymnasium."
                ) from None


def _flat(
    P: Mapping[Any, Any], R: Mapping[Any, Any], kind: str
) -> Iterable[tuple[Any, Any, list[tuple[float, Any, float]]]]:
    for key, outcomes in P.items():
        if not isinstance(key, tuple) or len(cast("tuple[Any, ...]", key)) != 2 or not isinstance(outcomes, Mapping):
            raise ModelError(
                f"P[{key!r}] is {outcomes!r}: expected {{(s, a): {{s': p}}}} or {{s: {{a: [(p, s', r), …]}}}}."
            )
        state, action = cast("tuple[Any, Any]", key)
        entries = cast("Mapping[Any, float]", outcomes).items()
        reward = R.get(key, 0.0) if kind == "pair" else R.get(state, 0.0)
        if kind != "outcome" and reward == -np.inf:
            continue
        try:
            found = [
                (float(p), successor, float(R.get((state, action, successor), 0.0) if kind == "outcome" else reward))
                for successor, p in entries
            ]
        except (TypeError, ValueError) as error:
            raise ModelError(f"P[{key!r}] is {outcomes!r}: {error}; expected numbers, {{s': p}}.") from None
        yield state, action, found


def _rewards(R: Any) -> Mapping[Any, Any]:
    if not isinstance(R, Mapping):
        raise ModelError(
            f"R is {type(R).__name__}: with P as {{(s, a): {{s': p}}}} give a dictionary by s, (s, a) or (s, a, s')."
        )
    return cast("Mapping[Any, Any]", R)


def _kind(P: Mapping[Any, Any], R: Mapping[Any, float]) -> str:
    """What the keys of R are: states, pairs or outcomes."""
    if all(key in P for key in R):
        return "pair"
    rows = [(key, outcomes) for key, outcomes in P.items() if isinstance(key, tuple) and isinstance(outcomes, Mapping)]
    states = {key[0] for key, _ in rows} | {successor for _, outcomes in rows for successor in outcomes}
    if all(key in states for key in R):
        return "state"
    stray = [key for key in R if not (isinstance(key, tuple) and len(key) == 3 and key[:2] in P)]  # pyright: ignore
    if not stray:
        return "outcome"
    raise ModelError(f"R has the key {stray[0]!r}: its keys are all states, all pairs (s, a) or all (s, a, s') of P.")


def _numbered(names: dict[Hashable, None], *, given: bool) -> tuple[dict[Hashable, int], Names]:
    """An index for each name; no names are kept where whole numbers from 0 name themselves."""
    plain = all(isinstance(name, int | np.integer) and not isinstance(name, bool) for name in names)
    if not given and plain and set(names) == set(range(len(names))):
        return {i: i for i in range(len(names))}, None
    return {name: i for i, name in enumerate(names)}, tuple(names)


def _at(index: Mapping[Hashable, int], name: Hashable, what: str, place: str) -> int:
    try:
        return index[name]
    except (KeyError, TypeError):
        raise ModelError(
            f"{place} is {name!r}, which is not in `{what}s`: add it there, or leave `{what}s` out."
        ) from None
