"""The bounds of automatic domain randomisation: what an episode draws, and how returns at a bound move it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from operant.config.randomise import ranges
from operant.robots.settings import ADRConfig

SIDES = ("low", "high")


class Pin(NamedTuple):
    """The bound that an episode is played at: the number of its parameter, and 0 for the low side or 1 for the high."""

    parameter: int
    side: int


class Bounds:
    """[φ_L, φ_H] of each parameter, both at first the calibrated value, and the returns at each bound.

    Of m returns at a bound with mean ≥ t_H it is moved outward by Δ, with mean ≤ t_L inward, never beyond its limit or
    the calibrated value; then they are forgotten. Which bound an episode is at is carried with it: two bounds may be
    equal, and at first all are.

    Args:
        cfg: the settings, with limits and both thresholds.

    Attributes:
        limits: the parameters and their limits.
        at: [d, 2], the bounds.
        returns: the returns at each bound that is not decided on yet.
    """

    def __init__(self, cfg: ADRConfig) -> None:
        assert cfg.high is not None
        assert cfg.low is not None
        self.cfg, self.limits = cfg, ranges(cfg.limits)
        self._high, self._low = cfg.high, cfg.low
        self.calibrated = np.array([one.calibrated for one in self.limits])
        self.furthest = np.array([[one.low, one.high] for one in self.limits])
        self.at = np.repeat(self.calibrated[:, None], 2, 1)
        self.returns: dict[Pin, list[float]] = {Pin(k, side): [] for k in range(len(self.limits)) for side in (0, 1)}

    def draw(self, generator: np.random.Generator) -> tuple[dict[str, float], Pin | None]:
        """λ_i ~ U[φ_L, φ_H], and with probability p_b one of them at one of its bounds: which, or None."""
        drawn = generator.uniform(self.at[:, 0], self.at[:, 1])
        pinned, which = generator.random(2)
        pin, free = None, self.movable()
        if pinned < self.cfg.boundary and free:
            pin = free[int(which * len(free))]
            drawn[pin.parameter] = self.at[pin]
        return {one.name: float(x) for one, x in zip(self.limits, drawn, strict=True)}, pin

    def movable(self) -> list[Pin]:
        """The bounds that episodes are played at: all whose limit is not the calibrated value.

        Without `capped` those that have come to their limit are left out, and stay there whatever the policy does.
        """
        return [
            pin
            for pin in self.returns
            if self.furthest[pin] != (self.calibrated[pin.parameter] if self.cfg.capped else self.at[pin])
        ]

    def record(self, pin: Pin, total: float) -> dict[str, Any] | None:
        """Note the return of an episode at a bound; where it is the m-th, decide, and return the row of the log."""
        held = self.returns[pin]
        held.append(total)
        if len(held) < self.cfg.buffer:
            return None
        mean, told = float(np.mean(held)), [*held]
        held.clear()
        way = (mean >= self._high) - (mean <= self._low)
        reach = float(self.furthest[pin] - self.calibrated[pin.parameter])
        ends = sorted((float(self.furthest[pin]), float(self.calibrated[pin.parameter])))
        self.at[pin] = np.clip(self.at[pin] + way * self.cfg.step * reach, ends[0], ends[1])
        low, high = (float(x) for x in self.at[pin.parameter])
        name, side = self.limits[pin.parameter].name, SIDES[pin.side]
        move = {1: "widened", 0: "kept", -1: "narrowed"}[way]
        return {
            "parameter": name, "side": side, "returns": told, "mean": mean, "move": move, "low": low, "high": high,
        }  # fmt: skip

    @property
    def entropy(self) -> float:
        """(1/d) Σ log(φ_H − φ_L), in nats; −inf while a parameter is not drawn at all."""
        widths = self.at[:, 1] - self.at[:, 0]
        with np.errstate(divide="ignore"):
            return float(np.log(widths).mean())

    @property
    def share(self) -> float:
        """The mean over parameters of how much of the range within its limits is drawn from, 0 to 1."""
        return float(((self.at[:, 1] - self.at[:, 0]) / (self.furthest[:, 1] - self.furthest[:, 0])).mean())

    def named(self) -> dict[str, float]:
        """Each bound by name."""
        return {f"{self.limits[pin.parameter].name}/{SIDES[pin.side]}": float(self.at[pin]) for pin in self.returns}


def replay(cfg: ADRConfig, rows: Iterable[Mapping[str, Any]]) -> Bounds:
    """The bounds that the rows of a log (`adr.jsonl`) lead to, from their returns alone."""
    bounds = Bounds(cfg)
    number = {one.name: k for k, one in enumerate(bounds.limits)}
    for row in rows:
        pin = Pin(number[row["parameter"]], SIDES.index(row["side"]))
        for total in row["returns"]:
            bounds.record(pin, total)
    return bounds
