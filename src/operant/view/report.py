"""A run folder as one self-contained page: no network, no other file, no script but the page's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError, OperantError
from operant.config.toml import toml_text
from operant.data.stats import bootstrap_ci, iqm, wilson_ci
from operant.run.folder import RunFolder
from operant.run.metrics import Metrics, read_metrics
from operant.run.progress import cut_in_words, percent
from operant.view import page, panels
from operant.view.completions import completions
from operant.view.episodes import episodes
from operant.view.formatting import count, decimals, duration, number
from operant.view.tabular_section import tabular_section

FIELDS = ("status", "algorithm", "env", "seed", "started", "preset", "error", "attempts", "note")

STATUS = {
    "started": "This run is still going, or was killed before it could say so; the page shows what it has written.",
    "killed": "This run was killed. The page shows what it had written by then.",
    "interrupted": "This run was interrupted. The page shows what had been done by then.",
    "failed": "This run failed.",
}

PROPORTIONS = {
    "agreement": ("Agreement", "judgements"),
    "accuracy_greedy": ("Accuracy, greedy", "prompts"),
    "accuracy_sampled": ("Accuracy, sampled", ""),
}
"""Of an evaluation that counts: what each is called, and of what there is one trial each (of samples, several)."""


def write_report(run: Path) -> Path:
    """Write `report.html` into the run folder `run` and return its path.

    A run at any stage has a page: one that is going on, was interrupted or failed, has no evaluation, video or metric.

    Raises ConfigError when `run` is no run folder, OperantError when its files cannot be read, DiskError when the page
    cannot be written.
    """
    folder = RunFolder(run)
    try:
        text = render(folder)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, OSError) as error:
        raise OperantError(f"a file in {folder.path} holds what operant did not write there ({error!r})") from error
    return page.write_page(folder.path / "report.html", text)


def render(folder: RunFolder) -> str:
    """The page as text."""
    info, metrics = dict.fromkeys(FIELDS) | folder.standing(), read_metrics(folder.path)
    measured = _evaluations(folder, metrics)
    last = measured[-1] if measured else None
    played = episodes(folder.path, metrics)
    done = float(metrics.step[-1] if len(metrics.step) else info.get("steps") or 0)
    until = float(info.get("total_steps") or 0) if info.get("status") == "started" else done
    return page.render(
        "report.html.j2",
        "episodes.css",
        info=info,
        status=STATUS.get(str(info.get("status")), ""),
        head=_figures(info, last, done, metrics),
        protocol=_protocol(last),
        bad=_non_finite(metrics, measured),
        kept=_kept(folder.path) if info.get("status") == "failed" else [],
        restarts=_restarts(metrics),
        curve=panels.learning_curve(metrics, measured, until),
        tabular=tabular_section(folder.path),
        written=None if played else completions(folder.path, metrics),
        played=played,
        videos=page.films(folder),
        diagnostics=panels.diagnostics(metrics),
        evaluations=measured,
        places=decimals([value for row in measured for value in (row["mean"], row["low"], row["high"])]),
        returns=panels.returns_chart(last["returns"]) if last and last["returns"] else None,
        left=panels.departure(folder.path),
        last=last,
        phases=panels.phases(info),
        settings=_settings(folder.path / "config.toml"),
        machine=page.machine(info),
        command=page.command(info.get("argv") or []),
    )


def _evaluations(folder: RunFolder, metrics: Metrics) -> list[dict[str, Any]]:
    """Every evaluation by step: those with a file of their own, and those of which only the metric row tells."""
    entries: dict[int, dict[str, Any]] = {}
    columns = {
        "mean": "return_mean",
        "std": "return_std",
        "iqm": "return_iqm",
        "length": "length",
        "episodes": "episodes",
    }
    for name, column in columns.items():
        measured = metrics.column(f"eval/{column}", superseded=None)
        if measured is not None:
            for step, value in zip(measured.step.tolist(), measured.value.tolist(), strict=True):
                entries.setdefault(round(step), {"step": round(step)})[name.removeprefix("return_")] = value
    for entry in folder.evals():
        entries[int(entry["step"])] = entry
    return [_evaluation(entries[step]) for step in sorted(entries)]


def _evaluation(entry: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(
        ("iqm", "length", "episodes", "deterministic", "seed", "interval", "low", "high")
    )
    row |= {"mean": math.nan, "std": math.nan, "returns": []} | dict(entry)
    row["mean"], row["std"] = float(row["mean"]), float(row["std"])
    returns = row["returns"] = [float(value) for value in row["returns"]]
    if row.get("lengths"):
        row["length"] = sum(row["lengths"]) / len(row["lengths"])
    if returns:
        low, high = bootstrap_ci(returns)
        row |= {"iqm": iqm(returns), "low": min(returns), "high": max(returns)}
        row["interval"] = None if math.isnan(low) else (low, high)
    return row


def _figures(
    info: Mapping[str, Any], last: Mapping[str, Any] | None, done: float, metrics: Metrics
) -> list[dict[str, Any]]:
    """The figures at the head of the page: label, value, and a note below it."""
    steps = float(info.get("steps") or done)
    seconds = info.get("seconds") or float(metrics.time.max(initial=0.0)) or None
    figures: list[dict[str, Any]] = []
    if last is not None:
        when = "final evaluation" if info.get("evaluation") is not None else f"evaluation at step {last['step']:,}"
        figures += _proportions(last, when) or _returns(last, when)
    else:
        train = metrics.column("train/return")
        latest = float(train.value[-1]) if train is not None else None
        figures.append({"label": "Latest training return", "value": number(latest), "note": "not evaluated"})
    total = info.get("total_steps")
    asked = f"of {count(total)} asked for" if total else ""
    figures.append({"label": "Steps", "value": count(steps), "note": asked})
    speed = f"{count(steps / seconds)} steps/s in training" if seconds and steps else ""
    whole = info.get("wall") or seconds
    trained = f"{duration(seconds)} of them trained, " if whole and seconds and whole - seconds > 0.1 else ""
    figures.append({"label": "Wall time", "value": duration(whole), "note": f"{trained}{speed}"})
    return figures


def _proportions(last: Mapping[str, Any], when: str) -> list[dict[str, Any]]:
    """Right answers or agreement, where the evaluation counted them."""
    figures: list[dict[str, Any]] = []
    for key, (label, unit) in PROPORTIONS.items():
        share, note = last.get(key), "some samples of each prompt"
        if share is None or not math.isfinite(share):
            continue
        if unit:
            low, high = wilson_ci(share, int(last["episodes"]))
            label, note = f"{label}, {when}", f"95 % interval {100 * low:.1f} to {percent(high)}"
        figures.append({"label": label, "value": percent(share), "note": note})
    return figures


def _returns(last: Mapping[str, Any], when: str) -> list[dict[str, Any]]:
    interval = last["interval"]
    between = " to ".join(number(bound) for bound in interval) if interval else "not known"
    return [
        {
            "label": f"Return, {when}",
            "value": number(last["mean"]),
            "spread": f"± {number(last['std'], 3)}",
            "note": "mean ± standard deviation over episodes",
        },
        {"label": "Interquartile mean", "value": number(last["iqm"]), "note": f"95 % interval {between}"},
    ]


def _protocol(last: Mapping[str, Any] | None) -> str:
    """How the policy was measured, in words; nothing when it was not."""
    if last is None:
        return ""
    unit = next((unit for key, (_, unit) in PROPORTIONS.items() if unit and key in last), "")
    parts = [f"{count(last['episodes'])} {f'held-out {unit}' if unit else 'episodes'}"]
    if "deterministic" in last and not unit:
        parts.append("deterministic actions" if last["deterministic"] else "sampled actions")
    if last.get("seed") is not None:
        parts.append(f"seeds from {last['seed']}")
    return "Measured on " + ", ".join(parts) + cut_in_words(last) + "."


def _non_finite(metrics: Metrics, evaluations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every metric that was ever NaN or infinite: its name, which of them how often, and the first and last step."""
    import numpy as np

    faults: list[dict[str, Any]] = []
    every = {name: metrics.column(name, superseded=None) for name in sorted(metrics.values)}
    rows = {name: (column.step, column.value) for name, column in every.items() if column is not None}
    for entry in evaluations:
        if entry["returns"]:
            returns = np.asarray(entry["returns"])
            name = f"returns of the evaluation at step {entry['step']:,}"
            rows[name] = (np.full(len(returns), entry["step"]), returns)
    for name, (step, value) in rows.items():
        bad = ~np.isfinite(value)
        if bad.any():
            kinds = [("NaN", np.isnan(value)), ("∞", value == math.inf), ("−∞", value == -math.inf)]
            what = ", ".join(f"{int(mask.sum())} × {kind}" for kind, mask in kinds if mask.any())
            first, last = step[bad].min(), step[bad].max()
            faults.append({"name": name, "what": what, "first": first, "last": last, "rows": len(value)})
    return faults


