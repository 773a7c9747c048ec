"""A data set that a model writes in a run: it is in the checkpoints, so that a resumed run asks nobody again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.text.epochs import Shuffled
from operant.run.job import Position

Item = TypeVar("Item")
Lines = list[dict[str, Any]]


class GeneratedData(Generic[Item]):
    """A data set that is written when it is first asked for, unless a checkpoint brought it: a run's counter.

    Args:
        write: the lines, from the model as it stands.
        read: lines to what is learnt and what is held out.
        streams: the seed of the orders.
    """

    seconds = 0.0

    def __init__(
        self, write: Callable[[], Lines], read: Callable[[Lines], tuple[list[Item], list[Item]]], streams: Streams
    ) -> None:
        self._write, self._read, self._streams = write, read, streams
        self.lines: Lines = []
        self._held: list[Item] = []
        self._data: Shuffled[Item] | None = None
        self._start = 0

    @property
    def data(self) -> Shuffled[Item]:
        """What is learnt, in order."""
        if self._data is None:
            self.lines = self.lines or self._write()
            try:
                learnt, self._held = self._read(self.lines)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ConfigError(
                    f"the lines that this run wrote to learn from are damaged ({type(error).__name__}: {error}): go on "
                    "from another checkpoint"
                ) from error
            self._data = Shuffled(learnt, self._streams)
            self._data.steps = self._start
        return self._data

    @property
    def held(self) -> list[Item]:
        """What is held out."""
        return self._held if self.data.items else []

    @property
    def steps(self) -> int:
        """Items given so far."""
        return self._start if self._data is None else self._data.steps

    @property
    def episodes(self) -> int:
        """Passes completed."""
        return 0 if self._data is None else self._data.episodes

    def begin(self, at: Position) -> None:
        """Go on from a position."""
        self._start = at.step
        if self._data is not None:
            self._data.steps = at.step

    def counters(self) -> dict[str, Any]:
        """The lines, for a checkpoint."""
        return {"lines": self.lines}

    def restore(self, counters: Mapping[str, Any]) -> None:
        """Take the lines of a checkpoint."""
        self.lines = list(counters["lines"])

    def show(self, path: Path) -> None:
        """Write the lines to a file, unless it is there."""
        if not path.exists():
            path.write_text("".join(json.dumps(line) + "\n" for line in self.lines), encoding="utf-8")
