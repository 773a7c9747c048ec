"""Strength: Bradley–Terry ratings on Elo's scale with intervals, and a pool of past selves drawn by their quality."""

from __future__ import annotations

from statistics import NormalDist
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operant.config.errors import ConfigError

SCALE = 400.0 / np.log(10.0)
"""Points of Elo for one unit of log-odds."""


class Ratings(NamedTuple):
    """Elo of K players, and bounds of it."""

    elo: NDArray[np.float64]  # [K] player 0 is at 0
    low: NDArray[np.float64]  # [K]
    high: NDArray[np.float64]  # [K]


def ratings(points: ArrayLike, *, level: float = 0.95, prior: float = 0.5) -> Ratings:
    """Maximum a posteriori of P(i beats j) = σ(r_i − r_j), by Newton's method; a draw is half a point to each.

    Args:
        points: [K, K], what row took from column: wins and half the draws.
        level: of the intervals, Wald's on the difference to player 0, whose own is a point.
        prior: half-points that each pair that met drew besides, which keeps ratings finite where one won every game.

    Raises:
        ConfigError: if `points` is no square of numbers of at least 0, or players fall into groups that never met.

    Source: Bradley and Terry (1952); Elo (1978), The rating of chessplayers; Hunter (2004), MM algorithms for
    generalized Bradley–Terry models, for when the maximum exists.
    """
    won = np.array(points, np.float64)
    if won.ndim != 2 or won.shape[0] != won.shape[1] or not np.isfinite(won).all() or (won < 0).any():
        raise ConfigError(f"points must be a square of numbers of at least 0, got {list(won.shape)}")
    np.fill_diagonal(won, 0.0)
    met = (won + won.T) > 0
    linked = np.linalg.matrix_power(met + np.eye(len(won)), len(won)) > 0
    if not linked.all():
        alone = np.flatnonzero(~linked[0]).tolist()
        raise ConfigError(f"players {alone} never met the others: no rating compares them")
    won = won + prior * met
    games, r, curve = won + won.T, np.zeros(len(won)), np.eye(len(won))
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(r[None] - r[:, None]))
        slope = (won - games * p).sum(1)
        weight = games * p * (1.0 - p)
        curve = np.diag(weight.sum(1)) - weight
        step = np.zeros(len(won))
        step[1:] = np.linalg.solve(curve[1:, 1:], slope[1:])
        r += step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-10:
            break
    error = np.zeros(len(won))
    error[1:] = np.sqrt(np.diag(np.linalg.inv(curve[1:, 1:])))
    wide = NormalDist().inv_cdf((1.0 + level) / 2.0) * error
    return Ratings(SCALE * r, SCALE * (r - wide), SCALE * (r + wide))


LEAST = 0.01
"""Of N p in the step of a quality, so that one game with somebody who is hardly ever drawn does not take all."""
Past = TypeVar("Past")


class Pool(Generic[Past]):
    """Past selves as opponents: the newest self with probability `latest`, else one drawn ∝ exp(quality).

    A new one begins with the highest quality there is. Where the learner beats one, its quality falls by
    `rate` / (N p), p the probability with which it was drawn: what is beaten fades, what still wins stays.

    Args:
        latest: share of games against the newest self.
        rate: of the qualities.

    Raises:
        ConfigError: if a number is out of its range.

    Source: Berner et al. (2019), Dota 2 with large scale deep reinforcement learning, appendix N.
    """

    def __init__(self, *, latest: float = 0.8, rate: float = 0.01) -> None:
        if not 0.0 <= latest <= 1.0 or not rate >= 0.0:
            raise ConfigError("latest must lie within 0 and 1, and rate be at least 0")
        self.latest, self.rate = latest, rate
        self.past: list[Past] = []
        self.quality: list[float] = []

    def add(self, past: Past) -> None:
        """Keep a self."""
        self.quality.append(max(self.quality, default=0.0))
        self.past.append(past)

    def probabilities(self) -> NDArray[np.float64]:
        """[N] with which each past self is drawn, where it is not the newest."""
        shifted = np.exp(np.array(self.quality) - max(self.quality, default=0.0))
        return shifted / shifted.sum()

    def draw(self, generator: np.random.Generator) -> int | None:
        """The number of a past self; None is the newest self, which is in training."""
        if not self.past or generator.random() < self.latest:
            return None
        return int(generator.choice(len(self.past), p=self.probabilities()))

    def beaten(self, index: int) -> None:
        """The learner won against a past self."""
        share = len(self.past) * self.probabilities()[index]
        self.quality[index] -= self.rate / max(share, LEAST)