def _kept(run: Path) -> list[str]:
    """The folders of batches that were kept because a number was not finite, relative to the run."""
    return [f"faults/{path.name}" for path in sorted((run / "faults").glob("step-*"))]


def _restarts(metrics: Metrics) -> str:
    """How often worker processes were restarted, in words; nothing where they were not."""
    counts = metrics.column("env/restarts", superseded=None)
    most = int(counts.value.max()) if counts is not None else 0
    return "" if most == 0 else "once" if most == 1 else f"{most:,} times"


def _settings(path: Path) -> dict[str, Any]:
    """The resolved configuration as (key, value, source): chosen by hand, then by a preset; the defaults apart."""
    import tomlkit
    from tomlkit.container import Container
    from tomlkit.exceptions import TOMLKitError
    from tomlkit.items import Item, Table

    if not path.is_file():
        return {"problem": "This folder holds no config.toml.", "chosen": [], "default": []}
    rows: list[tuple[str, str, str]] = []

    def walk(container: Container, prefix: str) -> None:
        for key in container:
            item = container.item(key)  # container[key] would be a bare bool, without its comment
            if isinstance(item, Table):
                walk(item.value, f"{prefix}{key}.")
            else:
                text = item.as_string().strip() if isinstance(item, Item) else str(item)
                source = item.trivia.comment.lstrip("# ") if isinstance(item, Item) else ""
                rows.append((f"{prefix}{key}", text, source or "not said"))

    try:
        walk(tomlkit.parse(toml_text(path)), "")
    except (TOMLKitError, ConfigError) as error:
        return {"problem": f"config.toml cannot be read: {error}", "chosen": [], "default": []}
    return {
        "problem": None,
        "chosen": sorted((row for row in rows if row[2] != "default"), key=lambda row: row[2].startswith("preset")),
        "default": [row for row in rows if row[2] == "default"],
    }
