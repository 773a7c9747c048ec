"""From defaults, preset, file and command line to one frozen config that knows where each value came from.

    default < preset < file < overrides

Tables merge and values replace. Nothing is ever evaluated: a value is TOML or it is text. TOML has no null, so an unset
optional is written, in files and on the command line, as `none`.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from operant.config.errors import ConfigError
from operant.config.fields import Leaf, is_unused, leaf_of, leaves, nearest_keys, section
from operant.config.registry import TRUST, is_code, refuse_exchanged, settings_of
from operant.config.schema import RunConfig
from operant.config.suggest import did_you_mean
from operant.config.toml import read_toml as read_toml
from operant.config.values import ENTRY, fitted, from_text, plain, refusal, shown
from operant.config.write import toml_document, toml_key, toml_value

PRESETS = Path(__file__).parent / "presets"

SMALL_BASE = "small-base"
"""The preset of an algorithm on any task without one of its own, where no model is named and a small base is made."""

KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Resolved:
    """A config and where each of its values came from.

    `provenance` maps each dotted key to `default`, `preset NAME`, `FILE:LINE`, `command line` or `argument`.
    """

    config: RunConfig
    provenance: dict[str, str]
    preset: str | None = None


@dataclass(frozen=True)
class Preset:
    """Settings shipped for one environment; `note` is the file's first comment, which says where they come from."""

    algorithm: str
    env: str
    path: Path
    note: str


def resolve(
    algorithm: str,
    env: str = "",
    *,
    file: Path | str | None = None,
    overrides: Mapping[str, object] | None = None,
    source: str = "command line",
) -> Resolved:
    """Merge defaults, the environment's preset, a file and overrides into one validated config.

    Args:
        algorithm: a name of the registry.
        env: environment id; may be empty when the file or an override sets `env.id`, and wins over the file's.
        file: a TOML file with any of the keys of the schema.
        overrides: dotted key → value, dashes and underscores interchangeable. Text is read as a TOML value where it is
            one (`0.95`, `true`, `[64, 64]`) and as a list or number where the key takes one (`64,64`); `none` unsets.
        source: what the provenance of `env` and of the overrides says.

    Raises:
        ConfigError: with one line for each thing that is wrong: where it stands, its key, what it is, what is expected.
    """
    refuse_exchanged(algorithm, env, "resolve")
    model = settings_of(algorithm)
    layers = _Layers(model, source)
    tree, lines = read_toml(Path(file), piped=True) if file is not None else ({}, {})
    given: list[tuple[str, object]] = [("algorithm", toml_value(algorithm))]
    given += [(".".join(model.target), toml_value(env))] if env else []

    def lay(preset: Preset | None) -> _Layers:
        layers = _Layers(model, source)
        if preset is not None:
            layers.table(read_toml(preset.path)[0], where=f"preset {preset.env}")
        if isinstance(paper, str) and paper in model.papers:
            layers.table({"algo": model.papers[paper].model_dump(exclude_unset=True)}, where=f"preset {paper}")
        layers.table(tree, where=str(file), lines=lines)
        for key, value in (*given, *(overrides or {}).items()):
            layers.override(str(key), value)
        return layers

    paper: object = None
    first = lay(None).values
    env_id, paper = first[model.target][0], first.get(("preset",), (None,))[0]
    own = first.get(("model", "path"), ("",))[0]  # what suits the small base does not suit another model
    shipped = {each.env: each for each in presets() if each.algorithm == algorithm and not own}
    preset = shipped.get(str(env_id)) or shipped.get(SMALL_BASE)
    layers = lay(preset)
    if tree.get("algorithm", algorithm) != algorithm:
        text = f"algorithm is {shown(tree['algorithm'])}, but {shown(algorithm)} was asked for. Remove the line."
        layers.problem(f"{file}:{lines['algorithm',]}", text)
    if not env_id:
        what, such = ("task", "arithmetic") if model.target[0] == "task" else ("environment", "CartPole-v1")
        layers.problem(source, f"no {what}. Name one, as in `operant train {algorithm} {such}`.")
    resolved = Resolved(layers.config(), layers.provenance(), preset.env if preset else None)
    if ignored := [k for k, origin in resolved.provenance.items() if origin == source and is_unused(model, (k,))]:
        warnings.warn(f"{algorithm} does not use {', '.join(ignored)}: it makes no difference", stacklevel=2)
    return resolved


