"""The errors a person may meet. Each says what was wrong, where, and the one thing to do; each has an exit code."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from operant.config.text import clean


class OperantError(Exception):
    """An expected failure: shown without a traceback, the process exits with `exit_code`.

    `log` is the file that holds the whole traceback, where a person's own code raised and a run folder keeps it.
    """

    exit_code = 1
    log: Path | None = None

    def __str__(self) -> str:
        """The message, in which nothing steers the terminal: names and texts of others stand in it."""
        return clean(super().__str__())


class ConfigError(OperantError):
    """A setting, file or name that cannot be used. Exit code 2."""

    exit_code = 2


class KeywordError(ConfigError, TypeError):
    """A keyword that a function of ours does not take; names the nearest that it does. Exit code 2."""


class EnvError(OperantError):
    """An environment that is missing, cannot be made, or broke its contract. Exit code 3."""

    exit_code = 3


class NonFiniteError(OperantError):
    """A NaN or an infinity where a number belongs. Exit code 4.

    Args:
        message: what, where, and what to do.
        facts: the same for a program, as JSON holds it: "tensor", "copy", "column", "epoch", "minibatch" and the like.
        tensors: the batch in which it was found, by name.
    """

    exit_code = 4

    def __init__(
        self, message: str, *, facts: Mapping[str, Any] | None = None, tensors: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.facts = dict(facts or {})
        self.tensors = dict(tensors or {})


class DiskError(OperantError):
    """A write that the disk refused. Exit code 5."""

    exit_code = 5


@contextmanager
def user_code(what: str, kind: type[OperantError]) -> Generator[None]:
    """Turn whatever a person's own code raises inside into one error of `kind`: "WHAT raised KeyError: 'x' (e.py:3)".

    A Ctrl-C and an error of ours pass.
    """
    try:
        yield
    except (OperantError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise kind(f"{what} {raised(error)}") from error


def raised(error: BaseException) -> str:
    """What a person's code raised, and where: "raised ValueError: no gold (rewards.py:12)"."""
    try:
        text = str(error)
    except Exception:  # it is their class
        text = "a message that cannot be read"
    frames = traceback.extract_tb(error.__traceback__)
    deepest = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
    where = place_of(error) or deepest
    return f"raised {type(error).__name__}: {text}" + (f" ({where})" if where else "")


def place_of(error: BaseException) -> str | None:
    """file:line of a person's own code where an error arose, or None where only installed code is on the way."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    installed = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"), "<frozen")
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(installed) and "site-packages" not in f.filename]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else None
