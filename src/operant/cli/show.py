"""`operant list` and `operant config`: what there is, as tables or JSON."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from operant.cli.say import cell, room, say, show, tell
from operant.config.text import command
from operant.config.write import json_text

if TYPE_CHECKING:
    from operant.config.resolve import Resolved


def listing(args: argparse.Namespace) -> None:
    """List runs, algorithms or environments."""
    rows = LISTS[args.what](args)
    if args.json:
        tell(json_text(rows, indent=2))
        return
    if not rows:
        say(f"No {args.what} yet. To make one: operant train ppo CartPole-v1")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    shown = _fitting(rows, [key for key in rows[0] if key != "path"], room(200))
    for key in shown:
        side = "right" if isinstance(rows[0][key], int | float) else "left"
        table.add_column(key, justify=side, overflow="fold", no_wrap=key == shown[0])
    for row in rows:
        table.add_row(*(cell(_shown(row[key])) for key in shown))
    show(table, 200)
    say(NEXT[args.what])


def _fitting(rows: list[dict[str, Any]], keys: list[str], width: int) -> list[str]:
    """The columns that a terminal has room for: what a run's id and folder tell too is left out first."""
    wide = {key: max(len(key), *(len(_shown(row[key])) for row in rows)) for key in keys}
    for told_elsewhere in ("seconds", "env", "algorithm", "seed", "started"):
        if sum(wide[key] + 2 for key in keys) - 2 > width and told_elsewhere in keys:
            keys = [key for key in keys if key != told_elsewhere]
    return keys


def config(args: argparse.Namespace) -> None:
    """Show the settings of a run, or all that exist."""
    from operant.config.resolve import dump, resolve, schema

    if args.what == "schema":
        if args.json:
            tell(json_text(schema(args.algorithm), indent=2))
        else:
            _print_settings(args.algorithm)
        say("Set any of them: operant train ALGO ENV --algo.lr 1e-3, or in a file: operant train ALGO ENV @mine.toml")
        return
    resolved = resolve(args.algorithm, args.env, file=args.file, overrides=args.overrides)
    if args.json:
        values = _flat(resolved.config.model_dump(mode="json"))
        tell(
            json_text(
                {k: {"value": v, "from": resolved.provenance.get(k, "default")} for k, v in values.items()}, indent=2
            )
        )
    else:
        tell(dump(resolved), end="")
    say(f"To train with these: {command('train', *given(args))}")


def preset(resolved: Resolved) -> str:
    """The settings that the preset changes, wrapped to the terminal."""
    import shutil
    import textwrap

    values, defaults = _flat(resolved.config.model_dump()), _flat(type(resolved.config)().model_dump())
    chosen = [key for key, source in resolved.provenance.items() if source.startswith("preset ")]
    parts = [f"{key}\N{NO-BREAK SPACE}{_shown(values[key])}" for key in chosen if values[key] != defaults.get(key)]
    width = min(100, shutil.get_terminal_size().columns)
    return textwrap.fill(", ".join(parts), width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _runs(args: argparse.Namespace) -> list[dict[str, Any]]:
    from operant.run.find import list_runs

    return list_runs(args.runs)


def _algorithms(args: argparse.Namespace) -> list[dict[str, Any]]:
    from operant.config.registry import all_settings
    from operant.config.resolve import presets

    tuned = [p.algorithm for p in presets()]
    return [
        {
            "name": name,
            "what": (model.model_fields["algo"].annotation.__doc__ or "").strip().split("\n")[0],
            "presets": tuned.count(name),
        }  # type: ignore[union-attr]
        for name, model in all_settings().items()
    ]


def _environments(args: argparse.Namespace) -> list[dict[str, Any]]:
    from operant.env import registered

    return registered()


def _policies(args: argparse.Namespace) -> list[dict[str, Any]]:
    from operant.run.shipped import rows

    return rows()


LISTS = {"runs": _runs, "policies": _policies, "algorithms": _algorithms, "environments": _environments}
NEXT = {
    "runs": "Next: operant report RUN, operant play RUN or operant eval RUN; `last` is the newest.",
    "policies": "Next: operant play NAME, operant eval NAME; of a language model operant sample NAME PROMPT",
    "algorithms": "Next: operant train ppo --help",
    "environments": "Next: operant train ppo ID; any module:callable that returns an environment works too.",
}


def _print_settings(algorithm: str) -> None:
    from rich.table import Table

    from operant.config.fields import is_unused, leaves
    from operant.config.registry import settings_of

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("key", "default", "expected", "what it does"):
        table.add_column(title, no_wrap=title == "key", overflow="fold")
    model = settings_of(algorithm)
    for leaf in (leaf for path, leaf in leaves(model).items() if not is_unused(model, path)):
        table.add_row(*map(cell, (leaf.key, _shown(leaf.default), leaf.expected, leaf.help)))
    show(table, 140)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        out |= _flat(value, name + ".") if isinstance(value, dict) and value else {name: value}
    return out


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000 else str(value)


def given(args: argparse.Namespace) -> list[str]:
    """The words of a command line that name algorithm, environment, file and overrides."""
    file = [] if args.file is None else [f"@{args.file}"]
    flags = [word for key, value in args.overrides.items() for word in (f"--{key}", value)]
    return [args.algorithm, *filter(None, args.envs or [args.env]), *file, *flags]
