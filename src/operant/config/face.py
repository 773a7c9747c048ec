"""Faces of packages that wait for nothing heavy: a name is imported when it is first used (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def face(homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package, for its public names: module → the names it gives, by blanks."""
    where = {name: module for module, names in homes.items() for name in names.split()}

    def get(name: str) -> Any:
        if name == "__all__":  # for `from … import *`
            return sorted(where)
        if name not in where:
            raise AttributeError(f"there is no {name!r} here: {', '.join(sorted(where))}")
        return getattr(import_module(where[name]), name)

    return get, lambda: sorted(where)
