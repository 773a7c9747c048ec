"""Endpoints: typed functions of a desk, found by name, checked before they run, documented by themselves."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from operant.agents.store import Row, Store, Value
from operant.workers.sandbox import Refused

LONGEST, LARGEST = 2_000, 1 << 53
"""Characters of a text and the bound of a number that an endpoint takes."""
PAGE, PAGES = 5, 20
"""Rows of a page where nothing is said, and at most."""
WORDS = {str: "text", int: "a whole number", float: "a number", bool: "True or False", object: "text or a number"}


class ApiError(Refused):
    """What an endpoint answers instead: 401 log in first, 404 there is none, 409 not now, 422 it cannot be taken."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """What an endpoint takes."""

    name: str
    kind: type
    optional: bool  # None is taken, too
    required: bool
    default: Any

    def __str__(self) -> str:
        kind = ("str | float" if self.kind is object else self.kind.__name__) + (" | None" if self.optional else "")
        return f"{self.name}: {kind}" if self.required else f"{self.name}: {kind} = {self.default!r}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A function of the desk with what must be known to call it."""

    app: str
    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    locked: bool  # needs a login

    @property
    def full(self) -> str:
        """`payments.send`."""
        return f"{self.app}.{self.name}"

    @property
    def doc(self) -> str:
        """What it does, and what it answers."""
        return " ".join((self.function.__doc__ or "").split())

    @property
    def signature(self) -> str:
        """`payments.send(username: str, amount: float, note: str = '')`."""
        return f"{self.full}({', '.join(map(str, self.parameters))})"

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, each of its kind.

        Raises:
            ApiError: 422 if they are not what it takes.
        """
        if len(args) > len(self.parameters):
            raise ApiError(422, f"{self.full} takes {len(self.parameters)} arguments, not {len(args)}")
        given = {p.name: value for p, value in zip(self.parameters, args, strict=False)}
        known = {p.name for p in self.parameters}
        for name, value in kwargs.items():
            if name not in known:
                takes = ", ".join(p.name for p in self.parameters) or "no arguments"
                raise ApiError(422, f"{self.full} has no parameter {name[:40]!r}: it takes {takes}")
            if name in given:
                raise ApiError(422, f"{self.full}: {name} is given twice")
            given[name] = value
        for p in self.parameters:
            if p.name not in given:
                if p.required:
                    raise ApiError(422, f"{self.full}: {p.name} is missing: {WORDS[p.kind]}")
                given[p.name] = p.default
            elif not (given[p.name] is None and p.optional):
                given[p.name] = _taken(p, given[p.name], self.full)
        return given


def _taken(p: Parameter, value: Any, where: str) -> Any:
    """A value of the parameter's kind. Raises ApiError where it is another's."""
    wrong = ApiError(422, f"{where}: {p.name} must be {WORDS[p.kind]}, not {type(value).__name__}")
    if p.kind is bool or isinstance(value, bool):
        if p.kind in (bool, object) and isinstance(value, bool):
            return value
        raise wrong
    if p.kind is str or (p.kind is object and isinstance(value, str)):
        if not isinstance(value, str):
            raise wrong
        if len(value) > LONGEST:
            raise ApiError(422, f"{where}: {p.name} has {len(value):,} characters: at most {LONGEST:,}")
        return value.encode("utf-8", "replace").decode()  # halves of characters are none
    if not isinstance(value, int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise wrong
    if abs(value) > LARGEST:
        raise ApiError(422, f"{where}: {p.name} is too large")
    if p.kind is not int:
        return float(value) if p.kind is float else value
    if value != int(value):
        raise wrong
    return int(value)


ENDPOINTS: dict[str, Endpoint] = {}
"""Every endpoint by its full name."""


def endpoint(app: str, *, locked: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Offer a function `(desk, …) → what JSON can hold` as an endpoint of an app."""

    def offer(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(function)
        parameters: list[Parameter] = []
        for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
            kinds = get_args(hints[name]) if isinstance(hints[name], types.UnionType) else (hints[name],)
            required = parameter.default is inspect.Parameter.empty
            default = None if required else parameter.default
            parameters.append(Parameter(name, kinds[0], types.NoneType in kinds, required, default))
        made = Endpoint(app, function.__name__.rstrip("_"), function, tuple(parameters), locked)
        ENDPOINTS[made.full] = made
        return function

    return offer


class Desk:
    """An episode's state: the database, who is logged in where, what was called, and the answer.

    Args:
        store: its database.
        offered: the endpoints that there are, by full name.
        locks: whether apps that have a password ask for it.
    """

    def __init__(self, store: Store, offered: dict[str, Endpoint], *, locks: bool) -> None:
        self.store, self.offered, self.locks = store, offered, locks
        self.logged_in: set[str] = set()
        self.completed = False
        self.answer: Value | bool = None
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.read: set[str] = set()  # documentation that was looked up

    def call(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Call an endpoint by its full name.

        Raises:
            ApiError: if there is none, it cannot take the arguments, or it refuses.
        """
        found = self.offered.get(name)
        if found is None:
            app = name.partition(".")[0]
            apps = dict.fromkeys(e.app for e in self.offered.values())
            there = [e.name for e in self.offered.values() if e.app == app] or list(apps)
            has = f"{app} has" if app in apps else "the apps are"
            raise ApiError(404, f"there is no {name[:60]!r}: {has} {', '.join(there)}")
        if self.completed:
            raise ApiError(409, "the task is complete: nothing can be called any more")
        bound = found.bind(args, kwargs)
        if found.locked and self.locks and found.app not in self.logged_in:
            raise ApiError(401, f"log in first: {found.app}.login(password=...); desk.passwords() has it")
        said = [p.name for p in found.parameters if p.required or bound[p.name] != p.default]
        self.calls.append((name, {name: bound[name] for name in said}))
        return found.function(self, **bound)

    def need(self, table: str, id: int, what: str) -> Row:
        """A row by its id. Raises ApiError 404 if there is none."""
        found = self.store.get(table, id)
        if found is None:
            raise ApiError(404, f"there is no {what} {id}")
        return found

    def page(self, sql: str, *values: Value, page: int, limit: int) -> list[Row]:
        """A page of a query's rows."""
        if page < 0:
            raise ApiError(422, "page must be 0 or more")
        if not 1 <= limit <= PAGES:
            raise ApiError(422, f"limit must be from 1 to {PAGES}")
        return self.store.rows(f"{sql} LIMIT ? OFFSET ?", *values, limit, min(page, LARGEST // PAGES) * limit)

    def login(self, app: str, password: str) -> dict[str, str]:
        """Log in to an app. Raises ApiError 401 if the password is wrong."""
        right = self.store.row("SELECT password FROM passwords WHERE app = ?", app)
        if right is None or right["password"] != password:
            raise ApiError(401, "the password is wrong: desk.passwords() has it")
        self.logged_in.add(app)
        return {"message": f"logged in to {app}"}


def filled(text: str, name: str) -> str:
    """A text that is not blank. Raises ApiError 422 otherwise."""
    if not text.strip():
        raise ApiError(422, f"{name} must not be empty")
    return text


def cents(amount: float) -> int:
    """An amount of money in cents. Raises ApiError 422 unless it is in (0, 10,000] and has two decimals."""
    whole = round(amount * 100)
    if not 0 < whole <= 1_000_000:
        raise ApiError(422, "the amount must be more than 0 and at most 10,000")
    if abs(whole - amount * 100) > 1e-6:
        raise ApiError(422, "the amount has at most two decimals: round it")
    return whole
