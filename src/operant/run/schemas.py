"""What stands in a run folder's JSON files and settings, read as data from a stranger: checked, never believed."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.config.resolve import load
from operant.config.schema import LARGEST as LARGEST
from operant.config.schema import RunConfig
from operant.workers.resolve import lies_in

T = TypeVar("T")
NUMBER = (int, float)
MEASURE = (*NUMBER, NoneType)
"""What was measured and is not finite stands as null."""
TEXT = (str, NoneType)

EVALUATION: dict[str, tuple[type, ...]] = {
    "step": (int,), "mean": MEASURE, "std": MEASURE, "iqm": MEASURE, "episodes": (int,), "deterministic": (bool,),
    "seed": (int, NoneType), "returns": (list,), "lengths": (list,),
    "cut": (int,), "max_steps": (int,), "copies": (int,),
}  # fmt: skip
RUN: dict[str, tuple[type, ...]] = {
    "schema_version": (int,), "id": (str,), "status": (str,), "algorithm": TEXT, "env": TEXT, "seed": (int, NoneType),
    "total_steps": (int, NoneType), "steps": (int, NoneType), "started": TEXT, "ended": TEXT,
    "seconds": (*NUMBER, NoneType), "wall": (*NUMBER, NoneType),
    "argv": (list, NoneType), "git": (dict, NoneType), "host": (dict, NoneType),
    "packages": (dict, NoneType), "sources": (dict, NoneType), "source": TEXT, "preset": TEXT,
    "phases": (dict, NoneType), "parameters": (int, NoneType), "error": TEXT, "attempts": (list, NoneType),
    "evaluation": (dict, NoneType), "evaluation_before": (dict, NoneType), "kind": TEXT, "stopped": (dict, NoneType),
    "note": TEXT,
    "exact": (bool, NoneType),
    "start_value": (*NUMBER, NoneType),
}  # fmt: skip
DEPARTURE: dict[str, tuple[type, ...]] = {"step": (list,), "outside": (list,), "at": (int,), "share": NUMBER}
FILM: dict[str, tuple[type, ...]] = {"step": (int,), "seed": (int,), "return": NUMBER, "length": (int,), "fps": (int,)}
PARTS: dict[str, tuple[type, ...]] = {
    "returns": MEASURE, "lengths": NUMBER, "argv": (str,), "phases": NUMBER, "attempts": (dict,), "sources": (dict,),
    "outside": NUMBER, "metrics": MEASURE,
}  # fmt: skip
"""Of what the lists and tables consist."""


def read_json(path: Path, kinds: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """The JSON object in a file; what `kinds` names is of that kind where it is there, other names may hold anything.

    Raises:
        ConfigError: if the file cannot be read or holds something else; names it.
    """
    try:
        content = load_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error}); mend or remove it") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is damaged (it holds no JSON object); mend or remove it")
    if reason := misfit(content, kinds):
        raise ConfigError(f"{path} is damaged ({reason}); mend or remove it")
    return content


def misfit(content: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], *, needed: bool = False) -> str:
    """Why an object is not what `kinds` says, which names may be missing unless they are `needed`; "" where it is."""
    for name, kind in kinds.items():
        if name not in content and needed:
            return f"there is no {name}"
        if name in content and (reason := _misfit(content[name], kind, PARTS.get(name))):
            return f"{name} {reason}"
    return ""


def encode_number(value: Any) -> Any:
    """A number as our JSON files hold it: {"nf": "nan"}, "inf" or "-inf" where it is not finite. All else as it is."""
    return {"nf": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def decode_number(value: Any) -> Any:
    """What `encode_number` was given."""
    return float(value["nf"]) if isinstance(value, dict) else value


def decoded(value: Any) -> Any:
    """The same lists and tables with every number that `encode_number` wrote."""
    if isinstance(value, dict):
        return decode_number(value) if value.keys() == {"nf"} else {k: decoded(v) for k, v in value.items()}
    return [decoded(part) for part in value] if isinstance(value, list) else value


MEASURED = ("evaluation", "evaluation_before")
"""What of `run.json` is an evaluation."""


def measures(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation with NaN where its file has null for a number."""
    filled: dict[str, Any] = {
        name: math.nan if value is None and name != "seed" else value for name, value in evaluation.items()
    }
    if "returns" in filled:
        filled["returns"] = [math.nan if value is None else value for value in filled["returns"]]
    return filled


def position(kind: type[T], state: Mapping[str, Any], file: Path) -> T:
    """A dataclass `kind` from the state of a checkpoint: its fields and no other, each of its default's kind.

    Raises:
        ConfigError: if a field is unknown or of another kind; names it and `file`.
    """
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for name, value in state.items():
        default = known[name].default if name in known else None
        allowed = NUMBER if isinstance(default, float) else (*NUMBER, NoneType) if default is None else (type(default),)
        reason = "is unknown" if name not in known else _misfit(value, allowed)
        if reason:
            raise ConfigError(f"{file} is of no run that can go on ({name} {reason}). Use another checkpoint.")
    return kind(**state)


def settings(run: Path, *, trust: bool = False) -> RunConfig:
    """The config of a run. Code that came inside the folder is not its environment.

    Args:
        run: the folder.
        trust: let it name Python code as its algorithm or its network, which importing runs.

    Raises:
        ConfigError: if `config.toml` cannot be used, names code in the run folder as its environment or task or a file
            there as an argument of it, or names code without being trusted.
    """
    config = load(run / "config.toml", trust=trust)
    target, file = config.target[0], run / "config.toml"
    if (inside := lies_in(config.env.id, run)) is not None:
        raise ConfigError(f"{file}: {target}.id names code in the run folder, {inside}; it is not run.")
    section = config.model_dump().get(target, {})
    for name, value in {**(section.get("kwargs") or {}), **(section.get("options") or {})}.items():
        if (inside := _path_into(value, run.resolve())) is not None:
            raise ConfigError(f"{file}: the argument {name} of the {target} names a file in the run folder, {inside}.")
    return config


def refuse_links_out(run: Path) -> None:
    """Refuse a run folder in which a file or folder is a symbolic link that leads out of it.

    Raises:
        ConfigError: names the link.
    """
    root, level = run.resolve(), [os.fspath(run)]
    for depth in range(2):
        below: list[str] = []
        for folder in level:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        if not Path(entry.path).resolve().is_relative_to(root):
                            raise ConfigError(f"{entry.path} is a link that leads out of the run folder. Remove it.")
                    elif depth == 0 and entry.is_dir():
                        below.append(entry.path)
        level = below


def _path_into(value: object, root: Path) -> str | None:
    """A text in a value that is the path of something in a folder, links followed, or None."""
    if isinstance(value, str):
        with suppress(OSError, ValueError, RuntimeError):  # no path at all
            path = Path(value).expanduser()
            return value if path.exists() and path.resolve().is_relative_to(root) else None
        return None
    parts: Iterable[object] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for part in parts if (found := _path_into(part, root)) is not None), None)


def _misfit(value: object, kind: tuple[type, ...], parts: tuple[type, ...] | None = None) -> str:
    """Why a value is not of a kind; "" where it is."""
    if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
        return f"is {type(value).__name__}, not {' or '.join(k.__name__ for k in kind if k is not NoneType)}"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "is too large"
    if parts and isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            if reason := _misfit(part, parts):
                return f"holds what {reason}"
    return ""
