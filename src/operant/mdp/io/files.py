"""Models as files: `mdp.save(path)` and `load(path)`, by suffix.

`.npz` holds the arrays of `operant.mdp.Rows` as they are, and a member `about` with all else as JSON. It is exact and
fast: nothing is parsed.

`.json` is for people and other programs. All keys but format, version, discount, states and transitions may be left
out. A state is its index, or its name where the names are texts, all different; so is an action:

    {
    "format": "operant-mdp", "version": 1,
    "discount": 0.9,
    "criterion": "discounted",                   "discounted", "total" or "average"
    "horizon": null,                             number of decisions, or null
    "endless": null,                             what a play that never ends does: "loses", "wins", or null
    "leak": false,                               rows may sum to less than one; the rest ends the episode
    "states": ["cool", "warm", "overheated"],    names (texts, numbers, or lists of these), or how many there are
    "actions": ["slow", "fast"],                 names, or null
    "start": [["cool", 1.0]],                    [state, probability], or null
    "terminal": [["overheated", 0.0]],           [state, value]
    "transitions": [                             [state, action, reward, [[successor, probability], …]]
    ["cool", "slow", 1.0, [["cool", 1.0]]],
    ["cool", "fast", 2.0, [["cool", 0.5], ["warm", 0.5]]],
    ["warm", "fast", null, [["warm", 0.5, 1.0], ["overheated", 0.5, -10.0]]]
    ],                                           or reward null and [successor, probability, reward]
    "grid": null                                 {"lines": […], "cell": […], "moves": [[down, right], …]} or null
    }

`.txt` and `.map` hold a grid world: lines `option: value` with the options of `operant.mdp.grid_world` (`reward X: 1`
gives the reward of the cells with character X), an empty line, and the map. `.tra` is a PRISM explicit model with its
siblings (`operant.mdp.from_prism`).

Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from operant.config.bounded import decoded, loads, read_bytes
from operant.config.suggest import did_you_mean, nearest
from operant.data.npz import read_npz
from operant.mdp.build.grid import grid_world
from operant.mdp.convert.row_builder import RowBuilder
from operant.mdp.convert.writers import FORMAT, VERSION
from operant.mdp.io.prism import from_prism
from operant.mdp.model import MDP
from operant.mdp.rows import Grid, ModelError, Names, Rows
from operant.mdp.validate import public

MODEL = 2**30
"""Bytes of a model in JSON that are read; a larger one is kept as .npz."""

ARRAYS = {
    "pointer": "u",
    "action": "i",
    "indptr": "u",
    "indices": "u",
    "data": "f",
    "reward": "f",
    "outcome_reward": "f",
    "terminal": "b",
    "terminal_value": "f",
    "start": "f",
    "cell": "i",
}
"""The members of an .npz file besides `about`, and the kind of their numbers."""


@public()
def load(path: str | Path, **options: Any) -> MDP:
    """The model in a file, by its suffix: .npz, .json, .txt or .map (a grid world), .tra (PRISM).

    Args:
        path: the file.
        options: .npz and .json: what `MDP.replace` takes (discount, start, horizon, …) instead of what the file says;
            .txt and .map: what `grid_world` takes, likewise; .tra: what `from_prism` takes.

    Raises:
        ModelError: if there is no such file, its suffix is another, or it is malformed; with file and line.
    """
    path = Path(path)
    readers: dict[str, Callable[..., MDP]] = {
        ".npz": _load_npz,
        ".json": _load_json,
        ".txt": _load_map,
        ".map": _load_map,
        ".tra": from_prism,
    }
    if path.suffix not in readers:
        raise ModelError(f"{path}: the suffix {path.suffix!r} is none of {', '.join(readers)}: rename or convert it.")
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file.")
    return readers[path.suffix](path, **options)


def _name(plain: Any) -> Hashable:
    return tuple(_name(part) for part in cast("list[Any]", plain)) if isinstance(plain, list) else plain


def _names(plain: Any, what: str) -> Names:
    if plain is None or isinstance(plain, int):
        return None
    if not isinstance(plain, list):
        raise ValueError(f"{what} is {plain!r}: expected a list of names")
    return tuple(_name(part) for part in cast("list[Any]", plain))


def _head(about: Any, path: Path) -> dict[str, Any]:
    """`about`, if it is that of a model.

    Raises:
        ModelError: with the file and the key.
    """
    if not isinstance(about, dict) or cast("dict[str, Any]", about).get("format") != FORMAT:
        raise ModelError(f'{path}: this is not a model: expected "format": "{FORMAT}".')
    about = cast("dict[str, Any]", about)
    if about.get("version") != VERSION:
        raise ModelError(
            f"{path}: version {about.get('version')!r} is not known here: it is {VERSION}; update operant."
        )
    for key, kinds in {"discount": (int, float), "horizon": (int, type(None)), "leak": bool}.items():
        if not isinstance(about.get(key, None if key != "leak" else False), kinds):
            raise ModelError(f"{path}: {key} is {about.get(key)!r}: see the documented format, operant.mdp.io.files.")
    return about


def _finished(rows: Rows, about: Mapping[str, Any], start: Any, grid: Grid | None, path: Path, changes: Any) -> MDP:
    try:
        mdp = MDP.from_rows(
            rows,
            about["discount"],
            start=start,
            horizon=about.get("horizon"),
            criterion=about.get("criterion"),
            endless=about.get("endless"),
            leak=about.get("leak", False),
            states=_names(about.get("states"), "states"),
            actions=_names(about.get("actions"), "actions"),
            grid=grid,
        )
    except (ModelError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from error
    try:
        return mdp.replace(**changes) if changes else mdp
    except TypeError as error:
        raise ModelError(f"load of {path}: {error}") from error


def _load_npz(path: Path, **changes: Any) -> MDP:
    try:
        held = read_npz(path)
        about = _head(loads(str(held["about"])), path)
        arrays = {name: held[name] for name in ARRAYS if name in held}
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: this is not a model saved by operant ({error}).") from error
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind != ARRAYS[name]:
            raise ModelError(f"{path}: {name} is {array.dtype} of shape {array.shape}, which no model has.")
    missing = [name for name in Rows.__slots__ if name not in arrays and name != "outcome_reward"]
    if missing:
        raise ModelError(f"{path}: {missing[0]} is missing: the file is incomplete.")
    start, cell = arrays.pop("start", None), arrays.pop("cell", None)
    members: dict[str, Any] = {"outcome_reward": None, **arrays}
    rows = Rows(**members)
    return _finished(rows, about, start, _grid(about.get("grid"), cell, path), path, changes)


def _grid(plain: Any, cell: Any, path: Path) -> Grid | None:
    if plain is None:
        return None
    try:
        cells = np.asarray(plain["cell"] if cell is None else cell, dtype=np.int64)
        lines = tuple(str(line) for line in plain["lines"])
        if len({len(line) for line in lines}) != 1 or np.any((cells < -1) | (cells >= len(lines) * len(lines[0]))):
            raise ValueError("lines of one length, and cells on them")
        return Grid(lines=lines, cell=cells, moves=tuple((int(down), int(right)) for down, right in plain["moves"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: grid is malformed ({error}): see the documented format.") from error


def _load_json(path: Path, **changes: Any) -> MDP:
    try:
        plain = loads(read_bytes(path, MODEL))
    except json.JSONDecodeError as error:
        raise ModelError(f"{path}:{error.lineno}: {error.msg}: this is not JSON.") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}).") from error
    about = _head(plain, path)
    names, builder, place = about.get("states"), RowBuilder(), "states"
    try:
        states = names if isinstance(names, int) and not isinstance(names, bool) else len(_names(names, "states") or ())
        state_at, action_at = _index(names, states), _index(about.get("actions"), 2**31 - 1)
        if states > len(about["transitions"]) + len(about.get("terminal") or ()):
            raise ValueError(f"{states} states are more than rows and terminal states")
        for number, line in enumerate(about["transitions"]):
            place = f"transitions[{number}]"
            state, action, reward, outcomes = line
            for outcome in outcomes:
                successor, p, r = outcome if reward is None else (*outcome, reward)
                builder.add(state_at(successor), float(p), float(r))
            builder.close(state_at(state), action_at(action))
        place = "terminal"
        ends = {state_at(state): float(value) for state, value in about.get("terminal") or ()}
        place = "start"
        start = {state_at(state): float(p) for state, p in about["start"]} if about.get("start") else None
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: {place}: {error}: see the documented format, operant.mdp.io.files.") from error
    try:
        rows = builder.rows(states, ends)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    first = None if start is None else _vector(start, states)
    return _finished(rows, about, first, _grid(about.get("grid"), None, path), path, changes)


def _vector(start: Mapping[int, float], states: int) -> Any:
    distribution = np.zeros(states)
    distribution[list(start)] = list(start.values())
    return distribution


def _index(names: Any, limit: int) -> Callable[[Any], int]:
    """The index of what stands for a state or an action in a JSON file."""
    known = {name: i for i, name in enumerate(names) if isinstance(name, str)} if isinstance(names, list) else {}

    def find(given: Any) -> int:
        if isinstance(given, str):
            if given not in known:
                raise ValueError(f"no state or action is named {given!r}")
            return known[given]
        if not isinstance(given, int) or not 0 <= given < limit:
            raise ValueError(f"{given!r} is no state or action: an index is 0 to {limit - 1}")
        return given

    return find


def _load_map(path: Path, **changes: Any) -> MDP:
    try:
        lines = decoded(read_bytes(path)).split("\n")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}).") from error
    options: dict[str, Any] = {"rewards": {}}
    number, above = 0, _above(lines)
    while number < len(lines) and (_is_option(lines[number]) or number < above):
        key, _, value = lines[number].partition(":")
        try:
            _option(options, key.strip(), value.strip())
        except ValueError as error:
            raise ModelError(f"{path}:{number + 1}: {error}.") from error
        number += 1
    options |= changes
    if "discount" not in options:
        raise ModelError(f"{path}: the discount is missing: begin the file with a line `discount: 0.9`, say.")
    try:
        return grid_world("\n".join(lines[number:]), **options)
    except ModelError as error:
        if number < len(lines) and (like := LIKE_AN_OPTION.match(lines[number])):
            raise ModelError(f"{path}:{number + 1}: {_unknown(like[1])}.") from error
        raise ModelError(f"{path}: {error}") from error


def _above(lines: list[str]) -> int:
    """How many lines stand above the map and look like options: an empty line follows the last of them, or none do."""
    count = next((i for i, line in enumerate(lines) if not LIKE_AN_OPTION.match(line)), len(lines))
    return count if count < len(lines) and not lines[count].strip() else 0


def _is_option(line: str) -> bool:
    key, colon, _ = line.partition(":")
    return bool(colon) and key.split(" ")[0] in {*NUMBERS, *TEXTS, "reward", "horizon"}


LIKE_AN_OPTION = re.compile(r"\s*([A-Za-z_]\w{2,}(?: \S)?)\s*:(?!:)")
NUMBERS = ("discount", "living_reward", "slip")
TEXTS = ("terminal", "walls", "start", "reward_on")


def _option(options: dict[str, Any], key: str, value: str) -> None:
    """Set one option of a grid world.

    Raises:
        ValueError: if the value is not of its type.
    """
    if key in NUMBERS:
        options[key] = float(value)
    elif key in TEXTS:
        options[key] = value
    elif key == "horizon":
        options[key] = int(value)
    elif key.startswith("reward ") and len(key) == len("reward X"):
        options["rewards"][key[-1]] = float(value)
    else:
        raise ValueError(_unknown(key))


def _unknown(key: str) -> str:
    """What is no option of a grid world, with the nearest that is one."""
    known = (*NUMBERS, *TEXTS, "horizon", "reward X")
    hint = did_you_mean(nearest(key if " " not in key else f"{key.split()[0]} X", known))
    return f"{key!r} is no option of a grid world.{hint} They are {', '.join(known)}"
