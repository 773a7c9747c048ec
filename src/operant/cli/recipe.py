"""`operant recipe`: the named systems of the literature, listed, shown and run."""

from __future__ import annotations

import argparse
from pathlib import Path
from textwrap import fill
from typing import Any

from operant.cli import flags
from operant.cli.say import say, tell
from operant.config.errors import ConfigError
from operant.config.write import json_text


def add_recipes(verbs: Any) -> None:
    """Add the verb to the commands of the parser."""
    usage = "operant recipe list | show NAME | run NAME [--seeds N] [--verify]"
    recipe = verbs.add_parser("recipe", help="the named systems of the literature, to be run", usage=usage)
    recipe.description = "The named systems of the literature: what each claims, and what came of it."
    whats = recipe.commands("what")
    listing = whats.add_parser("list", help="every name of the lectures", usage="operant recipe list [--json]")
    listing.description = "Every name of the lectures: what runs, under which name, and what is on paper only."
    flags.add_json(listing)
    usage = "operant recipe show NAME"
    show = whats.add_parser("show", help="the paper, what is done here, claims and verdicts", usage=usage)
    show.description = "What a recipe does, what it claims, and what became of that."
    show.add_argument("name", metavar="NAME", help="of the recipe; see operant recipe list")
    usage = "operant recipe run NAME [--arm A] [--seeds N] [--verify]"
    run = whats.add_parser("run", help="run its arms over its seeds; goes on where it was", usage=usage)
    run.description = "Run what is missing of a recipe, and say what became of its claims."
    run.add_argument("name", metavar="NAME", help="of the recipe; see operant recipe list")
    run.add_argument("--arm", metavar="A", action="append", default=[], help="only this arm; may be given again")
    flags.add_seeds(run, None, "the first N of its seeds [all]")
    run.add_argument("--miniature", action="store_true", help="in seconds; says nothing about the claims")
    run.add_argument("--model", metavar="DIR", help="a model in place of the small one, where it takes one")
    run.add_argument("--verify", action="store_true", help="one seed again, held against the published rows")
    flags.add_json(run)
    flags.add_runs(run, "where its folder is made [runs]")


def verb(args: argparse.Namespace) -> int | None:
    """Do what the word behind it says."""
    return {"list": _list, "show": _show, "run": _run}[args.what](args)


def _list(args: argparse.Namespace) -> None:
    from operant.recipes import standing

    rows = standing()
    if args.json:
        tell(json_text([dict(zip(("name", "kind", "about"), row, strict=True)) for row in rows], indent=2))
        return
    width, kinds = (max(len(row[k]) for row in rows) for k in (0, 1))
    for name, kind, about in rows:
        tell(f"{name:<{width}}  {kind:<{kinds}}  {about}")
    say("Next: operant recipe show NAME, or operant recipe run NAME")


def _show(args: argparse.Namespace) -> None:
    from operant.recipes import recipe
    from operant.recipes.page import line
    from operant.recipes.published import published

    its = recipe(args.name)
    rows, stale = published(its)
    tell(f"{its.title}\n{its.source}\n")
    for head, text in (("Paper", its.paper), ("Here", its.here), ("Mechanism", its.mechanism)):
        tell(fill(f"{head}: {text}", 79, subsequent_indent="  ") + "\n")
    tell("Arms:")
    for arm, what in its.arms.items():
        tell(f"  {arm}{' (control)' if arm in its.controls else ''}: {what}")
    tell("Claims:")
    for claim in its.claims:
        tell(f"  {line(claim, claim.verdict(rows, its.seeds))}")
    if stale:
        say("The published rows are of an earlier text of this recipe.")
    say(f"Next: operant recipe run {its.name}")


def _run(args: argparse.Namespace) -> int:
    from operant.recipes import run, verify
    from operant.recipes.page import line

    if args.verify:
        if args.miniature or args.model or len(args.arm) > 1:
            raise ConfigError("--verify runs one arm as it was published: name one, and no --miniature or --model")
        off = verify(args.name, arm=args.arm[0] if args.arm else None, runs=args.runs, say=say)
        for line in off:
            tell(line)
        tell("does not verify" if off else "verifies: it landed where the published rows let one expect it")
        return 1 if off else 0
    result = run(
        args.name, arms=args.arm, seeds=args.seeds, miniature=args.miniature, model=args.model, runs=Path(args.runs),
        say=say,
    )  # fmt: skip
    if args.json:
        tell(json_text(result.plain(), indent=2))
    else:
        for claim, found in zip(result.recipe.claims, result.verdicts, strict=True):
            tell(line(claim, found))
    small = " A miniature says nothing about the claims." if args.miniature else ""
    say(f"Rows and verdicts: {result.folder / 'result.json'}.{small}")
    return 0
