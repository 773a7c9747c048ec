"""Goals in hindsight: a decision is learnt from as if what its episode reached had been its goal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from operant.config.errors import EnvError

Array = NDArray[Any]
Judge = Callable[[Array, Array], Array]
"""What was achieved [V, ...] and what was desired [V, ...] to one number or truth for each [V]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """Which goals take the place of those that were pursued, and how they are judged.

    Source: Andrychowicz et al. (2017), Hindsight experience replay, section 3 and 4.5.
    """

    strategy: Literal["future", "final", "episode"]
    """Whether what is reached after the decision, in the end, or ever in its episode."""
    k: int  # decisions with another goal for each with its own
    achieved: slice  # columns of an observation
    desired: slice
    read: Callable[[Array], Array]  # such columns [V, ...] as goals [V, ...]
    reward: Judge
    over: Judge | None = None  # whether the task ends there; as it was if not given

    def check(self, obs: Array, reward: Array, acted: Array) -> None:
        """See that rewards [N, T] are those of the goals in obs [N, T+1, D], where `acted`; roundings apart.

        Raises:
            EnvError: if they are not.
        """
        after = obs[:, 1:][acted]
        said = self.reward(self.read(after[:, self.achieved]), self.read(after[:, self.desired]))
        same = np.isclose(said, reward[acted], rtol=1e-3, atol=1e-3)
        if same.mean() < 0.9:
            first = int(np.argmin(same))
            raise EnvError(
                f"a step paid {reward[acted][first]:g}, and compute_reward says {said[first]:g} of what was reached "
                "and desired: goals in hindsight would teach another task. Let step() pay what compute_reward says, or "
                "--algo.hindsight none"
            )

    def relabelled(self, size: int) -> int:
        """Of so many decisions those that get another goal."""
        return round(size * self.k / (self.k + 1))

    def chosen(self, row: Array, first: Array, last: Array, generator: np.random.Generator) -> Array:
        """[V], for decisions in these rows, of episodes from `first` to `last`, the rows whose achieved goal they get.

        `last` is the row of what was seen last, so it lies behind every decision.
        """
        match self.strategy:
            case "future":
                return generator.integers(row + 1, last + 1)
            case "final":
                return last
            case "episode":
                return generator.integers(first, last + 1)
