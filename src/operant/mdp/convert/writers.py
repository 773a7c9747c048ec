"""A model's rows and header as a file, `.npz` or `.json`: `operant.mdp.io.files` has the formats, and reads them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from operant.mdp.options import Header
from operant.mdp.rows import ModelError, Rows

FORMAT, VERSION = "operant-mdp", 1


def write(rows: Rows, header: Header, path: str | Path) -> None:
    """Write a model as .npz or .json; the file is complete or not there.

    Raises:
        ModelError: if the suffix is another, or a name is none of text, number, truth value, tuple of these.
    """
    path = Path(path)
    writers = {".npz": _write_npz, ".json": _write_json}
    if path.suffix not in writers:
        raise ModelError(f"{path}: a model is saved as .npz or .json, not as {path.suffix!r}.")
    about = _about(header, len(rows.terminal))
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with aside.open("wb") as file:
            writers[path.suffix](rows, header, about, file)
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise


def _about(header: Header, states: int) -> dict[str, Any]:
    """All of a model but its arrays, in the order of the JSON file."""
    horizon, names, actions = header.get("horizon"), header.get("states"), header.get("actions")
    return {
        "format": FORMAT,
        "version": VERSION,
        "discount": header["discount"],
        "criterion": header.get("criterion"),
        "horizon": None if horizon is None else int(horizon),
        **({} if header.get("endless") is None else {"endless": header.get("endless")}),
        "leak": header.get("leak", False),
        "states": states if names is None else [_plain(name) for name in names],
        "actions": None if actions is None else [_plain(name) for name in actions],
    }


def _plain(name: Hashable) -> Any:
    """A name as JSON has it: a tuple is a list."""
    if isinstance(name, tuple):
        return [_plain(part) for part in cast("tuple[Hashable, ...]", name)]
    if isinstance(name, np.generic):
        name = name.item()
    if isinstance(name, str | int | float | bool) or name is None:
        return name
    raise ModelError(f"the name {name!r} cannot be saved: use texts, numbers, or tuples of these.")


def _write_npz(rows: Rows, header: Header, about: dict[str, Any], file: BinaryIO) -> None:
    arrays: dict[str, Any] = {name: getattr(rows, name) for name in Rows.__slots__} | {"start": header.get("start")}
    if (grid := header.get("grid")) is not None:
        about["grid"] = {"lines": list(grid.lines), "moves": [list(move) for move in grid.moves]}
        arrays["cell"] = grid.cell
    np.savez(file, about=np.array(json.dumps(about)), **{k: v for k, v in arrays.items() if v is not None})


def _write_json(rows: Rows, header: Header, about: dict[str, Any], file: BinaryIO) -> None:
    state_key, action_key = _keys(header.get("states")), _keys(header.get("actions"))
    start: Any = header.get("start")
    about["start"] = (
        None if start is None else [[state_key(s), start[s].item()] for s in np.flatnonzero(start).tolist()]
    )
    ends = np.flatnonzero(rows.terminal).tolist()
    about["terminal"] = [[state_key(s), rows.terminal_value[s].item()] for s in ends]
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n" for key, value in about.items()]
    file.write(("{\n" + "".join(lines) + '"transitions": [\n').encode())
    outcome, last = rows.outcome_reward, len(rows.action) - 1
    owner = np.repeat(np.arange(len(rows.terminal)), np.diff(rows.pointer).astype(np.int64))
    for row, state in enumerate(owner.tolist()):
        begin, end = int(rows.indptr[row]), int(rows.indptr[row + 1])
        successors = [state_key(s) for s in rows.indices[begin:end].tolist()]
        columns = [successors, rows.data[begin:end].tolist()]
        if outcome is not None:
            columns.append(outcome[begin:end].tolist())
        reward = rows.reward[row].item() if outcome is None else None
        line = [state_key(state), action_key(int(rows.action[row])), reward, [*zip(*columns, strict=True)]]
        file.write((json.dumps(line, ensure_ascii=False) + (",\n" if row < last else "\n")).encode())
    grid = header.get("grid")
    plain = grid and {"lines": grid.lines, "cell": grid.cell.tolist(), "moves": grid.moves}
    file.write(f'],\n"grid": {json.dumps(plain, ensure_ascii=False)}\n}}\n'.encode())


def _keys(names: Any) -> Callable[[int], Any]:
    """How a state or an action is written: by name where the names are texts, all different, else by index."""
    if names and all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return lambda index: names[index]
    return lambda index: index
