"""Learning curves over several seeds as a picture: the form in which evidence is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from operant.config.errors import DiskError, OperantError
from operant.data.stats import bootstrap_band, iqm_over_rows
from operant.view.charts import label
from operant.view.stats import smooth

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

COLOURS = ("#2456d6", "#d9722e", "#2a8f6b", "#8a4fbf", "#b3334e", "#5d6672")
FONTS = ("Inter", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans")
_INK, _MUTED, _HAIR = "#16191d", "#667080", "#e4e7eb"


def learning_curves(
    groups: Mapping[str, Sequence[pd.DataFrame]],
    path: Path,
    *,
    metric: str = "train/return",
    title: str = "",
    ylabel: str = "Return",
    window: float | None = None,
    target: float | None = None,
    points: int = 200,
) -> Path:
    """Draw a picture (`path` ends in .png, .svg or .pdf) of `metric` over environment steps and return the path.

    A group is one algorithm, say, and holds a metric frame for each seed (columns `step` and `metric`, as
    `RunFolder.metrics()` gives them, where NaN means a row without the metric). Each seed is a thin line: its moving
    average over `window` steps (`view.stats.smooth`; a twentieth of the longest run when unset). The thick line is the
    interquartile mean over seeds, the band its 95 % bootstrap interval, n the number of seeds; they end where the
    shortest seed ends. An infinite value leaves a gap in all of them and a red mark. With one seed there is no band.
    `target` is drawn as a dashed line.

    Raises OperantError when a group has no seed with the metric, DiskError when the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = {name: [_curve(name, frame, metric) for frame in frames] for name, frames in groups.items()}
    if not curves or not all(curves.values()):
        empty = ", ".join(name for name, seeds in curves.items() if not seeds)
        raise OperantError(f"no seeds to draw{f' in {empty}' if empty else ''}: every group needs at least one run")
    longest = max(float(step[-1]) for seeds in curves.values() for step, _ in seeds)
    width = float(f"{longest / 20:.1g}") if window is None else window
    with mpl.rc_context({"font.family": family(), "font.size": 10.5}):
        figure = Figure(figsize=(8, 4.2), dpi=200, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        cast("Any", figure.get_layout_engine()).set(w_pad=0.15, h_pad=0.15)
        axes = figure.add_subplot()
        ends: list[tuple[float, str, str]] = []
        for index, (name, seeds) in enumerate(curves.items()):
            colour = COLOURS[index % len(COLOURS)]
            height = _draw(axes, seeds, colour, width, points)
            ends.append((height, f"{name}\nn = {len(seeds)}", colour))
        if target is not None:
            axes.axhline(target, color=_MUTED, linewidth=1, dashes=(4, 3), zorder=1)
            axes.text(longest / 200, target, f"target {label(target)}", color=_MUTED, fontsize=9, va="bottom")
        dress(axes, longest, ylabel)
        axes.set_title(title, loc="left", fontsize=13.5, fontweight="bold", color=_INK, pad=30)
        told = (
            f"interquartile mean of seeds, 95 % bootstrap interval; each seed thin, averaged over {label(width)} steps"
        )
        axes.annotate(told, (0, 1), (0, 13), "axes fraction", "offset points", color=_MUTED, fontsize=9)
        name_ends(axes, ends, longest)
        save_figure(figure, path)
    return path


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure in the format that the name of `path` ends in, making its folder.

    Raises DiskError when the file cannot be written, OperantError when there is no such format.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        raise DiskError(f"cannot write {path}: {error.strerror}; free some space or name another folder") from error
    except ValueError as error:
        raise OperantError(f"cannot draw {path.name}: {error}; end the name in .png, .svg or .pdf") from error


def family() -> str:
    """The first of `FONTS` that is installed."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return next(name for name in FONTS if name in installed)


def _curve(name: str, frame: Any, metric: str) -> tuple[Array, Array]:
    """The rows of one seed at which the metric was measured: steps [K] ascending, values [K]."""
    import numpy as np

    measured = frame[["step", metric]].dropna() if metric in frame else None
    if measured is None or not len(measured):
        raise OperantError(f"a run of {name} has no {metric}; name a metric that its metrics hold")
    step = measured["step"].to_numpy(dtype=np.float64)
    order = np.argsort(step, kind="stable")
    return step[order], measured[metric].to_numpy(dtype=np.float64)[order]


def seed_band(seeds: Sequence[tuple[Array, Array]], *, window: float, points: int) -> tuple[Array, Array, Array, Array]:
    """What is drawn of seeds, each a pair of steps [K] and values [K]: a grid, the IQM, and its interval, [P] each.

    The grid lies where all seeds have values; each seed is averaged over `window` steps and then read off at the grid.
    """
    import numpy as np

    begin, end = max(step[0] for step, _ in seeds), min(step[-1] for step, _ in seeds)
    grid = np.linspace(begin, max(begin, end), points)  # [P]
    table = np.stack([np.interp(grid, step, smooth(step, value, window=window)) for step, value in seeds])  # [n, P]
    return grid, iqm_over_rows(table), *bootstrap_band(table)


def _draw(axes: Any, seeds: Sequence[tuple[Array, Array]], colour: str, window: float, points: int) -> float:
    """Thin seeds, band and thick middle of one group; returns the height at which the middle ends."""
    import numpy as np

    for step, value in seeds:
        axes.plot(step, smooth(step, value, window=window), color=colour, linewidth=0.7, alpha=0.35, zorder=2)
        for bad in step[~np.isfinite(value)]:
            axes.axvline(bad, color="#c4281c", linewidth=0.8, zorder=1)
    grid, middle, low, high = seed_band(seeds, window=window, points=points)
    axes.fill_between(grid, low, high, color=colour, alpha=0.16, linewidth=0, zorder=3)
    axes.plot(grid, middle, color=colour, linewidth=2.4, solid_capstyle="round", zorder=4)
    finite = middle[np.isfinite(middle)]
    return float(finite[-1]) if len(finite) else float("nan")


def dress(axes: Any, longest: float, ylabel: str) -> None:
    """Hairlines, no frame, few ticks."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0, longest)
    axes.margins(y=0.06)
    axes.set_xlabel("Environment steps", color=_MUTED, labelpad=8)
    axes.set_ylabel(ylabel, color=_MUTED, labelpad=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_HAIR)
    axes.grid(axis="y", color=_HAIR, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_MUTED, pad=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(_tick))


def _tick(value: float, _: int) -> str:
    return label(float(f"{value:.9g}"))


def name_ends(axes: Any, ends: Sequence[tuple[float, str, str]], longest: float) -> None:
    """Each group's name beside the end of its line; names that would touch are moved apart, half up and half down."""
    import numpy as np

    bottom, top = axes.get_ylim()
    gap = 0.145 * (top - bottom)
    ordered = sorted((height if np.isfinite(height) else bottom, text, colour) for height, text, colour in ends)
    wanted = np.asarray([height for height, _, _ in ordered])
    rank = gap * np.arange(len(wanted))
    placed = np.maximum.accumulate(wanted - rank) + rank  # pushed up only
    placed = (placed + np.minimum.accumulate((wanted - rank)[::-1])[::-1] + rank) / 2  # and down only: halfway
    where = {"xytext": (12, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
    for (_, text, colour), height in zip(ordered, placed.tolist(), strict=True):
        axes.annotate(text, (longest, height), color=colour, fontweight="bold", fontsize=10, linespacing=1.3, **where)
