"""The interquartile mean and its bootstrap interval, and the interval of a proportion."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, trim_mean

from operant.data.stats import bootstrap_band, bootstrap_ci, iqm, iqm_over_rows, length_controlled, wilson_ci


def test_iqm_is_the_mean_of_the_middle_half() -> None:
    assert iqm(range(8)) == np.mean([2, 3, 4, 5])
    assert iqm([-1000.0, 1.0, 2.0, 3.0, 1000.0]) == 2.0
    assert iqm([7.0]) == 7.0
    draws = np.random.default_rng(1).normal(size=101)
    assert iqm(draws) == trim_mean(draws, 0.25)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_value_is_not_trimmed_away(bad: float) -> None:
    assert np.isnan(iqm([1.0, 2.0, 3.0, 4.0, 5.0, bad]))
    assert np.isnan(bootstrap_ci([1.0, 2.0, 3.0, 4.0, 5.0, bad])).all()


def test_the_interval_is_the_percentiles_of_resampled_iqms() -> None:
    draws = np.random.default_rng(2).normal(3.0, 1.0, size=60)
    low, high = bootstrap_ci(draws, resamples=4000)
    assert low < iqm(draws) < high
    generator = np.random.default_rng(9)
    resampled = [iqm(generator.choice(draws, size=60)) for _ in range(4000)]
    slow = np.percentile(resampled, [2.5, 97.5])
    assert np.allclose([low, high], slow, atol=0.03)
    narrow = bootstrap_ci(draws, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_the_interval_is_a_function_of_values_and_seed() -> None:
    draws = np.random.default_rng(3).normal(size=20)
    state = np.random.get_state()[1].copy()
    assert bootstrap_ci(draws, seed=4) == bootstrap_ci(draws, seed=4)
    assert bootstrap_ci(draws, seed=4) != bootstrap_ci(draws, seed=5)
    assert (np.random.get_state()[1] == state).all()


def test_equal_values_and_single_values() -> None:
    assert bootstrap_ci([5.0] * 9) == (5.0, 5.0)
    assert np.isnan(bootstrap_ci([5.0])).all()
    with pytest.raises(ValueError, match="n ≥ 1"):
        iqm([])


def test_columns_are_treated_apart_and_rows_drawn_whole() -> None:
    table = np.random.default_rng(5).normal(size=(6, 3))
    table[2, 1] = np.nan
    middle = iqm_over_rows(table)
    low, high = bootstrap_band(table)
    assert middle[0] == iqm(table[:, 0])
    assert middle[2] == iqm(table[:, 2])
    assert np.isnan([middle[1], low[1], high[1]]).all()
    assert (low[[0, 2]] < middle[[0, 2]]).all()
    assert (middle[[0, 2]] < high[[0, 2]]).all()
    shifted = np.stack([table[:, 0], table[:, 0] + 10.0], axis=1)  # whole rows: the same draws in both columns
    low, high = bootstrap_band(shifted)
    assert np.allclose([low[1] - low[0], high[1] - high[0]], 10.0)


@pytest.mark.parametrize("shape", [(2, 3), (5, 40), (9, 1)])
def test_the_interval_is_that_of_scipy(shape: tuple[int, int]) -> None:
    table = np.random.default_rng(4).normal(size=shape)
    found = bootstrap_band(table)
    wanted = bootstrap(
        (table,),
        lambda x, axis: trim_mean(x, 0.25, axis=axis),
        axis=0,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(("right", "count"), [(0, 1), (0, 200), (180, 200), (200, 200), (1, 3)])
def test_the_interval_of_a_proportion_is_wilsons(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson_ci(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("share", "count"), [(0.5, 0), (1.2, 4), (np.nan, 4)])
def test_no_proportion_has_no_interval(share: float, count: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson_ci(share, count)


def test_a_win_rate_at_equal_length_is_found_where_longer_answers_are_preferred() -> None:
    """Of answers that are no better and longer by 20 letters on average, half win at equal length, and more in all."""
    generator = np.random.default_rng(5)
    longer = generator.normal(20.0, 30.0, size=4000)
    scale = np.sqrt(np.mean(longer**2))
    for better in (0.0, 1.0):
        chance = 1.0 / (1.0 + np.exp(-(better + 1.5 * np.tanh(longer / scale))))
        assert length_controlled(chance, longer) == pytest.approx(1.0 / (1.0 + np.exp(-better)), abs=2e-3)
        wins = generator.random(4000) < chance
        assert length_controlled(wins, longer) == pytest.approx(1.0 / (1.0 + np.exp(-better)), abs=0.03)
        assert wins.mean() > length_controlled(wins, longer) + 0.05


def test_a_win_rate_of_equal_lengths_is_the_mean_and_one_side_may_always_win() -> None:
    assert length_controlled([1.0, 0.0, 1.0, 1.0], [0, 0, 0, 0]) == pytest.approx(0.75, abs=1e-3)
    assert 0.97 < length_controlled([1.0] * 5, [1, 2, 3, -1, 0]) <= 1.0
