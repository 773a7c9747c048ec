"""A solved model as one self-contained page: the answer, its certificate, and a picture of values and policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from operant.config.errors import OperantError
from operant.run.folder import RunFolder
from operant.run.schemas import decode_number
from operant.view import charts, page, solutions
from operant.view.charts import Chart, Scale
from operant.view.formatting import count, decimals, number, short_duration
from operant.view.grid_picture import GridPicture
from operant.view.solutions import Record

LISTED = 60
"""States that the page lists."""

CRITERIA = {
    "discounted": "discounted return",
    "total": "total reward",
    "average": "average reward",
    "finite-horizon": "return over a finite horizon",
}


def write_solve_report(run: Path) -> Path:
    """Write `report.html` into the folder of a solved model and return its path.

    Raises:
        ConfigError: if the folder holds no solution, or a damaged one.
        OperantError: if a file of it holds something else.
        DiskError: if the page cannot be written.
    """
    folder, record = RunFolder(run), solutions.read(run)
    try:
        text = render(folder, record)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, OSError) as error:
        raise OperantError(f"a file in {folder.path} holds what operant did not write there ({error!r})") from error
    return page.write_page(folder.path / "report.html", text)


def render(folder: RunFolder, record: Record) -> str:
    """The page as text."""
    info, about = folder.info(), record.about
    model, states = about["model"], about["states"][:LISTED]
    drawn = record.layout is not None
    counts = [count(model[key]) for key in ("states", "pairs", "entries")]
    size = "{} states, {} pairs of state and action, {} transitions".format(*counts)
    return page.render(
        "solve.html.j2",
        "solve.css",
        info=info,
        about=about,
        criterion=CRITERIA.get(model["criterion"], model["criterion"]),
        head=_figures(record),
        certificate=sentences(about),
        grid=picture(record) if drawn else None,
        values=None if drawn else _values(record),
        policy=None if drawn else _policy(record),
        convergence=_convergence(about),
        videos=page.films(folder),
        pointed=drawn,
        states=[{key: decode_number(value) for key, value in row.items()} for row in states],
        places=decimals([_finite(row["value"]) for row in states]),
        machine=[("Model", size), *page.machine(info)],
        command=page.command(info.get("argv") or []),
    )


def sentences(about: Mapping[str, Any]) -> dict[str, Any]:
    """The certificate in words: what is known, by which theorem, and whether it is what was asked for."""
    known = about["certificate"]
    gap, loss = decode_number(known["gap"]), decode_number(known["policy_loss"])
    what = "the gain of every state" if about["model"]["criterion"] == "average" else "every value"
    if not math.isfinite(gap):
        return {"text": "No bound is known for this answer.", "why": known["why"], "met": False}
    text = (
        f"It is certain that {what} lies within {number(gap / 2, 2)} of the optimum, and that the policy shown "
        f"loses at most {number(loss, 2)} against the best there is, from whichever state it begins. Rounding "
        f"errors of the computer are included ({number(decode_number(known['rounding']), 2)})."
    )
    return {"text": text, "why": known["why"], "met": max(gap / 2, loss) <= about["epsilon"]}


def picture(record: Record) -> str:
    """Values and policy on their map, a PNG as a data URL."""
    layout = record.layout
    assert layout is not None
    drawing = GridPicture(layout, record.terminal)
    drawing.show(record.values, record.taken)
    return page.png(drawing.figure)


def _figures(record: Record) -> list[dict[str, str]]:
    """The figures at the head of the page: label, value, and a note below it."""
    about = record.about
    known, model = about["certificate"], about["model"]
    start = about.get("start_value")
    average = model["criterion"] == "average"
    if start is not None:
        label, value, note = "Value of the start", number(start, 6), CRITERIA.get(model["criterion"], "")
    else:
        low, high = number(float(record.values.min())), number(float(record.values.max()))
        label, value, note = "Values", f"{low} to {high}", "the model names no start"
    if average:
        label, note = ("Optimal gain", "reward a step") if start is not None else ("Relative values", note)
    first = {"label": label, "value": value, "note": note}
    gap = decode_number(known["gap"])
    return [
        first,
        {
            "label": "Known to within",
            "value": "±" + number(gap / 2, 2) if math.isfinite(gap) else "not known",
            "note": f"policy loses at most {number(decode_number(known['policy_loss']), 2)}",
        },
        {"label": "Iterations", "value": count(about["iterations"]), "note": about["method"]},
        {
            "label": "Time",
            "value": short_duration(about["seconds"]),
            "note": f"{count(model['states'])} states",
        },
    ]


def _convergence(about: Mapping[str, Any]) -> Chart | None:
    """The certified gap over iterations, on a logarithmic scale; the band is what was asked for."""
    import numpy as np

    rows = [(i, decode_number(gap)) for i, gap in about["history"]]
    rows = [(i, gap) for i, gap in rows if gap > 0 and math.isfinite(gap)]
    if len(rows) < 2:
        return None
    step = np.asarray([i for i, _ in rows], dtype=np.float64)
    log = np.log10([gap for _, gap in rows])
    asked = math.log10(2 * about["epsilon"])
    y = Scale(math.floor(min(log.min(), asked)) - 0.2, math.ceil(log.max()) + 0.2)
    chart = charts.chart(
        Scale(0.0, float(step[-1])), y, "Certified gap over iterations", across="iterations", up="certified gap"
    )
    gap = max(1, -(-round(y.high - y.low) // 6))
    powers = range(math.ceil(y.low), math.floor(y.high) + 1, gap)
    chart.y_ticks = [(100.0 - y.percent(power), charts.tick(float(f"1e{power}"))) for power in powers]
    top = 100.0 - y.percent(asked)
    chart.band = (top, 100.0 - top)
    chart.line("smooth", step, log)
    kept = charts.thin(step, log)
    chart.reading(step[kept], [("gap", (10.0 ** log[kept]).tolist())], "iteration")
    return chart


def _values(record: Record) -> Chart | None:
    """Values over the states in their order."""
    import numpy as np

    if len(record.values) < 2:
        return None
    step, value = np.arange(len(record.values), dtype=np.float64), record.values
    chart = charts.chart(
        Scale(0.0, float(step[-1])), charts.fit([value]), "Value of each state", across="states", up="value"
    )
    chart.line("smooth", step, value)
    kept = charts.thin(step, value)
    chart.reading(step[kept], [("value", value[kept].tolist())], "state")
    return chart


def _policy(record: Record) -> Chart | None:
    """The optimal actions over the states in their order; all of them where there are several."""
    import numpy as np

    if len(record.policy) < 2:
        return None
    names = record.actions
    if record.optimal is None:
        state, action = np.arange(len(record.policy)), record.policy.astype(np.int64)
        state, action = state[action >= 0], action[action >= 0]
    else:
        state, action = np.nonzero(record.optimal)
    if not len(state):
        return None
    y = Scale(-0.6, len(names) - 0.4)
    chart = charts.chart(
        Scale(0.0, float(len(record.policy) - 1)), y, "Optimal actions of each state", across="states", up="action"
    )
    gap = -(-len(names) // 12)
    chart.y_ticks = [(100.0 - y.percent(a), names[a][:10]) for a in range(0, len(names), gap)]
    some = np.unique(np.linspace(0, len(state) - 1, 4000).astype(np.int64))
    chart.dots("edge", state[some].astype(np.float64), action[some].astype(np.float64))
    return chart


def _finite(value: Any) -> float | None:
    decoded = decode_number(value)
    return decoded if math.isfinite(decoded) else None