def load(path: Path | str, *, trust: bool = False) -> RunConfig:
    """Read back the config.toml of a run exactly as `dump` wrote it: no preset is applied.

    Raises ConfigError as `resolve` does, and where it names Python code as its algorithm or network and is not trusted.
    """
    tree, lines = read_toml(Path(path))
    algorithm = tree.get("algorithm", "ppo")
    policy = tree.get("policy")
    network = policy.get("network", "") if isinstance(policy, dict) else ""
    for key, code in (("algorithm", algorithm), ("policy.network", network)):
        if not trust and isinstance(code, str) and is_code(code):
            where = f"{path}:{lines[tuple(key.split('.'))]}"
            raise ConfigError(f"{where}: {key} is Python code, {code!r}, which opening this would run. {TRUST}")
    try:
        model = settings_of(algorithm)
    except ConfigError as error:
        raise ConfigError(f"{path}:{lines['algorithm',]}: {error}") from None
    layers = _Layers(model, str(path))
    layers.table(tree, where=str(path), lines=lines)
    return layers.config()


def dump(resolved: Resolved) -> str:
    """The text of a run's config.toml: every key, each with a trailing comment that says where it came from.

    `load` reads back an equal config; used as the file of another run it gives the same settings.
    """
    values: dict[KeyPath, object] = {}
    for path, leaf in leaves(type(resolved.config)).items():
        value: Any = resolved.config
        for name in path:
            value = getattr(value, name)
        values |= dict(_entries(value, path)) if leaf.free else {path: value}
    return toml_document(values, resolved.provenance)


def schema(algorithm: str = "ppo") -> dict[str, Any]:
    """JSON schema of an algorithm's config. Raises ConfigError for an unknown algorithm."""
    return settings_of(algorithm).model_json_schema()


def presets() -> list[Preset]:
    """All presets, by algorithm and environment. A preset's file is `presets/<algorithm>/<environment id>.toml`.

    That of `module:callable` lies in a folder of the module's dotted name, as not every disk takes a colon.
    """
    found: list[Preset] = []
    for path in sorted(PRESETS.rglob("*.toml")):
        algorithm, *env = path.relative_to(PRESETS).with_suffix("").parts
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        named = (":" if "." in env[0] and len(env) == 2 else "/").join(env)
        found.append(Preset(algorithm, named, path, first.removeprefix("#").strip()))
    return found


