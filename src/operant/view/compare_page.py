"""A comparison as one self-contained page and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.errors import DiskError
from operant.view import charts, page
from operant.view.charts import Chart, Scale
from operant.view.compare import Comparison, World
from operant.view.curves import COLOURS, comparison_picture
from operant.view.formatting import count, decimals

if TYPE_CHECKING:
    from operant.view.bands import Band


def write_comparison(comparison: Comparison, out: Path) -> tuple[Path, Path]:
    """Write `compare.html` and `compare.png` into the folder `out` and return their paths.

    Raises:
        DiskError: if the disk refuses.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"cannot make the folder {out}: {error.strerror}. Choose another --out.") from error
    html = page.write_page(out / "compare.html", render(comparison))
    return html, comparison_picture(comparison, out / "compare.png")


def render(comparison: Comparison) -> str:
    """The page as text."""
    worlds, groups = comparison.worlds, [each for world in comparison.worlds for each in world.groups]
    counts = ((len(comparison.members), "run"), (len(groups), "group"), (len(worlds), "environment"))
    runs = [(member, each.name) for each in groups for member in each.group.members]
    return page.render(
        "compare.html.j2",
        "compare.css",
        comparison=comparison,
        worlds=[_world(world) for world in worlds],
        runs=runs + [(member, "not counted") for member in comparison.repeated],
        lead=" · ".join(f"{count:,} {word}{'s' * (count != 1)}" for count, word in counts),
        share=Scale(0.0, 1.0),
    )


def _world(world: World) -> dict[str, Any]:
    import numpy as np

    scores = [each.score.values for each in world.groups if each.score]
    return {
        "env": world.env,
        "window": count(world.window),
        "train": _curves(world, [each.train for each in world.groups], "Training return over environment steps"),
        "evaluation": _curves(world, [each.evaluation for each in world.groups], "Evaluation over environment steps"),
        "groups": [(each, _colour(index)) for index, each in enumerate(world.groups)],
        "scored": bool(scores),
        "scale": charts.fit([np.asarray(values) for values in scores]),
        "places": decimals([value for values in scores for value in values]),
        "differences": world.differences,
    }


def _curves(world: World, bands: Sequence[Band | None], title: str) -> dict[str, Any] | None:
    """Thin seeds, band and thick middle of every group on one chart; None when nothing was measured."""
    import numpy as np

    every = zip(world.groups, bands, map(_colour, range(len(bands))), strict=True)
    drawn = [(each.name, band, colour) for each, band, colour in every if band is not None]
    if not drawn:
        return None
    end = max(float(band.grid[-1]) for _, band, _ in drawn)
    scale = charts.fit([band.seeds for _, band, _ in drawn])
    chart = charts.chart(Scale(0.0, end or 1.0), scale, f"{title} in {world.env}", up="return")
    readings: list[tuple[str, list[float | None]]] = []
    for name, band, colour in drawn:
        _draw(chart, band, colour)
        readings.append((name, [float(v) if any else None for v, any in zip(band.middle, band.any_alive, strict=True)]))
    bad = np.concatenate([band.bad for _, band, _ in drawn])
    chart.posts("bad", bad)
    chart.reading(drawn[0][1].grid, readings)
    return {
        "chart": chart,
        "legend": [{"name": name, "colour": colour, "n": len(band.seeds)} for name, band, colour in drawn],
        "fewer": any(not band.all_alive.all() for _, band, _ in drawn),
        "bad": len(bad) > 0,
    }


def _draw(chart: Chart, band: Band, colour: str) -> None:
    """One group; where only some seeds are alive the middle is dashed, and reaches over to where all are."""
    import numpy as np

    chart.area(f"area {colour}", band.grid, band.low, band.high)
    if len(band.seeds) > 1:
        for row in band.seeds:
            chart.line(f"seed {colour}", band.grid, row)
    fewer = ~band.all_alive & band.any_alive
    near = fewer.copy()
    near[1:] |= fewer[:-1]
    near[:-1] |= fewer[1:]
    chart.line(f"middle {colour}", band.grid, np.where(band.all_alive, band.middle, np.nan))
    chart.line(f"fewer {colour}", band.grid, np.where(near, band.middle, np.nan))


def _colour(index: int) -> str:
    return f"c{index % len(COLOURS)}"
