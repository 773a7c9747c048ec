"""Whether what a policy does when it takes its mode falls far behind what its samples do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from operant.config.errors import OperantError
from operant.data.stats import bootstrap_ci, iqm, wilson_ci
from operant.run.evaluate import Evaluation
from operant.run.metrics import read_metrics

FEWEST = 10
"""Episodes, and iterations of training, below which nothing is said."""
APART = 0.25
"""The share of the spread of training's returns by which the two intervals must lie apart."""
POINTS = 0.05
"""The same for accuracies."""


def falls_behind(run: Path, result: Evaluation, more: Mapping[str, Any]) -> str | None:
    """What to say where the mode of a policy, which was measured, is far below its samples; None where it is not.

    Returns are held against those of the last tenth of training, which were sampled: the 95 % bootstrap intervals of
    the two interquartile means must lie apart by a quarter of the spread of training's returns (their 5 % to 95 %
    quantile). Accuracies are held against those of samples: Wilson's intervals must lie apart, and the two by 0.05.
    """
    if (greedy := more.get("eval/accuracy_greedy")) is not None:
        sampled, count = more.get("eval/accuracy_sampled"), len(result.returns)
        if sampled is None or not 0.0 <= greedy <= sampled - POINTS or sampled > 1.0:
            return None
        if wilson_ci(greedy, count)[1] >= wilson_ci(sampled, count)[0]:
            return None
        return (
            f"Greedy decoding is right on {100 * greedy:.1f} % of the prompts, far below its samples, "
            f"{100 * sampled:.1f} %. Sample when you use it, or train longer or at a lower sampling.temperature."
        )
    try:
        column = read_metrics(run, ["train/return"]).column("train/return")
    except OperantError:
        return None
    returns = result.returns[np.isfinite(result.returns)]
    if column is None or len(returns) < max(FEWEST, len(result.returns)) or not np.isfinite(column.value).all():
        return None
    late = column.value[column.step >= 0.9 * column.step[-1]]
    if len(late) < FEWEST:
        return None
    (_, high), (low, _) = bootstrap_ci(returns), bootstrap_ci(late)
    spread = float(np.subtract(*np.quantile(column.value, (0.95, 0.05))))
    if not low - high > APART * spread:
        return None
    return (
        f"The policy's mode returns {iqm(returns):.4g} (interquartile mean), far below its samples at the end of "
        f"training, {iqm(late):.4g}. To measure samples: operant eval {run} --stochastic. To bring the two together "
        "train longer, or with a lower algo.entropy_coef where that is set."
    )
