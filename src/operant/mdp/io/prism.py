"""PRISM's explicit files: transitions (.tra), labels (.lab), rewards (.srew, .trew) and states (.sta).

A model checker exports these for any model of its language, and they are lists of numbers in text:

    .tra    "S rows entries" (for a chain "S entries"), then lines "state choice successor probability [action]"
    .lab    0="init" 1="deadlock" 2="goal", then lines "state: label label …"
    .srew   "S entries", then lines "state reward" (.rews is read as well)
    .trew   "S rows entries", then lines "state choice successor reward" (.rewt is read as well)
    .sta    "(x,y)", then lines "state:(0,1)"

Lines that begin with # are comments. Source: the PRISM manual, appendix "Explicit model files".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operant.config.bounded import text_lines
from operant.mdp.convert.row_builder import RowBuilder
from operant.mdp.model import MDP
from operant.mdp.rows import Floats, ModelError
from operant.mdp.validate import public

Line = tuple[str, list[str]]
"""(file:line, fields)."""


@public()
def from_prism(
    path: str | Path,
    *,
    discount: float = 1.0,
    target: str | None = None,
    reach: bool = False,
    rewards: str | Path | None = None,
    minimise: bool = False,
    horizon: int | None = None,
    criterion: Any = None,
) -> MDP:
    """The model in `path` (.tra) and its siblings of the same stem, as far as they are there.

    The quantities of the PRISM language are: `R{"x"}max=? [F "goal"]` with target="goal"; `Pmax=? [F "goal"]` with
    target="goal", reach=True; `Rmin` and `Pmin` with minimise=True, which turns the sign of everything. As there, to
    miss the target is infinite reward: under Rmax a state from which a policy may has the value +inf (an endless play
    "wins"), under Rmin one from which every policy may has -inf (it "loses": `must_terminate` is implied).

    Args:
        path: the .tra file.
        discount, horizon, criterion: as `MDP`. PRISM's own properties are undiscounted; otherwise nothing is infinite.
        target: a label; the states that have it are terminal.
        reach: a target is worth 1 and nothing else pays: values are probabilities of reaching it.
        rewards: the stem of the reward files, if it is another: models with several reward structures have x1.srew, ….
        minimise: rewards and values of targets change their sign, so that what is maximised is what was minimised.

    Raises:
        ModelError: if a file is malformed, with file and line; if the label does not exist.
    """
    path, sign = Path(path), -1.0 if minimise else 1.0
    builder, states, places = _transitions(path)
    labels = read_labels(path.with_suffix(".lab"), states) if path.with_suffix(".lab").is_file() else {}
    if target is not None and target not in labels:
        raise ModelError(f"{path}: no state has the label {target!r}: there are {', '.join(labels) or 'none'}.")
    ends = np.zeros(states, dtype=bool) if target is None else labels[target]
    if not reach:
        _add_rewards(builder, places, path if rewards is None else Path(rewards), states, sign)
    if len(builder.indices) == 0:
        raise ModelError(f"{path}: there are no transitions.")
    until = target is not None and not reach and discount == 1.0 and horizon is None and criterion in (None, "total")
    return MDP.from_rows(
        builder.rows(states, dict.fromkeys(np.flatnonzero(ends).tolist(), sign if reach else 0.0)),
        discount,
        start=None if (first := labels.get("init")) is None or not first.any() else first / first.sum(),
        horizon=horizon,
        criterion=criterion,
        endless=("loses" if minimise else "wins") if until else None,
        states=_states(path.with_suffix(".sta"), states),
        actions=_action_names(builder, places, ends),
    )


def read_labels(path: str | Path, states: int) -> dict[str, NDArray[np.bool_]]:
    """The states [S] that have each label of a .lab file.

    Raises:
        ModelError: with file and line.
    """
    path = Path(path)
    lines = _lines(path)
    try:
        place, fields = next(lines)
    except StopIteration:
        raise ModelError(f"{path}:1: the file is empty: its first line names the labels.") from None
    names: dict[int, str] = {}
    for field in fields:
        number, equals, name = field.partition("=")
        if not equals or not number.isdigit() or len(name) < 2 or name[0] != '"' or name[-1] != '"':
            raise ModelError(f'{place}: {field!r}: expected labels as 0="init".')
        names[int(number)] = name[1:-1]
    labels = {name: np.zeros(states, dtype=bool) for name in names.values()}
    for place, fields in lines:
        state = _integer(fields[0].removesuffix(":"), states, "state", place)
        for field in fields[1:]:
            number = _integer(field, 2**31, "label", place)
            if number not in names:
                raise ModelError(f"{place}: label {number} is not named in the first line.")
            labels[names[number]][state] = True
    return labels


@public()
def to_prism(mdp: MDP, path: str | Path) -> None:
    """Write a model as .tra, .lab, .srew, .trew (and .sta, where states are named by tuples), beside each other.

    PRISM wants a choice in every state: a terminal state gets one that stays, and the label "terminal". Discount,
    horizon and values of terminal states are no part of the format. Rewards go to .trew.

    Raises:
        ModelError: if the model leaks, or a terminal state has a value.
    """
    if mdp.leak or np.any(mdp.rows.terminal_value):
        raise ModelError("PRISM's files have no missing mass and no values of terminal states: move them into rewards.")
    path = Path(path)
    rows, ends = mdp.rows, np.flatnonzero(mdp.rows.terminal)
    head = f"{mdp.num_states} {mdp.num_rows + len(ends)} "
    outcome = np.repeat(rows.reward, np.diff(rows.indptr)) if rows.outcome_reward is None else rows.outcome_reward
    with path.open("w") as tra, path.with_suffix(".trew").open("w") as rew:
        tra.write(head + f"{mdp.nnz + len(ends)}\n")
        rew.write(head + f"{np.count_nonzero(outcome)}\n")
        for state in range(mdp.num_states):
            if rows.terminal[state]:
                tra.write(f"{state} 0 {state} 1\n")
            for choice, row in enumerate(range(int(rows.pointer[state]), int(rows.pointer[state + 1]))):
                name = _word(mdp, int(rows.action[row]))
                for k in range(int(rows.indptr[row]), int(rows.indptr[row + 1])):
                    tra.write(f"{state} {choice} {rows.indices[k]} {float(rows.data[k])!r} {name}\n")
                    if outcome[k] != 0.0:
                        rew.write(f"{state} {choice} {rows.indices[k]} {float(outcome[k])!r}\n")
    _write_labels(mdp, path.with_suffix(".lab"))
    if mdp.states is not None and all(isinstance(name, tuple) for name in mdp.states):
        _write_states(mdp, path.with_suffix(".sta"))


def _word(mdp: MDP, action: int) -> str:
    """The action's name without blanks, as a field of a line."""
    return "_".join(str(mdp.actions[action] if mdp.actions is not None else f"a{action}").split())


