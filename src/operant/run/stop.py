"""What looks at each row of metrics once it is written, and may end training early: `stop_at` and `on_metrics`."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from operant.config.errors import OperantError, user_code
from operant.run.metrics import read_metrics

WINDOW, LEAST = 100, 20
"""Episodes over whose returns the running mean is taken, and without which there is none."""
BATCH = 10
"""Episodes that a row counts for which tells a mean return and no number of episodes: one batch of completions."""

OnMetrics = Callable[[dict[str, float]], object]
"""A person's function of a row of metrics; False ends training, as does raising `StopTraining`."""
Watch = Callable[[Mapping[str, float]], str]
"""Given a row of metrics: why training ends here, or ""."""
RETURN, EPISODES = "train/return", "train/episodes"


class StopTraining(Exception):
    """Raise it in `on_metrics` to end training. The run ends as finished: saved, measured and reported as any other."""


class StopAt:
    """Ends training when the running mean of the training return reaches a bar.

    The mean is that over the newest rows of metrics that hold 100 episodes together, each row's mean return weighted by
    its episodes; there is none before 20 have ended. A row of a language model, which counts no episodes, holds 10.

    Args:
        bar: the return.
    """

    def __init__(self, bar: float) -> None:
        self.bar = bar
        self._rows: deque[tuple[float, float]] = deque()  # episodes, mean return
        self._held = self._before = 0.0

    def recall(self, run: Path, step: int) -> None:
        """See the rows of a run up to a step again, from which it goes on."""
        frame = read_metrics(run, (RETURN, EPISODES)).frame()
        for values in frame[frame["step"] <= step].to_numpy().tolist():
            self({name: x for name, x in zip(frame.columns, values, strict=True) if not math.isnan(x)})

    def __call__(self, row: Mapping[str, float]) -> str:
        ended = row.get(EPISODES, self._before + BATCH)
        count, self._before = ended - self._before, ended
        if RETURN in row and count > 0:
            self._rows.append((count, row[RETURN]))
            self._held += count
            while self._held - self._rows[0][0] >= WINDOW:
                self._held -= self._rows.popleft()[0]
        if self._held < LEAST or RETURN not in row:
            return ""
        mean = math.fsum(n * value for n, value in self._rows) / self._held
        if mean < self.bar:
            return ""
        return f"the mean return of the last {self._held:g} episodes, {mean:.6g}, has reached stop_at, {self.bar:g}"


class Told:
    """A person's `on_metrics`: what it raises is told once, with its place, and never ends the run."""

    def __init__(self, function: OnMetrics) -> None:
        self._function: OnMetrics | None = function

    def __call__(self, row: Mapping[str, float]) -> str:
        if self._function is None:
            return ""
        try:
            with user_code("on_metrics", OperantError):
                try:
                    found: Any = self._function(dict(row))
                    return "on_metrics returned False" if type(found).__name__.startswith("bool") and not found else ""
                except StopTraining as stop:
                    return f"on_metrics: {stop}" if str(stop) else "on_metrics raised StopTraining"
        except OperantError as error:
            self._function = None
            warnings.warn(f"{error}. It is not called again; training goes on.", stacklevel=2)
            return ""


__all__ = ["OnMetrics", "StopAt", "StopTraining", "Told", "Watch"]
