"""The order in which a fixed data set is gone through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from operant.config.errors import ConfigError
from operant.data.streams import Streams

Item = TypeVar("Item")


class Shuffled(Generic[Item]):
    """A data set, pass after pass, each in an order of its own: the collector of algorithms that learn from data.

    The order of a pass depends on the seed and the number of the pass alone, so where a run stands is told by `steps`,
    and a resumed run goes on with the very next item: set `steps` to what the checkpoint says.

    Args:
        items: the data.
        streams: the seed of the orders; the seam does not matter.

    Attributes:
        steps: items given so far.
        seconds: always 0; nothing is collected.

    Raises:
        ConfigError: if there are no items.
    """

    seconds = 0.0

    def __init__(self, items: Sequence[Item], streams: Streams) -> None:
        if not items:
            raise ConfigError("the data set is empty: give a file with at least one example")
        self.items, self.streams, self.steps = items, Streams(streams.seed), 0
        self._pass, self._order = -1, torch.empty(0, dtype=torch.int64)

    @property
    def episodes(self) -> int:
        """Passes completed."""
        return self.steps // len(self.items)

    def __call__(self, size: int) -> list[Item]:
        """The next `size` items; the last of one pass and the first of the next may stand in one batch."""
        return [self.items[self._next()] for _ in range(size)]

    def stats(self) -> dict[str, Tensor]:
        """Metrics: passes done, as a fraction."""
        return {"data/epoch": torch.tensor(self.steps / len(self.items))}

    def _next(self) -> int:
        number, place = divmod(self.steps, len(self.items))
        if number != self._pass:
            order = self.streams.numpy("order", number).permutation(len(self.items))
            self._pass, self._order = number, torch.from_numpy(order)
        self.steps += 1
        return int(self._order[place])
