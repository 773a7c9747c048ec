"""What a recipe claims, fixed before it is run, and what its rows say of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from operant.data.stats import bootstrap_ci, iqm

Says = Literal["holds", "fails", "null", "not yet run"]
Rows = Sequence[Mapping[str, Any]]
"""A row for each arm and seed: `arm`, `seed`, and `metrics`, a number by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a claim: the interquartile mean over seeds of what it is about, with a 95 % bootstrap interval."""

    says: Says
    estimate: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A number of an arm, alone or against another arm's on the same seeds, is at least `bar` (at most with `most`).

    A claim that must hold holds where its estimate is on the right side of the bar. An open one needs its whole
    interval there; where the interval lies across the bar, the result is null, and is published as that.

    Args:
        text: in words.
        metric: which number.
        arm: whose.
        bar: to be reached.
        over: another arm, whose number is taken away on each seed; None of one arm alone.
        ratio: divide by the other's in place of taking it away.
        most: the bar is an upper one.
        must: whether it has to hold; an open question else.
    """

    text: str
    metric: str
    arm: str
    bar: float
    over: str | None = None
    ratio: bool = False
    most: bool = False
    must: bool = True

    def verdict(self, rows: Rows, seeds: Sequence[int]) -> Verdict:
        """Of the rows of these seeds; "not yet run" while one of them is missing."""
        found = {(row["arm"], row["seed"]): row["metrics"].get(self.metric) for row in rows}
        mine = [found.get((self.arm, seed)) for seed in seeds]
        others = [found.get((self.over, seed)) for seed in seeds] if self.over is not None else [0.0] * len(seeds)
        pairs = [(a, b) for a, b in zip(mine, others, strict=True) if a is not None and b is not None]
        if len(pairs) < len(seeds) or not pairs:
            return Verdict(says="not yet run")
        values = [a / b if self.ratio else a - b for a, b in pairs]
        estimate, (low, high) = iqm(values), bootstrap_ci(values)
        if len(values) == 1:  # one seed says nothing of spread
            low = high = estimate
        return Verdict(says=self._says(estimate, low, high), estimate=estimate, low=low, high=high)

    def _says(self, estimate: float, low: float, high: float) -> Says:
        sign = -1.0 if self.most else 1.0
        reached = [sign * x >= sign * self.bar for x in (estimate, low, high)]  # NaN reaches nothing
        if self.must:
            return "holds" if reached[0] else "fails"
        return "holds" if all(reached[1:]) else "null" if any(reached[1:]) else "fails"
