"""A run as a notebook shows it: what it is, what it scored, and its curve; no script, and no ground of its own."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from operant.config.errors import OperantError
from operant.config.text import clean
from operant.config.values import duration
from operant.run.folder import RunFolder
from operant.run.metrics import read_metrics
from operant.run.progress import measured
from operant.run.sources import short
from operant.view.charts import Chart
from operant.view.panels import learning_curve

STROKES = {
    "raw": "stroke:currentColor;stroke-opacity:.3;stroke-width:1",
    "smooth": "stroke:#3b82d6;stroke-width:2",
    "whisker": "stroke:#e08a2c;stroke-width:1.5",
    "dot": "stroke:#e08a2c;stroke-width:7;stroke-linecap:round",
}
"""Legible on white and on black."""


def run_html(folder: RunFolder, exported: Mapping[str, Any] | None = None) -> str:
    """An HTML fragment about a run; `exported` is the evaluation of an exported policy."""
    info = folder.info()
    title = f"{short(str(info.get('algorithm')))} on {short(str(info.get('env')))}, seed {info.get('seed')}"
    found = exported or info.get("evaluation")
    rows = [
        ("status", str(info["status"])),
        ("steps", f"{info.get('steps') or 0:,} of {info.get('total_steps') or 0:,}"),
        ("time", duration(info["seconds"]) if info.get("seconds") else ""),
        ("stopped", str((info.get("stopped") or {}).get("why", ""))),
        ("error", str(info.get("error") or "")),
        ("evaluation", measured(found) if found else ""),
        ("folder", str(folder.path)),
    ]
    cells = "".join(
        f'<tr><th style="text-align:left">{name}</th><td style="text-align:left">{_text(value)}</td></tr>'
        for name, value in rows
        if value
    )
    return f"<div><strong>{_text(title)}</strong>{_curve(folder)}<table>{cells}</table></div>"


def _curve(folder: RunFolder) -> str:
    """The training return and the evaluations; nothing where there are none, or they cannot be read."""
    try:
        metrics = read_metrics(folder.path, ("train/return",))
        found = learning_curve(metrics, folder.evals(), float(folder.info().get("steps") or 0))
    except OperantError:
        return ""
    if found is None:
        return ""
    chart: Chart = found["chart"]
    paths = "".join(
        f'<path d="{path}" style="fill:none;{STROKES[kind]}" vector-effect="non-scaling-stroke"/>'
        for kind, path in chart.layers
        if kind in STROKES
    )
    low, high = (_text(text) for _, text in (chart.y_ticks[0], chart.y_ticks[-1]))
    return (
        f'<div style="max-width:36em"><small>{_text(chart.label)}: marks from {low} to {high}</small>'
        f'<svg role="img" aria-label="{_text(chart.label)}" viewBox="0 0 1000 1000" preserveAspectRatio="none" '
        f'style="display:block;width:100%;height:12em;border-left:1px solid currentColor;'
        f'border-bottom:1px solid currentColor">{paths}</svg></div>'
    )


def _text(value: str) -> str:
    return escape(clean(value, lines=False))
