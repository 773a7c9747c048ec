"""A training run as the run folder sees it: an algorithm, all that it changes, and what can be done with it."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet

from operant.config.schema import EvalConfig, SaveConfig
from operant.data.trajectory import Metrics
from operant.run.actor import Policy
from operant.run.evaluate import Evaluation
from operant.run.train_state import Learned

Say = Callable[[str], None]
"""Told a line for the person who waits."""


def silent(line: str) -> None:
    """Say nothing."""


class Counter(Protocol):
    """Whatever counts the environment's steps; a collector does."""

    @property
    def steps(self) -> int: ...
    @property
    def episodes(self) -> int: ...
    @property
    def seconds(self) -> float: ...


@dataclass(kw_only=True)
class Position:
    """Where a run stands at a seam: all of its state that is neither tensor, environment nor generator."""

    step: int = 0  # environment steps done
    seam: int = 0  # seams behind it, counting the one it stands at
    episodes: int = 0  # episodes ended
    saved: int = 0  # checkpoints that were due by `save.every`
    evaluated: int = 0  # evaluations that were due by `eval.every`
    best: float | None = None  # mean return of the best evaluation
    best_step: int | None = None
    seconds: float = 0.0  # wall time of all attempts
    exact: bool = (
        True  # False once an interruption added a seam that an uninterrupted run lacks; of what is asynchronous
    )


@dataclass
class Job:
    """One training run: an algorithm and all that it changes.

    `algorithm` is any iterator of metrics; the drain does not know which. `begin(position)` makes environments and
    generators anew from the run's seed and the number of the seam. `evaluate(episodes)` measures the agent as it
    stands, under the protocol `eval`. `keep(run folder, step)` writes what an iteration leaves besides its metrics,
    `keep_evaluation` what an evaluation does, and gives metrics of it. `measure_first` asks for an evaluation before
    training. `phases` counts the seconds spent in each phase, `kept` is the step of the newest checkpoint.
    """

    algorithm: Iterator[Metrics]
    learned: Learned
    counter: Counter
    begin: Callable[[Position], None]
    evaluate: Callable[[int], Evaluation]
    total_steps: int
    eval: EvalConfig
    save: SaveConfig
    keep: Callable[[Path, int], None] | None = None
    keep_evaluation: Callable[[Path, int], dict[str, float]] | None = None
    measure_first: bool = False
    at: Position = field(default_factory=Position)
    kept: int = 0
    phases: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("set up", "collect", "learn", "save", "evaluate"), 0.0)
    )

    def trained(self) -> None:
        """Training is done: free the environments that it holds, as there may be one at a time."""
        getattr(self.counter, "close", _nothing)()

    def close(self) -> None:
        """Free what training and evaluation hold."""
        self.trained()
        getattr(self.evaluate, "close", _nothing)()

    def __post_init__(self) -> None:
        if isinstance(self.algorithm, Generator):
            _LOOPS.add(self.algorithm)

    @property
    def agent(self) -> Policy:
        """The policy as it stands."""
        return self.learned.agent


_LOOPS: WeakSet[Generator[Any, Any, Any]] = WeakSet()
"""Algorithms that somebody may still hold when Python ends."""


@atexit.register
def _leave() -> None:
    """End them while the modules are there that they need to end: afterwards they would say that they could not."""
    for loop in list(_LOOPS):
        with suppress(Exception):
            loop.close()


def _nothing() -> None:
    """What there is to free in most."""
