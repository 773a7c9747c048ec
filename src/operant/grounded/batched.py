"""What worlds of arrays have in common that draw their episodes by one generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from operant.env.batched import BatchedEnv
from operant.grounded.pictures import Mark, drawn

Rows = NDArray[np.intp]
Seen = dict[str, Any]
"""By name: an array [N, ...], or N texts."""


class Batched(BatchedEnv, ABC):
    """N copies of a world whose states are arrays; a subclass says how they begin, go on and look.

    Args:
        num_envs: N.
        seen: the spaces of what one copy observes.
        actions: how many there are to choose from.
        limit: steps of an episode.
        side: cells of a picture's side.
        render_mode: "rgb_array" for pictures of the first copy.
    """

    def __init__(
        self, num_envs: int, seen: Mapping[str, gymnasium.Space[Any]], actions: int, limit: int, *, side: int,
        render_mode: str | None,
    ) -> None:  # fmt: skip
        super().__init__(num_envs, spaces.Dict(dict(seen)), spaces.Discrete(actions), render_mode=render_mode)
        self.side = side
        self.limit = limit
        self.elapsed, self.all = np.zeros(num_envs, np.int64), np.arange(num_envs)
        self.rng = np.random.default_rng(0)

    @abstractmethod
    def begin(self, rows: Rows) -> None:
        """Draw a new episode in these copies, by `self.rng`."""

    @abstractmethod
    def move(self, actions: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """What was paid, [N], and which episodes are over, [N]."""

    @abstractmethod
    def see(self) -> Seen:
        """What every copy observes; arrays are fresh."""

    @abstractmethod
    def marks(self) -> list[Mark]:
        """What a picture of the first copy shows."""

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture of the first copy alone, or None."""
        return None if self.render_mode is None else (drawn(self.side, self.marks()),)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Seen, dict[str, Any]]:
        """Begin an episode in every copy; all that is drawn later follows from `seed`."""
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.elapsed[:] = 0
        self.begin(self.all)
        return self.see(), {}

    def step(self, actions: Any) -> Any:
        """One step of every copy; of those that ended, what was last seen stands in `final_obs`."""
        reward, terminated = self.move(np.asarray(actions, np.int64))
        self.elapsed += 1
        truncated = ~terminated & (self.elapsed >= self.limit)
        infos, over = dict[str, Any](), terminated | truncated
        if over.any():
            last, ended = self.see(), np.flatnonzero(over)
            infos = self.last_seen(over, lambda i: {name: x[i] for name, x in last.items()})
            self.elapsed[ended] = 0
            self.begin(ended)
        return self.see(), np.asarray(reward, np.float32), terminated, truncated, infos


def one_hot(index: NDArray[Any], size: int) -> NDArray[np.float32]:
    """[...] → [..., size]; all 0 where the index lies outside."""
    return (index[..., None] == np.arange(size)).astype(np.float32)
