"""What a run was made of besides its settings: the files they name, by content, the packages and the processor.

A name such as `file.py:make` is kept as an absolute path, so that it means the same wherever the run is opened, and
what it names is kept as SHA-256, so that a run that is opened, or goes on, after a change can say so.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError, EnvError
from operant.config.fields import leaves
from operant.config.resolve import Resolved
from operant.config.schema import RunConfig
from operant.env import EnvLike
from operant.run.disk import digest

Sources = dict[str, dict[str, Any]]
"""Dotted setting → "path", and "files": the SHA-256 of each file by its name, "." for the path itself."""

WHOLE = 1 << 30
"""Bytes up to which a file is hashed whole; of a larger one, its size and slices that lie evenly in it."""
SLICES = 64
OF_A_MODEL = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.hdf5")
"""What decides how a language model writes, weights, configuration, tokenizer, template; and what a data set holds."""


class ChangedWarning(UserWarning):
    """Something that a run was made of is another now; names it."""


def located(resolved: Resolved) -> Resolved:
    """The same settings, in which whatever names a file or a folder names it by its absolute path."""
    changes: dict[str, Any] = {}
    for key, value in _named(resolved.config):
        where, name = _place(value)
        if where is not None and (key in GROWING or _exists(key, where)):
            changes[key] = f"{where.absolute()}{name}"
    return replace(resolved, config=_with(resolved.config, changes))


def short(name: str) -> str:
    """A name without the folders of its file, to be shown: "/home/me/e.py:make" is "e.py:make"."""
    where, callable_ = _place(name)
    return where.name + callable_ if where is not None and where.is_absolute() else name


def without_folders(text: str, config: RunConfig) -> str:
    """A text in which what the settings name by its whole path is named without it."""
    for _, value in _named(config):
        if (name := short(value)) != value:
            for form in (value, json.dumps(value)[1:-1]):
                text = text.replace(form, name)
    return text


def absolute(env: EnvLike | None) -> EnvLike | None:
    """The same environment, by the whole path of its file if a file here defines it: no change of folder matters."""
    where, behind = _place(env) if isinstance(env, str) else (None, "")
    return f"{where.absolute()}{behind}" if where is not None and _exists("", where) else env


def sources(config: RunConfig, env: object = None, *, models: bool = True) -> Sources:
    """What the settings name, as it lies there now; a setting that names nothing outside is left out.

    Args:
        config: the settings.
        env: a name in the place of their environment's, where one was given.
        models: look into folders of models too, which may be large.
    """
    found: Sources = {}
    for key, value in _named(config):
        if key in GROWING or (key in FOLDERS and not models):
            continue
        given = env if isinstance(env, str) and key == ".".join(config.target) else value
        path = _origin(key, given)
        if path is not None:
            found[key] = {"path": str(path), "files": _digests(path)}
    return found


def require_env(config: RunConfig, env: object = None) -> None:
    """See that the file of a run's environment is still there, unless another environment is given.

    Raises:
        EnvError: if it is gone; says how to name it where it is now.
    """
    where, behind = _place(config.env.id)
    if env is None and behind and where is not None and where.is_absolute() and not where.is_file():
        raise EnvError(
            f"there is no file {where} any more, the run's environment. Name it where it is now: --env FILE.py{behind} "
            "(in Python, env=)"
        )


def differences(
    then: Mapping[str, Any], config: RunConfig, env: object = None, machine: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """What a run that is opened, or goes on, does not find as it was, as rows of what, then and now.

    Args:
        then: its `run.json`.
        config: its settings.
        env: a name in the place of their environment's, where one was given.
        machine: packages and host as they are now, and what else `then` recorded of its sources; None leaves them, and
            the models that it began from, out.
    """
    recorded: Mapping[str, Any] = then.get("sources") or {}
    now = sources(config, env, models=machine is not None)
    if machine is None:
        rows = changes({"sources": {key: recorded[key] for key in recorded if key in now}}, {"sources": now})
    else:
        here = dict(machine) | {"sources": now | machine.get("sources", {})}
        rows = [row for row in changes(then, here) if row["what"] not in UNSAID]
    for key, value in _named(config):
        where = _place(value)[0]
        if key in now and key not in recorded and where is not None and not where.is_absolute():
            rows.append({"what": f"{key}: {value}, a relative path,", "then": "not recorded", "now": now[key]["path"]})
    return rows


UNSAID = ("platform", "cores", "git commit of the working folder")
"""What may change between two attempts without a word: numbers do not depend on it."""


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What differs in packages, host, code and files between two `run.json`, as rows of what, then and now.

    What was not recorded then does not count.
    """
    rows: list[dict[str, Any]] = []
    for group in ("packages", "host"):
        a, b = then.get(group) or {}, now.get(group) or {}
        rows += [{"what": name, "then": a[name], "now": b.get(name)} for name in a if a[name] != b.get(name)]
    shas = [(info.get("git") or {}).get("sha") for info in (then, now)]
    if None not in shas and shas[0] != shas[1]:
        rows.append({"what": "git commit of the working folder", "then": shas[0], "now": shas[1]})
    codes = [info.get("source") for info in (then, now)]
    if None not in codes and codes[0] != codes[1]:
        rows.append({"what": "the code of operant", "then": str(codes[0])[:12], "now": str(codes[1])[:12]})
    a, b = then.get("sources") or {}, now.get("sources") or {}
    for key in a:
        files, other = _files(a[key]), _files(b.get(key))
        path = str((b.get(key) or a[key]).get("path"))
        for name in dict.fromkeys((*files, *other)):
            if files.get(name) != other.get(name):
                what = key if key == path else f"{key}, {_of(path, name)},"
                rows.append({"what": what, "then": _sha(files, name), "now": _sha(other, name)})
    return rows


