"""`operant compare`: runs held against each other."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.cli.say import cell, say, show, tell
from operant.config.write import json_text

if TYPE_CHECKING:
    from operant.view.compare import Comparison, Improvement, Score


def verb(args: argparse.Namespace) -> None:
    """Group runs by their settings, print their scores, and write a page and a picture."""
    from operant.run.find import find
    from operant.view.compare import compare, numbers
    from operant.view.compare_solutions import are_solutions, compare_solutions

    paths = [find(run, args.runs) for run in args.run]
    if are_solutions(paths):
        _solutions(compare_solutions(paths), as_json=args.json)
        return
    comparison = compare(paths)
    written: dict[str, str] = {}
    if args.out is not None or not args.json:
        from operant.view.compare_page import write_comparison

        page, picture = write_comparison(comparison, args.out or Path("compare"))
        written = {"page": str(page), "picture": str(picture)}
    if args.json:
        tell(json_text(numbers(comparison) | written))
        return
    _print(comparison)
    for note in comparison.notes:
        say(f"Note: {note}")
    say(f"Page: {written['page']}\nPicture: {written['picture']}")


def _solutions(found: dict[str, Any], *, as_json: bool) -> None:
    """Print solutions side by side."""
    if as_json:
        from operant.run.schemas import decoded

        tell(json_text(decoded(found)))
        return
    from rich.table import Table

    from operant.run.schemas import decode_number
    from operant.view.formatting import count, number, short_duration

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("model", "γ", "method", "start", "known to", "policy loss", "iterations", "time"):
        table.add_column(title, justify="left" if title in ("model", "method") else "right", overflow="fold")
    for row in found["solutions"]:
        table.add_row(
            cell(f"{row['model']}, {row['criterion']}"),
            f"{row['discount']:g}",
            cell(row["method"]),
            number(row["start_value"], 6),
            "±" + number(decode_number(row["radius"]), 2),
            number(decode_number(row["policy_loss"]), 2),
            count(row["iterations"]),
            short_duration(row["seconds"]),
        )
    show(table)
    for pair in found["pairs"]:
        one, other = Path(pair["first"]).name, Path(pair["second"]).name
        allowed = "" if pair["allowed"] is None else f" (their certificates allow {number(pair['allowed'], 2)})"
        tell(f"{one} and {other}: values at most {number(pair['apart'], 2)} apart{allowed}; {_differ(pair)}")


def _differ(pair: dict[str, Any]) -> str:
    return f"policies differ in {pair['differ']:,} states" if pair["differ"] else "policies agree up to ties"


def interval(score: Score) -> str:
    """An interquartile mean and its interval in words: `231.4 [210.0, 250.1] over 5 seeds`."""
    from operant.view.formatting import number

    low, high = score.interval
    between = "" if low != low else f" [{number(low)}, {number(high)}]"
    seeds = f"{len(score.values)} seed{'s' * (len(score.values) != 1)}"
    return f"{number(score.iqm)}{between} over {seeds}"


def _print(comparison: Comparison) -> None:
    from rich.table import Table

    from operant.view.formatting import number

    for world in comparison.worlds:
        table = Table(title=cell(world.env, "bold"), title_justify="left", box=None, pad_edge=False, header_style="dim")
        for title in ("group", "runs", "scored", "IQM", "95 % interval", "mean", "median", "std"):
            table.add_column(title, justify="left" if title == "group" else "right", overflow="fold")
        for each in world.groups:
            final = each.score
            cells = ["–"] * 5
            if final is not None:
                low, high = final.interval
                between = "–" if low != low else f"{number(low)} to {number(high)}"
                spread = number(final.std) if len(final.values) > 1 else "–"
                cells = [number(final.iqm), between, number(final.mean), number(final.median), spread]
            table.add_row(cell(each.name), str(len(each.group.members)), str(len(each.group.scored)), *cells)
        show(table, 140)
        tell("")
    for each in comparison.improvements:
        tell(_said(each))


def _said(each: Improvement) -> str:
    low, high = each.interval
    between = "no interval, as a group has a single run" if low != low else f"[{low:.2f}, {high:.2f}]"
    where = " and ".join(each.environments)
    return f"P({each.first} > {each.second}) = {each.probability:.2f} {between} in {where}"
