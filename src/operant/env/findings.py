"""What a check found, in the order it found it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `what`, `where` it was seen, and the `fix`. A warning can be lived with."""

    severity: Literal["error", "warning"]
    what: str
    where: str
    fix: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.what}. Fix: {self.fix}."


class Fatal(Exception):
    """Nothing further can be checked."""


class Report:
    """Problems in the order of their discovery, each of a kind once."""

    def __init__(self) -> None:
        self.problems: dict[str, Problem] = {}
        self.made_twice = False  # a fresh copy could be made and compared

    def error(self, what: str, where: str, fix: str, kind: str = "") -> None:
        """Note an error, unless one of its kind (by default: of its words) was noted before."""
        self.problems.setdefault(kind or what, Problem("error", what, where, fix))

    def warning(self, what: str, where: str, fix: str, kind: str = "") -> None:
        """Note a warning, unless one of its kind was noted before."""
        self.problems.setdefault(kind or what, Problem("warning", what, where, fix))

    def fatal(self, what: str, where: str, fix: str) -> Fatal:
        """Note an error and return the exception that ends the check."""
        self.error(what, where, fix)
        return Fatal()

    @property
    def broken(self) -> bool:
        """Whether an error was noted."""
        return any(problem.severity == "error" for problem in self.problems.values())
