"""The probability of improvement and its interval."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from operant.data.improvement import improvement_ci, probability_of_improvement


def test_pairs_counted_by_hand():
    assert probability_of_improvement([[3.0, 1.0]], [[2.0, 1.0]]) == (1 + 1 + 0 + 0.5) / 4
    assert probability_of_improvement([[2, 2], [0]], [[1], [5]]) == 0.5  # tasks count alike, whatever their runs


def test_it_is_the_mann_whitney_statistic_averaged_over_tasks():
    draw = np.random.default_rng(2)
    x, y = draw.integers(0, 5, (3, 7)).astype(float), draw.integers(0, 5, (3, 4)).astype(float)
    wanted = np.mean([mannwhitneyu(a, b).statistic / (7 * 4) for a, b in zip(x, y, strict=True)])
    assert probability_of_improvement(list(x), list(y)) == pytest.approx(wanted)
    assert probability_of_improvement(list(y), list(x)) == pytest.approx(1 - wanted)


def test_the_interval_is_that_of_a_stratified_bootstrap():
    draw = np.random.default_rng(3)
    x, y = list(draw.normal(0.5, 1, (2, 6))), list(draw.normal(0, 1, (2, 5)))
    resampled = [
        np.mean([(draw.choice(a, 6)[:, None] > draw.choice(b, 5)[None]).mean() for a, b in zip(x, y, strict=True)])
        for _ in range(4000)
    ]
    assert improvement_ci(x, y) == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.03)
    assert improvement_ci(x, y) == improvement_ci(x, y)
    low, high = improvement_ci(x, y)
    assert low < probability_of_improvement(x, y) < high


def test_what_says_nothing_has_no_interval():
    assert np.isnan(improvement_ci([[1.0]], [[2.0, 3.0]])).all()
    assert np.isnan(improvement_ci([[1.0, np.nan]], [[2.0, 3.0]])).all()
    assert np.isnan(probability_of_improvement([[1.0, np.inf]], [[2.0]]))
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement([[1.0]], [])
    with pytest.raises(ValueError, match="at least one score"):
        probability_of_improvement([[]], [[1.0]])
