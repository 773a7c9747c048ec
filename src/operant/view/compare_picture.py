"""A comparison as a picture: a row for each environment, training on the left and evaluation on the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from operant.view.charts import label
from operant.view.compare import Compared, Comparison, World
from operant.view.curves import COLOURS, dress, family, name_ends, save_figure

if TYPE_CHECKING:
    from operant.view.bands import Band

_INK, _MUTED, _RED = "#16191d", "#667080", "#c4281c"


def picture(comparison: Comparison, path: Path) -> Path:
    """Draw seed bands into `path` (.png, .svg or .pdf) and return it.

    Each seed is a thin line, the thick line the interquartile mean of the seeds, dashed where some had ended, the band
    its 95 % bootstrap interval where all go on; a red line marks steps at which a seed was not finite.

    Raises:
        OperantError: if the name ends in none of these.
        DiskError: if the disk refuses.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    worlds = comparison.worlds
    wide = any(each.evaluation for world in worlds for each in world.groups)
    with mpl.rc_context({"font.family": family(), "font.size": 10.5}):
        size = (15.0 if wide else 8.0, 4.2 * len(worlds))
        figure = Figure(figsize=size, dpi=160, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        cast("Any", figure.get_layout_engine()).set(w_pad=0.15, h_pad=0.15)
        grid = figure.subplots(len(worlds), 1 + wide, squeeze=False)
        for row, world in zip(grid, worlds, strict=True):
            told = f"Training, each seed averaged over {label(world.window)} steps"
            _panel(row[0], world, [each.train for each in world.groups], f"{world.env}\n{told}", "Return")
            if wide:
                _panel(row[1], world, [each.evaluation for each in world.groups], "\nEvaluation in training", "")
        save_figure(figure, path)
    return path


def _panel(axes: Any, world: World, bands: Sequence[Band | None], title: str, ylabel: str) -> None:
    drawn = [
        (each, curve, COLOURS[index % len(COLOURS)])
        for index, (each, curve) in enumerate(zip(world.groups, bands, strict=True))
        if curve is not None
    ]
    first, _, rest = title.partition("\n")
    axes.set_title(first or " ", loc="left", fontsize=13.5, fontweight="bold", color=_INK, pad=26)
    axes.annotate(rest, (0, 1), (0, 11), "axes fraction", "offset points", color=_MUTED, fontsize=9)
    if not drawn:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "nothing was measured", color=_MUTED, ha="center", transform=axes.transAxes)
        return
    ends = [_group(axes, each, curve, colour) for each, curve, colour in drawn]
    longest = max(float(curve.grid[-1]) for _, curve, _ in drawn)
    dress(axes, longest, ylabel)
    name_ends(axes, ends, longest)


def _group(axes: Any, each: Compared, curve: Band, colour: str) -> tuple[float, str, str]:
    """Thin seeds, band and middle of one group; returns the height of its end, its name and its colour."""
    import numpy as np

    if len(curve.seeds) > 1:
        axes.plot(curve.grid, curve.seeds.T, color=colour, linewidth=0.7, alpha=0.35, zorder=2)
        axes.fill_between(curve.grid, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0, zorder=3)
    axes.plot(curve.grid, curve.middle, color=colour, linewidth=1.6, dashes=(2, 1.5), zorder=4)
    whole = np.where(curve.whole, curve.middle, np.nan)
    axes.plot(curve.grid, whole, color=colour, linewidth=2.4, solid_capstyle="round", zorder=5)
    for bad in curve.bad:
        axes.axvline(bad, color=_RED, linewidth=0.8, zorder=1)
    finite = curve.middle[np.isfinite(curve.middle)]
    end = float(finite[-1]) if len(finite) else float("nan")
    return end, f"{each.name}\nn = {len(curve.seeds)}", colour