@dataclass
class _Layers:
    """Values by path, each with its origin, under a schema; and everything found wrong on the way."""

    model: type[RunConfig]
    source: str
    values: dict[KeyPath, tuple[object, str]] = field(default_factory=dict)
    problems: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.leaves = leaves(self.model)
        self.values = {path: (leaf.default, "default") for path, leaf in self.leaves.items()}

    def problem(self, where: str, text: str) -> None:
        line = re.search(r":(\d+)$", where)
        self.problems.append((int(line[1]) if line else math.inf, f"{where}: {text}"))

    def table(
        self, tree: Mapping[Any, Any], *, where: str, lines: Mapping[KeyPath, int] | None = None, path: KeyPath = ()
    ) -> None:
        """Lay a nested table over the values; `lines` turns `where` into `where:line` for each key."""
        for name, value in tree.items():
            at = (*path, str(name))
            here = where if lines is None else f"{where}:{lines[at]}"
            inner = section(self.model, at)
            if inner is not None and isinstance(value, Mapping):
                self.table(value, where=where, lines=lines, path=at)
            elif inner is not None:
                self.problem(here, f"{toml_key(at)} is {shown(value)}, expected a table of settings.")
            elif leaf_of(self.model, at) is None:
                for unknown, _ in _entries(value, at):
                    self.unknown(unknown, here if lines is None else f"{where}:{lines[unknown]}")
            else:
                self.set(at, value, where, lines)

    def unknown(self, path: KeyPath, where: str) -> None:
        guess = did_you_mean(nearest_keys(self.model, ".".join(path)))
        self.problem(where, f"unknown key {toml_key(path)!r}.{guess} See `operant config schema`.")

    def override(self, key: str, value: object) -> None:
        """Lay one dotted key over the values, reading text as the kind of value that the key takes."""
        path = self._path(key)
        leaf = leaf_of(self.model, path) if all(path) else None
        if leaf is not None:
            typed = leaf if path == leaf.path else ENTRY
            self.set(path, from_text(typed, value) if isinstance(value, str) else value, self.source)
        elif section(self.model, path) is not None:
            tree: Any = from_text(ENTRY, value) if isinstance(value, str) else value
            for name in reversed(path):
                tree = {name: tree}
            self.table(tree, where=self.source)
        else:
            self.unknown(path, self.source)

    def _path(self, key: str) -> KeyPath:
        parts = tuple(self.model.aliases.get(key.replace("-", "_"), key).split("."))
        known = tuple(part.replace("-", "_") for part in parts)
        leaf = leaf_of(self.model, known)
        return known[: len(leaf.path)] + parts[len(leaf.path) :] if leaf is not None and leaf.free else known

    def set(self, path: KeyPath, value: object, where: str, lines: Mapping[KeyPath, int] | None = None) -> None:
        """Store the value of a leaf, or the entries of a free table one by one."""
        leaf = leaf_of(self.model, path)
        assert leaf is not None
        try:
            value = plain(value)
        except ValueError as error:
            self.problem(where if lines is None else f"{where}:{lines[path]}", f"{toml_key(path)}: {error}.")
            return
        if leaf.free:
            for at, item in _entries(value, path):
                here = where if lines is None else f"{where}:{lines[at]}"
                if item is None:
                    self._unset(at, leaf, here)
                else:
                    self._store(at, item, here)
        else:
            self._store(path, fitted(leaf, value), where if lines is None else f"{where}:{lines[path]}")

    def _store(self, path: KeyPath, value: object, where: str) -> None:
        before = self.values.get(path)
        if before is not None and before[1] == where == self.source and before[0] != value:
            text = f"{toml_key(path)} is given twice, as {shown(before[0])} and as {shown(value)}."
            self.problem(where, text)
        for other in [other for other in self.values if _related(other, path) and other != path]:
            del self.values[other]
        self.values[path] = (value, where)

    def _unset(self, path: KeyPath, leaf: Leaf, where: str) -> None:
        gone = [other for other in self.values if other[: len(path)] == path]
        if not gone:
            self.problem(where, f"{toml_key(path)} is not set, so there is nothing to unset.")
        for other in gone:
            del self.values[other]
        if not any(other[: len(leaf.path)] == leaf.path for other in self.values):
            self.values[leaf.path] = ({}, where)

    def config(self) -> RunConfig:
        """The validated config. Raises ConfigError with all problems, those of a file by line."""
        tree: dict[str, Any] = {}
        for path, (value, _) in self.values.items():
            inner = tree
            for name in path[:-1]:
                inner = inner.setdefault(name, {})
            inner[path[-1]] = value
        try:
            config = self.model.model_validate(tree, strict=True)
        except ValidationError as error:
            self._explain(error)
        else:
            if not self.problems:
                return config
        raise ConfigError("\n".join(text for _, text in sorted(self.problems, key=lambda problem: problem[0])))

    def _explain(self, error: ValidationError) -> None:
        """Add what pydantic found, one problem per key, in our words."""
        told: set[KeyPath] = set()
        for found in error.errors(include_url=False, include_context=False):
            loc = tuple(map(str, found["loc"]))
            leaf = next((self.leaves[loc[:n]] for n in range(len(loc), 0, -1) if loc[:n] in self.leaves), None)
            path = leaf.path if leaf else loc
            if path in told:
                continue
            told.add(path)
            value, where = self.values.get(path, (None, self.source))
            if leaf is None or found["type"] in ("value_error", "assertion_error"):
                self.problem(where, f"{toml_key(path) or 'config'}: {found['msg'].removeprefix('Value error, ')}.")
                continue
            self.problem(where, refusal(leaf, value))

    def provenance(self) -> dict[str, str]:
        """Dotted key → origin, in the order of the schema."""
        order = list(self.leaves)
        by_schema = sorted(
            self.values, key=lambda path: next(i for i, leaf in enumerate(order) if _related(leaf, path))
        )
        return {toml_key(path): self.values[path][1] for path in by_schema}


def _related(a: KeyPath, b: KeyPath) -> bool:
    """Whether one path is the other or lies above it."""
    shared = min(len(a), len(b))
    return a[:shared] == b[:shared]


def _entries(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    """The values inside nested tables, by path; an empty table is a value."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _entries(item, (*path, str(name)))
    else:
        yield path, value
