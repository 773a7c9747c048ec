"""A tree of sums of wide fan-out: draws by weight, and changes of weights, in a few array operations each.

Every parent is computed again from its children where one of them changes, and never moved by a difference, so that
the tree is a function of its leaves alone: one that was built anew from them is equal bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FAN_OUT = 64
"""Children of a node."""
TOP = 16_384
"""So many sums are cumulated and searched at once: at a million leaves they are those of the leaves themselves."""


class SumTree:
    """Weights of `size` things.

    Source: Schaul et al. (2016), Prioritized experience replay, appendix B.2.1, where the tree is binary.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._levels: list[NDArray[np.float64]] = []  # [nodes, FAN_OUT] each, the leaves first
        while not self._levels or len(self._levels[-1]) > TOP:
            self._levels.append(np.zeros((-(-size // FAN_OUT), FAN_OUT)))
            size = len(self._levels[-1])
        self._top = np.zeros(size)
        self._reach: NDArray[np.float64] | None = None  # the cumulated top, where nothing changed since

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self._cumulated()[-1])

    @property
    def leaves(self) -> NDArray[np.float64]:
        """[size], all weights; a view."""
        return self._levels[0].reshape(-1)[: self.size]

    def __getitem__(self, index: NDArray[Any]) -> NDArray[np.float64]:
        return self._levels[0].reshape(-1)[index]

    def set(self, index: NDArray[Any], weight: NDArray[Any] | float) -> None:
        """Give the leaves `index` [B] these weights; of one that is named twice the last counts."""
        self._levels[0].reshape(-1)[index] = weight
        for below, above in zip(self._levels, [*self._levels[1:], self._top], strict=True):
            index = index // FAN_OUT
            above.reshape(-1)[index] = below[index].sum(1)
        self._reach = None

    def fill(self, weights: NDArray[Any]) -> None:
        """Give all leaves their weights [size]."""
        self.leaves[:] = weights
        for below, above in zip(self._levels, [*self._levels[1:], self._top], strict=True):
            above.reshape(-1)[: len(below)] = below.sum(1)
        self._reach = None

    def find(self, mass: NDArray[np.float64]) -> NDArray[np.int64]:
        """The leaves [B] in which these masses [B], each in [0, total), fall; never one of weight 0."""
        reach = self._cumulated()
        mass = np.minimum(mass, np.nextafter(reach[-1], 0.0))
        index = reach.searchsorted(mass, side="right")
        mass = mass - np.where(index > 0, reach[index - 1], 0.0)
        for level in reversed(self._levels):
            within = level[index].cumsum(1)  # [B, FAN_OUT]
            mass = np.minimum(mass, np.nextafter(within[:, -1], 0.0))  # which the sum above may exceed by a rounding
            child = (within <= mass[:, None]).sum(1)
            if level is not self._levels[0]:
                mass = mass - np.where(child > 0, within[np.arange(len(mass)), child - 1], 0.0)
            index = index * FAN_OUT + child
        return index

    def draw(self, size: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Leaves [size] by their weights, one from each of `size` equal parts of the whole mass (stratified)."""
        return self.find((np.arange(size) + generator.random(size)) * (self.total / size))

    def _cumulated(self) -> NDArray[np.float64]:
        if self._reach is None:
            self._reach = self._top.cumsum()
        return self._reach
