"""Statistics of returns over episodes or seeds: the interquartile mean, and bootstrap intervals.

Mean and interval follow Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice"
(section 4 and the library rliable): an aggregate that a single lucky or unlucky run cannot move, with an interval
instead of a bare number. NumPy is imported inside the functions.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def iqm(values: ArrayLike) -> float:
    """The interquartile mean: the mean of what is left when the lowest and highest quarter are cut off.

    With n values sorted, k = ⌊n/4⌋ are cut at each end (as `scipy.stats.trim_mean(values, 0.25)`). The unit is that of
    the values. A value that is not finite makes the result NaN: trimming must not hide it.

    Raises ValueError when there are no values.
    """
    import numpy as np

    flat = np.asarray(values, dtype=np.float64).reshape(-1, 1)  # [n, 1]
    return float(iqm_over_rows(flat)[0])


def bootstrap_ci(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """A percentile bootstrap interval (low, high) for the IQM of `values`, which are drawn again with replacement.

    The same values and seed give the same interval. One value says nothing about spread: its interval is (NaN, NaN),
    as is that of values which are not all finite.

    Raises ValueError when there are no values.
    """
    import numpy as np

    flat = np.asarray(values, dtype=np.float64).reshape(-1, 1)  # [n, 1]
    low, high = bootstrap_band(flat, level=level, resamples=resamples, seed=seed)
    return float(low[0]), float(high[0])


def wilson_ci(share: float, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (low, high) for a proportion of which `share` of `count` trials were a success.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n) stays within [0, 1] and is not empty at 0 or 1 (Wilson 1927,
    "Probable inference, the law of succession, and statistical inference"). For scores between 0 and 1 of which `share`
    is the mean it is on the wide side.

    Raises ValueError when there are no trials or the share is none.
    """
    if count < 1 or not 0.0 <= share <= 1.0:
        raise ValueError(f"a share of {share} of {count} trials is no proportion")
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    middle, wide = share + z * z / (2 * count), z * math.sqrt(share * (1.0 - share) / count + (z / (2 * count)) ** 2)
    whole = 1.0 + z * z / count
    return min(share, max(0.0, (middle - wide) / whole)), max(share, min(1.0, (middle + wide) / whole))


def length_controlled(wins: ArrayLike, longer: ArrayLike, *, ridge: float = 1e-4) -> float:
    """The win rate that answers would have at equal length: σ(a) of the fit P(win) = σ(a + b tanh(Δ / s)).

    Args:
        wins: of each comparison [n], 1 or 0, or the probability that the answer is preferred.
        longer: Δ, by how much the answer is longer than the other [n]; s is its root mean square.
        ridge: weight of a² + b², so that the fit exists where one side always wins.

    Source: Dubois et al. (2024), Length-controlled AlpacaEval, arXiv:2404.04475, for one pair of models.
    """
    import numpy as np

    y, delta = np.asarray(wins, np.float64), np.asarray(longer, np.float64)
    x = np.column_stack([np.ones(len(y)), np.tanh(delta / (np.sqrt(np.mean(delta**2)) or 1.0))])  # [n, 2]
    raw = np.zeros(2)
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-x @ raw))
        slope = x.T @ (p - y) / len(y) + ridge * raw
        raw -= np.linalg.solve((x.T * (p * (1.0 - p))) @ x / len(y) + ridge * np.eye(2), slope)
    return float(1.0 / (1.0 + np.exp(-raw[0])))


def iqm_over_rows(values: ArrayLike) -> NDArray[np.float64]:
    """`iqm` of every column of `values` [n, P], one row per seed or episode: [P]."""
    import numpy as np

    table = _table(values)  # [n, P]
    whole = np.isfinite(table).all(axis=0)  # [P]
    return np.where(whole, _trimmed(np.where(whole, table, 0.0).T), np.nan)


def bootstrap_band(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`bootstrap_ci` of every column of `values` [n, P]: (low [P], high [P]).

    A resample draws whole rows, so that a seed's curve is drawn or left out in one piece.
    """
    import numpy as np

    table = _table(values)  # [n, P]
    count = table.shape[0]
    low, high = np.full(table.shape[1], np.nan), np.full(table.shape[1], np.nan)
    whole = np.isfinite(table).all(axis=0)  # [P]
    if count < 2 or not whole.any():
        return low, high
    draw = np.random.default_rng(seed).integers(0, count, (resamples, count))  # [R, n]
    columns = np.ascontiguousarray(table.T[whole])  # [W, n]
    drawn = np.empty((len(columns), resamples))  # [W, R]
    rows = max(1, 4_000_000 // (resamples * count))  # as many columns together as fit in a cache of moderate size
    for begin in range(0, len(columns), rows):
        drawn[begin : begin + rows] = _trimmed(columns[begin : begin + rows][:, draw])
    low[whole], high[whole] = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return low, high


def bootstrap_ratio(
    numerator: ArrayLike, denominator: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """A percentile bootstrap interval (low, high) for Σ_k (Σ_i n_ik) / (Σ_i d_ik) of [n, K] each, a row an episode.

    Whole rows are drawn again, numerators with their denominators; with denominators of 1 it is the interval of a sum
    of means. Resamples in which a denominator is 0 say nothing and are left out. One row says nothing about spread: its
    interval is (NaN, NaN).

    Raises ValueError when the shapes differ or there are no rows.

    Source: Efron (1979), Bootstrap methods; for estimates off policy Hanna, Stone and Niekum (2017), Bootstrapping with
    models.
    """
    import numpy as np

    top, bottom = _table(numerator), _table(denominator)
    if top.shape != bottom.shape:
        raise ValueError(f"numerator and denominator must have one shape; they have {top.shape} and {bottom.shape}")
    count = len(top)
    if count < 2:
        return math.nan, math.nan
    generator, found = np.random.default_rng(seed), np.empty(resamples)
    rows = max(1, 4_000_000 // count)
    for begin in range(0, resamples, rows):
        drawn = generator.multinomial(count, np.full(count, 1.0 / count), min(rows, resamples - begin))  # [R, n]
        with np.errstate(invalid="ignore", divide="ignore"):
            found[begin : begin + rows] = ((drawn @ top) / (drawn @ bottom)).sum(-1)
    found = found[np.isfinite(found)]
    if not len(found):
        return math.nan, math.nan
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _trimmed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the last axis without its lowest and highest quarter: [..., n] → [...]."""
    import numpy as np

    count = values.shape[-1]
    cut = count // 4
    if cut == 0:
        return values.mean(axis=-1)
    return np.partition(values, (cut, count - cut - 1), axis=-1)[..., cut : count - cut].mean(axis=-1)


def _table(values: ArrayLike) -> NDArray[np.float64]:
    import numpy as np

    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] == 0:
        raise ValueError(f"values must be [n, P] with n ≥ 1; their shape is {table.shape}")
    return table
