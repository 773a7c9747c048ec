"""What a task requires, and what an episode has fulfilled: by the difference of databases, and by the answer.

A requirement is labelled by what a policy that does nothing makes of it: `no_op_fail` must be brought about,
`no_op_pass` must be left alone. The last of every task is that nothing else has changed. The score is

    score = (passed - n₀) / (n - n₀)        n requirements, n₀ of them labelled no_op_pass

so that doing nothing is 0, all is 1, and doing nothing but damage is below 0 (AppWorld, Trivedi et al. 2024, labels its
tests so; it does not subtract).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from operant.agents.store import Change
from operant.config.errors import ConfigError
from operant.language.reward.number import number

Label = Literal["no_op_fail", "no_op_pass"]
UNITS = ("dollars", "dollar", "usd", "euros")


@dataclass(frozen=True, slots=True)
class Holds:
    """A text that holds these pieces, whatever else it says."""

    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """A change that must be there: a row added with these values, a row changed to them, or a row removed.

    A change of a row changes these columns and no other.
    """

    table: str
    kind: Literal["added", "changed", "removed"]
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: int | None = None

    def __str__(self) -> str:
        what = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        return f"{self.table} {self.kind}{'' if self.id is None else f' {self.id}'}{': ' if what else ''}{what}"

    def meets(self, change: Change) -> bool:
        """Whether a change is this one."""
        kind = "added" if change.before is None else "removed" if change.after is None else "changed"
        if (change.table, kind) != (self.table, self.kind) or self.id not in (None, change.id):
            return False
        if change.before is not None and change.after is not None:
            other = {k for k, v in change.after.items() if v != change.before[k]} - set(self.values)
            if other:
                return False
        return change.after is None or all(_same(value, change.after[name]) for name, value in self.values.items())


@dataclass(frozen=True, slots=True)
class Requirement:
    """One of a task's requirements, and whether it is met."""

    what: str
    label: Label
    passed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every requirement of a task with what became of it."""

    requirements: tuple[Requirement, ...]

    @property
    def solved(self) -> bool:
        """Whether all are met."""
        return all(r.passed for r in self.requirements)

    @property
    def score(self) -> float:
        """What was brought about less what was damaged; 1 if all are met, 0 for doing nothing."""
        kept = sum(r.label == "no_op_pass" for r in self.requirements)
        return (sum(r.passed for r in self.requirements) - kept) / (len(self.requirements) - kept)

    def paid(self, completed: bool, kind: str) -> tuple[float, dict[str, float | str | bool]]:
        """Reward at an episode's end and what is told of it; where nobody said that all is done, damage alone counts.

        Args:
            completed: whether the policy said so.
            kind: `score` pays that, `solved` 1 or 0.
        """
        success, score = self.solved and completed, self.score if completed else min(self.score, 0.0)
        failed = "; ".join(r.what for r in self.requirements if not r.passed)[:1_000]
        told: dict[str, float | str | bool] = {"success": success, "score": score, "failed": failed}
        return score if kind == "score" else float(success), told


def judge(expected: Sequence[Expected], answer: Any, changes: Sequence[Change], given: Any) -> Verdict:
    """What an episode has fulfilled.

    Args:
        expected: every change that the task asks for.
        answer: what it asks to be answered; None if nothing.
        changes: what the episode changed.
        given: what it answered.
    """
    left = list(changes)
    found: list[Requirement] = []
    for wanted in expected:
        match = next((change for change in left if wanted.meets(change)), None)
        if match is not None:
            left.remove(match)
        found.append(Requirement(str(wanted), "no_op_fail", match is not None))
    if answer is not None:
        found.append(Requirement("the answer is right", "no_op_fail", answers(answer, given)))
    found.append(Requirement("nothing else has changed", "no_op_pass", not left))
    return Verdict(tuple(found))


def completion(solved: Mapping[tuple[str, int], Sequence[bool]]) -> tuple[float, float]:
    """Shares of tasks solved (TGC) and of scenarios solved in every variant (SGC), in [0, 1].

    Args:
        solved: (template, seed) of a scenario → whether each of its variants was solved.
    """
    tasks = [one for variants in solved.values() for one in variants]
    if not tasks:
        raise ConfigError("no task was tried: give at least one")
    return sum(tasks) / len(tasks), sum(map(all, solved.values())) / len(solved)


def answers(right: Any, given: Any) -> bool:
    """Whether an answer is right: numbers to half a cent, however written; days as such; texts as `normal` has them.

    `right` is a number, a `datetime.date` or a text; a truth value or nothing is never right.
    """
    if given is None or isinstance(given, bool):
        return False
    if isinstance(right, int | float):
        value = given if isinstance(given, int | float) else number(str(given), UNITS)
        return value is not None and abs(float(value) - right) < 0.005
    if isinstance(right, date):
        return isinstance(given, str) and given.strip() == right.isoformat()
    return normal(str(given)) == normal(str(right))


def normal(text: str) -> str:
    """A text without case, double blanks, and signs at its ends."""
    return " ".join(text.casefold().split()).strip(" .!,;:'\"")


def _same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Holds):
        return isinstance(found, str) and all(normal(piece) in normal(found) for piece in wanted.pieces)
    if isinstance(wanted, str):
        return isinstance(found, str) and normal(wanted) == normal(found)
    return wanted == found
