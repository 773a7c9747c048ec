"""Flags that several verbs have, those of `compare` and `sweep`, and the numbers that flags take."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from operant.config.schema import LARGEST


def count(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, least=1)


def seed(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text, least=0)


def positive(text: str) -> float:
    """A number above 0."""
    return number(text, "a number above 0", lambda value: value > 0)


def share(text: str) -> float:
    """A number from 0 to 1."""
    return number(text, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def add_run(parser: argparse.ArgumentParser) -> None:
    """The word RUN, and `--runs`."""
    parser.add_argument("run", metavar="RUN", help="a run's folder, the start of its name, or `last`")
    add_runs(parser, "where the run folders are [runs]")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """`--trust`."""
    parser.add_argument(
        "--trust", action="store_true", help="use the code, models and servers that the run names; for runs of your own"
    )


def add_env(parser: argparse.ArgumentParser) -> None:
    """`--env ID`, also called `--task`."""
    text = "the environment or task, in place of the one that the run names; code in a folder from elsewhere needs it"
    parser.add_argument("--env", "--task", dest="env", metavar="ID", help=text)


def add_runs(parser: argparse.ArgumentParser, text: str) -> None:
    """`--runs DIR`."""
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help=text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_seed(parser: argparse.ArgumentParser, default: int | None, text: str) -> None:
    """`--seed N`."""
    parser.add_argument("--seed", type=seed, default=default, metavar="N", help=text)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """`--checkpoint NAME`."""
    parser.add_argument(
        "--checkpoint", default="latest", metavar="NAME", help="which checkpoint, as step-00100000 [latest]"
    )


def add_seeds(parser: argparse.ArgumentParser, default: int | None, text: str) -> None:
    """`--seeds N`."""
    parser.add_argument("--seeds", type=count, default=default, metavar="N", help=text)


def add_compare(parser: argparse.ArgumentParser) -> None:
    """The words and flags of `operant compare`; namespace: `run` (a list), `out`, `runs`, `json`."""
    parser.usage = "operant compare RUN... [--out DIR] [--json] [--runs DIR]"
    parser.description = "Group runs by their settings, and hold the groups against each other."
    parser.add_argument("run", metavar="RUN", nargs="+", help="a run's folder, the start of its name, or `last`")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where compare.html and compare.png go [compare]")
    add_runs(parser, "where the runs are [runs]")
    parser.add_argument("--json", action="store_true", help="print JSON; writes files only where --out is given")


def add_sweep(parser: argparse.ArgumentParser, algorithms: Iterable[str]) -> None:
    """The words and flags of `operant sweep`; namespace: `algorithm, env, space, trials, seeds, seed, dir`."""
    names = list(algorithms)
    parser.usage = "operant sweep ALGO ENV @SPACE.toml [--trials N] [--seeds N] [--dir DIR]"
    parser.description = "Search for settings with a high return. Called again, it goes on."
    parser.epilog = SPACE_NOTE
    parser.add_argument("algorithm", metavar="ALGO", choices=names, help=", ".join(names))
    parser.add_argument("env", metavar="ENV", help="Gymnasium id, or module:callable")
    parser.add_argument("space", metavar="@SPACE.toml", type=_file, help="what to search, and what to hold fixed")
    parser.add_argument("--trials", type=count, default=20, metavar="N", help="trials in all, those done included [20]")
    add_seeds(parser, 3, "seeds of each trial, trained side by side [3]")
    parser.add_argument("--seed", type=seed, default=1, metavar="N", help="seed of the search, and the first seed [1]")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="where trials are kept [sweeps/SPACE-ENV-ALGO]")


SPACE_NOTE = """\
A space is a TOML file:

  [space]
  "algo.lr" = {low = 1e-4, high = 1e-2, log = true}
  "algo.batch" = {choices = [64, 128, 256]}
  "algo.epochs" = {low = 3, high = 20}

  [fixed]
  total_steps = 50_000
"""


def _file(text: str) -> Path:
    if text.startswith("@") and len(text) > 1:
        return Path(text[1:])
    raise argparse.ArgumentTypeError(f"is {text!r}, expected a file of settings to search, written @space.toml.")


def number(text: str, expected: str, fits: Callable[[float], bool]) -> float:
    """A finite number that fits."""
    with suppress(ValueError):
        if math.isfinite(value := float(text)) and fits(value):
            return value
    raise argparse.ArgumentTypeError(f"is {text!r}, expected {expected}.")


def _whole(text: str, least: int) -> int:
    if text.isdecimal() and len(text) < 19 and least <= int(text) <= LARGEST:
        return int(text)
    if text.isdecimal() and len(text) > 15:
        raise argparse.ArgumentTypeError(f"is {text!r}, expected a whole number up to {LARGEST:,}.")
    raise argparse.ArgumentTypeError(f"is {text!r}, expected a whole number of at least {least}.")
