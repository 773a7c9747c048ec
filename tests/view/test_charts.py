"""The geometry of charts and the words of numbers."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from operant.run.metrics import Column
from operant.view import charts, formatting
from operant.view.bands import moving_average
from operant.view.charts import Chart, Scale


def box() -> Chart:
    """A chart in whose units the box is measured."""
    return Chart(Scale(0, 1000), Scale(0, 1000), "", [], [])


def slow_smooth(step: np.ndarray, value: np.ndarray, window: float) -> list[float]:
    means = []
    for at in step:
        near = [v for s, v in zip(step, value, strict=True) if at - window / 2 <= s <= at + window / 2]
        means.append(math.fsum(near) / len(near) if all(map(math.isfinite, near)) else math.nan)
    return means


@pytest.mark.parametrize("window", [0.0, 3.0, 25.0, 1e9])
def test_smooth_is_the_mean_of_the_rows_within_the_window(window: float) -> None:
    draw = np.random.default_rng(1)
    step = np.sort(draw.integers(0, 200, size=60)).astype(float)  # unevenly, with repeats
    value = draw.normal(size=60)
    value[[20, 41]] = math.nan, math.inf
    average, alive = moving_average(Column(step, value), step, window)
    assert np.allclose(average, slow_smooth(step, value, window), equal_nan=True)
    assert alive.all()


def test_one_huge_value_does_not_spoil_what_follows() -> None:
    value = np.ones(50)
    value[3] = 1e20
    step = np.arange(50.0)
    assert (moving_average(Column(step, value), step, 4.0)[0][6:] == 1.0).all()


@pytest.mark.parametrize(
    ("low", "high", "count", "marks"),
    [(0, 100352, 6, [0, 20000, 40000, 60000, 80000, 100000]), (0, 0.02, 3, [0, 0.01, 0.02]), (-3, 3, 3, [-2, 0, 2])],
)
def test_ticks_are_round_and_inside(low: float, high: float, count: int, marks: list[float]) -> None:
    assert np.allclose(charts.ticks(Scale(low, high), count), marks)


@pytest.mark.parametrize("span", [1e-12, 0.3, 7.0, 1234.5, 8e17, 2e300])
@pytest.mark.parametrize("count", [3, 5, 6])
def test_every_scale_has_a_few_ticks(span: float, count: int) -> None:
    scale = charts.fit([np.asarray([0.37 * span, 1.37 * span])])
    marks = charts.ticks(scale, count)
    assert 2 <= len(marks) <= count + 3
    assert all(scale.low <= mark <= scale.high * (1 + 1e-9) for mark in marks)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-200, "−200"), (50_000, "50k"), (1.5e6, "1.5M"), (0.02, "0.02"), (2e-9, "2e−9"), (-3e12, "−3e12")],
)
def test_tick_labels(value: float, text: str) -> None:
    assert charts.tick(value) == text


def test_fit_holds_everything_and_is_never_flat() -> None:
    scale = charts.fit([np.asarray([1.0, math.nan, math.inf]), np.asarray([5.0])], include=[-2.0])
    assert scale.low < -2
    assert scale.high > 5
    for values in ([3.0], [0.0, 0.0], [], [math.nan], [-1.7e308, 1.7e308]):
        scale = charts.fit([np.asarray(values)])
        assert scale.high > scale.low
        assert math.isfinite(scale.high - scale.low)


def test_thinning_keeps_extremes_ends_and_gaps() -> None:
    draw = np.random.default_rng(2)
    step, value = np.arange(100_000.0), draw.normal(size=100_000)
    value[31_234], value[77_777], value[50_000] = 40.0, -40.0, math.nan
    kept = charts.thin(step, value)
    assert len(kept) <= 1700
    assert {0, 31_234, 50_000, 77_777, 99_999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    assert len(charts.thin(step[:1200], value[:1200])) == 1200


def test_a_line_breaks_where_a_value_is_not_finite() -> None:
    x, y = np.asarray([0.0, 10.0, 20.0, 30.0, 40.0]), np.asarray([0.0, 1000.0, math.nan, 500.0, math.inf])
    chart = box()
    chart.line("raw", x, y)
    assert chart.layers == [("raw", "M0.0 1000.0L10.0 0.0M30.0 500.0h0")]


def test_a_surface_is_parted_where_a_bound_is_not_finite_and_a_layer_of_nothing_is_left_out() -> None:
    x, low, high = np.asarray([0.0, 10.0, 20.0, 30.0]), np.asarray([0.0, 0.0, math.nan, 5.0]), np.full(4, 1000.0)
    chart = box()
    chart.area("area", x, low, high)
    assert chart.layers == [("area", "M0.0 0.0L10.0 0.0L10.0 1000.0L0.0 1000.0ZM30.0 0.0L30.0 995.0Z")]
    chart.line("raw", x, np.full(4, math.nan))
    chart.dots("dot", x[:0], x[:0])
    assert len(chart.layers) == 1


def test_posts_are_drawn_once_for_each_place() -> None:
    chart = box()
    chart.posts("bad", np.asarray([500.0, 10.0, 500.2]))
    assert chart.layers == [("bad", "M10.0 0V1000M500.0 0V1000")]


def test_reach_leaves_out_only_what_is_far_from_the_bulk() -> None:
    value = np.random.default_rng(3).normal(size=500)
    low, high = charts.bulk(value)
    assert low < value.min() < value.max() < high
    value[7] = 1e7
    assert charts.bulk(value)[1] < 100
    assert charts.bulk(np.full(500, 2.0)) == (-math.inf, math.inf)
    assert charts.bulk(np.asarray([1.0, 1e9])) == (-math.inf, math.inf)


def test_what_the_pointer_reads_is_strict_json() -> None:
    chart = Chart(Scale(0, 10), Scale(0, 1), "", [], [])
    chart.reading(np.asarray([0.0, 5.0]), [("kl", [math.nan, 0.123456789]), ("eval", [None, -math.inf])])
    assert not re.search("NaN|Infinity", chart.hover)
    assert json.loads(chart.hover) == {
        "x": [0.0, 500.0],
        "step": [0, 5],
        "rows": [["kl", ["nan", 0.12346]], ["eval", [None, "-inf"]]],
        "unit": "step",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "NaN"),
        (-math.inf, "−∞"),
        (0.0, "0"),
        (500.0, "500"),
        (-12.3456, "−12.35"),
        (100352.0, "100,352"),
        (0.0071234, "0.007123"),
        (2e-5, "2e−5"),
        (4.25e12, "4.25e12"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert formatting.number(value) == text


def test_columns_durations_and_moments() -> None:
    assert [formatting.decimals([v, None, math.nan]) for v in (3.0, -431.0, 5120.0)] == [2, 1, 0]
    assert formatting.fixed(-3.0, 1) == "−3.0"
    assert formatting.fixed(math.nan, 1) == "NaN"
    assert [formatting.duration(s) for s in (24.31, 59.97, 192, 7500, None)] == [
        "24.3 s",
        "1 min 00 s",
        "3 min 12 s",
        "2 h 05 min",
        "–",
    ]
    assert formatting.timestamp("2026-01-05T10:15:00Z") == "5 January 2026, 10:15 UTC"
    assert formatting.timestamp("soon") == "soon"
