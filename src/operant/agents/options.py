"""Options of a world, checked against what its maker takes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, get_args, get_type_hints

from operant.config.errors import ConfigError, shown
from operant.config.suggest import nearest_are

W = TypeVar("W")


def made(maker: Callable[..., W], name: str, options: Mapping[str, Any]) -> W:
    """Call the maker of a world with options that a person gave.

    Raises:
        ConfigError: for an option that it does not take, one of another type, or one that it needs and was not given.
    """
    parameters = inspect.signature(maker).parameters
    for option in options:
        if option not in parameters:
            hint = nearest_are(option, parameters) or f": it takes {', '.join(parameters) or 'none'}"
            raise ConfigError(f"world {name} has no option {option!r}{hint}")
    lacking = [n for n, p in parameters.items() if p.default is p.empty and n not in options]
    if lacking:
        raise ConfigError(f"world {name} needs the option {lacking[0]}")
    function: Any = maker.func if isinstance(maker, partial) else maker
    hints = get_type_hints(function.__init__ if isinstance(function, type) else function)
    for option, value in options.items():
        kind, kinds = hints.get(option), KINDS
        known = [k for k in (get_args(kind) or (kind,)) if k in kinds]
        if known and not any(_is_of(value, k) for k in known):
            what = " or ".join(kinds[k] for k in known)
            raise ConfigError(f"option {option} of {name} is {shown(value)}: give {what}")
    return maker(**options)


KINDS: Mapping[Any, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "none"
}  # fmt: skip


def _is_of(value: object, kind: Any) -> bool:
    """Whether a value is of a plain type; a whole number is a number too, and what is not finite is none."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def number(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> Any:
    """An option that is a number in [low, high].

    Raises:
        ConfigError: if it is none.
    """
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        raise ConfigError(f"option {name} is {value!r}: give {what} from {low:g} to {high:g}")
    return value


def one_of(name: str, value: Any, known: Iterable[Any]) -> Any:
    """An option that is one of these.

    Raises:
        ConfigError: if it is none.
    """
    if value not in (known := [*known]):
        hint = nearest_are(str(value), map(str, known)) or f": there is {', '.join(map(str, known))}"
        raise ConfigError(f"option {name} is {value!r}{hint}")
    return value


def picked(names: str, known: Sequence[str], groups: Mapping[str, Sequence[str]], what: str) -> list[str]:
    """The tasks that names of tasks and of groups, with commas between them, stand for; all where there is none.

    Raises:
        ConfigError: for a name that there is not.
    """
    found: dict[str, None] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name not in known and name not in groups:
            hint = nearest_are(name, [*known, *groups]) or f"; tags are {', '.join(sorted(groups))}"
            raise ConfigError(f"{what} has no task and no tag {name!r}{hint}")
        found |= dict.fromkeys([name] if name in known else groups[name])
    return [*found] or [*known]


def served(turns: int, timeout: float) -> tuple[int, float]:
    """Actions of an episode, seconds of a request, of a world behind a server. Raises ConfigError if out of range."""
    return number("turns", turns, 1, 10_000, whole=True), number("timeout", timeout, 1e-3, 1e5)
