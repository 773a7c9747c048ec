"""The probability that one method does better than another, over runs and tasks, with its bootstrap interval.

After Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice" (section 4.3 and the
library rliable). It needs no normalisation of the scores, so that tasks of different units can stand together. NumPy is
imported inside the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def probability_of_improvement(x: Sequence[ArrayLike], y: Sequence[ArrayLike]) -> float:
    """P(X > Y): the mean over tasks of the share of pairs of runs in which x scores more; a tie counts one half.

        P(X > Y) = 1/M Σ_m 1/(N K) Σ_i Σ_j S(x_mi, y_mj),   S = 1 if x > y, ½ if x = y, 0 if x < y

    Within a task this is the Mann–Whitney statistic U over N K.

    Args:
        x: the scores of each task, [N_m] for task m.
        y: the same of the other method, [K_m], tasks in the same order.

    Returns:
        a number in [0, 1]; NaN if any score is not finite.

    Raises:
        ValueError: if the tasks do not correspond, or one has no scores.
    """
    import numpy as np

    return float(np.mean([table.mean() for table in _tables(x, y)]))


def improvement_ci(
    x: Sequence[ArrayLike], y: Sequence[ArrayLike], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The stratified percentile bootstrap interval (low, high) of `probability_of_improvement`.

    In every task the runs of x and of y are drawn again with replacement, independently of each other and of the other
    tasks. The same scores and seed give the same interval. Where a method has a single run in some task there is no
    spread to draw from, and the interval is (NaN, NaN), as it is where a score is not finite.

    Raises:
        ValueError: as `probability_of_improvement`.
    """
    import numpy as np

    draw = np.random.default_rng(seed)
    tables = _tables(x, y)
    if any(min(table.shape) < 2 or not np.isfinite(table).all() for table in tables):
        return float("nan"), float("nan")
    total = np.zeros(resamples)
    for table in tables:  # [N, K]
        rows, columns = (draw.multinomial(n, np.full(n, 1 / n), size=resamples) for n in table.shape)
        total += np.einsum("rn,nk,rk->r", rows, table, columns) / table.size
    tail = (1 - level) / 2
    low, high = np.quantile(total / len(tables), [tail, 1 - tail])
    return float(low), float(high)


def _tables(x: Sequence[ArrayLike], y: Sequence[ArrayLike]) -> list[NDArray[np.float64]]:
    """S of every pair of runs, [N, K] a task; NaN where a score is not finite."""
    import numpy as np

    if len(x) != len(y) or not len(x):
        raise ValueError(f"the methods must have the same tasks, at least one; they have {len(x)} and {len(y)}")
    found: list[NDArray[np.float64]] = []
    for a, b in zip(x, y, strict=True):
        first, second = (np.asarray(v, dtype=np.float64).reshape(-1) for v in (a, b))
        if not len(first) or not len(second):
            raise ValueError("every task needs at least one score of each method")
        table = (np.sign(first[:, None] - second[None, :]) + 1) / 2 if np.isfinite(first).all() else None
        if table is None or not np.isfinite(second).all():
            table = np.full((len(first), len(second)), np.nan)
        found.append(table)
    return found
