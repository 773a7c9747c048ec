"""The weight of the divergence from a reference: constant, falling, or steered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from operant.math.divergence import steered


@dataclass
class Penalty:
    """β and how it moves. `value` is the whole state; `start` gives a linear one its slope.

    Args:
        start: β at the beginning.
        schedule: linear falls to 0 as `left` does; adaptive is `operant.math.divergence.steered`.
        target: nats per completion, of an adaptive one.
        horizon: completions, of an adaptive one.
    """

    start: float
    schedule: Literal["constant", "linear", "adaptive"] = "constant"
    target: float = 6.0
    horizon: int = 10_000

    def __post_init__(self) -> None:
        self.value = self.start

    def begin(self, left: float) -> float:
        """β of a step, `left` the share of training that is still to come."""
        if self.schedule == "linear":
            self.value = self.start * left
        return self.value

    def end(self, kl: float, completions: int) -> None:
        """Note the divergence measured in a step, in nats per completion."""
        if self.schedule == "adaptive":
            self.value = steered(self.value, kl, target=self.target, horizon=self.horizon, n=completions)
