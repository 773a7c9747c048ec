"""A comparison as one self-contained page and as a picture."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.errors import DiskError
from operant.view import charts, words
from operant.view.charts import Chart, Scale
from operant.view.compare import Compared, Comparison, Improvement, World
from operant.view.page import environment, write_page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from operant.view.bands import Band

    Array = NDArray[np.float64]

COLOURS = 6
"""Groups that have a colour of their own; more than these share."""


def write_comparison(comparison: Comparison, out: Path) -> tuple[Path, Path]:
    """Write `compare.html` and `compare.png` into the folder `out` and return their paths.

    Raises:
        DiskError: if the disk refuses.
    """
    from operant.view.curves import comparison_picture

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"cannot make the folder {out}: {error.strerror}. Choose another --out.") from error
    page = write_page(out / "compare.html", render(comparison))
    return page, comparison_picture(comparison, out / "compare.png")


def render(comparison: Comparison) -> str:
    """The page as text."""
    files = resources.files("operant.view").joinpath("templates")
    script = files.joinpath("report.js").read_text("utf-8")
    members = comparison.members
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            comparison=comparison,
            worlds=[_world(world) for world in comparison.worlds],
            improvements=[_improvement(each) for each in comparison.improvements],
            runs=[_run(comparison, member) for member in members],
            lead=_lead(comparison),
            style=files.joinpath("report.css").read_text("utf-8") + files.joinpath("compare.css").read_text("utf-8"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _lead(comparison: Comparison) -> str:
    groups = sum(len(world.groups) for world in comparison.worlds)
    counts = ((len(comparison.members), "run"), (groups, "group"), (len(comparison.worlds), "environment"))
    return " · ".join(f"{count:,} {word}{'s' * (count != 1)}" for count, word in counts)


def _world(world: World) -> dict[str, Any]:
    places = words.places([v for each in world.groups if each.score for v in each.score.values])
    return {
        "env": world.env,
        "window": words.count(world.window),
        "train": _curves(world, [each.train for each in world.groups], "Training return over environment steps"),
        "evaluation": _curves(world, [each.evaluation for each in world.groups], "Evaluation over environment steps"),
        "groups": [_row(each, index) for index, each in enumerate(world.groups)],
        "scores": _strips(world),
        "places": places,
        "differences": world.differences,
    }


def _row(each: Compared, index: int) -> dict[str, Any]:
    return {
        "name": each.name,
        "colour": f"c{index % COLOURS}",
        "runs": len(each.group.members),
        "scored": len(each.group.scored),
        "score": each.score,
        "interval": None if each.score is None or math.isnan(each.score.interval[0]) else each.score.interval,
        "finite": sum(map(math.isfinite, each.score.values)) if each.score else 0,
    }


def _strips(world: World) -> list[dict[str, Any] | None]:
    """For each group its scores, IQM and interval on one scale, in per cent of the width."""
    import numpy as np

    values = [each.score.values for each in world.groups if each.score]
    scale = charts.fit([np.asarray(v) for v in values])
    found: list[dict[str, Any] | None] = []
    for each in world.groups:
        if each.score is None:
            found.append(None)
            continue
        low, high = (scale.percent(v) if math.isfinite(v) else None for v in each.score.interval)
        found.append(
            {
                "dots": [scale.percent(v) for v in each.score.values if math.isfinite(v)],
                "iqm": scale.percent(each.score.iqm) if math.isfinite(each.score.iqm) else None,
                "interval": None if low is None or high is None else (low, round(high - low, 3)),
            }
        )
    return found


def _curves(world: World, bands: Sequence[Band | None], title: str) -> dict[str, Any] | None:
    """Thin seeds, band and thick middle of every group on one chart; None when nothing was measured."""
    import numpy as np

    drawn = [(index, each) for index, each in enumerate(bands) if each is not None]
    if not drawn:
        return None
    end = max(float(each.grid[-1]) for _, each in drawn)
    chart = charts.frame(Scale(0.0, end or 1.0), charts.fit([each.seeds for _, each in drawn]), x_count=6, y_count=5)
    readings: list[tuple[str, list[float | None]]] = []
    for index, each in drawn:
        _draw(chart, each, f"c{index % COLOURS}")
        middle = [float(v) if here else None for v, here in zip(each.middle, each.some, strict=True)]
        readings.append((world.groups[index].name, middle))
    bad = np.concatenate([each.bad for _, each in drawn])
    chart.draw("bad", charts.posts(chart.x(bad)))
    chart.hover = charts.hover(chart, drawn[0][1].grid, readings)
    chart.label = f"{title} in {world.env}"
    legend = [
        {"name": world.groups[index].name, "colour": f"c{index % COLOURS}", "n": len(each.seeds)}
        for index, each in drawn
    ]
    return {
        "chart": chart,
        "legend": legend,
        "fewer": any(not each.whole.all() for _, each in drawn),
        "bad": len(bad) > 0,
    }


def _draw(chart: Chart, each: Band, colour: str) -> None:
    import numpy as np

    x = chart.x(each.grid)
    chart.draw(f"area {colour}", charts.area(x, chart.y(each.low), chart.y(each.high)))
    if len(each.seeds) > 1:
        for row in each.seeds:
            chart.draw(f"seed {colour}", charts.line(x, chart.y(row)))
    whole, fewer = _split(each)
    chart.draw(f"middle {colour}", charts.line(x, chart.y(np.where(whole, each.middle, np.nan))))
    chart.draw(f"fewer {colour}", charts.line(x, chart.y(np.where(fewer, each.middle, np.nan))))


def _split(each: Band) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the middle is drawn full, and where dashed; the dashed line reaches over to the full one: [P] each."""
    import numpy as np

    whole = each.whole
    fewer = ~whole & each.some
    near = fewer.copy()
    near[1:] |= fewer[:-1]
    near[:-1] |= fewer[1:]
    return whole, np.asarray(near)


def _improvement(each: Improvement) -> dict[str, Any]:
    low, high = each.interval
    told = None if math.isnan(low) else (low, high)
    return {
        "first": each.first,
        "second": each.second,
        "runs": each.runs,
        "environments": each.environments,
        "probability": None if math.isnan(each.probability) else each.probability,
        "interval": told,
        "at": None if math.isnan(each.probability) else round(100 * each.probability, 2),
        "span": None if told is None else (round(100 * low, 2), round(100 * (high - low), 2)),
        "verdict": _verdict(each),
    }


def _verdict(each: Improvement) -> str:
    """What the interval allows one to say."""
    low, high = each.interval
    if math.isnan(each.probability):
        return "a score is not finite"
    if math.isnan(low):
        return "a single run: no interval"
    return "the interval excludes one half" if low > 0.5 or high < 0.5 else "not told apart"


def _run(comparison: Comparison, member: Any) -> dict[str, Any]:
    groups = [each for world in comparison.worlds for each in world.groups if member in each.group.members]
    return {
        "name": member.path.name,
        "env": member.env,
        "group": groups[0].name if groups else "not counted",
        "seed": member.seed,
        "status": member.status,
        "steps": member.steps,
        "score": member.score,
    }
