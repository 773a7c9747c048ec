"""Search without derivatives: points are asked for, scored, and told. Scores are to be as large as possible.

    search = CMAES(mean, deviation, seed=1)
    while search.evaluations < 1000:
        points = search.ask()                       # [K, n]
        search.tell([score(x) for x in points])     # [K]
    best, its_score = search.best

Three ways to the same interface: the finite differences by which a robot dog learnt to walk, the cross-entropy method,
and the evolution strategy that adapts a whole covariance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


class BlackBox(ABC):
    """What the three have in common.

    Args:
        mean: [n], where it begins.
        deviation: [n] or one number, how far around it looks at first.
        population: K, points that are asked for at once.
        seed: of what is drawn.
        low, high: [n] or one number, bounds that no point leaves; none by default.

    Attributes:
        mean: [n], the point that it stands at.
        evaluations: points that were scored.
        best: the best point [n] so far and its score; NaNs and −∞ before there is one.
    """

    def __init__(
        self, mean: ArrayLike, deviation: ArrayLike, *, population: int, seed: int, low: ArrayLike = -np.inf,
        high: ArrayLike = np.inf,
    ) -> None:  # fmt: skip
        self.mean = np.array(mean, np.float64)
        self.deviation: Points = np.broadcast_to(np.asarray(deviation, np.float64), self.mean.shape).copy()
        if self.mean.ndim != 1 or not np.isfinite(self.mean).all() or not (self.deviation > 0.0).all():
            raise ValueError("give finite numbers [n] to begin with, and deviations of more than 0")
        if population < 2:
            raise ValueError(f"a population of {population}: give 2 points or more")
        self.population, self.low, self.high = population, low, high
        self.generator, self.evaluations = np.random.default_rng(seed), 0
        self.best: tuple[Points, float] = (np.full_like(self.mean, np.nan), -np.inf)
        self._asked: Points | None = None

    def ask(self) -> Points:
        """[K, n], points to be scored; the same ones until they are."""
        if self._asked is None:
            self._asked = np.clip(self._draw(), self.low, self.high)
        return self._asked.copy()

    def tell(self, scores: ArrayLike) -> None:
        """[K], the scores of the points that were asked for. One that is not a number counts as the worst.

        Raises:
            ValueError: if none were asked for, or there are not as many.
        """
        told = np.asarray(scores, np.float64)
        if self._asked is None or told.shape != (len(self._asked),):
            raise ValueError(f"{told.shape} scores for {0 if self._asked is None else len(self._asked)} points")
        told = np.where(np.isnan(told), -np.inf, told)
        points, self._asked = self._asked, None
        self.evaluations += len(points)
        first = int(told.argmax())
        if told[first] > self.best[1]:
            self.best = (points[first].copy(), float(told[first]))
        self._move(points, told)

    @abstractmethod
    def _draw(self) -> Points: ...

    @abstractmethod
    def _move(self, points: Points, scores: Points) -> None: ...


class FiniteDifferences(BlackBox):
    """Steps of a fixed length up a slope that is estimated one dimension at a time, from random neighbours.

    Each of K neighbours has −ε_j, 0 or +ε_j added in each dimension j. Where the mean score of those with 0 is the
    highest, A_j = 0, else A_j = mean of those with +ε_j less mean of those with −ε_j; the step is η A/|A|, in units of
    the deviations ε.

    Args:
        step: η; |A| is taken in units of ε.

    Source: Kohl and Stone (2004), Policy gradient reinforcement learning for fast quadrupedal locomotion, figure 3.
    """

    def __init__(
        self, mean: ArrayLike, deviation: ArrayLike, *, step: float = 2.0, population: int = 15, seed: int = 0,
        low: ArrayLike = -np.inf, high: ArrayLike = np.inf,
    ) -> None:  # fmt: skip
        super().__init__(mean, deviation, population=population, seed=seed, low=low, high=high)
        self.step, self._signs = step, np.zeros((population, len(self.mean)), np.int64)

    def _draw(self) -> Points:
        self._signs = self.generator.integers(-1, 2, (self.population, len(self.mean)))
        return self.mean + self._signs * self.deviation

    def _move(self, points: Points, scores: Points) -> None:
        finite = np.isfinite(scores)
        floor = scores[finite].min() if finite.any() else 0.0
        known, means = np.where(finite, scores, floor), np.full((3, len(self.mean)), np.nan)
        for k, sign in enumerate((-1, 0, 1)):
            there = self._signs == sign
            count = there.sum(0)
            means[k, count > 0] = (known @ there)[count > 0] / count[count > 0]
        down, middle, up = means
        slope = np.where((middle > up) & (middle > down), 0.0, np.nan_to_num(up - down))
        length = float(np.linalg.norm(slope))
        if length > 0.0:
            self.mean = np.clip(self.mean + self.step * self.deviation * slope / length, self.low, self.high)


class CrossEntropy(BlackBox):
    """A normal distribution with independent dimensions, moved to the best of what is drawn from it.

    Args:
        elite: share of the points that it is moved to.
        noise: added to the deviations, so that they do not collapse early; falls to 0 over `cooling` rounds.
        smoothing: share of the old mean and deviations that is kept.

    Source: Rubinstein (1999), The cross-entropy method; Szita and Lőrincz (2006) for the noise.
    """

    def __init__(
        self, mean: ArrayLike, deviation: ArrayLike, *, population: int = 50, elite: float = 0.2, noise: float = 0.0,
        cooling: int = 20, smoothing: float = 0.0, seed: int = 0, low: ArrayLike = -np.inf, high: ArrayLike = np.inf,
    ) -> None:  # fmt: skip
        super().__init__(mean, deviation, population=population, seed=seed, low=low, high=high)
        self.elite, self.noise, self.cooling, self.smoothing = (
            max(1, round(elite * population)),
            noise,
            cooling,
            smoothing,
        )
        self.rounds, self._first = 0, self.deviation.copy()

    def _draw(self) -> Points:
        return self.mean + self.deviation * self.generator.standard_normal((self.population, len(self.mean)))

    def _move(self, points: Points, scores: Points) -> None:
        self.rounds += 1
        best = points[np.argsort(-scores, kind="stable")[: self.elite]]
        more = self.noise * max(0.0, 1.0 - self.rounds / self.cooling) * self._first
        old = self.smoothing
        self.mean = old * self.mean + (1.0 - old) * best.mean(0)
        self.deviation = np.maximum(old * self.deviation + (1.0 - old) * best.std(0) + more, 1e-12)


class CMAES(BlackBox):
    """The evolution strategy that adapts the covariance of what it draws, and the length of its steps.

    Points are m + σ N(0, C). m moves to the weighted best; C learns from where it moved (rank one, by a path) and from
    where the best lay (rank μ); σ grows while steps agree and shrinks while they take each other back. All constants
    are Hansen's. It does not see a monotone change of the scores, nor (given time) a linear one of the space.

    Source: Hansen (2016), The CMA evolution strategy: a tutorial, arXiv:1604.00772, figure 6.
    """

    def __init__(
        self, mean: ArrayLike, deviation: ArrayLike, *, population: int | None = None, seed: int = 0,
        low: ArrayLike = -np.inf, high: ArrayLike = np.inf,
    ) -> None:  # fmt: skip
        n = len(np.atleast_1d(np.asarray(mean)))
        size = population or 4 + int(3 * log(n))
        super().__init__(mean, deviation, population=size, seed=seed, low=low, high=high)
        self.parents = size // 2
        weight = log((size + 1) / 2) - np.log(np.arange(1, self.parents + 1))
        self.weight = weight / weight.sum()
        self.mu_eff = 1.0 / float((self.weight**2).sum())
        self.c_sigma = (self.mu_eff + 2) / (n + self.mu_eff + 5)
        self.d_sigma = 1 + 2 * max(0.0, sqrt((self.mu_eff - 1) / (n + 1)) - 1) + self.c_sigma
        self.c_c = (4 + self.mu_eff / n) / (n + 4 + 2 * self.mu_eff / n)
        self.c_1 = 2 / ((n + 1.3) ** 2 + self.mu_eff)
        self.c_mu = min(1 - self.c_1, 2 * (self.mu_eff - 2 + 1 / self.mu_eff) / ((n + 2) ** 2 + self.mu_eff))
        self.expected = sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))  # E|N(0, I)|
        self.sigma, self.scale = 1.0, self.deviation  # what is searched is in units of the deviations given
        self.covariance, self.path_sigma, self.path_c = np.eye(n), np.zeros(n), np.zeros(n)
        self.rounds = 0
        self._axes, self._lengths = np.eye(n), np.ones(n)

    def _draw(self) -> Points:
        values, self._axes = np.linalg.eigh(self.covariance)
        self._lengths = np.sqrt(np.maximum(values, 1e-20))
        steps = self.generator.standard_normal((self.population, len(self.mean))) * self._lengths @ self._axes.T
        return self.mean + self.sigma * self.scale * steps

    def _move(self, points: Points, scores: Points) -> None:
        n, self.rounds = len(self.mean), self.rounds + 1
        best = np.argsort(-scores, kind="stable")[: self.parents]
        steps = (points[best] - self.mean) / (self.sigma * self.scale)  # [μ, n], as they were after the bounds
        moved = self.weight @ steps
        self.mean = self.mean + self.sigma * self.scale * moved
        whitened = self._axes @ ((moved @ self._axes) / self._lengths)
        self.path_sigma = (1 - self.c_sigma) * self.path_sigma + sqrt(
            self.c_sigma * (2 - self.c_sigma) * self.mu_eff
        ) * whitened
        length = float(np.linalg.norm(self.path_sigma))
        usual = length / sqrt(1 - (1 - self.c_sigma) ** (2 * self.rounds)) < (1.4 + 2 / (n + 1)) * self.expected
        self.path_c = (1 - self.c_c) * self.path_c
        if usual:
            self.path_c = self.path_c + sqrt(self.c_c * (2 - self.c_c) * self.mu_eff) * moved
        lost = 0.0 if usual else self.c_1 * self.c_c * (2 - self.c_c)
        covariance = (1 - self.c_1 - self.c_mu + lost) * self.covariance
        covariance += self.c_1 * np.outer(self.path_c, self.path_c) + self.c_mu * (self.weight * steps.T) @ steps
        self.covariance = 0.5 * (covariance + covariance.T)
        self.sigma *= float(np.exp(min(1.0, self.c_sigma / self.d_sigma * (length / self.expected - 1))))
