"""Options of a world, checked against what its maker takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are
from operant.config.typed import require_types

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
    require_types(maker, name, options)
    return maker(**options)


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
