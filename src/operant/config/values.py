"""Values on their way in: what TOML can hold, what a key takes, and what a text from the command line stands for."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from operant.config.fields import Leaf
from operant.config.suggest import did_you_mean, nearest
from operant.config.write import toml_value

ENTRY = Leaf(path=(), help="", default=None, spec={}, optional=True)
"""An entry of a free table: any value, and `none` removes it."""


def plain(value: object, inside: bool = False) -> object:
    """A value as TOML holds it: arrays and NumPy numbers as Python's own. Raises ValueError for what it cannot hold."""
    match value:
        case None if inside:
            raise ValueError("a list cannot hold none")
        case str():
            if any("\ud800" <= letter <= "\udfff" for letter in value):
                raise ValueError(f"{value!r} is not valid text")
            return str(value)
        case None | bool() | datetime.date() | datetime.time():
            return value
        case Mapping():
            return {str(plain(str(name))): plain(item, inside) for name, item in value.items()}
        case list() | tuple():
            return [plain(item, inside=True) for item in value]
        case Path():
            return plain(str(value))
        case _:
            pass
    if callable(convert := getattr(value, "tolist", None)):  # a NumPy or torch number or array
        return plain(convert(), inside)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    raise ValueError(f"{shown(value)} is not a number, text, true or false, a date, a list or a table")


def fitted(leaf: Leaf, value: object) -> object:
    """The value in the form in which the schema takes it: `none` as None, a list as a tuple, 1e6 as an integer."""
    if leaf.optional and isinstance(value, str) and value.lower() == "none":
        return None
    if leaf.kind == "array" and isinstance(value, list):
        item = Leaf(path=(), help="", default=None, spec=leaf.spec.get("items") or {}, optional=False)
        return tuple(fitted(item, each) for each in value)
    if leaf.kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def from_text(leaf: Leaf, text: str) -> object:
    """Text from the command line as a TOML value, where it is one that the leaf could take; else the text itself."""
    if leaf.optional and text.lower() == "none":
        return None
    items = _toml_items(text)
    if leaf.kind == "string":
        return items[0] if len(items) == 1 and isinstance(items[0], str) else text
    if leaf.kind == "array":
        if len(items) == 1 and isinstance(items[0], list):
            return items[0]
        words = leaf.spec.get("items", {}).get("type") == "string"
        return items or ([part.strip() for part in text.split(",")] if words else text)
    if leaf.kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if len(items) == 1:
        return items[0]
    if leaf.kind in ("integer", "number"):
        for read in (int, float):
            try:
                return read(text)
            except ValueError:
                pass
    return text


def _toml_items(text: str) -> list[Any]:
    """The TOML values in a text, separated by commas; none where the text is anything else."""
    end = "the end of the text"
    try:
        tree = tomllib.loads(f"items = [{text}, {toml_value(end)}]")
    except (ValueError, RecursionError):
        return []
    items = tree["items"]
    return items[:-1] if len(tree) == 1 and items[-1:] == [end] else []


def refusal(leaf: Leaf, value: object) -> str:
    """What a setting is, what is expected of it, and the nearest choice."""
    guess = did_you_mean(nearest(value, map(str, leaf.choices)) if isinstance(value, str) else [])
    return f"{leaf.key} is {shown(value)}, expected {leaf.expected}.{guess}"


def shown(value: object) -> str:
    """A value as it would stand in a TOML file, cut short."""
    try:
        text = toml_value(list(value) if isinstance(value, tuple) else value)
    except TypeError:
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def duration(seconds: float, decimals: int = 0) -> str:
    """A length of time a person reads at a glance: "9 s" (with so many decimals), "2 min 05 s", "3 h 20 min"."""
    if round(seconds, decimals) < 60:
        return f"{seconds:.{decimals}f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
