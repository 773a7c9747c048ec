"""The panels of a report that are pictures: learning curve, diagnostics, returns of an evaluation, time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from operant.data.stats import bootstrap_ci, iqm
from operant.view import charts
from operant.view.bands import moving_average
from operant.view.charts import Chart, Scale
from operant.view.diagnostics import DIAGNOSTICS, Diagnostic, of_tokens, unlisted
from operant.view.words import count, number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from operant.run.metrics import Column, Metrics

WINDOW = 0.05
"""Width of the moving average of a learning curve, as a share of the steps shown."""

ONE_STEP = 1e-6
"""A policy that moves less, in nats, within a batch has made one step on it: what is left is rounding."""


def learning_curve(metrics: Metrics, evaluations: Sequence[Mapping[str, Any]], until: float) -> dict[str, Any] | None:
    """Training return, raw and smoothed over it, and evaluations with their spread; None when there is neither.

    `until` is the right end of the axis, in environment steps, where the data end sooner.
    """
    import numpy as np

    every = metrics.column("train/return", superseded=None)
    if every is None and not evaluations:
        return None
    eval_step = np.asarray([e["step"] for e in evaluations], dtype=np.float64)  # [E]
    mean = np.asarray([e["mean"] for e in evaluations], dtype=np.float64)
    std = np.asarray([e["std"] for e in evaluations], dtype=np.float64)
    steps = [eval_step] if every is None else [every.step, eval_step]
    end = max([until, *(float(s.max()) for s in steps if len(s))])
    values = [mean - std, mean + std, mean] + ([] if every is None else [every.value])
    chart = charts.frame(Scale(0.0, end or 1.0), charts.fit(values), x_count=6, y_count=5)
    window = float(f"{WINDOW * end:.1g}")
    readings: list[tuple[str, Sequence[float | None]]] = []
    axis = eval_step
    train, resumed = metrics.column("train/return"), metrics.resumed
    _mark_bad(chart, every)
    _draw(chart, "redone", metrics.column("train/return", superseded=True))
    if train is not None:
        _draw(chart, "raw", train)
        average, _ = moving_average(train, train.step, window)
        kept = charts.thin(train.step, average)
        chart.draw("smooth", charts.line(chart.x(train.step[kept]), chart.y(average[kept])))
        chart.draw("attempt", charts.posts(chart.x(resumed)))
        shown = np.union1d(kept, charts.thin(train.step, train.value))
        axis = train.step[shown]
        readings = [("return", train.value[shown].tolist()), ("smoothed", average[shown].tolist())]
    finite = np.isfinite(mean + std)
    at = chart.x(eval_step[finite])
    chart.draw("whisker", charts.bars(at, chart.y((mean - std)[finite]), chart.y((mean + std)[finite])))
    chart.draw("dot", charts.dots(at, chart.y(mean[finite])))
    chart.draw("bad", charts.posts(chart.x(eval_step[~finite])))
    if len(eval_step) and len(axis):
        readings.append(("evaluation", _near(axis, eval_step, mean, reach=0.01 * end)))
    chart.hover = charts.hover(chart, axis, readings)
    chart.label = "Return over environment steps"
    return {"chart": chart, "window": count(window), "train": train is not None, "resumed": len(resumed) > 0}


def diagnostics(metrics: Metrics) -> list[dict[str, Any]]:
    """A small chart for each diagnostic that was measured, and for every other metric that was ever not finite."""
    import numpy as np

    every = {name: metrics.column(name, superseded=None) for name in sorted(metrics.values)}
    listed = {row.metric for row in DIAGNOSTICS} | {"train/return"}
    bad = [n for n, c in every.items() if n not in listed and c is not None and not np.isfinite(c.value).all()]
    table = [row for row in DIAGNOSTICS if every.get(row.metric) is not None] + [unlisted(name) for name in bad]
    if every.get("completion/length") is not None:
        moved = every.get("policy/kl")
        once = moved is not None and bool((np.abs(moved.value) < ONE_STEP).all())
        table = [of_tokens(row, once=once) for row in table]
    current = [(row, metrics.column(row.metric)) for row in table]
    return [_diagnostic(row, column, every[row.metric]) for row, column in current if column is not None]


def _diagnostic(row: Diagnostic, current: Column, every: Column | None) -> dict[str, Any]:
    import numpy as np

    low, high = charts.reach(current.value)
    bounds = [b for b in (row.low, row.high) if b is not None]
    inside = current.value[(current.value >= low) & (current.value <= high)]
    chart = charts.frame(
        Scale(0.0, float(current.step.max()) or 1.0), charts.fit([inside], include=bounds), x_count=3, y_count=3
    )
    if bounds:
        top = chart.y.percent(row.high) if row.high is not None else 100.0
        bottom = chart.y.percent(row.low) if row.low is not None else 0.0
        chart.band = (100.0 - top, top - bottom)
    _draw(chart, "line", current)
    _mark_bad(chart, every)
    beyond = np.isfinite(current.value) & ((current.value < chart.y.low) | (current.value > chart.y.high))
    edge = np.clip(current.value[beyond], chart.y.low, chart.y.high)
    chart.draw("edge", charts.dots(chart.x(current.step[beyond]), chart.y(edge)))
    kept = charts.thin(current.step, current.value, limit=600)
    chart.hover = charts.hover(chart, current.step[kept], [(row.title.lower(), current.value[kept].tolist())])
    chart.label = f"{row.title} over environment steps"
    healthy = (current.value >= (-math.inf if row.low is None else row.low)) & (
        current.value <= (math.inf if row.high is None else row.high)
    )  # [K]; a NaN is not healthy
    late = healthy[-max(1, len(healthy) // 4) :]
    far = current.value[beyond]
    return {
        "row": row,
        "chart": chart,
        "latest": number(float(current.value[-1]), 3),
        "range": f"{number(row.low, 3)}–{number(row.high, 3)}" if bounds else None,
        "share": f"{100 * healthy.mean():.0f} %" if bounds else None,
        "outside": bool(bounds) and bool(late.mean() < 0.5),
        "beyond": (len(far), number(float(far[np.abs(far).argmax()]), 3)) if len(far) else None,
    }


def returns_chart(returns: Sequence[float]) -> dict[str, Any]:
    """A histogram of the returns of one evaluation, a tick for each episode, and the IQM with its 95 % interval."""
    import numpy as np

    every = np.asarray(returns, dtype=np.float64)  # [n]
    value = every[np.isfinite(every)]
    middle, (low, high) = iqm(every), bootstrap_ci(every)
    result: dict[str, Any] = {"count": len(every), "bad": len(every) - len(value), "iqm": number(middle)}
    result["interval"] = None if math.isnan(low) else (number(low), number(high))
    if not len(value) or value.min() == value.max():
        return result | {"chart": None, "only": number(float(value[0])) if len(value) else None}
    x = charts.fit([value])
    bins = min(30, max(6, round(2 * math.sqrt(len(value)))))
    height, edges = np.histogram(value, bins=bins)
    chart = charts.frame(x, Scale(0.0, float(height.max()) * 1.08), x_count=6, y_count=3)
    chart.y_ticks = [tick for tick in chart.y_ticks if float(tick[1].replace("k", "e3")).is_integer()]
    left, right, top = chart.x(edges[:-1]), chart.x(edges[1:]), chart.y(height.astype(np.float64))
    chart.draw("bar", charts.boxes(left[height > 0], right[height > 0], top[height > 0]))
    at = chart.x(value)
    chart.draw("rug", charts.bars(at, np.full(len(at), 0.0), np.full(len(at), 45.0)))
    chart.draw("iqm", charts.posts(chart.x(np.asarray([middle]))) if math.isfinite(middle) else "")
    if math.isfinite(low) and high > low:
        ends = chart.x(np.asarray([low, high]))
        chart.draw("interval", charts.boxes(ends[:1], ends[1:], np.asarray([charts.BOX])))
    chart.label = "How many episodes had which return"
    return result | {"chart": chart, "only": None}


def phases(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the wall time went, the longest first: name, seconds, share in per cent; the rest is named as such."""
    spent = {str(k): float(v) for k, v in (info.get("phases") or {}).items() if v}
    total = max(float(info.get("seconds") or 0.0), sum(spent.values()))
    if not spent or total <= 0:
        return []
    parts = sorted(spent.items(), key=lambda part: -part[1])
    rest = total - sum(spent.values())
    if rest > 0.005 * total:
        parts.append(("everything else", rest))
    return [{"name": name, "seconds": seconds, "share": round(100 * seconds / total, 2)} for name, seconds in parts]


def _draw(chart: Chart, kind: str, measured: Column | None) -> None:
    if measured is not None:
        kept = charts.thin(measured.step, measured.value)
        chart.draw(kind, charts.line(chart.x(measured.step[kept]), chart.y(measured.value[kept])))


def _mark_bad(chart: Chart, measured: Column | None) -> None:
    import numpy as np

    if measured is not None:
        chart.draw("bad", charts.posts(chart.x(measured.step[~np.isfinite(measured.value)])))


def _near(
    axis: NDArray[np.float64], step: NDArray[np.float64], value: NDArray[np.float64], *, reach: float
) -> list[float | None]:
    """For each position of `axis` the value of the evaluation nearest to it, if there is one within `reach`."""
    import numpy as np

    apart = np.abs(axis[:, None] - step[None, :])  # [A, E]
    nearest = apart.argmin(axis=1)
    return [
        float(value[index]) if gap <= reach else None for index, gap in zip(nearest, apart.min(axis=1), strict=True)
    ]
