"""Learning curves of several seeds as a picture, of any frames or of a comparison: the form of evidence in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from operant.config.errors import DiskError, OperantError
from operant.run.disk import mending, refusal
from operant.run.metrics import Column
from operant.view.bands import band, training_grid
from operant.view.charts import tick

if TYPE_CHECKING:
    import pandas as pd

    from operant.view.bands import Band
    from operant.view.compare import Comparison

COLOURS = ("#2456d6", "#d9722e", "#2a8f6b", "#8a4fbf", "#b3334e", "#5d6672")
FONTS = ("Inter", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans")
INK, MUTED, HAIR, RED = "#16191d", "#667080", "#e4e7eb", "#c4281c"


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
    average over `window` steps (a twentieth of the longest run when unset). The thick line is the interquartile mean
    over seeds, dashed where some had not begun or had ended, the band its 95 % bootstrap interval where all go on, n
    the number of seeds. An infinite value leaves a gap in all of them and a red mark. With one seed there is no band.
    `target` is drawn as a dashed line.

    Raises OperantError when a group has no seed with the metric, DiskError when the file cannot be written.
    """
    import matplotlib as mpl

    columns = {name: [_column(name, frame, metric) for frame in frames] for name, frames in groups.items()}
    if not columns or not all(columns.values()):
        empty = ", ".join(name for name, seeds in columns.items() if not seeds)
        raise OperantError(f"no seeds to draw{f' in {empty}' if empty else ''}: every group needs at least one run")
    grid, width = training_grid([column for seeds in columns.values() for column in seeds], points)
    width = width if window is None else window
    bands = [(name, band(seeds, grid, width)) for name, seeds in columns.items()]
    caption = f"interquartile mean of seeds, 95 % bootstrap interval; each seed thin, averaged over {tick(width)} steps"
    if not all(curve.all_alive.all() for _, curve in bands):
        caption += "; dashed where not all seeds are"
    with mpl.rc_context({"font.family": family(), "font.size": 10.5}):
        figure, panels = _figure(1, 1, size=(8.0, 4.2), dpi=200)
        if target is not None:
            panels[0][0].axhline(target, color=MUTED, linewidth=1, dashes=(4, 3), zorder=1)
            where: dict[str, Any] = {"color": MUTED, "fontsize": 9, "va": "bottom"}
            panels[0][0].text(grid[-1] / 200, target, f"target {tick(target)}", **where)
        _panel(panels[0][0], bands, title, caption, ylabel)
        save_figure(figure, path)
    return path


def comparison_picture(comparison: Comparison, path: Path) -> Path:
    """Draw a comparison (`path` ends in .png, .svg or .pdf) and return the path.

    A row for each environment, training on the left and evaluation on the right, drawn as by `learning_curves`.

    Raises OperantError when the name ends in none of these, DiskError when the file cannot be written.
    """
    import matplotlib as mpl

    worlds = comparison.worlds
    wide = any(each.evaluation for world in worlds for each in world.groups)
    with mpl.rc_context({"font.family": family(), "font.size": 10.5, "text.parse_math": False}):
        size = (15.0 if wide else 8.0, 4.2 * len(worlds))
        figure, panels = _figure(len(worlds), 1 + wide, size=size, dpi=160)
        for row, world in zip(panels, worlds, strict=True):
            caption = f"Training, each seed averaged over {tick(world.window)} steps"
            _panel(row[0], [(each.name, each.train) for each in world.groups], world.env, caption, "Return")
            if wide:
                evaluations = [(each.name, each.evaluation) for each in world.groups]
                _panel(row[1], evaluations, "", "Evaluation in training", "")
        save_figure(figure, path)
    return path


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure in the format that the name of `path` ends in, making its folder.

    Raises DiskError when the file cannot be written, OperantError when there is no such format.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except Exception as error:
        if reason := refusal(error):
            raise DiskError(f"cannot write {path}: {reason}. {mending(error)}.") from error
        if not isinstance(error, ValueError):
            raise
        raise OperantError(f"cannot draw {path.name}: {error}; end the name in .png, .svg or .pdf") from error


def family() -> str:
    """The first of `FONTS` that is installed."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return next(name for name in FONTS if name in installed)


def _column(name: str, frame: Any, metric: str) -> Column:
    """The rows of one seed at which the metric was measured."""
    import numpy as np

    measured = frame[["step", metric]].dropna() if metric in frame else None
    if measured is None or not len(measured):
        raise OperantError(f"a run of {name} has no {metric}; name a metric that its metrics hold")
    step, value = (measured[key].to_numpy(dtype=np.float64) for key in ("step", metric))
    order = np.argsort(step, kind="stable")
    return Column(step[order], value[order])


def _figure(rows: int, columns: int, *, size: tuple[float, float], dpi: int) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    cast("Any", figure.get_layout_engine()).set(w_pad=0.15, h_pad=0.15)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _panel(axes: Any, bands: Sequence[tuple[str, Band | None]], title: str, caption: str, ylabel: str) -> None:
    """The groups of one environment; one without a band keeps its colour for the panels in which it has one."""
    axes.set_title(title or " ", loc="left", fontsize=13.5, fontweight="bold", color=INK, pad=26)
    axes.annotate(caption, (0, 1), (0, 11), "axes fraction", "offset points", color=MUTED, fontsize=9)
    colours = [COLOURS[index % len(COLOURS)] for index in range(len(bands))]
    drawn = [(name, curve, colour) for (name, curve), colour in zip(bands, colours, strict=True) if curve is not None]
    if not drawn:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "nothing was measured", color=MUTED, ha="center", transform=axes.transAxes)
        return
    ends = [(_draw(axes, curve, colour), f"{name}\nn = {len(curve.seeds)}", colour) for name, curve, colour in drawn]
    longest = max(float(curve.grid[-1]) for _, curve, _ in drawn)
    _dress(axes, longest, ylabel)
    _name_ends(axes, ends, longest)


def _draw(axes: Any, curve: Band, colour: str) -> float:
    """Thin seeds, band and middle of one group; returns the height at which the middle ends."""
    import numpy as np

    if len(curve.seeds) > 1:
        axes.plot(curve.grid, curve.seeds.T, color=colour, linewidth=0.7, alpha=0.35, zorder=2)
        axes.fill_between(curve.grid, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0, zorder=3)
    axes.plot(curve.grid, curve.middle, color=colour, linewidth=1.6, dashes=(2, 1.5), zorder=4)
    complete = np.where(curve.all_alive, curve.middle, np.nan)
    axes.plot(curve.grid, complete, color=colour, linewidth=2.4, solid_capstyle="round", zorder=5)
    for bad in curve.bad:
        axes.axvline(bad, color=RED, linewidth=0.8, zorder=1)
    finite = curve.middle[np.isfinite(curve.middle)]
    return float(finite[-1]) if len(finite) else float("nan")


def _dress(axes: Any, longest: float, ylabel: str) -> None:
    """Hairlines, no frame, few ticks."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0, longest)
    axes.margins(y=0.06)
    axes.set_xlabel("Environment steps", color=MUTED, labelpad=8)
    axes.set_ylabel(ylabel, color=MUTED, labelpad=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(HAIR)
    axes.grid(axis="y", color=HAIR, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=MUTED, pad=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(_tick))


def _tick(value: float, _: int) -> str:
    return tick(float(f"{value:.9g}"))


def _name_ends(axes: Any, ends: Sequence[tuple[float, str, str]], longest: float) -> None:
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
