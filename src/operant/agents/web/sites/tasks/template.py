"""What a template of the sites is, what it draws from, and the steps of its solution."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from operant.agents import cases
from operant.agents.cases import Task
from operant.agents.goals import Expected
from operant.agents.store import Row, Store
from operant.agents.web.action import UNACHIEVABLE
from operant.agents.web.sites.database import ME

TAGS = ("visual", "unanswerable", "memory")
"""Only a picture tells what is meant; the right answer is that it cannot be done; a fact stands on another page."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a solution does next: click what has a name, type or choose in it, or stop with an answer.

    Where nothing of that name is shown, the next page of a list is.
    """

    verb: str
    name: str
    text: str = ""
    enter: bool = False


def click(name: str) -> Step:
    """Click a link or a button."""
    return Step("click", name)


def fill(name: str, text: str, *, enter: bool = False) -> Step:
    """Type, or choose."""
    return Step("type", name, text, enter)


def stop(answer: Any = "") -> Step:
    """Say that it is done."""
    return Step("stop", "", str(answer))


def ware(name: str) -> list[Step]:
    """The page of a ware."""
    return [click("Shop"), fill("Search the shop", name, enter=True), click(name)]


def offer(name: str) -> list[Step]:
    """The page of what somebody offers."""
    return [click("Classifieds"), fill("Search the classifieds", name, enter=True), click(name)]


def post(title: str) -> list[Step]:
    """The page of a post."""
    return [click("Forum"), fill("Search the forum", title, enter=True), click(title)]


class Draft(cases.Draft):
    """A world of the sites to which a task adds its rows."""

    def __init__(self, snapshot: bytes, rng: random.Random) -> None:
        super().__init__(Store(snapshot), rng)

    def rows(self, table: str, where: str = "1", *values: Any) -> list[Row]:
        """Rows of a table."""
        return self.store.rows(f"SELECT * FROM {table} WHERE {where} ORDER BY id", *values)

    def one(self, table: str, where: str = "1", *values: Any) -> Row:
        """One of them; the draws are rejected where there is none."""
        rows = self.rows(table, where, *values)
        return self.rng.choice(rows) if rows else self.refuse(f"no {table}")

    def other(self) -> Row:
        """Somebody who is not the user."""
        return self.one("people", f"id <> {ME}")

    def person(self, row: Row) -> Row:
        """Whose a row is."""
        return self.one("people", "id = ?", row["person_id"])

    def set(self, table: str, row: Row, **values: Any) -> None:
        """Make a row other than the world made it, before anything begins."""
        self.store.make(table, row["id"], **values)

    def missing(self, ask: str, steps: Sequence[Step]) -> Task:
        """A task that cannot be done: after looking, the answer is that it cannot."""
        return Task(ask, [*steps, stop(UNACHIEVABLE)], answer=UNACHIEVABLE)


def answered(ask: str, steps: Sequence[Step], answer: Any) -> Task:
    """A task that asks for an answer, and for nothing to be changed."""
    return Task(ask, [*steps, stop(answer)], answer=answer)


def done(ask: str, steps: Sequence[Step], *expected: Expected) -> Task:
    """A task that asks for changes."""
    return Task(ask, [*steps, stop()], expected)


def added(table: str, **values: Any) -> Expected:
    """A row is added."""
    return Expected(table, "added", values)


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of task; `start` is where its episodes begin, `held` ones are in the split `template` alone."""

    name: str
    make: Callable[[Draft], Task]
    tags: tuple[str, ...]
    start: str
    held: bool


TEMPLATES: dict[str, Template] = {}
"""Every template by its name; what stands before the first dash is its site, `across` where it needs several."""


def template(*tags: str, start: str = "/shop", held: bool = False) -> Callable[..., Callable[[Draft], Task]]:
    """Register a function of a draft as a template of the same name, with dashes."""

    def register(make: Callable[[Draft], Task]) -> Callable[[Draft], Task]:
        name = make.__name__.replace("_", "-")
        TEMPLATES[name] = Template(name, make, (name.partition("-")[0], *tags), start, held)
        return make

    return register