def _write_labels(mdp: MDP, path: Path) -> None:
    with path.open("w") as file:
        file.write('0="init" 1="deadlock" 2="terminal"\n')
        for state in range(mdp.num_states):
            starts = mdp.start is not None and mdp.start[state] > 0
            marks = [label for label, has in ((0, starts), (2, mdp.rows.terminal[state])) if has]
            if marks:
                file.write(f"{state}: {' '.join(map(str, marks))}\n")


def _write_states(mdp: MDP, path: Path) -> None:
    names: Any = mdp.states
    with path.open("w") as file:
        file.write("(" + ",".join(f"x{i}" for i in range(len(names[0]))) + ")\n")
        for state, name in enumerate(names):
            file.write(f"{state}:({','.join(map(str, name))})\n")


@dataclass(frozen=True, eq=False)
class _Places:
    """Where the entries of a .tra file lie in the builder."""

    row: dict[tuple[int, int], int]  # the row of (state, choice)
    action: list[str | None]  # the name of each row's action, where it has one


def _lines(path: Path) -> Iterator[Line]:
    """The fields of every line that is neither empty nor a comment."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(text_lines(file), start=1):
                fields = line.split()
                if fields and not fields[0].startswith("#"):
                    yield f"{path}:{number}", fields
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}).") from error


def _integer(text: str, limit: int, what: str, place: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < limit:
        raise ModelError(f"{place}: {what} {text!r}: expected a whole number from 0 to {limit - 1}.")
    return number


def _real(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        upper, lower = text.split("/")
        return int(upper) / int(lower)  # exact engines write rationals
    except (ValueError, ZeroDivisionError):
        raise ModelError(f"{place}: {text!r} is no number.") from None


def _header(lines: Iterator[Line], path: Path) -> tuple[str, list[int]]:
    try:
        place, fields = next(lines)
    except StopIteration:
        raise ModelError(f"{path}:1: the file is empty: its first line counts states and transitions.") from None
    return place, [_integer(field, 2**62, "count", place) for field in fields]


def _transitions(path: Path) -> tuple[RowBuilder, int, _Places]:
    """The entries of a .tra file with reward 0, how many states, and where the entries lie."""
    lines = _lines(path)
    place, counts = _header(lines, path)
    if len(counts) not in (2, 3):
        raise ModelError(f'{place}: expected "states rows transitions", or "states transitions" for a chain.')
    states, chain = counts[0], len(counts) == 2
    builder, row = RowBuilder(), dict[tuple[int, int], int]()
    named = list[str | None]()
    now = (-1, -1)
    for place, fields in lines:
        if len(fields) not in ((3,) if chain else (4, 5)):
            raise ModelError(f"{place}: {len(fields)} fields: expected {_FORM[chain]}.")
        state = _integer(fields[0], states, "state", place)
        choice = 0 if chain else _integer(fields[1], 2**31 - 1, "choice", place)
        if (state, choice) != now:
            if now != (-1, -1):
                builder.close(*now)
            now = (state, choice)
            if now in row:
                raise ModelError(f"{place}: state {state}, choice {choice} stood further up: keep its lines together.")
            row[now] = len(row)
            named.append(fields[4] if len(fields) == 5 else None)
        successor, probability = fields[1 if chain else 2], fields[2 if chain else 3]
        builder.add(_integer(successor, states, "successor", place), _real(probability, place), 0.0)
    if now != (-1, -1):
        builder.close(*now)
    if len(builder.indices) != counts[-1]:
        raise ModelError(
            f"{path}:1: {counts[-1]} transitions are announced, {len(builder.indices)} follow: it is cut off."
        )
    if states > len({state for state, _ in row}):
        raise ModelError(f"{path}: {states} states are announced, fewer have choices: let those that are left stay.")
    return builder, states, _Places(row, named)


_FORM = {True: '"state successor probability"', False: '"state choice successor probability [action]"'}


def _action_names(builder: RowBuilder, places: _Places, ends: NDArray[np.bool_]) -> tuple[str, ...] | None:
    """The names of the actions, where every row that counts has one of its own in its state; these become its label."""
    rows = [row for row, state in enumerate(builder.state) if not ends[state]]
    names: dict[str, int] = {}
    for row in rows:
        name = places.action[row]
        if name is None:
            return None
        names.setdefault(name, len(names))
    labels = [names[places.action[row] or ""] for row in rows]
    if len({(builder.state[row], label) for row, label in zip(rows, labels, strict=True)}) < len(rows):
        return None
    for row, label in zip(rows, labels, strict=True):
        builder.action[row] = label
    return tuple(names)


def _add_rewards(builder: RowBuilder, places: _Places, stem: Path, states: int, sign: float) -> None:
    """Add the rewards of the files to the entries: r(s, a, s') = state reward + transition reward."""
    reward = np.frombuffer(builder.reward, dtype=np.float64)
    indptr, state = np.frombuffer(builder.indptr, dtype=np.int64), np.frombuffer(builder.state, dtype=np.int64)
    indices = np.frombuffer(builder.indices, dtype=np.int64)
    for suffix in (".srew", ".rews"):
        path = stem.with_suffix(suffix)
        if path.is_file():
            reward += sign * np.repeat(_state_rewards(path, states)[state], np.diff(indptr))
            break
    for suffix in (".trew", ".rewt"):
        path = stem.with_suffix(suffix)
        if not path.is_file():
            continue
        lines = _lines(path)
        place, counts = _header(lines, path)
        chain = len(counts) == 2
        for place, fields in lines:
            if len(fields) != (3 if chain else 4):
                raise ModelError(f"{place}: {len(fields)} fields: expected {3 if chain else 4}.")
            at = (
                _integer(fields[0], states, "state", place),
                0 if chain else _integer(fields[1], 2**31, "choice", place),
            )
            successor = _integer(fields[-2], states, "successor", place)
            row = places.row.get(at, -1)
            begin, end = (int(indptr[row]), int(indptr[row + 1])) if row >= 0 else (0, 0)
            entries = begin + np.flatnonzero(indices[begin:end] == successor)
            if len(entries) == 0:
                raise ModelError(
                    f"{place}: state {at[0]}, choice {at[1]} does not lead to {successor} in the .tra file."
                )
            reward[entries] += sign * _real(fields[-1], place)
        break


def _state_rewards(path: Path, states: int) -> Floats:
    lines = _lines(path)
    place, counts = _header(lines, path)
    if counts[0] != states:
        raise ModelError(f"{place}: {counts[0]} states, but the .tra file has {states}.")
    rewards = np.zeros(states)
    for place, fields in lines:
        if len(fields) != 2:
            raise ModelError(f'{place}: {len(fields)} fields: expected "state reward".')
        rewards[_integer(fields[0], states, "state", place)] = _real(fields[1], place)
    return rewards


def _states(path: Path, states: int) -> tuple[Any, ...] | None:
    """The values of the variables in each state, as names; None if there is no such file."""
    if not path.is_file():
        return None
    names: list[Any] = [None] * states
    lines = _lines(path)
    next(lines, None)
    for place, fields in lines:
        number, colon, values = "".join(fields).partition(":")
        if not colon or values[:1] != "(" or values[-1:] != ")":
            raise ModelError(f"{place}: expected a state as 0:(1,true).")
        names[_integer(number, states, "state", place)] = tuple(_value(text) for text in values[1:-1].split(","))
    if None in names:
        raise ModelError(f"{path}: state {names.index(None)} is missing.")
    return tuple(names)


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return text