def of_folder(run: Path) -> Sources:
    """The settings file of a run, as it lies there now."""
    return {"config.toml": {"path": "config.toml", "files": _digests(run / "config.toml")}}


def told(rows: list[dict[str, Any]]) -> str:
    """The rows of `changes` in one sentence."""
    return "; ".join(f"{row['what']} differs: {row['then']} then, {row['now']} now" for row in rows)


def _named(config: RunConfig) -> Iterator[tuple[str, str]]:
    """The settings that may name a file or a folder, and do."""
    for path, leaf in leaves(type(config)).items():
        value: Any = config
        for name in path:
            value = getattr(value, name)
        if (leaf.outward or leaf.key in CODE) and isinstance(value, str) and value:
            yield leaf.key, value


def _place(name: str) -> tuple[Path | None, str]:
    """The path in a name, if there is one, and ":callable" behind it."""
    place, colon, target = name.rpartition(":")
    where, behind = (place, colon + target) if place.endswith(".py") else (name, "")
    try:
        return Path(where).expanduser(), behind
    except RuntimeError:  # ~ of nobody
        return None, ""


def _exists(key: str, where: Path) -> bool:
    """Whether a setting names a file, or a folder where it may."""
    try:
        return (where.is_file() and bool(where.suffix)) or (key in FOLDERS and where.is_dir())
    except (OSError, ValueError):  # too long, or with a zero in it
        return False


CODE = ("algorithm", "policy.network")
MODELS = ("init_from", "model.path", "process.model", "reward.path")
FOLDERS = (*MODELS, "data.path", "data.test", "algo.expert")
GROWING = ("preferences.labels",)
"""Files that a person writes while a run goes on: they may not be there yet, and it is no wonder that they change."""


def _origin(key: str, name: str) -> Path | None:
    """The file or folder that a name stands for, or None."""
    where, _ = _place(name)
    if where is not None and _exists(key, where):
        return where.absolute()
    if key in MODELS:
        return _of_the_hub(name)
    module, colon, _ = name.rpartition(":")
    parts = module.split(".")
    if not colon or not all(part.isidentifier() for part in parts) or parts[0] == "operant":
        return None
    spec, within = None, None
    for n in range(1, len(parts) + 1):  # nothing is imported to find it
        spec = PathFinder.find_spec(".".join(parts[:n]), within)
        if spec is None:
            return None
        within = spec.submodule_search_locations
    return None if spec is None or spec.origin is None or not Path(spec.origin).is_file() else Path(spec.origin)


def _of_the_hub(name: str) -> Path | None:
    """Where a model of the hub lies on this machine."""
    hub: Any = sys.modules.get("huggingface_hub")  # whoever loads such a model has imported it
    try:
        config = hub.try_to_load_from_cache(name, "config.json") if hub is not None and name.count("/") <= 1 else None
    except ValueError:  # no name that a model of the hub can have
        return None
    return Path(config).parent if isinstance(config, str) else None


def _digests(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of what matters in a model's folder, by name."""
    if path.is_file():
        files = {".": path}
    else:
        within = [path / "checkpoints" / "latest", path / "data"]
        folder = next((inner.resolve() for inner in within if inner.exists()), path)
        found = sorted({f for pattern in OF_A_MODEL for f in folder.glob(pattern) if f.name != "MANIFEST.json"})
        files = {file.name: file for file in found}
    try:
        return {name: _digest(file) for name, file in files.items()}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from error


def _digest(file: Path) -> str:
    size = file.stat().st_size
    if size <= WHOLE:
        return digest(file)["sha256"]
    sha = hashlib.sha256(str(size).encode())
    with file.open("rb") as f:
        for k in range(SLICES):
            f.seek(size // SLICES * k)
            sha.update(f.read(1 << 20))
    return sha.hexdigest()


def _files(source: Any) -> dict[str, str]:
    """The files of one entry of `sources`, which a stranger may have written."""
    files: Any = source.get("files") if isinstance(source, dict) else None
    return {str(name): str(sha) for name, sha in files.items()} if isinstance(files, dict) else {}


def _of(path: str, name: str) -> str:
    return path if name == "." else f"{path}/{name}"


def _sha(files: Mapping[str, str], name: str) -> str:
    return f"SHA-256 {files[name][:12]}" if name in files else "not there"


def _with(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The config with other values at dotted keys."""
    tree = config.model_dump()
    for key, value in values.items():
        *above, last = key.split(".")
        inner = tree
        for name in above:
            inner = inner[name]
        inner[last] = value
    return type(config).model_validate(tree) if values else config
