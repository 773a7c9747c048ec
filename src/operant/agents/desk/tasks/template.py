"""What a template is: a function from a draft to a task, with the apps it needs and the split it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from operant.agents.cases import Task
from operant.agents.desk.draft import Draft

HELD_OUT_APP = "calendar"
"""No task of the split `train` touches it."""

PAGES = """\
def pages(call, **given):
    page = 0
    while True:
        rows = call(page=page, **given)
        yield from rows
        if len(rows) < 5:
            return
        page += 1
"""
"""What oracles go through pages with."""


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of task.

    Attributes:
        tiny: whether it is one of the small desk's too.
        held: whether it is kept for the split `template`.
    """

    name: str
    apps: tuple[str, ...]
    make: Callable[[Draft], Task]
    tiny: bool
    held: bool

    @property
    def split(self) -> str:
        """`train` (whose tasks of other seeds are `test`), `template` or `app`."""
        return "app" if HELD_OUT_APP in self.apps else "template" if self.held else "train"


TEMPLATES: dict[str, Template] = {}
"""Every template by its name."""


def template(apps: str, *, tiny: bool = False, held: bool = False) -> Callable[..., Callable[[Draft], Task]]:
    """Register a function of a draft as a template of the same name."""

    def register(make: Callable[[Draft], Task]) -> Callable[[Draft], Task]:
        name = make.__name__
        TEMPLATES[name] = Template(name, tuple(apps.split()), make, tiny, held)
        return make

    return register


def turns(code: str) -> list[str]:
    """Blocks of code, which lines of three dashes part."""
    return code.split("\n---\n")


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
