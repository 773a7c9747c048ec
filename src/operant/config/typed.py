"""Options of a function of anybody's, held against the plain types that it says it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from operant.config.errors import ConfigError, shown

KINDS: Mapping[Any, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "none"
}  # fmt: skip


def require_types(maker: Callable[..., Any], of: str, options: Mapping[str, Any]) -> None:
    """Refuse an option of another type than a function is annotated with; what else it is annotated with fits.

    Args:
        maker: a function, a class, or either with arguments before.
        of: what it makes, for the message.
        options: its keyword arguments.

    Raises:
        ConfigError: says which, and what belongs there.
    """
    function: Any = maker.func if isinstance(maker, partial) else maker
    try:
        hints = get_type_hints(function.__init__ if isinstance(function, type) else function)
    except (NameError, TypeError):  # they cannot be read
        return
    for option, value in options.items():
        kind = hints.get(option)
        kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        if all(k in KINDS for k in kinds) and not any(_is_of(value, k) for k in kinds):
            raise ConfigError(f"option {option} of {of} is {shown(value)}: give {' or '.join(KINDS[k] for k in kinds)}")


def _is_of(value: object, kind: Any) -> bool:
    """Whether a value is of a plain type; a whole number is a number too, and what is not finite is none."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
