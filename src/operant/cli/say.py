"""What verbs say to a person: on standard error, so that standard output holds results alone."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr, flush=True)
