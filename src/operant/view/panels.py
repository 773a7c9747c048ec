"""The panels of a report that are pictures: learning curve, diagnostics, returns of an evaluation, time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from operant.data.stats import bootstrap_ci, iqm, wilson_ci
from operant.run.progress import percent
from operant.run.schemas import DEPARTURE, read_json
from operant.view import charts
from operant.view.bands import moving_average
from operant.view.charts import Chart, Scale
from operant.view.diagnostics import DIAGNOSTICS, Diagnostic, of_tokens, unlisted
from operant.view.formatting import count, number

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from operant.run.metrics import Column, Metrics

    Array = NDArray[np.float64]

WINDOW = 0.05
"""Width of the moving average of a learning curve, as a share of the steps shown."""

ONE_STEP = 1e-6
"""A policy that moves less, in nats, within a batch has made one step on it: what is left is rounding."""


def learning_curve(metrics: Metrics, evaluations: Sequence[Mapping[str, Any]], until: float) -> dict[str, Any] | None:
    """Training return, raw and smoothed over it, and evaluations with their spread; None when there is neither.

    `until` is the right end of the axis, in environment steps, where the data end sooner.
    """
    import numpy as np

    every, redone = (metrics.column("train/return", superseded=which) for which in (None, True))
    train, resumed = metrics.column("train/return"), metrics.resumed
    if every is None and not evaluations:
        return None
    eval_step = np.asarray([e["step"] for e in evaluations], dtype=np.float64)  # [E]
    mean = np.asarray([e["mean"] for e in evaluations], dtype=np.float64)
    std = np.asarray([e["std"] for e in evaluations], dtype=np.float64)
    low, high = mean - std, mean + std
    share = [e["mean"] if _is_share(e) else math.nan for e in evaluations]  # of proportions, the interval of one
    for index, evaluation in enumerate(evaluations):
        if math.isfinite(share[index]):
            low[index], high[index] = wilson_ci(share[index], int(evaluation["episodes"]))
    steps, values = [eval_step], [low, high, mean]
    if every is not None:
        steps, values = [*steps, every.step], [*values, every.value]
    end = max([until, *(float(s.max()) for s in steps if len(s))])
    scale = Scale(0.0, 1.0) if every is None and np.isfinite(share).all() else charts.fit(values)
    chart = charts.chart(Scale(0.0, end or 1.0), scale, "Return over environment steps", up="return")
    window = float(f"{WINDOW * end:.1g}")
    readings: list[tuple[str, Sequence[float | None]]] = []
    axis = eval_step
    _mark_bad(chart, every)
    if redone is not None:
        chart.line("redone", redone.step, redone.value)
    if train is not None:
        chart.line("raw", train.step, train.value)
        average, _ = moving_average(train, train.step, window)
        chart.line("smooth", train.step, average)
        chart.posts("attempt", resumed)
        kept = np.union1d(charts.thin(train.step, average), charts.thin(train.step, train.value))
        axis = train.step[kept]
        readings = [("return", train.value[kept].tolist()), ("smoothed", average[kept].tolist())]
    finite = np.isfinite(mean + std)
    chart.bars("whisker", eval_step[finite], low[finite], high[finite])
    chart.dots("dot", eval_step[finite], mean[finite])
    chart.posts("bad", eval_step[~finite])
    if len(eval_step) and len(axis):
        readings.append(("evaluation", _nearest(axis, eval_step, mean, within=0.01 * end)))
    chart.reading(axis, readings)
    return {
        "chart": chart,
        "window": count(window),
        "train": train is not None,
        "resumed": len(resumed) > 0,
        "shares": bool(np.isfinite(share).any()),
    }


def _is_share(evaluation: Mapping[str, Any]) -> bool:
    """Whether an evaluation counted: its mean is a proportion then, which no deviation may lead out of 0 to 1."""
    counted = "accuracy_greedy" in evaluation or "agreement" in evaluation
    return counted and 0.0 <= evaluation["mean"] <= 1.0 and (evaluation.get("episodes") or 0) >= 1


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

    low, high = charts.bulk(current.value)
    bounds = [b for b in (row.low, row.high) if b is not None]
    inside = current.value[(current.value >= low) & (current.value <= high)]
    x, y = Scale(0.0, float(current.step[-1]) or 1.0), charts.fit([inside], include=bounds)
    chart = charts.chart(x, y, f"{row.title} over environment steps", up=row.title, x_count=3, y_count=3)
    if bounds:
        top = y.percent(row.high) if row.high is not None else 100.0
        bottom = y.percent(row.low) if row.low is not None else 0.0
        chart.band = (100.0 - top, top - bottom)
    finite = np.isfinite(current.value)
    edge = np.where(finite, np.clip(current.value, y.low, y.high), np.nan)
    beyond = finite & (edge != current.value)
    chart.line("line", current.step, edge)
    _mark_bad(chart, every)
    chart.dots("edge", current.step[beyond], edge[beyond])
    kept = charts.thin(current.step, current.value, limit=600)
    chart.reading(current.step[kept], [(row.title.lower(), current.value[kept].tolist())])
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
    bins = min(30, max(6, round(2 * math.sqrt(len(value)))))
    height, edges = np.histogram(value, bins=bins)
    tallest = float(height.max()) * 1.08
    x, y = charts.fit([value]), Scale(0.0, tallest)
    chart = charts.chart(x, y, "How many episodes had which return", across="return", up="episodes", y_count=3)
    chart.y_ticks = [tick for tick in chart.y_ticks if float(tick[1].replace("k", "e3")).is_integer()]
    some = height > 0
    chart.boxes("bar", edges[:-1][some], edges[1:][some], height[some].astype(np.float64))
    chart.reading((edges[:-1] + edges[1:]) / 2, [("episodes", height.astype(np.float64).tolist())], "return about")
    chart.bars("rug", value, np.zeros(len(value)), np.full(len(value), 0.045 * tallest))
    chart.posts("iqm", np.asarray([middle] if math.isfinite(middle) else []))
    if math.isfinite(low) and high > low:
        chart.boxes("interval", np.asarray([low]), np.asarray([high]), np.asarray([tallest]))
    return result | {"chart": chart, "only": None}


def departure(run: Path) -> dict[str, Any] | None:
    """Where a clone leaves its data, by the time in the episode; None where it was not measured."""
    import numpy as np

    file = run / "departure.json"
    told = read_json(file, DEPARTURE) if file.is_file() else {}
    step, outside = (np.asarray(told.get(name, ()), np.float64) for name in ("step", "outside"))
    if len(step) < 2 or len(step) != len(outside):
        return None
    chart = charts.chart(
        Scale(0.0, float(step[-1]) or 1.0), Scale(0.0, 1.0), "Share of states outside of the data",
        across="steps of the episode", up="share",
    )  # fmt: skip
    chart.line("smooth", step, outside)
    chart.reading(step, [("outside", outside.tolist())])
    return {"chart": chart, "share": percent(float(told.get("share", outside.mean())))}


def phases(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the wall time went, the longest first: name, seconds, share in per cent; the rest is named as such."""
    spent = {str(k): float(v) for k, v in (info.get("phases") or {}).items() if v}
    total = max(float(info.get("wall") or info.get("seconds") or 0.0), sum(spent.values()))
    if not spent or total <= 0:
        return []
    parts = sorted(spent.items(), key=lambda part: -part[1])
    rest = total - sum(spent.values())
    if rest > 0.005 * total:
        parts.append(("everything else", rest))
    return [{"name": name, "seconds": seconds, "share": round(100 * seconds / total, 2)} for name, seconds in parts]


def _mark_bad(chart: Chart, measured: Column | None) -> None:
    import numpy as np

    if measured is not None:
        chart.posts("bad", measured.step[~np.isfinite(measured.value)])


def _nearest(axis: Array, step: Array, value: Array, *, within: float) -> list[float | None]:
    """For each position of `axis` [A] the value of the evaluation nearest to it, if there is one `within` reach."""
    import numpy as np

    distance = np.abs(axis[:, None] - step[None, :])  # [A, E]
    nearest = zip(distance.argmin(axis=1), distance.min(axis=1), strict=True)
    return [float(value[index]) if gap <= within else None for index, gap in nearest]
