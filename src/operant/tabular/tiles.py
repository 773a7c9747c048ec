# pyright: basic
"""Tile coding: a point of a box becomes the one tile of each of several shifted grids that it lies in.

The box is bounded, so the tiles are counted and none is hashed: different tiles never collide. Source: Sutton and Barto
(2018), section 9.5.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.config.errors import ConfigError
from operant.data.ranges import indices, whole
from operant.mdp.analyse.sampler import compiled


class Grids(NamedTuple):
    """What the compiled functions read."""

    low: Any  # [D]
    high: Any  # [D]
    width: Any  # [D]  of a tile
    offset: Any  # [G, D]  shift of each grid, in tiles, in [0, 1)
    stride: Any  # [D]  of the numbering within a grid
    size: int  # tiles of a grid


@dataclass(frozen=True, eq=False)
class TileCoder:
    """`tilings` grids over a box, each with `tiles` tiles per dimension and one more where the shift shows.

    Grid i is shifted by i · (1, 3, 5, …) / tilings of a tile, modulo a tile, against the diagonal artefacts of equal
    shifts (Miller and Glanz 1996).

    Args:
        low, high: the box, [D]; points outside count as those on its edge.
        tiles: per dimension, one number or [D].
        tilings: G.

    Raises:
        ConfigError: if the box is empty or unbounded, or a number is not positive.
    """

    low: ArrayLike
    high: ArrayLike
    tiles: int | tuple[int, ...] = 8
    tilings: int = 8
    grids: Grids = field(init=False)

    def __post_init__(self) -> None:
        low, high = np.array(self.low, dtype=np.float64), np.array(self.high, dtype=np.float64)
        tiles = indices("tiles", self.tiles, 2**31)
        whole("tilings", self.tilings)
        if tiles.shape not in ((), low.shape):
            raise ConfigError(f"tiles are {self.tiles}: expected one number, or one for each dimension of {low}.")
        tiles = np.broadcast_to(tiles, low.shape)
        if low.ndim != 1 or low.shape != high.shape or not np.all(np.isfinite(high - low) & (high > low)):
            raise ConfigError(f"tiles cover a bounded box: low is {low}, high is {high}.")
        if tiles.min(initial=1) < 1:
            raise ConfigError(f"there are {tiles} tiles: at least 1.")
        odd = 2 * np.arange(len(low)) + 1
        stride = np.concatenate(([1], np.cumprod(tiles + 1)))
        offset = (np.arange(self.tilings)[:, None] * odd[None, :] % self.tilings) / self.tilings
        grids = Grids(low, high, (high - low) / tiles, offset, stride[:-1].copy(), int(stride[-1]))
        object.__setattr__(self, "grids", grids)

    @property
    def features(self) -> int:
        """F: tiles of all grids."""
        return self.tilings * self.grids.size

    def active(self, point: ArrayLike) -> NDArray[np.int64]:
        """The feature of each grid that is 1 at a point [D], [G].

        Raises:
            ConfigError: if the point has another number of coordinates, or one is NaN.
        """
        at, out = np.asarray(point, dtype=np.float64), np.zeros(self.tilings, dtype=np.int64)
        if at.shape != self.grids.low.shape or not tile_of(self.grids, at, out):
            raise ConfigError(f"the point is {point!r}: expected {len(self.grids.low)} numbers, none of them NaN.")
        return out


@compiled
def tile_of(grids, point, out):
    """The tile of each grid, into `out` [G]; False, and nothing there, if a coordinate is NaN."""
    for d in range(len(point)):
        if np.isnan(point[d]):
            return False
    for i in range(len(out)):
        index = i * grids.size
        for d in range(len(point)):
            inside = min(max(point[d], grids.low[d]), grids.high[d])
            index += np.int64((inside - grids.low[d]) / grids.width[d] + grids.offset[i, d]) * grids.stride[d]
        out[i] = index
    return True
