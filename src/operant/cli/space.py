"""What a sweep searches: a TOML file read against the schema, and what Optuna is asked for each key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError
from operant.config.resolve import read_toml, resolve
from operant.config.suggest import did_you_mean, nearest
from operant.config.write import toml_value

WORDS = ("low", "high", "log", "step", "choices")


@dataclass(frozen=True)
class Axis:
    """One setting to search: an interval of whole numbers or of numbers, or a list of values."""

    key: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[object, ...] | None = None

    @property
    def whole(self) -> bool:
        """Whether it is an interval of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: Any) -> object:
        """A value, asked of an Optuna trial. A choice is known to Optuna by its text, as it may be a list."""
        if self.choices is not None:
            texts = [toml_value(choice) for choice in self.choices]
            return self.choices[texts.index(trial.suggest_categorical(self.key, texts))]
        if self.whole:
            return trial.suggest_int(self.key, self.low, self.high, log=self.log, step=int(self.step or 1))
        return trial.suggest_float(self.key, self.low, self.high, log=self.log, step=self.step)


@dataclass(frozen=True)
class Space:
    """The axes to search and the settings held fixed."""

    path: Path
    axes: tuple[Axis, ...]
    fixed: Mapping[str, object]

    @property
    def digest(self) -> str:
        """Names this space: two files with the same content in other words have the same."""
        content = [[vars(axis) for axis in self.axes], dict(self.fixed)]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def read_space(path: Path, algorithm: str, env: str) -> Space:
    """Read a space and check every key and every bound against the schema.

    Raises:
        ConfigError: with one line for each thing that is wrong: file and line, key, what it is, what is expected.
    """
    tree, lines = read_toml(path)
    problems: list[str] = []

    def where(*at: str) -> str:
        return f"{path}:{lines.get(at, 1)}"

    for name in tree:
        if name not in ("space", "fixed"):
            problems.append(
                f"{where(name)}: unknown table '{name}'.{did_you_mean(nearest(name, ('space', 'fixed')))} "
                "A space has [space] and [fixed]."
            )
    axes: list[Axis] = []
    for at, spec in _entries(tree.get("space", {}), ("space",)):
        key = ".".join(at[1:])
        try:
            axis = _axis(key, spec)
            for value in axis.choices if axis.choices is not None else (axis.low, axis.high):
                _check(algorithm, env, key, value, where(*at))
        except ConfigError as error:
            told = str(error)
            problems.append(told if told.startswith(str(path)) else f"{where(*at)}: {told}")
        else:
            axes.append(axis)
    fixed = {".".join(at[1:]): (value, where(*at)) for at, value in _values(tree.get("fixed", {}), ("fixed",))}
    for key, (value, place) in fixed.items():
        try:
            if any(axis.key == key for axis in axes):
                raise ConfigError(f"{place}: {key} is searched and held fixed. Remove one of them.")
            _check(algorithm, env, key, value, place)
        except ConfigError as error:
            problems.append(str(error))
    if not problems and not axes:
        problems.append(f"{path}: nothing to search. Add a table [space], as in `operant sweep --help`.")
    if problems:
        raise ConfigError("\n".join(problems))
    return Space(path, tuple(axes), {key: value for key, (value, _) in fixed.items()})


def _check(algorithm: str, env: str, key: str, value: object, place: str) -> None:
    """Refuse a key that does not exist, and a value that it does not take."""
    if key in ("seed", "algorithm", "env.id"):
        raise ConfigError(f"{place}: {key} is not a setting of a sweep; it comes from the command line.")
    resolve(algorithm, env, overrides={key: value}, source=place)


def _axis(key: str, spec: object) -> Axis:
    """An axis from its table, without a look at the schema."""
    example = "{low = 1e-4, high = 1e-2, log = true} or {choices = [64, 128]}"
    if not isinstance(spec, Mapping):
        raise ConfigError(f"{key} is {toml_value(spec)}, expected {example}; a value to hold belongs in [fixed].")
    given: dict[str, Any] = dict(spec)  # pyright: ignore[reportUnknownArgumentType]
    for word in given:
        if word not in WORDS:
            raise ConfigError(f"{key}: unknown word '{word}'.{did_you_mean(nearest(word, WORDS))} Expected {example}.")
    if "choices" in given:
        choices: Any = given["choices"]
        if len(given) > 1 or not isinstance(choices, list) or not choices:
            raise ConfigError(f"{key}: choices stand alone and are a list with at least one value.")
        if len({toml_value(choice) for choice in choices}) < len(choices):  # pyright: ignore[reportUnknownArgumentType]
            raise ConfigError(f"{key}: a choice is given twice.")
        return Axis(key, choices=tuple(choices))  # pyright: ignore[reportUnknownArgumentType]
    numbers = [given.get("low"), given.get("high")]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise ConfigError(f"{key}: low and high must both be numbers, as in {example}.")
    axis = Axis(key, **given)
    if not axis.low < axis.high:
        raise ConfigError(f"{key}: low is {axis.low:g}, which is not below high, {axis.high:g}.")
    if not isinstance(axis.log, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"{key}: log is {toml_value(axis.log)}, expected true or false.")
    if axis.log and axis.low <= 0:
        raise ConfigError(f"{key}: low is {axis.low:g}, but a logarithmic scale needs one above 0.")
    if axis.step is not None and (axis.log or isinstance(axis.step, bool) or axis.step <= 0):
        raise ConfigError(f"{key}: step is a number above 0 and does not go with log.")
    return axis


def _entries(tree: object, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    """The axes in a table and in the sections below it; a table with any of the words of an axis is one."""
    for name, value in dict(tree).items() if isinstance(tree, Mapping) else ():  # pyright: ignore
        inner = isinstance(value, Mapping) and value and all(isinstance(each, Mapping) for each in value.values())  # pyright: ignore
        if inner:
            yield from _entries(value, (*at, str(name)))  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield (*at, str(name)), value


def _values(tree: object, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    """The values in a table and in those below it."""
    for name, value in dict(tree).items() if isinstance(tree, Mapping) else ():  # pyright: ignore
        if isinstance(value, Mapping) and value:
            yield from _values(value, (*at, str(name)))  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield (*at, str(name)), value
