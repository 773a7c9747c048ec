"""Tasks drawn from seeds and judged by what became of a database: what the worlds of apps and of sites share.

A template is a function from a draft (a world with its draws, to which it adds rows) to a task: what is asked, how it
is done, and what must have changed then. A draw counts only if all is still to be done at the beginning, and its own
solution solves it.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar, overload

from operant.agents.goals import Expected
from operant.agents.store import Store, Value
from operant.config.errors import EnvError
from operant.language.episodes.world import Scenario

C = TypeVar("C")
FIRST_SEED = {"train": 0, "test": 1_000_000, "template": 2_000_000, "app": 3_000_000, "security": 4_000_000}
"""Splits share no world."""
KEPT = 512
"""Scenarios whose databases are kept, so that a group's episodes share one."""
ATTEMPTS = 50


class Rejected(Exception):
    """These draws make no task: say, two people fit. Other draws are tried."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked, how it can be done, and what must be true then."""

    instruction: str
    steps: Sequence[Any]  # in a world's own form; the last one says that the task is complete
    expected: Sequence[Expected] = ()
    answer: Any = None


class Draft:
    """A world to which a task adds its rows, and from which it draws its slots.

    Attributes:
        rng: the task's draws.
        store: the database, to add to with `fill`.
    """

    def __init__(self, store: Store, rng: random.Random) -> None:
        self.store, self.rng = store, rng

    def refuse(self, why: str) -> NoReturn:
        """Say that these draws make no task."""
        raise Rejected(why)

    def say(self, *forms: str) -> str:
        """One of several ways to say it."""
        return self.rng.choice(forms)

    def add(self, table: str, **values: Value) -> int:
        """Add a row to the world; returns its id."""
        id = next(i for i in iter(lambda: self.rng.randrange(100, 1000), None) if self.store.get(table, i) is None)
        self.store.fill(table, [{"id": id, **values}])
        return id

    def changes(self, table: str, id: int, **values: Value) -> Expected:
        """A row gets these values."""
        return Expected(table, "changed", values, id)


class Cases(Generic[C]):
    """What stands behind scenarios, made when it is asked for; the last ones are kept.

    Args:
        draw: a case of a template, a world's seed and draws; None, or `Rejected`, where they make none.
    """

    def __init__(self, draw: Callable[[str, int, random.Random], C | None]) -> None:
        self._draw, self._kept = draw, OrderedDict[tuple[str, int, int], C]()

    def __call__(self, template: str, seed: int, variant: int) -> C:
        """The first draws that make a case."""
        key = (template, seed, variant)
        if key not in self._kept:
            self._kept[key] = self._made(*key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _made(self, template: str, seed: int, variant: int) -> C:
        for attempt in range(ATTEMPTS):
            try:
                found = self._draw(template, seed, random.Random(f"{template}/{seed}/{variant}/{attempt}"))
            except Rejected:
                continue
            if found is not None:
                return found
        raise EnvError(f"template {template} makes no task in world {seed}: all {ATTEMPTS} draws were rejected")


class Scenarios(Sequence[Scenario]):
    """Three variants of every template in every world: what stands at 3k, 3k + 1, 3k + 2 is one scenario's.

    Args:
        names: of templates.
        worlds: how many.
        first: seed of the first.
        asked: the instruction of a template, a seed and a variant, called when a scenario is asked for.
    """

    def __init__(self, names: Sequence[str], worlds: int, first: int, asked: Callable[[str, int, int], str]) -> None:
        self._names, self._first, self._asked, self._size = names, first, asked, 3 * len(names) * worlds

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Scenario]:
        return (self[i] for i in range(self._size))

    @overload
    def __getitem__(self, index: int) -> Scenario: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Scenario]: ...
    def __getitem__(self, index: int | slice) -> Scenario | Sequence[Scenario]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._size))]
        if not -self._size <= index < self._size:
            raise IndexError(f"there are {self._size:,} scenarios")
        index %= self._size
        (world, number), variant = divmod(index // 3, len(self._names)), index % 3
        name, seed = self._names[number], self._first + world
        instruction = self._asked(name, seed, variant)
        return Scenario(id=index, template=name, seed=seed, variant=variant, instruction=instruction)


def open_at_start(expected: Sequence[Expected], store: Store) -> bool:
    """Whether all that a task asks for is still to be done: no row that is to change is so already."""
    return not any(_is_so(one, store) for one in expected)


def _is_so(expected: Expected, store: Store) -> bool:
    if expected.kind == "added" or expected.id is None:
        return False
    row = store.get(expected.table, expected.id)
    return row is None or (expected.kind == "changed" and all(row[k] == v for k, v in expected.values.items()))


def money(cents: int) -> str:
    """`$25` or `$12.50`."""
    return f"${cents // 100}" if cents % 100 == 0 else f"${cents / 100:.2f}"
